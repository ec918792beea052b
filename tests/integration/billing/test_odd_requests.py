"""Every route of billing, asked with what no service can use."""

from __future__ import annotations

import pytest

from services.billing.bootstrap import build_api
from services.billing.config import ApiSettings
from services.billing.entrypoints.api import add_routes
from shared.contracts.topics import Topics
from shared.storage.api_keys import Role, create_key
from shared.storage.pool import connect
from tests.integration.billing.plant import CUSTOMER, LINE, PLATFORM, install
from tests.integration.sweep import sweep

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


async def test_no_route_answers_with_an_error_of_ours(kafka: str, database: str, topics: Topics) -> None:
    # G14
    await install(database)
    async with connect(database, name="test-keys") as connection:
        key = await create_key(connection, label="admin", person="admin", role=Role.ADMIN)
    known = {
        "platform": PLATFORM,
        "line": LINE,
        "instrument": f"{LINE}/reactor",
        "customer": CUSTOMER,
        "version": 1,
        "from": "2026-03-02T00:00:00Z",
        "to": "2026-03-03T00:00:00Z",
        "percent": "10",
        "cap": "100.00",
    }
    settings = ApiSettings.read(kafka=kafka, database_url=database, topic_prefix=topics.prefix)
    async with build_api(settings) as (app, _relay):
        asked = await sweep(add_routes(app), key, known)
    assert asked.asked > 1000
    assert asked.failures == []
