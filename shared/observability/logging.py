"""Structured logs: one constant event name and fields per line; JSON lines for machines, coloured text on a terminal.

    log = structlog.get_logger()
    log.info("batch_applied", topic="line.records", records=120)

Fields for everything inside a task: `structlog.contextvars.bind_contextvars(run_id=...)`. Payloads never reach a log: bytes are replaced
by their length, long texts are cut.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

_longest_text = 2000


def configure_logging(process: str, *, level: str = "info", form: Literal["auto", "json", "console"] = "auto") -> None:
    """Send structlog and the standard library's loggers through one pipe to stderr. Call once, at start."""
    console = sys.stderr.isatty() if form == "auto" else form == "console"
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        without_payloads,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([] if console else [structlog.processors.format_exc_info]),
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def without_payloads(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: bytes become their length, texts are cut at 2,000 characters."""
    for key, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[key] = f"<{len(value)} bytes>"
        elif isinstance(value, str) and len(value) > _longest_text:
            event[key] = value[:_longest_text] + f"… ({len(value)} characters)"
    return event


class RateLimit(logging.Filter):
    """Lets `burst` lines of a noisy library per `seconds` and message template pass, then says how many it held back.

    aiokafka writes 20 errors a second while a broker is away.
    """

    noisy = ("aiokafka", "faust", "mode")

    def __init__(self, burst: int = 5, seconds: float = 10.0) -> None:
        super().__init__()
        self._burst = burst
        self._seconds = seconds
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in self.noisy:
            return True
        key = (record.name, str(record.msg)[:200])
        now = time.monotonic()
        since, count = self._seen.get(key, (now, 0))
        if now - since >= self._seconds:
            if count > self._burst:
                record.msg = f"{record.getMessage()} ({count - self._burst} like this held back)"
                record.args = ()
            since, count = now, 0
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = (since, count + 1)
        return count < self._burst
