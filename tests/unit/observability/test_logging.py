"""Log lines: fields, no payloads, noisy libraries held back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.observability.logging import RateLimit, configure_logging, without_payloads


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("_restored")
def test_a_line_is_json_with_constant_event_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("sink", form="json")
    structlog.get_logger("x").info("batch_applied", records=3, value=b"\x00" * 5000)
    logging.getLogger("some.library").warning("%s happened", "it")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["records"], first["process"], first["level"]) == ("batch_applied", 3, "sink", "info")
    assert first["value"] == "<5000 bytes>"
    assert (second["event"], second["level"], second["logger"]) == ("it happened", "warning", "some.library")


@pytest.mark.usefixtures("_restored")
def test_a_failure_is_one_line_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("sink", form="json")
    try:
        int("why")
    except ValueError:
        structlog.get_logger("x").exception("process_failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_long_texts_are_cut() -> None:
    assert len(without_payloads(None, "info", {"event": "e", "text": "x" * 10_000})["text"]) < 2100


def _line(name: str, text: str = "Unable to connect") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "f.py", 1, text, (), None)


def test_a_noisy_library_is_held_back_and_the_count_is_told() -> None:
    limit = RateLimit(burst=2, seconds=0.0)
    limit_long = RateLimit(burst=2, seconds=3600.0)
    assert [limit_long.filter(_line("aiokafka.conn")) for _ in range(5)] == [True, True, False, False, False]
    assert all(limit.filter(_line("aiokafka.conn")) for _ in range(5))
    limit_long._seconds = 0.0
    told = _line("aiokafka.conn")
    assert limit_long.filter(told)
    assert told.getMessage() == "Unable to connect (3 like this held back)"


def test_our_own_lines_are_never_held_back() -> None:
    limit = RateLimit(burst=1, seconds=3600.0)
    assert all(limit.filter(_line("shared.messaging.loop")) for _ in range(10))
