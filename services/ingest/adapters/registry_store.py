"""Writes the registry: everything a plan changes, in one transaction, one writer at a time."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from services.ingest.domain.registration import Plan, plan
from shared.contracts.registry import Name, RegistryDraft, Stream
from shared.contracts.registry_document import RegistryDocument, draft
from shared.kernel.canonical import digest
from shared.storage.pool import Connection
from shared.storage.registry import Registry, read_registry, stream_description

_LOCK = 0x72656769737472


async def plan_registry(connection: Connection, document: RegistryDocument) -> Plan:
    """What applying the document would change. Raises Invalid."""
    present = await read_registry(connection)
    lines = present.lines
    wanted = draft(document, lambda line: lines[line].platform if line in lines else None)
    return plan(wanted, _as_draft(present), present.versions)


async def apply_registry(connection: Connection, document: RegistryDocument) -> Plan:
    """Apply a document in one transaction; applying it again changes nothing. Raises Invalid."""
    async with connection.transaction():
        # Held to the end of the transaction: of two plans made from the same state the second would reuse a version number.
        await connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        found = await plan_registry(connection, document)
        await _write(connection, found)
    return found


def _as_draft(registry: Registry) -> RegistryDraft:
    return RegistryDraft(registry.platforms, registry.lines, registry.instruments, registry.customers, registry.streams)


async def _write(connection: Connection, found: Plan) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """insert into ingest.platform (platform_id, name, time_zone, digest) values (%s, %s, %s, %s)
               on conflict (platform_id) do update set name = excluded.name, time_zone = excluded.time_zone, digest = excluded.digest""",
            [
                (p.id, _json(p.name), p.time_zone, _digest(p.id, p.name, p.time_zone))
                for p in found.draft.platforms.values()
            ],
        )
        await cursor.executemany(
            """insert into ingest.line (line_id, platform_id, name, sector, digest) values (%s, %s, %s, %s, %s)
               on conflict (line_id) do update
               set platform_id = excluded.platform_id, name = excluded.name, sector = excluded.sector, digest = excluded.digest""",
            [
                (
                    item.id,
                    item.platform,
                    _json(item.name),
                    item.sector,
                    _digest(item.id, item.name, item.platform, item.sector),
                )
                for item in found.draft.lines.values()
            ],
        )
        await cursor.executemany(
            """insert into ingest.instrument (instrument_id, line_id, name, digest) values (%s, %s, %s, %s)
               on conflict (instrument_id) do update set name = excluded.name, digest = excluded.digest""",
            [(i.id, i.line, _json(i.name), _digest(i.id, i.name, i.line)) for i in found.draft.instruments.values()],
        )
        await cursor.executemany(
            """insert into ingest.customer (customer_id, name, class, credit_code, digest) values (%s, %s, %s, %s, %s)
               on conflict (customer_id) do update
               set name = excluded.name, class = excluded.class, credit_code = excluded.credit_code, digest = excluded.digest""",
            [
                (c.id, _json(c.name), c.class_, c.credit_code, _digest(c.id, c.name, c.class_, c.credit_code))
                for c in found.draft.customers.values()
            ],
        )
    for stream in found.draft.streams.values():
        await _write_stream(connection, stream, is_new=stream.id in found.new_versions)


async def _write_stream(connection: Connection, stream: Stream, *, is_new: bool) -> None:
    await connection.execute(
        """insert into ingest.stream (stream_id, line_id, instrument_id, current_version) values (%s, %s, %s, %s)
           on conflict (stream_id) do update set instrument_id = excluded.instrument_id, current_version = excluded.current_version""",
        (stream.id, stream.line, stream.instrument, stream.version),
    )
    if is_new:
        await connection.execute(
            "insert into ingest.stream_version (stream_id, version, digest, description) values (%s, %s, %s, %s)",
            (stream.id, stream.version, stream.digest(), Jsonb(stream_description(stream))),
        )


def _json(name: Name) -> Jsonb:
    return Jsonb({"en": name.en, "zh": name.zh})


def _digest(key: str, name: Name, *facts: object) -> str:
    return digest([key, name.en, name.zh, *facts])
