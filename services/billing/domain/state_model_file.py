"""State models as people write them: YAML, checked against the registry, resolved to a `StateModel` (B-1).

    model = load_state_model(text, platform_streams)     # raises Malformed | Invalid, with a stable code and the place

```yaml
id: te-line
version: 1
line: te1
patience: 4 h                         # a stream this far behind is not waited for
instruments:
  - instrument: te1/reactor
    conditions:
      overpressure: {enter: reactor.pressure > 2950 kPa, leave: reactor.pressure < 2900 kPa, dwell: 6 min}
      feeding: {enter: reactor.e_feed > 1000 kg/h}
    rules:                            # the first that holds
      - {when: {all: [{run: [active]}, overpressure]}, state: unscheduled_down, reason: overpressure, responsible: platform}
      - {when: {all: [{run: [active]}, feeding]}, state: productive, sub_state: run}
    default: {state: non_scheduled}
    gap: {hold: 15 min, state: non_scheduled, reason: no_data, responsible: platform}
    quantities:
      - {name: feed, kind: integral, channel: reactor.e_feed, unit: kg}
      - {name: data, kind: bytes, stream: reactor, unit: MBy}        # stored rows, before compression; `samples` counts them
      - {name: slot, kind: reserved, unit: h}
```
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.billing.domain.durations import Duration
from services.billing.domain.e10 import EquipmentState, Responsible, StateOutcome, SubState
from services.billing.domain.segment import QuantityKind
from services.billing.domain.state_model import (
    AllOf,
    AnyOf,
    ChannelRef,
    Condition,
    Expression,
    GapRule,
    Holds,
    InstrumentModel,
    Not,
    PhaseIs,
    QuantityRule,
    RunActivity,
    RunIs,
    StateModel,
    StateRule,
)
from shared.contracts.registry import Stream, channel_path
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, Malformed
from shared.kernel.times import DAY, HOUR
from shared.kernel.units import check_unit, commensurable, conversion
from shared.kernel.yaml_text import read_yaml_text

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=80)]
_COMPARISON = re.compile(r"^([a-z0-9_.-]+) ([<>]) (-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?) (\S+)$")


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Outcome(_File):
    state: EquipmentState
    sub_state: SubState = SubState.NONE
    reason: str = Field(default="", max_length=80)
    responsible: Responsible = Responsible.CUSTOMER

    def outcome(self) -> StateOutcome:
        return StateOutcome(self.state, self.sub_state, self.reason, self.responsible)


class _All(_File):
    all: tuple[When, ...] = Field(min_length=1, max_length=32)


class _Any(_File):
    any: tuple[When, ...] = Field(min_length=1, max_length=32)


class _Not(_File):
    not_: When = Field(alias="not")


class _Run(_File):
    run: tuple[RunActivity, ...] = Field(min_length=1)


class _Phase(_File):
    phase: tuple[Identifier, ...] = Field(min_length=1)


When = Identifier | _All | _Any | _Not | _Run | _Phase


class _Condition(_File):
    enter: str
    leave: str | None = None
    dwell: Duration = 0


class _Rule(_Outcome):
    when: When


class _Gap(_Outcome):
    hold: Annotated[Duration, Field(ge=0, le=DAY)]


class _Quantity(_File):
    name: Identifier
    kind: QuantityKind
    unit: str = Field(min_length=1, max_length=60)
    channel: str | None = None
    condition: Identifier | None = None
    stream: Identifier | None = None


class _Instrument(_File):
    instrument: str = Field(min_length=1, max_length=120)
    conditions: dict[Identifier, _Condition] = Field(default_factory=dict, max_length=64)
    rules: tuple[_Rule, ...] = Field(max_length=64)
    default: _Outcome
    gap: _Gap
    quantities: tuple[_Quantity, ...] = Field(default=(), max_length=32)


class StateModelFile(_File):
    """The whole file. `pilotline: state-model` may say what it is."""

    pilotline: Literal["state-model"] = "state-model"
    id: Identifier
    version: int = Field(ge=1, le=2**31 - 1)
    line: str = Field(min_length=1, max_length=80)
    patience: Annotated[Duration, Field(ge=0, le=30 * DAY)] = 4 * HOUR
    instruments: tuple[_Instrument, ...] = Field(min_length=1, max_length=64)


def load_state_model(text: str, streams: Iterable[Stream]) -> StateModel:
    """The model in a YAML text, checked against the line's streams.

    Raises Malformed(state_model_malformed) for what is no such file, Invalid(state_model_unknown_channel | state_model_unit |
    state_model_condition | state_model_quantity | state_model_duplicate) with the field, and Invalid(unit_unknown).
    """
    try:
        document = read_yaml_text(text)
        file = StateModelFile.model_validate(document)
    except yaml.YAMLError as error:
        raise Malformed(
            "state_model_malformed", f"not YAML: {error}", field="body", remedy="see docs/billing-rules.md"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Malformed(
            "state_model_malformed", f"{place}: {first['msg']}", field=place, remedy="see docs/billing-rules.md"
        ) from error
    return resolve_state_model(file, streams)


def resolve_state_model(file: StateModelFile, streams: Iterable[Stream]) -> StateModel:
    """Channels to columns, limits to the channels' units, then the digest of it all. Raises as `load_state_model`."""
    channels = {
        channel_path(stream, channel.name): (ChannelRef(stream.id, channel.name, stream.max_age), channel.unit)
        for stream in streams
        if stream.line == file.line
        for channel in stream.channels
    }
    names = [instrument.instrument for instrument in file.instruments]
    _refuse_duplicates(names, "instruments")
    instruments = tuple(_instrument(instrument, channels) for instrument in file.instruments)
    facts = _facts(file)
    resolved = {path: [ref.max_age, unit] for path, (ref, unit) in sorted(channels.items()) if _used(ref, instruments)}
    return StateModel(
        id=file.id,
        version=file.version,
        line=file.line,
        patience=file.patience,
        instruments=instruments,
        digest=digest({"model": facts, "channels": resolved}),
    )


