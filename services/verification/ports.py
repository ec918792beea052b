"""What the use cases need from the world, and the plain values that cross."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from services.verification.domain.baselines import Recorded
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.issues import Happening, Iteration
from services.verification.domain.run_state import RunState
from services.verification.domain.standards import Action, Standard, Standing, Step, standing
from shared.contracts.lifecycle import Baseline, LineRecord, PinnedStream
from shared.kernel.times import Micros
from shared.storage.api_keys import EVERYTHING, Scope
from shared.storage.registry import Registry


class Scene(StrEnum):
    """Where the pilot test happens: on the bench, on a replica, on a live line, in the field."""

    BENCH = "bench"
    REPLICA = "replica"
    LIVE_LINE = "live_line"
    FIELD = "field"


class VerificationKind(StrEnum):
    DESIGN = "design"
    FUNCTIONAL_PERFORMANCE = "functional_performance"
    PROCESS = "process"
    ADAPTATION = "adaptation"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class StoredCriteria:
    """A criteria set as kept. A published one never changes. `memory` is the checked bound of its windows in bytes; `scope` is what the
    key that saved it reaches, everything where no key did."""

    criteria: CriteriaSet
    digest: str
    published: bool
    line: str | None
    memory: int | None
    created_at: Micros
    published_at: Micros | None
    scope: Scope = EVERYTHING


@dataclass(frozen=True, slots=True)
class Run:
    """A verification run (V-1). `started_at`, `ended_at` and `planned_end` are event times; `streams` and `baselines` are pinned when it starts."""

    run: str
    project: str
    customer: str
    platform: str
    line: str
    scene: Scene
    verification_kind: VerificationKind
    item: str
    item_revision: str
    iteration: int
    previous_run: str | None
    equipment: tuple[str, ...]
    criteria_set: str
    criteria_version: int
    criteria_digest: str
    streams: tuple[PinnedStream, ...]
    tariff: str
    service_code: str
    planned_end: Micros | None
    created_by: str
    state: RunState = RunState.IDLE
    phase: str | None = None
    started_at: Micros | None = None
    ended_at: Micros | None = None
    end_reason: str | None = None
    baselines: tuple[Baseline, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """A command as it was given and what became of it. `problem` is the refusal's document, None when it was carried out."""

    run: str
    key: str
    command: str
    phase: str | None
    at: Micros
    who: str
    reason: str
    problem: Mapping[str, Any] | None
    state_after: RunState
    received_at: Micros = 0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What has happened to a run, told to the world at event time `at`: an event under `identity` for readers, a record on the line's topic
    where an evaluation needs it, documents of the run."""

    identity: str
    at: Micros
    record: LineRecord | None
    event_type: str
    event_data: Mapping[str, Any]
    documents: Sequence[tuple[str, str, Mapping[str, Any]]] = ()
    """(kind, identity within the run, body)"""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of an inspection, known by the SHA-256 of its content."""

    sha256: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ResultEntry:
    """A result as a person entered it (V-6): a laboratory's `value` in `unit`, or an inspection that `passed` or not. `uncertainty` is
    expanded and in the same unit; `sampled_at` is event time, `entered_at` this system's clock; `corrects` is the entry it replaces."""

    entry: UUID
    run: str
    criterion: str
    key: str
    entered_by: str
    entered_at: Micros
    value: float | None = None
    unit: str = ""
    uncertainty: float | None = None
    passed: bool | None = None
    sampled_at: Micros | None = None
    attachment: str | None = None
    note: str = ""
    corrects: UUID | None = None
    confirmed_by: str | None = None
    confirmed_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class Deviation:
    """A departure from what was agreed; it counts once somebody else than its author has accepted it. `criterion` None: of the run."""

    deviation: UUID
    run: str
    criterion: str | None
    kind: str
    reason: str
    key: str
    recorded_by: str
    recorded_at: Micros
    accepted_by: str | None = None
    accepted_at: Micros | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """A fault of an item under test, found in `run` (V-21); `criterion` None: of no single one. `project`, `item` and `line` are the run's;
    `history` is everything that has happened to it, oldest first."""

    issue: UUID
    run: str
    line: str
    project: str
    item: str
    criterion: str | None
    title: str
    key: str
    opened_by: str
    opened_at: Micros
    history: tuple[Happening, ...] = ()


class KnowsRegistry(Protocol):
    async def refresh(self, *, unless_younger: float = 0.0) -> Registry: ...


