"""The rules at the door: which submission becomes a frame, and why another waits in quarantine.

Every refusal is a `Reject` with a stable code: stream_unknown, version_unknown, text_invalid, record_empty, channel_unknown,
shape_mismatch, unit_unknown, unit_incommensurable, time_range, times_unordered, future_time, too_late, value_not_a_number,
value_out_of_range, frame_too_large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.clock import ClockJudgement
from services.ingest.domain.submission import Column, Submission, check_size
from shared.contracts.frame import Frame, Quality, build_frame
from shared.contracts.registry import Channel, ChannelKind, Rule, Stream
from shared.kernel.errors import Invalid, Reject
from shared.kernel.times import Micros, to_rfc3339
from shared.kernel.units import Conversion, conversion, is_difference

LATEST_TIME: Micros = 7_258_118_400_000_000
"""2200-01-01T00:00:00Z: no measurement is later, and every earlier instant fits a timestamptz."""

_MISSING, _NOT_A_NUMBER, _OUT_OF_RANGE, _CLOCK_SUSPECT, _SENDER_BAD = (
    np.uint8(flag)
    for flag in (Quality.MISSING, Quality.NOT_A_NUMBER, Quality.OUT_OF_RANGE, Quality.CLOCK_SUSPECT, Quality.SENDER_BAD)
)


@dataclass(frozen=True, slots=True, eq=False)
class StreamRules:
    """A stream version made ready for judging whole matrices: bounds (k,), masks (k,), allowed values of discrete channels."""

    stream: Stream
    columns: Mapping[str, int]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    nan_quarantines: NDArray[np.bool_]
    range_quarantines: NDArray[np.bool_]
    discrete: tuple[tuple[int, NDArray[np.float64]], ...]


def compile_rules(stream: Stream) -> StreamRules:
    channels = stream.channels
    return StreamRules(
        stream=stream,
        columns={channel.name: position for position, channel in enumerate(channels)},
        low=np.array([-np.inf if channel.low is None else channel.low for channel in channels]),
        high=np.array([np.inf if channel.high is None else channel.high for channel in channels]),
        nan_quarantines=np.array([channel.nan_rule is Rule.QUARANTINE for channel in channels]),
        range_quarantines=np.array([channel.range_rule is Rule.QUARANTINE for channel in channels]),
        discrete=tuple(
            (position, codes) for position, channel in enumerate(channels) if (codes := _allowed(channel)) is not None
        ),
    )


def admit(submission: Submission, rules: StreamRules, received_at: Micros, clock: ClockJudgement) -> Frame:
    """The frame to publish: values in registered units, quality judged. Raises Reject."""
    check_texts(submission.stream, submission.boot)
    check_times(submission.times, clock)
    if not 0 <= submission.sent_at < LATEST_TIME:
        raise Reject("time_range", "`sent_at` must lie between the years 1970 and 2200")
    rows = len(submission.times)
    check_size(rows, len(rules.columns))
    if submission.matrix is not None:
        values, quality, units = _from_matrix(submission.matrix, rows, rules)
    else:
        values, quality, units = _from_columns(submission, rows, rules)
    judge_values(values, quality, rules)
    if clock.suspect:
        quality |= _CLOCK_SUSPECT
    return build_frame(
        stream=submission.stream,
        registry_version=rules.stream.version,
        boot=submission.boot,
        seq=submission.seq,
        times=submission.times,
        values=values,
        quality=quality,
        sent_at=submission.sent_at,
        received_at=received_at,
        units=units,
    )


def check_texts(*texts: str) -> None:
    """Identities hold printable characters only: no line breaks, no NUL, no lone surrogates."""
    for text in texts:
        if not text.isprintable():
            raise Reject("text_invalid", f"{text!a} has characters that cannot be printed")


def check_times(times: NDArray[np.int64], clock: ClockJudgement) -> None:
    """Times are ordered, inside what can be stored, and inside what the clock rule of the stream allows."""
    if not len(times):
        raise Reject("record_empty", "the record has no instants")
    if len(times) > 1 and bool((times[1:] < times[:-1]).any()):
        raise Reject("times_unordered", "the instants of a record must not go back in time")
    first, last = int(times[0]), int(times[-1])
    if first < 0 or last >= LATEST_TIME:
        raise Reject("time_range", "instants must lie between the years 1970 and 2200")
    if last > clock.latest:
        raise Reject("future_time", f"{to_rfc3339(last)} lies further in the future than {to_rfc3339(clock.latest)}")
    if first < clock.earliest:
        raise Reject("too_late", f"{to_rfc3339(first)} lies before the lateness horizon {to_rfc3339(clock.earliest)}")


def judge_values(values: NDArray[np.float64], quality: NDArray[np.uint8], rules: StreamRules) -> None:
    """Mark, in place, what is not a number or out of range; infinities become NaN. Both arrays have shape (n, k).

    Raises Reject(value_not_a_number | value_out_of_range) where a channel's rule is to quarantine.
    """
    absent = ~np.isfinite(values)
    some_absent = bool(absent.any())
    if some_absent:
        not_a_number = absent & ((quality & _MISSING) == 0)
        _quarantine(not_a_number, rules.nan_quarantines, rules, "value_not_a_number", "is not a number")
        quality[not_a_number] |= _NOT_A_NUMBER
        values[absent] = np.nan
    outside = (values < rules.low) | (values > rules.high)
    for column, allowed in rules.discrete:
        outside[:, column] |= ~np.isin(values[:, column], allowed) & ~absent[:, column]
    if outside.any():
        _quarantine(outside, rules.range_quarantines, rules, "value_out_of_range", "lies outside its range")
        quality[outside] |= _OUT_OF_RANGE


def _quarantine(cells: NDArray[np.bool_], mask: NDArray[np.bool_], rules: StreamRules, code: str, text: str) -> None:
    refused = cells.any(axis=0) & mask
    if refused.any():
        column = int(np.flatnonzero(refused)[0])
        row = int(np.flatnonzero(cells[:, column])[0])
        raise Reject(code, f"{rules.stream.channels[column].name} {text} at row {row}, and its rule is to quarantine")


def _allowed(channel: Channel) -> NDArray[np.float64] | None:
    if channel.kind is ChannelKind.BOOLEAN:
        return np.array([0.0, 1.0])
    if channel.kind is ChannelKind.ENUMERATION:
        return np.array([float(code) for code, _ in channel.codes])
    return None


def _from_matrix(
    matrix: NDArray[np.float64], rows: int, rules: StreamRules
) -> tuple[NDArray[np.float64], NDArray[np.uint8], dict[str, str]]:
    expected = (rows, len(rules.columns))
    if matrix.shape != expected:
        raise Reject(
            "shape_mismatch", f"the values have shape {matrix.shape}, version {rules.stream.version} needs {expected}"
        )
    return np.array(matrix, dtype=np.float64), np.zeros(expected, dtype=np.uint8), {}


def _from_columns(
    submission: Submission, rows: int, rules: StreamRules
) -> tuple[NDArray[np.float64], NDArray[np.uint8], dict[str, str]]:
    columns = submission.columns or {}
    _check_names(submission, columns, rules)
    shape = (rows, len(rules.columns))
    whole = len(columns) == shape[1]
    values = np.empty(shape) if whole else np.full(shape, np.nan)
    quality = np.zeros(shape, dtype=np.uint8) if whole else np.full(shape, _MISSING)
    converted: dict[str, str] = {}
    for name, column in columns.items():
        if len(column.values) != rows:
            raise Reject("shape_mismatch", f"{name} has {len(column.values)} values for {rows} instants")
        position = rules.columns[name]
        source = submission.units.get(name)
        change = _conversion(rules.stream.channels[position], source)
        values[:, position] = column.values if change is None else column.values * change.factor + change.offset
        if change is not None and source is not None:
            converted[name] = source
        quality[:, position] = _marks(column)
    return values, quality, converted


def _check_names(submission: Submission, columns: Mapping[str, object], rules: StreamRules) -> None:
    if not columns:
        raise Reject("record_empty", "the record has no values")
    for name in (*columns, *submission.units):
        if name not in rules.columns:
            raise Reject(
                "channel_unknown", f"{name!a} is not a channel of {rules.stream.id} version {rules.stream.version}"
            )


def _conversion(channel: Channel, source: str | None) -> Conversion | None:
    """How to bring values to the channel's unit; None when they are in it. A difference never gets an offset."""
    if source is None or source == channel.unit:
        return None
    try:
        change = conversion(source, channel.unit, difference=is_difference(channel.quantity_kind))
    except Invalid as error:
        raise Reject(error.code, f"{channel.name}: {error.detail}") from error
    return change


def _marks(column: Column) -> NDArray[np.uint8] | int:
    if column.missing is None and column.bad is None:
        return 0
    marks = np.zeros(len(column.values), dtype=np.uint8)
    if column.missing is not None:
        marks[column.missing] |= _MISSING
    if column.bad is not None:
        marks[column.bad] |= _SENDER_BAD
    return marks
