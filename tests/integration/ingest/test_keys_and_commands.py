"""Keys over time, the cached registry, and the commands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.ingest.adapters.registry_store import apply_registry
from services.ingest.entrypoints.cli import keys, registry
from shared.contracts.registry_document import read_document
from shared.kernel.errors import Invalid, NotFound, Unauthenticated
from shared.storage.api_keys import ApiKeys, Role, create_key, revoke_key
from shared.storage.pool import Pool
from shared.storage.registry import CachedRegistry, read_registry, read_stream
from tests.integration.ingest.conftest import key, rows
from tests.integration.ingest.conftest import registry as document

pytestmark = pytest.mark.stack
DEMO = Path(__file__).parents[3] / "deploy" / "demo" / "registry.yaml"


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_revoked_key_is_refused_within_five_seconds(pool: Pool) -> None:  # I-4
    watch = Watch()
    verifier = ApiKeys(pool, monotonic=watch)
    presented = await key(pool, Role.GATEWAY)
    assert (await verifier.verify(presented)).role is Role.GATEWAY
    async with pool.connection() as connection:
        await revoke_key(connection, presented.split("_")[1])
    watch.now += 4.9
    await verifier.verify(presented)
    watch.now += 0.1
    with pytest.raises(Unauthenticated, match="key_revoked"):
        await verifier.verify(presented)


async def test_a_wrong_secret_is_refused_also_when_the_right_one_is_cached(pool: Pool) -> None:  # I-4
    verifier = ApiKeys(pool)
    presented = await key(pool, Role.GATEWAY)
    await verifier.verify(presented)
    with pytest.raises(Unauthenticated, match="key_unknown"):
        await verifier.verify(presented[:-1] + ("a" if presented[-1] != "a" else "b"))


async def test_a_key_that_acts_for_a_person_names_the_person(pool: Pool, database: str) -> None:  # V-19
    async with pool.connection() as connection:
        for role in (Role.OPERATOR, Role.ADMIN):
            with pytest.raises(Invalid, match="key_person"):
                await create_key(connection, label="desk", role=role)
        named = await create_key(connection, label="desk", role=Role.OPERATOR, person=" Li\u3000 Wei ")
        machine = await create_key(connection, label="gateway", role=Role.GATEWAY)
    verifier = ApiKeys(pool)
    assert (await verifier.verify(named)).person == "Li Wei"
    assert (await verifier.verify(machine)).person == machine.split("_")[1]
    common = ("--role", "operator", "--label", "desk", "--database-url", database)
    refused = await asyncio.to_thread(CliRunner().invoke, keys, ["create", *common])
    assert (refused.exit_code, "--person" in refused.output) == (1, True)
    made = await asyncio.to_thread(CliRunner().invoke, keys, ["create", "--person", "Chen Jie", *common])
    assert made.exit_code == 0, made.output
    listed = await asyncio.to_thread(CliRunner().invoke, keys, ["list", "--database-url", database])
    assert "Chen Jie  desk" in listed.output


async def test_revoking_a_key_nobody_has_is_an_error(pool: Pool) -> None:
    async with pool.connection() as connection:
        with pytest.raises(NotFound, match="key_unknown"):
            await revoke_key(connection, "nobody")


async def test_the_registry_is_read_again_when_it_is_old(pool: Pool) -> None:
    watch = Watch()
    cached = CachedRegistry(pool, monotonic=watch)
    assert set((await cached.current()).lines) == {"l1", "l2"}
    async with pool.connection() as connection:
        await apply_registry(connection, read_document(document("l3")))
    assert "l3" not in (await cached.current()).lines
    watch.now += 5.0
    both = await asyncio.gather(cached.current(), cached.current())
    assert both[0] is both[1]
    assert "l3" in both[0].lines


async def test_any_version_of_a_stream_is_read_as_it_was_registered(pool: Pool) -> None:  # I-1
    changed = document("l1")
    changed["streams"][0]["period"] = "2 s"
    async with pool.connection() as connection:
        await apply_registry(connection, read_document(changed))
        found = await read_registry(connection)
        old, new = await read_stream(connection, "l1/s", 1), await read_stream(connection, "l1/s")
        assert await read_stream(connection, "l1/s", 3) is None
        digests = await rows(pool, "select digest from ingest.stream_version where stream_id = 'l1/s' order by version")
    assert old is not None
    assert new is not None
    assert [(old.digest(),), (new.digest(),)] == digests
    assert (found.versions["l1/s", 1], found.streams["l1/s"]) == (old, new)


async def test_a_registered_version_never_changes(pool: Pool) -> None:  # I-1 G7
    with pytest.raises(Exception, match="immutable"):
        await rows(pool, "update ingest.stream_version set digest = 'x' returning 1")


def test_the_commands_register_and_make_keys(database: str) -> None:  # I-2 I-4
    def run(group: object, *words: str) -> str:
        result = CliRunner().invoke(group, [*words, "--database-url", database])  # type: ignore[arg-type]
        assert result.exit_code == 0, result.output
        return result.output

    assert "+ stream te1/reactor: version 1" in run(registry, "apply", str(DEMO), "--dry-run")
    assert "14 applied" in run(registry, "apply", str(DEMO))
    assert run(registry, "apply", str(DEMO)) == "nothing to change\n"
    assert "10*3.m3{std}/h" in run(registry, "show")
    presented = run(keys, "create", "--role", "gateway", "--label", "first", "--line", "te1", "--days", "3").strip()
    prefix = presented.split("_")[1]
    listed = run(keys, "list")
    assert prefix in listed
    assert presented.split("_", 2)[2] not in listed
    assert "revoked" in run(keys, "revoke", prefix)
    assert "revoked" in run(keys, "list")


def test_a_file_that_is_wrong_is_refused_in_one_line(database: str, tmp_path: Path) -> None:  # G14
    file = tmp_path / "registry.yaml"
    file.write_text("streams: [{id: l/s}]", encoding="utf-8")
    result = CliRunner().invoke(registry, ["apply", str(file), "--database-url", database])
    assert result.exit_code == 1
    assert "registry_invalid: streams.0.instrument" in result.output
