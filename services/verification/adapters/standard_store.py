"""Standards in PostgreSQL: versions, what was done to them, who has adopted which."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from services.verification.domain.standards import Action, Standard, Step
from services.verification.ports import Adoption, RecordedStep, StoredStandard
from shared.kernel.canonical import canonical_json
from shared.kernel.times import micros
from shared.storage.pool import Connection


class StandardStore:
    """`KeepsStandards` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def find(self, standard: str, version: str, *, lock: bool = False) -> StoredStandard | None:
        """With `lock` nobody else changes the version before the transaction ends."""
        cursor = await self.connection.execute(
            f"""select document, digest from verification.standard_version where standard_id = %s and version = %s
                {"for no key update" if lock else ""}""".encode(),
            (standard, version),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        return StoredStandard(Standard.model_validate(row[0]), row[1], await self._history(standard, version))

    async def _history(self, standard: str, version: str) -> tuple[RecordedStep, ...]:
        cursor = await self.connection.execute(
            """select action, who, why, at from verification.standard_step
               where standard_id = %s and version = %s order by id""",
            (standard, version),
        )
        return tuple(
            RecordedStep(Step(Action(action), who, why), micros(at)) for action, who, why, at in await cursor.fetchall()
        )

    async def list(self) -> Sequence[StoredStandard]:
        """Every version, by id and then newest first."""
        cursor = await self.connection.execute(
            """select standard_id, version from verification.standard_version
               order by standard_id, string_to_array(version, '.')::int[] desc"""
        )
        found = [await self.find(standard, version) for standard, version in await cursor.fetchall()]
        return [item for item in found if item is not None]

    async def save(self, standard: Standard) -> None:
        """Inserts, or replaces a draft; the trigger refuses anything else."""
        await self.connection.execute(
            """insert into verification.standard_version (standard_id, version, digest, document) values (%s, %s, %s, %s::jsonb)
               on conflict (standard_id, version) do update set digest = excluded.digest, document = excluded.document""",
            (
                standard.id,
                standard.version,
                standard.digest(),
                canonical_json(standard.model_dump(mode="json")).decode(),
            ),
        )

    async def record(self, standard: str, version: str, step: Step) -> None:
        await self.connection.execute(
            "insert into verification.standard_step (standard_id, version, action, who, why) values (%s, %s, %s, %s, %s)",
            (standard, version, step.action, step.who, step.why),
        )

    async def versions(self, standard: str, *, lock: bool = False) -> Sequence[StoredStandard]:
        """Every version of a standard. With `lock` nobody else changes any before the transaction ends."""
        cursor = await self.connection.execute(
            f"""select version from verification.standard_version where standard_id = %s order by version
                {"for no key update" if lock else ""}""".encode(),
            (standard,),
        )
        found = [await self.find(standard, version) for (version,) in await cursor.fetchall()]
        return [item for item in found if item is not None]

    async def today(self) -> date:
        """The day by the database's clock, UTC."""
        cursor = await self.connection.execute("select (clock_timestamp() at time zone 'UTC')::date")
        row = await cursor.fetchone()
        assert row is not None
        day: date = row[0]
        return day

    async def adopt(self, platform: str, standard: str, version: str, who: str) -> None:
        """The same again changes nothing."""
        await self.connection.execute(
            """insert into verification.standard_adoption (platform_id, standard_id, version, who) values (%s, %s, %s, %s)
               on conflict do nothing""",
            (platform, standard, version, who),
        )

    async def adoptions(self, standard: str, version: str) -> Sequence[Adoption]:
        cursor = await self.connection.execute(
            """select platform_id, standard_id, version, who, at from verification.standard_adoption
               where standard_id = %s and version = %s order by platform_id""",
            (standard, version),
        )
        return [
            Adoption(platform, name, number, who, micros(at))
            for platform, name, number, who, at in await cursor.fetchall()
        ]
