"""The outer life of every process: settings, logs, signals, ordered stop within 20 s, exit code.

    async def main(settings: SinkSettings, stop: asyncio.Event) -> None:
        async with build_pool(...) as pool, serving(health_app({"database": ...}), settings.bind_host, settings.bind_port):
            await run_loop(..., stop=stop)

    if __name__ == "__main__":
        run_process("ingest-sink", main, SinkSettings)

Exit codes: 0 stopped as asked, 2 configuration not valid, 70 failed (the supervisor restarts with back-off), 75 did not stop in time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NoReturn, TypeVar

import structlog
import uvloop
from pydantic import ValidationError

from shared.observability.logging import configure_logging
from shared.observability.settings import PREFIX, ProcessSettings

S = TypeVar("S", bound=ProcessSettings)
Main = Callable[[S, asyncio.Event], Awaitable[None]]

STOP_DEADLINE_SECONDS = 20.0
log = structlog.get_logger()


class Exit(IntEnum):
    STOPPED = 0
    MISCONFIGURED = 2
    FAILED = 70
    NOT_IN_TIME = 75


def run_process(name: str, main: Main[S], settings_class: type[S], argv: list[str] | None = None) -> NoReturn:
    """Run `main` until it returns or SIGTERM/SIGINT sets its stop event, then leave with an exit code. Never returns.

    `--check` reads and validates the configuration, and leaves.
    """
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--check", action="store_true", help="validate the configuration and leave")
    arguments = parser.parse_args(argv)
    try:
        settings = settings_class.read()
    except (ValidationError, OSError, ValueError) as error:
        sys.stderr.write(f"{name}: configuration is not valid\n{explain(error)}\n")
        sys.exit(Exit.MISCONFIGURED)
    if arguments.check:
        sys.stderr.write(f"{name}: configuration is valid\n")
        sys.exit(Exit.STOPPED)
    configure_logging(name, level=settings.log_level, form=settings.log_format)
    sys.exit(uvloop.run(supervise(main, settings)))


def explain(error: Exception) -> str:
    """One line per field, without the values: they may be secrets."""
    if not isinstance(error, ValidationError):
        return f"  {error}"
    return "\n".join(
        f"  {PREFIX}{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    )


async def supervise(main: Main[S], settings: S, *, deadline: float = STOP_DEADLINE_SECONDS) -> Exit:
    """The event loop's part of `run_process`. A main that does not return after three quarters of the deadline is cancelled."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop, deadline)
    log.info("process_started")
    work = asyncio.ensure_future(main(settings, stop))
    guard = asyncio.create_task(_cancel_late(stop, work, deadline * 0.75))
    try:
        await work
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    except Exception:
        log.exception("process_failed")
        return Exit.FAILED
    finally:
        guard.cancel()
    log.info("process_stopped")
    return Exit.STOPPED


def _stop(stop: asyncio.Event, deadline: float) -> None:
    """On the first signal: ask, and start the clock in a thread, because the event loop itself or a library's thread may hang."""
    if stop.is_set():
        return
    stop.set()
    last = threading.Timer(deadline, _leave)
    last.daemon = True
    last.start()


async def _cancel_late(stop: asyncio.Event, work: asyncio.Future[None], seconds: float) -> None:
    await stop.wait()
    await asyncio.sleep(seconds)
    log.warning("stop_takes_long", seconds=seconds)
    work.cancel()


def _leave() -> None:
    # Everything that counts is committed in PostgreSQL or acknowledged by Kafka: leaving hard loses nothing, hanging blocks an update.
    log.error("stop_deadline_passed")
    sys.stderr.flush()
    os._exit(Exit.NOT_IN_TIME)
