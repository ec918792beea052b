"""A verification service with everything around it, per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.verification.adapters.worker.processor import Tuning
from services.verification.adapters.worker.warming import warm_up
from shared.contracts.topics import Topics
from tests.integration.verification.rig import Rig, standing


@pytest.fixture(scope="session")
def warm() -> None:
    """Kernels loaded, as the worker's process does before it joins."""
    warm_up()


@pytest.fixture
async def rig(warm: None, database: str, kafka: str, topics: Topics) -> AsyncIterator[Rig]:
    tuning = Tuning(close_grace=2.0, snapshot_seconds=0.3, level_seconds=0.2)
    async with standing(database, kafka, topics, tuning) as rig:
        yield rig
