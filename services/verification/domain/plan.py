"""From a published criteria set and pinned streams to what the evaluator runs; the static checks on the way (V-8)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from services.verification.domain import criteria_model as model
from services.verification.domain.baselines import subject_of, values_by_subject
from services.verification.domain.computed import signal_of
from services.verification.domain.criteria.earlier import ComparePrevious
from services.verification.domain.criteria.parts import Quantity, Title
from services.verification.domain.decisions import SIMPLE, DecisionPlan, agreed_uncertainty, guard_of_probability
from services.verification.domain.durations import micros_of
from services.verification.domain.entries import ENTERED, EnteredPlan, compile_entered
from services.verification.domain.kinds.lanes import Kind, Lane, Measures
from services.verification.domain.kinds.registry import lane_of
from services.verification.domain.phases import ConditionPlan, compile_conditions
from services.verification.domain.signals import (
    Channels,
    SignalPlan,
    arbitrary_zero,
    channels_of,
    conversion_between,
    convert,
    interval_unit,
    limit_of,
)
from shared.contracts.lifecycle import Baseline
from shared.contracts.registry import Stream
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid
from shared.kernel.times import Micros, to_rfc3339

ENGINE = "pilotline-evaluator/3"
"""Part of every result digest: raised whenever a result could differ."""

MEMORY_LIMIT = 64 * 1024 * 1024
"""The most that the windows of one criterion may need, in bytes."""

JITTER = 2
"""A window has room for this many times the samples of the registered rate; a source beyond it makes the criterion INCONCLUSIVE."""

_TIMES = {"longest_excursion", "cumulative_time_out", "fraction_in_band", "envelope"}
"""Kinds whose limits are levels and whose margin is a time or a share, or whose limits move: uncertainty can draw the limits in, and no
more."""


@dataclass(frozen=True, slots=True)
class CriterionPlan:
    """One criterion, compiled: limits in the signal's unit, durations in µs."""

    id: str
    clause: str
    phase: str
    kind: str
    signal: SignalPlan
    kernel: Kind
    lane: Lane
    min_coverage: float | None
    max_gap: Micros | None
    idle: Micros | None
    on_bad_quality: str
    calibration_expired: bool
    memory: int
    decision: DecisionPlan

    @property
    def demands_whole_phase(self) -> bool:
        """Whether data quality at the end of the phase can still turn a PASS away."""
        demanded = self.min_coverage is not None or self.max_gap is not None or self.idle is not None
        return demanded or self.on_bad_quality != "exclude"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that decides a run's verdicts except its frames, its lifecycle and what people enter. Immutable.

    `criteria` are judged by samples, `entered` by what people enter; `order` names all of them in the order of the set. `conditions` are
    those by which phases begin or end, `baselines` the values of the run before that it is compared with."""

    run: str
    start: Micros
    criteria_digest: str
    phases: tuple[str, ...]
    criteria: tuple[CriterionPlan, ...]
    streams: tuple[Stream, ...]
    entered: tuple[EnteredPlan, ...]
    order: tuple[str, ...]
    conditions: tuple[ConditionPlan, ...]
    baselines: tuple[Baseline, ...] = ()

    @classmethod
    def build(
        cls,
        *,
        run: str,
        criteria: model.CriteriaSet,
        streams: Sequence[Stream],
        start: Micros,
        baselines: Sequence[Baseline] = (),
    ) -> RunPlan:
        """Compiles a criteria set for a run that begins at `start`. Raises Invalid with the first finding of `check`."""
        compiled = compile_criteria(criteria, streams, start, values_by_subject(baselines))
        conditions = compile_conditions(criteria, channels_of(streams))
        signals = [*(criterion.signal for criterion in compiled), *(condition.signal for condition in conditions)]
        used = {name for signal in signals for name in signal.streams}
        return cls(
            run=run,
            start=start,
            criteria_digest=criteria.digest(),
            phases=tuple(phase.id for phase in criteria.phases),
            criteria=compiled,
            streams=tuple(sorted((s for s in streams if s.id in used), key=lambda s: s.id)),
            entered=compile_entries(criteria),
            order=tuple(criterion.id for criterion in criteria.criteria),
            conditions=conditions,
            baselines=tuple(baselines),
        )

    @property
    def first_needed(self) -> Micros:
        """Samples from here on can matter: a value that holds into the run is at most its maximum age old."""
        return self.start - max((stream.max_age for stream in self.streams), default=0)

    def digest(self) -> str:
        """SHA-256 of what a snapshot must agree on before it is restored."""
        pinned = [[stream.id, stream.version, stream.digest()] for stream in self.streams]
        before = [[baseline.subject, baseline.value, baseline.unit] for baseline in self.baselines]
        return digest([ENGINE, self.run, self.start, self.criteria_digest, list(self.order), pinned, before])

    def only(self, criteria: Iterable[str]) -> RunPlan:
        """The same run with some of its criteria."""
        wanted = set(criteria)
        kept = tuple(criterion for criterion in self.criteria if criterion.id in wanted)
        signals = [*(criterion.signal for criterion in kept), *(condition.signal for condition in self.conditions)]
        used = {name for signal in signals for name in signal.streams}
        streams = tuple(stream for stream in self.streams if stream.id in used)
        return RunPlan(
            self.run,
            self.start,
            self.criteria_digest,
            self.phases,
            kept,
            streams,
            entered=tuple(criterion for criterion in self.entered if criterion.id in wanted),
            order=tuple(name for name in self.order if name in wanted),
            conditions=self.conditions,
            baselines=self.baselines,
        )


def compile_criteria(
    criteria: model.CriteriaSet,
    streams: Sequence[Stream],
    start: Micros,
    baselines: Mapping[str, Quantity],
) -> tuple[CriterionPlan, ...]:
    """Those that samples answer; `baselines` are the pinned values by subject. Raises Invalid with the first error found; `check` finds them all."""
    channels = channels_of(streams)
    phases = {phase.id: phase for phase in criteria.phases}
    return tuple(
        compile_criterion(criterion, channels, phases, start, f"criteria[{index}]", baselines)
        for index, criterion in enumerate(criteria.criteria)
        if criterion.kind not in ENTERED
    )


def compile_entries(criteria: model.CriteriaSet) -> tuple[EnteredPlan, ...]:
    """Those that people answer. Raises Invalid with the first error found."""
    phases = {phase.id: phase for phase in criteria.phases}
    compiled = []
    for index, criterion in enumerate(criteria.criteria):
        if criterion.kind in ENTERED:
            known_phase(criterion, phases, f"criteria[{index}]")
            compiled.append(compile_entered(criterion, f"criteria[{index}]"))
    return tuple(compiled)


def known_phase(criterion: Any, phases: dict[str, model.Phase], where: str) -> model.Phase:
    """The criterion's phase. Raises Invalid(criteria_phase_unknown)."""
    if criterion.phase not in phases:
        raise Invalid(
            "criteria_phase_unknown",
            f"the set has no phase {criterion.phase}",
            field=f"{where}.phase",
            remedy=f"use one of: {', '.join(phases)}",
        )
    return phases[criterion.phase]


