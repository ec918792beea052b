"""The records of a run as the worker has read them, in order of the log: what an evaluation from storage starts from."""

from __future__ import annotations

from services.verification.adapters.worker.session import Logged
from services.verification.domain.evaluator import Lifecycle
from services.verification.handlers import Order, line_record
from services.verification.ports import Run
from shared.contracts.lifecycle import RunStarted, decode_line_record, encode_line_record
from shared.kernel.times import micros
from shared.storage.pool import Connection


async def keep(connection: Connection, partition: int, offset: int, record: Lifecycle) -> None:
    """A record has reached its run."""
    await connection.execute(
        """insert into verification.run_record (run_id, partition, log_offset, record) values (%s, %s, %s, %s)
           on conflict (run_id, log_offset) do nothing""",
        (record.run, partition, offset, encode_line_record(record)),
    )


async def read(connection: Connection, run: Run) -> list[Logged]:
    """Everything after the run's start. A run that started before records were kept has the commands that were carried out instead,
    before the records kept since."""
    cursor = await connection.execute(
        "select log_offset, record from verification.run_record where run_id = %s order by log_offset", (run.run,)
    )
    kept: list[Logged] = []
    for offset, encoded in await cursor.fetchall():
        record = decode_line_record(encoded)
        assert isinstance(record, Lifecycle)
        kept.append(Logged(offset, record))
    if kept and isinstance(kept[0].record, RunStarted):
        return kept[1:]
    known = {logged.record.event_id for logged in kept}
    return [logged for logged in await _commands(connection, run) if logged.record.event_id not in known] + kept


async def _commands(connection: Connection, run: Run) -> list[Logged]:
    cursor = await connection.execute(
        """select key, command, phase, at, who, reason from verification.run_command
           where run_id = %s and outcome = 'carried_out' and command <> 'start' order by id""",
        (run.run,),
    )
    logged = []
    for key, command, phase, at, who, reason in await cursor.fetchall():
        record = line_record(Order(run.run, key, command, micros(at), who, reason, phase), run)
        assert isinstance(record, Lifecycle)
        logged.append(Logged(0, record))
    return logged
