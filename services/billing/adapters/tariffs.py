"""Published tariffs: immutable YAML per platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from services.billing.domain.tariff import Tariff
from services.billing.domain.tariff_file import load_tariff
from shared.kernel.errors import NotAllowed, NotFound
from shared.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class PublishedTariff:
    """A row of `billing.tariff`."""

    platform: str
    id: str
    version: int
    digest: str
    currency: str
    effective_from: date
    effective_to: date | None
    source: str
    published_at: datetime
    published_by: str


_columns = (
    "tenant, tariff_id, version, digest, currency, effective_from, effective_to, source, published_at, published_by"
)


async def publish_tariff(connection: Connection, platform: str, text: str, *, by: str) -> tuple[Tariff, bool]:
    """Store a version for ever; False when exactly it is there already.

    Raises what `load_tariff` raises, NotAllowed(tariff_exists) for the same version with other content and NotFound(platform_unknown).
    """
    tariff = load_tariff(text)
    await require_platform(connection, platform)
    await alone(connection, f"tariff {platform}")
    for known in await list_tariffs(connection, platform, tariff_id=tariff.id):
        if known.digest == tariff.digest:
            return tariff, False
        if known.version == tariff.version:
            raise NotAllowed(
                "tariff_exists",
                f"version {tariff.version} of {tariff.id} is published with other content",
                field="version",
                remedy="give the changed tariff the next version number",
            )
    await connection.execute(
        """insert into billing.tariff (tenant, tariff_id, version, digest, currency, effective_from, effective_to, source, published_by)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            *(platform, tariff.id, tariff.version, tariff.digest, tariff.currency),
            *(tariff.effective_from, tariff.effective_to, text, by),
        ),
    )
    return tariff, True


async def alone(connection: Connection, what: str) -> None:
    """Until this transaction ends, nobody else publishes there: two at once would both find that the version is new."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"pilotline_publish {what}",))


async def require_platform(connection: Connection, platform: str) -> None:
    """Raises NotFound(platform_unknown)."""
    cursor = await connection.execute("select from ingest.platform where platform_id = %s", (platform,))
    if await cursor.fetchone() is None:
        raise NotFound(
            "platform_unknown", f"there is no platform {platform!a}", field="platform", remedy="see GET /v1/registry"
        )


async def list_tariffs(
    connection: Connection, platform: str | None, *, tariff_id: str | None = None
) -> list[PublishedTariff]:
    """Every version, by (platform, id, version)."""
    cursor = await connection.execute(
        f"""select {_columns} from billing.tariff where (%(platform)s::text is null or tenant = %(platform)s)
            and (%(tariff)s::text is null or tariff_id = %(tariff)s) order by tenant, tariff_id, version""".encode(),
        {"platform": platform, "tariff": tariff_id},
    )
    return [PublishedTariff(*row) for row in await cursor.fetchall()]


async def read_tariff(connection: Connection, platform: str, tariff_id: str, version: int) -> PublishedTariff:
    """Raises NotFound(tariff_unknown)."""
    for found in await list_tariffs(connection, platform, tariff_id=tariff_id):
        if found.version == version:
            return found
    raise NotFound(
        "tariff_unknown",
        f"{platform} has no tariff {tariff_id!a} version {version}",
        field="tariff",
        remedy="see GET /v1/tariffs",
    )


def resolve(published: PublishedTariff) -> Tariff:
    """The tariff as it was published. Raises ValueError when its text does not give its digest any more."""
    tariff = load_tariff(published.source)
    if tariff.digest != published.digest:
        raise ValueError(f"tariff {published.id} version {published.version} does not have its digest any more")
    return tariff