def compile_criterion(
    criterion: Any,
    channels: Channels,
    phases: dict[str, model.Phase],
    start: Micros | None,
    where: str,
    baselines: Mapping[str, Quantity] = MappingProxyType({}),
) -> CriterionPlan:
    """Raises Invalid(criteria_phase_unknown | criteria_unknown_channel | criteria_unit | criteria_horizon | criteria_decision_rule |
    criteria_memory)."""
    phase = known_phase(criterion, phases, where)
    signal = signal_of(criterion, channels, where)
    measures = _SignalMeasures(criterion, signal, phase, where, _baseline(criterion, baselines))
    max_gap = (
        None if criterion.quality.max_gap is None else measures.duration(criterion.quality.max_gap, "quality.max_gap")
    )
    kernel, lane = lane_of(criterion, measures)
    measures.check_horizon(lane.window)
    return CriterionPlan(
        id=criterion.id,
        clause=criterion.clause,
        phase=criterion.phase,
        kind=criterion.kind,
        signal=signal,
        kernel=kernel,
        lane=lane,
        min_coverage=criterion.quality.min_coverage,
        max_gap=max_gap,
        idle=None if criterion.quality.idle is None else measures.duration(criterion.quality.idle, "quality.idle"),
        on_bad_quality=criterion.quality.on_bad_quality,
        calibration_expired=measures.calibration_expired(start),
        decision=measures.decision(),
        memory=measures.memory(kernel, lane),
    )


def _baseline(criterion: Any, baselines: Mapping[str, Quantity]) -> Quantity | None:
    return (
        baselines.get(subject_of(criterion.model_dump(mode="json"))) if isinstance(criterion, ComparePrevious) else None
    )


