"""Every route of verification and every page, asked with what no service can use."""

from __future__ import annotations

from typing import Any

import pytest

from services.verification.bootstrap import build_api
from services.verification.config import ApiSettings
from services.verification.entrypoints.api import add_routes
from shared.kernel.times import SECOND
from shared.storage.api_keys import Role, create_key
from tests.integration.sweep import sweep
from tests.integration.verification.rig import LENGTH, T0, Rig

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


async def test_no_route_answers_with_an_error_of_ours(rig: Rig, database: str) -> None:
    # G14
    await rig.begin("r")
    await rig.end("r", T0 + LENGTH * SECOND)
    known: dict[str, Any] = {
        "run": "r",
        "line": "l1",
        "platform": "p",
        "customer": "acme",
        "set": "set",
        "set_id": "set",
        "version": 1,
        "criterion": "limit",
        "channel": "fast.pressure",
        "phase": "work",
        "page": "board",
        "project": "project",
        "scene": "bench",
        "verification_kind": "design",
        "url": "https://example.org/",
    }
    async with rig.pool.connection() as connection:
        key = await create_key(connection, label="admin", person="admin", role=Role.ADMIN)
    settings = ApiSettings.read(database_url=database, kafka=rig.kafka, topic_prefix=rig.topics.prefix)
    async with build_api(settings) as (app, _):
        add_routes(app, app.state.verification.pool)
        asked = await sweep(app, key, known, skip=frozenset({"/live"}))
    assert asked.asked > 2000
    assert asked.failures == []