_Channels = dict[str, tuple[ChannelRef, str]]


def _facts(file: StateModelFile) -> dict[str, Any]:
    """What the digest covers. A quantity without a stream is written as it was before streams could be named: digests are for ever."""
    facts = file.model_dump(mode="json", by_alias=True, exclude={"version"})
    for instrument in facts["instruments"]:
        for quantity in instrument["quantities"]:
            if quantity["stream"] is None:
                del quantity["stream"]
    return facts


def _used(ref: ChannelRef, instruments: tuple[InstrumentModel, ...]) -> bool:
    return any(ref in instrument.channels() for instrument in instruments)


def _instrument(file: _Instrument, channels: _Channels) -> InstrumentModel:
    place = f"instruments.{file.instrument}"
    conditions = tuple(
        _condition(name, condition, channels, f"{place}.conditions.{name}")
        for name, condition in file.conditions.items()
    )
    _refuse_duplicates([quantity.name for quantity in file.quantities], f"{place}.quantities")
    model = InstrumentModel(
        instrument=file.instrument,
        conditions=conditions,
        rules=tuple(
            StateRule(_expression(rule.when, file.conditions, f"{place}.rules.{index}.when"), rule.outcome())
            for index, rule in enumerate(file.rules)
        ),
        default=file.default.outcome(),
        gap=GapRule(file.gap.hold, file.gap.outcome()),
        quantities=tuple(
            _quantity(quantity, file.conditions, channels, f"{place}.quantities.{quantity.name}")
            for quantity in file.quantities
        ),
    )
    if not model.streams():
        raise Invalid(
            "state_model_condition",
            f"{file.instrument} reads no channel",
            field=place,
            remedy="name at least one channel in a condition or a quantity",
        )
    return model


def _condition(name: str, file: _Condition, channels: _Channels, place: str) -> Condition:
    path, sign, on = _comparison(file.enter, channels, f"{place}.enter")
    off = on
    if file.leave is not None:
        off_path, off_sign, off = _comparison(file.leave, channels, f"{place}.leave")
        apart = on >= off if sign == ">" else on <= off
        if off_path != path or off_sign == sign or not apart:
            raise Invalid(
                "state_model_condition",
                f"'{file.leave}' does not end '{file.enter}'",
                field=f"{place}.leave",
                remedy="compare the same channel the other way, with a limit that leaves a band between both",
            )
    return Condition(name, channels[path][0], sign == ">", on, off, file.dwell)


def _comparison(text: str, channels: _Channels, place: str) -> tuple[str, str, float]:
    match = _COMPARISON.match(text)
    if match is None:
        raise Invalid(
            "state_model_condition",
            f"'{text}' is not '<channel> <|> <number> <unit>'",
            field=place,
            remedy="write for example: reactor.pressure > 2950 kPa",
        )
    path, sign, number, unit = match.groups()
    channel_unit = _channel(path, channels, place)[1]
    _check_unit(unit, channel_unit, place)
    return path, sign, conversion(unit, channel_unit).of(float(number))


def _channel(path: str, channels: _Channels, place: str) -> tuple[ChannelRef, str]:
    if path not in channels:
        raise Invalid(
            "state_model_unknown_channel",
            f"the line has no channel '{path}'",
            field=place,
            remedy="write <stream>.<channel> as in the registry: " + ", ".join(sorted(channels)[:12]),
        )
    return channels[path]


