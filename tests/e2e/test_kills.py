"""The whole path with each of its processes killed once: nothing is lost, nothing counts twice. tests/chaos does it at greater length."""

from __future__ import annotations

import pytest

from deploy.demo import billing_checks, checks
from deploy.demo.configuration import demo_plan
from deploy.local.stack import Endpoints
from tests.chaos.replay.effects import effects
from tests.chaos.replay.fire import VICTIMS, chosen_seed, differing, system_of, under_fire, undisturbed
from tests.plugins.stack import NewDatabase, NewTopics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

RUN = "d02"
"""The run with a late batch: what is recomputed is killed, too."""


def test_a_kill_of_every_process_changes_nothing(
    stack: Endpoints, new_database: NewDatabase, new_topics: NewTopics
) -> None:
    # B-22, V-17, G1, G2, G3
    seed = chosen_seed()
    plan = demo_plan([RUN], kills=())
    with system_of("calm", stack, new_database, new_topics) as system:
        calm = effects(undisturbed(system, plan), system.endpoints.database_url)
    with system_of("fire", stack, new_database, new_topics) as system:
        told, fire = under_fire(system, plan, seed, each=1)
        burnt = effects(told, system.endpoints.database_url)
    assert fire.killed == dict.fromkeys(VICTIMS, 1)
    found = [
        *checks.check_books(told.facts, told.ledger),
        *checks.check_troubles(told.facts, told.ledger, plan, told.restarts),
        *checks.check_runs(told.facts, plan),
        *billing_checks.check_usage(told.usage, told.counts, plan),
    ]
    assert [check for check in found if not check.passed] == []
    assert calm["blocks"]
    assert calm["ledger"]
    assert differing(calm, burnt) == []