class KeepsCriteria(Protocol):
    """Criteria sets, in one transaction of the caller."""

    async def find(self, set_id: str, version: int, *, lock: bool = False) -> StoredCriteria | None:
        """With `lock` nobody else who asks so finds the version, or that there is none, before the transaction ends."""

    async def save(
        self, criteria: CriteriaSet, *, who: str, published: bool, line: str | None, memory: int | None
    ) -> None:
        """Inserts, or replaces a draft."""


class KeepsRuns(Protocol):
    """Runs, in one transaction of the caller."""

    async def insert(self, run: Run) -> bool:
        """False when a run of that id is there already."""

    async def lock(self, run: str) -> Run | None:
        """The run, so that nobody else changes it before the transaction ends."""

    async def commands(self, run: str) -> Sequence[CommandRecord]:
        """Every command given so far, refused ones too, oldest first."""

    async def begun_by_condition(self, run: str) -> Collection[str]:
        """The phases that a condition on telemetry has begun."""

    async def recorded(self, run: str) -> Recorded | None:
        """The verdict of record; None while it is provisional."""

    async def record(self, command: CommandRecord) -> None: ...

    async def save(self, run: Run) -> None:
        """State, phase, what is pinned, start and end. One that ends before it has started is final without a verdict: nothing will judge it."""

    async def announce(self, run: Run, announcement: Announcement) -> None:
        """In the same transaction as the rows it tells of: nobody learns of what did not happen."""


class KeepsEntries(Protocol):
    """Results, their files and deviations, in one transaction of the caller, who has locked the run."""

    async def results(self, run: str) -> Sequence[ResultEntry]:
        """Every entry so far, oldest first."""

    async def insert_result(self, entry: ResultEntry) -> None: ...

    async def confirm_result(self, entry: UUID, *, who: str, at: Micros) -> None: ...

    async def attachment_known(self, sha256: str) -> bool: ...

    async def insert_attachment(self, attachment: Attachment, *, who: str) -> None:
        """Nothing when its content is there already."""

    async def deviations(self, run: str) -> Sequence[Deviation]:
        """Every one so far, oldest first."""

    async def insert_deviation(self, deviation: Deviation) -> None: ...

    async def accept_deviation(self, deviation: UUID, *, who: str, at: Micros) -> None: ...


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step as it is kept."""

    step: Step
    at: Micros


@dataclass(frozen=True, slots=True)
class StoredStandard:
    """A version, and everything that was done to it, oldest first."""

    standard: Standard
    digest: str
    history: tuple[RecordedStep, ...]

    @property
    def standing(self) -> Standing:
        return standing([recorded.step for recorded in self.history])

    @property
    def was_in_effect(self) -> bool:
        """Whether it is in effect or has ever been."""
        return any(recorded.step.action is Action.EFFECT for recorded in self.history)


@dataclass(frozen=True, slots=True)
class Adoption:
    platform: str
    standard: str
    version: str
    who: str
    at: Micros


class KeepsStandards(Protocol):
    """Standards, in one transaction of the caller."""

    async def find(self, standard: str, version: str, *, lock: bool = False) -> StoredStandard | None:
        """With `lock` nobody else changes the version before the transaction ends."""

    async def save(self, standard: Standard) -> None:
        """Inserts, or replaces a draft."""

    async def record(self, standard: str, version: str, step: Step) -> None: ...

    async def versions(self, standard: str, *, lock: bool = False) -> Sequence[StoredStandard]:
        """Every version of a standard. With `lock` nobody else changes any before the transaction ends."""

    async def today(self) -> date:
        """The day by the store's clock, UTC: the one that the dates of standards are read by."""

    async def adopt(self, platform: str, standard: str, version: str, who: str) -> None: ...

    async def adoptions(self, standard: str, version: str) -> Sequence[Adoption]: ...


class KeepsIssues(Protocol):
    """Issues, in one transaction of the caller."""

    async def find(self, issue: UUID) -> Issue | None:
        """The issue, so that nobody else adds to it before the transaction ends."""

    async def of_item(self, run: str) -> Sequence[Issue]:
        """Those of the item that the run verifies, in the same project and for the same customer; oldest first."""

    async def insert(self, issue: Issue) -> None: ...

    async def append(self, issue: UUID, happening: Happening) -> None: ...

    async def iterations(self, run: str) -> Mapping[str, Iteration]:
        """The runs of that item, in order of their iterations."""
