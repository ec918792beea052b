"""Every route of ingest, asked with what no service can use."""

from __future__ import annotations

import pytest

from services.ingest.bootstrap import build_gateway
from services.ingest.config import GatewaySettings
from services.ingest.entrypoints.http import add_routes
from shared.contracts.topics import Topics
from shared.storage.api_keys import Role, create_key
from shared.storage.pool import Pool
from tests.integration.sweep import sweep

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


async def test_no_route_answers_with_an_error_of_ours(kafka: str, database: str, topics: Topics, pool: Pool) -> None:
    # G14
    async with pool.connection() as connection:
        key = await create_key(connection, label="admin", person="admin", role=Role.ADMIN)
    known = {
        "line": "l1",
        "name": "s",
        "stream": "l1/s",
        "platform": "p",
        "instrument": "l1/i",
        "from": "2026-03-02T00:00:00Z",
        "to": "2026-03-03T00:00:00Z",
        "time_zone": "Asia/Shanghai",
        "unit": "kPa",
        "period": "1 s",
        "dry_run": "true",
    }
    settings = GatewaySettings.read(kafka=kafka, database_url=database, topic_prefix=topics.prefix)
    async with build_gateway(settings) as app:
        asked = await sweep(add_routes(app), key, known)
    assert asked.asked > 300
    assert asked.failures == []
