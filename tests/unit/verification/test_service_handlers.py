"""Commands and criteria by their use cases, with stores in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from services.verification.criteria_handlers import save_criteria
from services.verification.domain.baselines import Recorded
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.run_state import RunState
from services.verification.handlers import Clock, Order, carry_out, create_run, refusal
from services.verification.ports import Announcement, CommandRecord, Run, Scene, StoredCriteria, VerificationKind
from shared.contracts.lifecycle import PhaseStarted, RunEnded, RunStarted
from shared.contracts.registry import Channel, Customer, CustomerClass, Line, Name, Platform, Stream
from shared.kernel.errors import NotAllowed, NotFound, Problem
from shared.kernel.times import DAY, HOUR, MINUTE, SECOND
from shared.storage.registry import Registry

NAME = Name("a", "甲")
STREAM = Stream("l/s", 3, "p", "l", "l/i", (Channel("x", "pressure", "kPa"),), SECOND, SECOND)
REGISTRY = Registry(
    platforms={"p": Platform("p", NAME, "UTC")},
    lines={"l": Line("l", "p", NAME)},
    instruments={},
    customers={"c": Customer("c", NAME, CustomerClass.SME)},
    streams={"l/s": STREAM},
    versions={("l/s", 3): STREAM},
    numbers={"l/s": 1},
)
TEXT = {"en": "a", "zh": "甲"}
DOCUMENT: dict[str, Any] = {
    "id": "set",
    "version": 1,
    "title": TEXT,
    "phases": [{"id": "work", "title": TEXT}, {"id": "rest", "title": TEXT}],
    "criteria": [
        {
            "id": "limit",
            "kind": "band",
            "title": TEXT,
            "phase": "work",
            "signal": "s.x",
            "high": {"value": 1, "unit": "kPa"},
        }
    ],
}
RUN = Run(
    run="r",
    project="p",
    customer="c",
    platform="",
    line="l",
    scene=Scene.REPLICA,
    verification_kind=VerificationKind.PROCESS,
    item="resin",
    item_revision="1",
    iteration=1,
    previous_run=None,
    equipment=(),
    criteria_set="set",
    criteria_version=1,
    criteria_digest="",
    streams=(),
    tariff="",
    service_code="",
    planned_end=None,
    created_by="somebody",
)


@dataclass
class Criteria:
    """Criteria sets in a dictionary."""

    sets: dict[tuple[str, int], StoredCriteria] = field(default_factory=dict)

    async def find(self, set_id: str, version: int, *, lock: bool = False) -> StoredCriteria | None:
        return self.sets.get((set_id, version))

    async def save(
        self, criteria: CriteriaSet, *, who: str, published: bool, line: str | None, memory: int | None
    ) -> None:
        stored = StoredCriteria(criteria, criteria.digest(), published, line, memory, 0, None)
        self.sets[criteria.id, criteria.version] = stored


@dataclass
class Runs:
    """Runs in a dictionary, and what was announced."""

    runs: dict[str, Run] = field(default_factory=dict)
    given: list[CommandRecord] = field(default_factory=list)
    announced: list[Announcement] = field(default_factory=list)
    by_condition: frozenset[str] = frozenset()
    verdicts: dict[str, Recorded] = field(default_factory=dict)

    async def insert(self, run: Run) -> bool:
        return self.runs.setdefault(run.run, run) is run

    async def lock(self, run: str) -> Run | None:
        return self.runs.get(run)

    async def commands(self, run: str) -> Sequence[CommandRecord]:
        return [command for command in self.given if command.run == run]

    async def record(self, command: CommandRecord) -> None:
        self.given.append(command)

    async def save(self, run: Run) -> None:
        self.runs[run.run] = run

    async def begun_by_condition(self, run: str) -> frozenset[str]:
        return self.by_condition

    async def recorded(self, run: str) -> Recorded | None:
        return self.verdicts.get(run)

    async def announce(self, run: Run, announcement: Announcement) -> None:
        self.announced.append(announcement)


@dataclass
class World:
    criteria: Criteria = field(default_factory=Criteria)
    runs: Runs = field(default_factory=Runs)

    async def give(self, command: str, at: int, *, phase: str | None = None, key: str | None = None) -> CommandRecord:
        return await self.order(Order("r", key or f"{command}{phase}{at}", command, at, "somebody", "why", phase))

    async def order(self, order: Order, *, now: int = HOUR) -> CommandRecord:
        return await carry_out(order, clock=Clock(now, DAY), registry=REGISTRY, criteria=self.criteria, runs=self.runs)

    async def create(self, run: Run) -> tuple[Run, bool]:
        return await create_run(run, now=7, registry=REGISTRY, criteria=self.criteria, runs=self.runs)


@pytest.fixture
async def world() -> World:
    """An idle run."""
    made = World()
    await save_criteria(
        CriteriaSet.model_validate(DOCUMENT), line="l", publish=True, who="x", registry=REGISTRY, store=made.criteria
    )
    await made.create(RUN)
    made.runs.announced.clear()
    return made


async def test_a_run_lives_and_says_every_step_on_its_line(world: World) -> None:
    # V-2, V-3
    for step in (
        world.give("start", 0),
        world.give("phase", 0, phase="work"),
        world.give("hold", MINUTE),
        world.give("restart", 2 * MINUTE),
        world.give("phase", 3 * MINUTE, phase="rest"),
        world.give("complete", 4 * MINUTE),
    ):
        assert (await step).problem is None
    assert world.runs.runs["r"].state is RunState.COMPLETE
    records = [announced.record for announced in world.runs.announced]
    assert [type(record).__name__ for record in records] == [
        "RunStarted",
        "PhaseStarted",
        "RunHeld",
        "RunRestarted",
        "PhaseStarted",
        "RunEnded",
    ]
    assert isinstance(records[-1], RunEnded)
    assert records[-1].how == "completed"


async def test_a_start_pins_the_registry_versions_and_the_criteria(world: World) -> None:
    # V-1, G7
    await world.give("start", 5)
    started = world.runs.announced[0].record
    assert isinstance(started, RunStarted)
    assert [(item.stream, item.version, item.digest) for item in started.streams] == [("l/s", 3, STREAM.digest())]
    assert started.criteria_digest == CriteriaSet.model_validate(DOCUMENT).digest()
    kinds = [kind for kind, _, _ in world.runs.announced[0].documents]
    assert kinds == ["run_start", "descriptor", "event"]


async def test_a_refused_command_is_recorded_with_its_reason_and_changes_nothing(world: World) -> None:
    # V-2
    refused = await world.give("hold", 0, key="k")
    problem = refusal(refused)
    assert isinstance(problem, NotAllowed)
    assert (problem.code, problem.extra["allowed"]) == ("run_command_not_allowed", ["start", "abort"])
    assert world.runs.runs["r"].state is RunState.IDLE
    assert world.runs.announced == []
    again = await world.give("hold", 0, key="k")
    assert again == refused
    assert len(world.runs.given) == 1


async def test_a_key_repeated_answers_as_before_and_a_reused_one_is_refused(world: World) -> None:
    # V-2
    first = await world.give("start", 0, key="k")
    assert await world.give("start", 0, key="k") == first
    assert len(world.runs.announced) == 1
    with pytest.raises(NotAllowed) as reused:
        await world.give("hold", 1, key="k")
    assert reused.value.code == "run_command_key_reused"


async def test_a_phase_that_a_condition_has_begun_takes_no_command(world: World) -> None:
    # V-3
    await world.give("start", 0)
    world.runs.by_condition = frozenset({"work"})
    problem = refusal(await world.give("phase", MINUTE, phase="work"))
    assert problem is not None
    assert problem.code == "run_phase_repeated"


async def test_a_run_that_compares_waits_for_the_run_before_and_pins_its_value(world: World) -> None:
    # V-6, V-1
    compared = DOCUMENT["criteria"][0] | {"kind": "compare_previous", "statistic": "mean"}
    criteria = CriteriaSet.model_validate(DOCUMENT | {"version": 2, "criteria": [compared]})
    await save_criteria(criteria, line="l", publish=True, who="x", registry=REGISTRY, store=world.criteria)
    later = replace(RUN, run="r2", previous_run="r", iteration=2, criteria_version=2)
    await world.create(later)
    order = Order("r2", "k1", "start", 0, "somebody", "why")
    for _ in range(2):
        refused = await world.order(order)
        assert refused.problem is not None
        assert (refused.problem["code"], refused.problem["key"]) == ("run_previous_not_final", "k1")
    assert len(world.runs.given) == 1
    facts = {"limit": {"outcome": "PASS", "reason": None, "worst_value": 7.0, "unit": "kPa"}}
    world.runs.verdicts["r"] = Recorded("r", 1, "digest", criteria, facts)
    # The key of a command that was asked to wait is still its own (V-2).
    assert (await world.order(order)).problem is None
    started = world.runs.announced[-1].record
    assert isinstance(started, RunStarted)
    assert [(item.run, item.digest, item.value) for item in started.baselines] == [("r", "digest", 7.0)]
    opening = world.runs.announced[-1].documents[0][2]
    assert opening["baselines"][0]["value"] == 7.0


@pytest.mark.parametrize(
    ("command", "at", "phase", "code"),
    [
        ("phase", 0, "nowhere", "run_phase_unknown"),
        ("phase", MINUTE, "work", "run_phase_repeated"),
        ("hold", -1, None, "run_command_time"),
        ("start", MINUTE, None, "run_command_not_allowed"),
    ],
)
async def test_what_does_not_fit_a_running_run_is_refused(
    world: World, command: str, at: int, phase: str | None, code: str
) -> None:
    # V-2, V-3
    await world.give("start", 0)
    await world.give("phase", 0, phase="work")
    problem = refusal(await world.give(command, at, phase=phase, key="new"))
    assert problem is not None
    assert problem.code == code


async def test_a_held_run_starts_no_phase(world: World) -> None:
    # V-2
    await world.give("start", 0)
    await world.give("hold", 1)
    problem = refusal(await world.give("phase", 2, phase="work"))
    assert problem is not None
    assert problem.code == "run_command_not_allowed"
    assert not any(isinstance(item.record, PhaseStarted) for item in world.runs.announced)


async def test_an_idle_run_that_is_aborted_is_told_and_leaves_the_line_alone(world: World) -> None:
    # V-2, L-1, V-4
    assert (await world.give("abort", 0)).state_after is RunState.ABORTED
    [told] = world.runs.announced
    assert (told.event_type, told.event_data["state"], told.record, told.documents) == (
        "run.ended",
        "aborted",
        None,
        (),
    )
    assert world.runs.runs["r"].ended_at == 0


async def test_a_new_run_is_told_once(world: World) -> None:
    # L-1
    for _ in range(2):
        await world.create(replace(RUN, run="s"))
    [told] = world.runs.announced
    assert (told.event_type, told.event_data["run"], told.at, told.record) == ("run.created", "s", 7, None)


@pytest.mark.parametrize(
    "change", [{"at": 1}, {"reason": "other"}, {"who": "other"}, {"command": "abort"}, {"command": "phase"}]
)
async def test_a_key_belongs_to_one_command_with_all_that_it_says(world: World, change: dict[str, Any]) -> None:
    # V-2
    order = Order("r", "k", "start", 0, "somebody", "why")
    first = await world.order(order)
    with pytest.raises(NotAllowed) as reused:
        await world.order(replace(order, **change))
    assert reused.value.code == "run_command_key_reused"
    # Without an instant of its own a repetition comes later by nature.
    assert await world.order(replace(order, at=5, at_once=True)) == first


@pytest.mark.parametrize(
    ("at", "code"),
    [(SECOND * 5 + 1, "run_command_future"), (-DAY - 1, "run_command_past"), (5 * SECOND, None), (-DAY, None)],
)
async def test_a_command_lies_neither_in_the_future_nor_before_the_horizon(
    world: World, at: int, code: str | None
) -> None:
    # V-2, V-18, I-17
    problem = refusal(await world.order(Order("r", "k", "start", at, "somebody", "why"), now=0))
    assert (None if problem is None else problem.code) == code


@pytest.mark.parametrize("other", [{"customer": "d"}, {"item": "paint"}])
async def test_a_run_follows_one_of_its_own_customer_and_item(world: World, other: dict[str, Any]) -> None:
    # V-21, G11
    world.runs.runs["r"] = replace(world.runs.runs["r"], **other)
    with pytest.raises(Problem) as refused:
        await world.create(replace(RUN, run="s", iteration=2, previous_run="r"))
    assert refused.value.code == "run_previous_other"


async def test_a_published_version_is_immutable(world: World) -> None:
    # G7
    changed = CriteriaSet.model_validate({**DOCUMENT, "title": {"en": "b", "zh": "乙"}})
    with pytest.raises(NotAllowed) as refused:
        await save_criteria(changed, line="l", publish=True, who="x", registry=REGISTRY, store=world.criteria)
    assert refused.value.code == "criteria_published"


async def test_a_draft_starts_no_run_and_what_does_not_fit_the_line_is_not_published() -> None:
    # V-8
    world = World()
    draft = CriteriaSet.model_validate(DOCUMENT)
    await save_criteria(draft, line=None, publish=False, who="x", registry=REGISTRY, store=world.criteria)
    with pytest.raises(NotAllowed) as refused:
        await world.create(RUN)
    assert refused.value.code == "criteria_not_published"
    wrong = CriteriaSet.model_validate(
        {**DOCUMENT, "version": 2, "criteria": [{**DOCUMENT["criteria"][0], "signal": "s.nothing"}]}
    )
    with pytest.raises(Problem) as unknown:
        await save_criteria(wrong, line="l", publish=True, who="x", registry=REGISTRY, store=world.criteria)
    assert unknown.value.code == "criteria_unknown_channel"


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"line": "x"}, "line_unknown"),
        ({"customer": "x"}, "customer_unknown"),
        ({"equipment": ("x",)}, "instrument_unknown"),
        ({"criteria_version": 7}, "criteria_unknown"),
        ({"previous_run": "x", "iteration": 2}, "run_unknown"),
    ],
)
async def test_a_run_names_what_exists(world: World, facts: dict[str, Any], code: str) -> None:
    # V-1
    with pytest.raises(NotFound) as refused:
        await world.create(replace(RUN, run="s", **facts))
    assert refused.value.code == code


async def test_iterations_count_on_and_the_same_request_again_is_the_same_run(world: World) -> None:
    # V-1
    following = replace(RUN, run="s", iteration=2, previous_run="r")
    run, new = await world.create(following)
    assert new
    assert await world.create(following) == (run, False)
    with pytest.raises(NotAllowed) as other:
        await world.create(replace(following, item="paint", previous_run=None))
    assert other.value.code == "run_exists"
    with pytest.raises(Problem) as backwards:
        await world.create(replace(RUN, run="t", iteration=1, previous_run="r"))
    assert backwards.value.code == "run_iteration"
