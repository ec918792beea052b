"""A replay with processes killed at random moments ends with the same rows, verdicts, hours and invoices as one that nobody disturbed."""

from __future__ import annotations

import pytest

from deploy.demo.cli import all_checks
from deploy.demo.configuration import demo_plan
from deploy.local.stack import Endpoints
from tests.chaos.replay.effects import effects
from tests.chaos.replay.fire import VICTIMS, chosen_seed, differing, system_of, under_fire, undisturbed
from tests.plugins.stack import NewDatabase, NewTopics

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1500)]

RUNS = ("d01", "d02", "d03", "d06")
"""A duplicate, a late batch, a gap, and the platform's own trouble."""
EACH = 5


def test_kills_at_random_moments_change_nothing(
    stack: Endpoints, new_database: NewDatabase, new_topics: NewTopics
) -> None:
    # O-9, B-22, V-17, G1, G2, G3
    seed = chosen_seed()
    plan = demo_plan(RUNS, kills=())
    with system_of("calm", stack, new_database, new_topics) as system:
        calm = effects(undisturbed(system, plan), system.endpoints.database_url)
    with system_of("fire", stack, new_database, new_topics) as system:
        told, fire = under_fire(system, plan, seed, each=EACH)
        burnt = effects(told, system.endpoints.database_url)
    assert fire.killed == dict.fromkeys(VICTIMS, EACH)
    assert [check for check in all_checks(told, plan) if not check.passed] == []
    assert calm["blocks"]
    assert calm["ledger"]
    assert differing(calm, burnt) == []
