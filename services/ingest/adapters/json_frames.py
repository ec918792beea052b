"""The JSON form of `POST /v1/telemetry`: one frame, a list of frames, or {"frames": […]}; columns or rows.

    {"stream": "te1/reactor", "boot": "b1", "seq": 7, "sent_at": "2026-03-02T00:00:01Z",
     "t0": "2026-03-02T00:00:00Z", "dt": 1000000, "values": {"pressure": [2705.0, 2705.4]}, "unit": {"pressure": "kPa"}}

Instants are RFC 3339 texts or integer microseconds, `dt` integer microseconds; `t` lists instants instead of `t0` and `dt`; `rows`
(`[{"t": …, "pressure": 2705.0}]`) stands instead of times and `values`. `null` is a missing value; "NaN", "Infinity" and "-Infinity" are
readings that are not numbers. `quality` marks values the sender distrusts with anything but 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.submission import Column, Identity, Received, Submission, check_size
from shared.kernel.errors import Invalid, Malformed, Reject
from shared.kernel.times import Micros, from_rfc3339

CONTENT_TYPE = "application/json"

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Instant = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | str
Cell = float | bool | str | None


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The form of a fast sender: numbers only. Decoded first, because it costs a third of the general form."""

    stream: Text
    boot: Text
    seq: Natural
    values: dict[Text, list[float]]
    sent_at: Instant = 0
    t0: Instant | None = None
    dt: Natural | None = None
    t: list[int] | None = None
    unit: dict[Text, Text] = {}


class _General(msgspec.Struct, forbid_unknown_fields=True):
    stream: Text
    boot: Text
    seq: Natural
    values: dict[Text, list[Cell]] | None = None
    rows: list[dict[Text, Cell | int]] | None = None
    sent_at: Instant = 0
    t0: Instant | None = None
    dt: Natural | None = None
    t: list[Instant] | None = None
    unit: dict[Text, Text] = {}
    quality: dict[Text, list[int]] = {}


class _Many(msgspec.Struct, forbid_unknown_fields=True):
    frames: list[msgspec.Raw]


class _Named(msgspec.Struct):
    """What a frame that breaks the schema may still say about itself."""

    stream: Any = None
    boot: Any = None
    seq: Any = None


_many = msgspec.json.Decoder(_Many)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_plain = msgspec.json.Decoder(_Plain)
_general = msgspec.json.Decoder(_General)
_named = msgspec.json.Decoder(_Named)
_NOT_NUMBERS = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}


def read_json(body: bytes, max_frames: int) -> list[Received]:
    """The records of a request body. What is wrong inside one record is that record's `Reject`.

    Raises Malformed(json_malformed | json_too_deep) when the body is no JSON and Invalid(request_invalid) when it holds no frames.
    """
    return [_received(bytes(raw)) for raw in _records(body)[: max_frames + 1]]