def _check_unit(unit: str, wanted: str, place: str) -> None:
    check_unit(unit)
    if not commensurable(unit, wanted):
        raise Invalid(
            "state_model_unit",
            f"{unit} does not measure what {wanted} measures",
            field=place,
            remedy=f"write the limit in {wanted} or a unit of the same dimension",
        )


def _expression(when: When, conditions: dict[str, _Condition], place: str) -> Expression:
    if isinstance(when, str):
        if when not in conditions:
            raise Invalid(
                "state_model_condition",
                f"there is no condition '{when}'",
                field=place,
                remedy="define it under conditions of the same instrument",
            )
        return Holds(when)
    if isinstance(when, _All):
        return AllOf(tuple(_expression(part, conditions, place) for part in when.all))
    if isinstance(when, _Any):
        return AnyOf(tuple(_expression(part, conditions, place) for part in when.any))
    if isinstance(when, _Not):
        return Not(_expression(when.not_, conditions, place))
    if isinstance(when, _Run):
        return RunIs(when.run)
    return PhaseIs(when.phase)


def _quantity(file: _Quantity, conditions: dict[str, _Condition], channels: _Channels, place: str) -> QuantityRule:
    if file.kind in _WITHOUT_CHANNEL:
        return _channelless(file, channels, place)
    if file.kind is QuantityKind.COUNT:
        if file.condition not in conditions or file.channel or file.stream or file.unit != "1":
            raise Invalid(
                "state_model_quantity",
                "a count names a condition of the same instrument and has unit 1",
                field=place,
                remedy="write {kind: count, condition: <name>, unit: '1'}",
            )
        return QuantityRule(file.name, file.kind, file.unit, condition=file.condition)
    if file.channel is None or file.condition is not None or file.stream is not None:
        raise Invalid(
            "state_model_quantity",
            f"{file.kind} reads a channel",
            field=place,
            remedy="name the channel and nothing else",
        )
    ref, channel_unit = _channel(file.channel, channels, f"{place}.channel")
    source = f"({channel_unit}).h" if file.kind is QuantityKind.INTEGRAL else channel_unit
    _check_unit(file.unit, source, f"{place}.unit")
    factor = conversion(source, file.unit)
    if factor.offset:
        raise Invalid(
            "state_model_unit",
            f"{channel_unit} to {file.unit} has an offset",
            field=f"{place}.unit",
            remedy=f"meter in {channel_unit}",
        )
    exact = Fraction(repr(factor.factor))
    return QuantityRule(file.name, file.kind, file.unit, ref, numerator=exact.numerator, denominator=exact.denominator)


_WITHOUT_CHANNEL = {
    QuantityKind.SAMPLES: ("1", ("1",), "write {kind: samples, stream: <name>, unit: '1'}"),
    QuantityKind.BYTES: ("By", ("By", "kBy", "MBy", "GBy"), "write {kind: bytes, stream: <name>, unit: MBy}"),
    QuantityKind.RESERVED: ("h", ("h", "min"), "write {kind: reserved, unit: h}"),
}
"""Kinds that read no channel: the unit they are counted in, the units they may be told in (each an exact multiple), how to write them."""


def _channelless(file: _Quantity, channels: _Channels, place: str) -> QuantityRule:
    source, units, remedy = _WITHOUT_CHANNEL[file.kind]
    wants_stream = file.kind is not QuantityKind.RESERVED
    if file.channel or file.condition or (file.stream is not None) != wants_stream or file.unit not in units:
        raise Invalid(
            "state_model_quantity",
            f"{file.kind} has {'a stream and ' if wants_stream else ''}a unit of {', '.join(units)}, and nothing else",
            field=place,
            remedy=remedy,
        )
    stream = None if file.stream is None else _stream(file.stream, channels, f"{place}.stream")
    exact = Fraction(repr(conversion(source, file.unit).factor))
    return QuantityRule(
        file.name, file.kind, file.unit, stream=stream, numerator=exact.numerator, denominator=exact.denominator
    )


def _stream(name: str, channels: _Channels, place: str) -> str:
    known = {path.removesuffix(f".{ref.channel}"): ref.stream for path, (ref, _) in channels.items()}
    if name not in known:
        raise Invalid(
            "state_model_unknown_channel",
            f"the line has no stream '{name}'",
            field=place,
            remedy="write its name as in the registry: " + ", ".join(sorted(known)[:12]),
        )
    return known[name]


def _refuse_duplicates(names: list[str], place: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Invalid("state_model_duplicate", f"'{name}' is there twice", field=place, remedy="name each once")


def state_model_schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors."""
    return StateModelFile.model_json_schema()
