"""What a meter remembers between batches. JSON by msgspec: integers may exceed 64 bits (registers do), floats read back bit for bit."""

from __future__ import annotations

import msgspec

from services.billing.domain.annotations import NoteRecord
from services.billing.domain.conditions import ComparatorState
from services.billing.domain.readings import Row, SeenSequences, SourceFrame
from services.billing.domain.reservations import ReservationRecord
from services.billing.domain.run_timeline import RunRecord
from services.billing.domain.segment import RunContext
from shared.kernel.times import Micros

MEASURED, INFERRED, UNKNOWN = 0, 1, 2


class Held(msgspec.Struct, array_like=True, frozen=True):
    """The value a channel has: the reading, the same in nano-units, when it was measured and where it came from."""

    value: float
    nano: int
    at: Micros
    frame: SourceFrame


class Carry(msgspec.Struct):
    """What is true of an instrument at `now`, apart from its open segment.

    `known` is the last outcome the rules decided, `unknown_since` when they ceased to, `basis` how the present time is known. `registers` run
    from the start of the clock hour, one per quantity.
    """

    now: Micros
    held: list[Held | None]
    comparators: list[ComparatorState]
    registers: list[int]
    known: int | None = None
    unknown_since: Micros | None = None
    basis: int = UNKNOWN


class Tally(msgspec.Struct, array_like=True):
    """A quantity inside the open segment. `opened_at` is the register's raw reading at its start."""

    opened_at: int = 0
    covered: Micros = 0
    count: int = 0
    maximum: int | None = None


class Provenance(msgspec.Struct):
    """The frames of the open segment: sequences per stream and boot, and a running digest over each frame at its first use."""

    seen: dict[str, dict[str, SeenSequences]] = {}
    frames: int = 0
    samples: int = 0
    digest: str = ""
    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1


class OpenSegment(msgspec.Struct):
    """`revision` is above 0 when a rebuild has opened again what was emitted as closed. `note` is the annotation in force, '' for none."""

    start: Micros
    outcome: int
    context: RunContext
    tallies: list[Tally]
    provenance: Provenance
    measured: Micros = 0
    inferred: Micros = 0
    unknown: Micros = 0
    revision: int = 0
    note: str = ""


class InstrumentState(msgspec.Struct):
    """`pending` holds rows beyond the frontier per stream, and beyond `redo_to` while there is one. `checkpoints` are the carries at past hour
    starts, before that instant was processed. `redo_from` and `redo_to`: the part that is being computed again, from what is stored."""

    pending: dict[str, list[Row]] = {}
    watermarks: dict[str, Micros] = {}
    first_row: Micros | None = None
    carry: Carry | None = None
    open: OpenSegment | None = None
    hour_end: Micros = 0
    origin: Micros | None = None
    checkpoints: list[Carry] = []
    stale_since: Micros | None = None
    redo_from: Micros | None = None
    redo_to: Micros | None = None


class LineState(msgspec.Struct):
    """Everything a `LineMeter` remembers. `forced` is the end of the latest ended run: nobody waits for streams before it."""

    model: str
    instruments: dict[str, InstrumentState]
    records: dict[str, RunRecord] = {}
    notes: dict[str, NoteRecord] = {}
    reservations: dict[str, ReservationRecord] = {}
    seen: dict[str, dict[str, SeenSequences]] = {}
    forced: Micros | None = None