def guard_width(criterion: Any, signal: SignalPlan, band: float | None) -> float:
    """What the decision rule draws the limits of a criterion in by. Raises Invalid."""
    title = Title(en="-", zh="-")
    return _SignalMeasures(criterion, signal, model.Phase(id="p", title=title), "criterion").guard(band=band)


def lane_alone(criterion: Any, signal: SignalPlan) -> Lane:
    """The lane of a criterion without its set, for what is drawn. Raises Invalid."""
    title = Title(en="-", zh="-")
    return lane_of(criterion, _SignalMeasures(criterion, signal, model.Phase(id="p", title=title), "criterion"))[1]


def measures_of(criterion: Any, signal: SignalPlan, phase: model.Phase, where: str) -> Measures:
    """What the lane of a criterion is compiled by. Raises Invalid for a demand on gaps that is no duration."""
    return _SignalMeasures(criterion, signal, phase, where)


class _SignalMeasures:
    """`Measures` of one criterion: conversions into its signal's unit that name the field at fault."""

    def __init__(
        self, criterion: Any, signal: SignalPlan, phase: model.Phase, where: str, baseline: Quantity | None = None
    ) -> None:
        self._criterion = criterion
        self._baseline = baseline
        self._signal = signal
        self._phase = phase
        self._where = where
        self._decision: DecisionPlan | None = None
        self.unit = signal.unit
        demanded = criterion.quality.max_gap
        self.gap = signal.max_age if demanded is None else self.duration(demanded, "quality.max_gap")

    def limit(self, quantity: Any, field: str) -> float:
        return limit_of(self._signal, quantity, self.place(field))

    def span(self, quantity: Any, field: str) -> float:
        return convert(quantity, self.unit, f"{self._where}.{field}", difference=True)

    def duration(self, quantity: Any, field: str) -> Micros:
        return micros_of(quantity, self.place(field))

    def guard(
        self,
        *,
        from_registry: bool = True,
        unit: str | None = None,
        band: float | None = None,
        moving: bool = False,
    ) -> float:
        decision = self._criterion.decision
        if decision.rule == "simple":
            return 0.0
        if moving and decision.rule == "min_probability":
            raise Invalid(
                "criteria_decision_rule",
                "two limits whose distance moves with the signal have no one width for a probability of conformity",
                field=self.place("decision.rule"),
                remedy="use simple, guard_band or four_level, or give the tolerance as a quantity",
            )
        expanded, factor, source = self._uncertainty(from_registry=from_registry, unit=unit)
        width = float(decision.multiplier * expanded)
        if decision.rule == "min_probability":
            width = self._probable(decision.probability, expanded / factor, band)
        self._decision = DecisionPlan(decision.rule, 0.0 if moving else expanded, factor, width, band, source)
        return 0.0 if decision.rule == "four_level" else width

    def _uncertainty(self, *, from_registry: bool, unit: str | None) -> tuple[float, float, str]:
        """U in the unit of the margin, its coverage factor and where it comes from."""
        decision, known = self._criterion.decision, self._signal.uncertainty
        where = self.place("decision.uncertainty")
        if decision.uncertainty is not None:
            return (
                agreed_uncertainty(decision.uncertainty, unit or self.unit, where),
                decision.coverage_factor,
                "criterion",
            )
        if from_registry and known is not None:
            return float(known.expanded), known.coverage_factor, known.source
        raise Invalid(
            "criteria_decision_rule",
            f"the rule {decision.rule} needs an expanded uncertainty U, and the registry has none that fits",
            field=where,
            remedy="give decision.uncertainty, or choose the rule simple",
        )

    def _probable(self, wanted: float, standard: float, band: float | None) -> float:
        width = guard_of_probability(wanted, standard, band) if standard > 0 else 0.0
        if width is None:
            raise Invalid(
                "criteria_decision_rule",
                f"no value between the limits conforms with a probability of {wanted:g}: the uncertainty is too large",
                field=self.place("decision.probability"),
                remedy="agree on a smaller probability, wider limits or a better instrument",
            )
        return width

    def decision(self) -> DecisionPlan:
        """The rule as it was applied. Raises Invalid(criteria_decision_rule) where the kind has no use for it."""
        rule, kind = self._criterion.decision.rule, self._criterion.kind
        if rule == "simple":
            return SIMPLE
        if self._decision is None or (kind in _TIMES and rule != "guard_band"):
            fits = "simple or guard_band" if kind in _TIMES else "simple"
            raise Invalid(
                "criteria_decision_rule",
                f"the margin of {kind} is not in the unit of an uncertainty: the rule {rule} has no meaning for it",
                field=self.place("decision.rule"),
                remedy=f"use {fits}",
            )
        return replace(self._decision, expanded=0.0) if kind in _TIMES else self._decision

    def factor(self, unit: str, per_second: bool, field: str) -> float:
        source = interval_unit(self.unit)
        scale = conversion_between(self.unit, source, self._where, difference=True).factor
        if per_second:
            source = f"({source})/s"
        return scale * conversion_between(source, unit, f"{self._where}.{field}", difference=True).factor

    def integral_factor(self, unit: str, field: str) -> float:
        self.demand_true_zero("an integral", "signal", "take the difference to a level first")
        source = interval_unit(self.unit)
        scale = conversion_between(self.unit, source, self.place(field), difference=True).factor
        return scale * conversion_between(f"({source}).s", unit, self.place(field), difference=True).factor

    def demand_true_zero(self, what: str, field: str, remedy: str) -> None:
        if arbitrary_zero(self.unit) and not self._signal.difference:
            raise Invalid(
                "criteria_unit",
                f"{what} of values in {self.unit}, whose zero is arbitrary, has no meaning",
                field=self.place(field),
                remedy=remedy,
            )

    def total(self, quantity: Any, unit: str, field: str) -> float:
        return convert(quantity, unit, self.place(field), difference=True)

    def range(self, field: str) -> tuple[float, float]:
        if self._signal.bounds is None or self._signal.bounds == (None, None):
            raise Invalid(
                "criteria_range",
                "saturation is told by the registered range of a channel, and there is none",
                field=self.place(field),
                remedy="name a channel with low or high in the registry",
            )
        low, high = self._signal.bounds
        return -math.inf if low is None else low, math.inf if high is None else high

    def place(self, field: str) -> str:
        return f"{self._where}.{field}"

    def planned(self, field: str) -> Micros:
        if self._phase.planned is None:
            raise Invalid(
                "criteria_memory",
                "memory is bounded only when the phase has a planned length",
                field=f"{self._where}.{field}",
                remedy=f"give phases[{self._phase.id}].planned",
            )
        return self._planned(self._phase.planned)

    def planned_length(self) -> Micros | None:
        return None if self._phase.planned is None else self._planned(self._phase.planned)

    def _planned(self, quantity: Quantity) -> Micros:
        return micros_of(quantity, f"phases[{self._phase.id}].planned")

    def baseline(self, *, difference: bool) -> float | None:
        if self._baseline is None:
            return None
        return convert(self._baseline, self.unit, self._where, difference=difference or self._signal.difference)

    def ratio(self, quantity: Any, field: str) -> float:
        self.demand_true_zero("a ratio", "relation", "compare by difference, or use a channel in K")
        return self.total(quantity, "1", field)

    def slots(self, window: Micros) -> int:
        return math.ceil(window / self._signal.period) * JITTER + 16

    def check_horizon(self, window: Micros) -> None:
        if window and self._phase.planned is not None and window > self.planned("phase"):
            raise Invalid(
                "criteria_horizon",
                f"needs {window / 1e6:g} s, the phase {self._phase.id} is planned for {self.planned('phase') / 1e6:g} s",
                field=self._where,
                remedy="shorten the duration or window, or plan a longer phase",
            )

    def calibration_expired(self, start: Micros | None) -> bool:
        decision, known = self._criterion.decision, self._signal.uncertainty
        if start is None or decision.rule == "simple" or decision.uncertainty is not None or known is None:
            return False
        return known.calibration_due is not None and known.calibration_due.isoformat() < to_rfc3339(start)[:10]

    def memory(self, kernel: Kind, lane: Lane) -> int:
        width = 2 * len(self._signal.inputs)
        size = kernel.slot_bytes(width) * lane.slots + 8 * len(lane.floats) + 1024
        if size > MEMORY_LIMIT:
            raise Invalid(
                "criteria_memory",
                f"needs {size / 2**20:.0f} MiB at the registered rate; the limit is {MEMORY_LIMIT // 2**20} MiB",
                field=self._where,
                remedy="shorten the window, or judge a slower channel",
            )
        return size