def _records(body: bytes) -> Sequence[bytes | msgspec.Raw]:
    start = body.lstrip()[:1]
    try:
        if start == b"[":
            return _list.decode(body)
        if start != b"{":
            raise _not_frames(body)
        try:
            return _many.decode(body).frames
        except msgspec.ValidationError:
            _named.decode(body)  # proves that the rest is well-formed; a single frame is judged by its own rules
            return [body]
    except msgspec.ValidationError as error:
        raise Invalid(
            "request_invalid", str(error), field="body", remedy='send a frame, a list or {"frames": […]}'
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed("json_malformed", str(error), field="body", remedy="send well-formed JSON in UTF-8") from error
    except RecursionError as error:
        raise Malformed(
            "json_too_deep", "the JSON is nested too deeply", field="body", remedy="a frame has three levels"
        ) from error


def _not_frames(body: bytes) -> Exception:
    msgspec.json.decode(body)
    return Invalid(
        "request_invalid", "the body is not a frame", field="body", remedy='send a frame, a list or {"frames": […]}'
    )


def _received(raw: bytes) -> Received:
    try:
        submission = _submission(raw)
    except Reject as reject:
        return Received(raw, CONTENT_TYPE, reject, _identity(raw))
    return Received(raw, CONTENT_TYPE, submission, Identity(submission.stream, submission.boot, submission.seq))


def _submission(raw: bytes) -> Submission:
    try:
        return _from_plain(_plain.decode(raw))
    except msgspec.ValidationError:
        pass  # not of the plain form: the general one decides and explains
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Reject("record_malformed", str(error)) from error
    try:
        return _from_general(_general.decode(raw))
    except msgspec.ValidationError as error:
        code = "value_type" if "`$.values" in str(error) or "`$.rows" in str(error) else "record_malformed"
        raise Reject(code, str(error)) from error


def _identity(raw: bytes) -> Identity:
    try:
        named = _named.decode(raw)
    except msgspec.DecodeError:
        return Identity()
    stream = named.stream if isinstance(named.stream, str) else None
    boot = named.boot if isinstance(named.boot, str) else None
    whole = isinstance(named.seq, int) and not isinstance(named.seq, bool) and 0 <= named.seq < 2**63
    return Identity(stream, boot, named.seq if whole else None)


def _from_plain(frame: _Plain) -> Submission:
    columns = {name: Column(np.array(values, dtype=np.float64)) for name, values in frame.values.items()}
    rows = len(next(iter(frame.values.values()), ()))
    return Submission(
        stream=frame.stream,
        boot=frame.boot,
        seq=frame.seq,
        sent_at=_instant(frame.sent_at),
        times=_times(frame.t, frame.t0, frame.dt, rows),
        columns=columns,
        units=frame.unit,
    )


def _from_general(frame: _General) -> Submission:
    if (frame.values is None) == (frame.rows is None):
        raise Reject("record_malformed", "a frame has either `values` or `rows`")
    if frame.rows is not None:
        times, cells = _turn(frame.rows)
    else:
        cells = frame.values or {}
        times = _times(frame.t, frame.t0, frame.dt, len(next(iter(cells.values()), ())))
    bad = {name: np.array(marks, dtype=np.int64) != 0 for name, marks in frame.quality.items()}
    for name, marks in bad.items():
        if name not in cells or len(marks) != len(cells[name]):
            raise Reject("shape_mismatch", f"quality of {name} does not fit its values")
    return Submission(
        stream=frame.stream,
        boot=frame.boot,
        seq=frame.seq,
        sent_at=_instant(frame.sent_at),
        times=times,
        columns={name: _column(name, values, bad.get(name)) for name, values in cells.items()},
        units=frame.unit,
    )


def _turn(rows: list[dict[str, Cell | int]]) -> tuple[NDArray[np.int64], dict[str, list[Cell]]]:
    """Rows as columns; a channel that a row leaves out is missing there."""
    times: list[Any] = []
    names = {name for row in rows for name in row}
    check_size(len(rows), len(names))  # before the table is built: rows with ever new names would fill the memory
    cells: dict[str, list[Cell]] = {name: [] for row in rows for name in row if name != "t"}
    for number, row in enumerate(rows):
        time = row.get("t")
        if isinstance(time, bool) or not isinstance(time, int | str):
            raise Reject("record_malformed", f"rows[{number}].t is not an instant")
        times.append(time)
        for name, column in cells.items():
            column.append(row.get(name))
    return _times(times, None, None, len(rows)), cells


def _times(listed: Sequence[int | str] | None, t0: int | str | None, dt: int | None, rows: int) -> NDArray[np.int64]:
    if (listed is None) == (t0 is None):
        raise Reject("record_malformed", "a frame has either `t` or `t0` (with `dt` for more than one instant)")
    try:
        if listed is not None:
            return np.array([_instant(time) for time in listed] if _texts(listed) else listed, dtype=np.int64)
        assert t0 is not None
        if dt is None and rows > 1:
            raise Reject("record_malformed", "`t0` needs `dt`")
        start, step = _instant(t0), dt or 0
        check_size(rows, 1)
        if start + step * rows >= 2**63:
            raise Reject("time_range", "instants must lie between the years 1970 and 2200")
        return start + step * np.arange(rows, dtype=np.int64)
    except OverflowError as error:
        raise Reject("time_range", "an instant is out of range") from error


def _texts(listed: Sequence[int | str]) -> bool:
    return any(isinstance(time, str) for time in listed)


def _instant(value: int | str) -> Micros:
    if isinstance(value, int):
        return value
    try:
        return from_rfc3339(value)
    except (ValueError, OverflowError) as error:
        raise Reject("time_malformed", f"{value[:60]!a} is not an instant (RFC 3339, microseconds): {error}") from error


def _column(name: str, cells: Sequence[Cell | int], bad: NDArray[np.bool_] | None) -> Column:
    values = np.empty(len(cells))
    missing = np.zeros(len(cells), dtype=np.bool_)
    for row, cell in enumerate(cells):
        if cell is None:
            values[row], missing[row] = np.nan, True
        elif isinstance(cell, str):
            if cell not in _NOT_NUMBERS:
                raise Reject("value_type", f"{name} at row {row} is the text {cell[:40]!a}, not a number")
            values[row] = _NOT_NUMBERS[cell]
        else:
            values[row] = cell
    return Column(values, missing if missing.any() else None, bad if bad is not None and bad.any() else None)
