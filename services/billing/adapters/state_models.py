"""Published state models: immutable YAML with the registry versions it was resolved against, so that it reads the same for ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from services.billing.adapters.tariffs import alone
from services.billing.domain.state_model import StateModel
from services.billing.domain.state_model_file import load_state_model
from shared.contracts.registry import Stream
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.storage.pool import Connection
from shared.storage.registry import Registry


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A row of `billing.state_model`."""

    line: str
    version: int
    model_id: str
    digest: str
    source: str
    streams: Mapping[str, int]
    published_at: datetime
    published_by: str


_columns = "line, version, model_id, digest, source, streams, published_at, published_by"


def check_state_model(text: str, registry: Registry) -> StateModel:
    """The model in a YAML text, resolved against the present registry. Raises what `load_state_model` raises, and
    Invalid(state_model_line_unknown | state_model_instrument_unknown)."""
    model = load_state_model(text, registry.streams.values())
    if model.line not in registry.lines:
        raise Invalid("state_model_line_unknown", f"there is no line {model.line}", field="line", remedy="register it")
    for instrument in model.instruments:
        found = registry.instruments.get(instrument.instrument)
        if found is None or found.line != model.line:
            raise Invalid(
                "state_model_instrument_unknown",
                f"{instrument.instrument} is no instrument of {model.line}",
                field=f"instruments.{instrument.instrument}",
                remedy="name an instrument of the registry",
            )
    return model


async def publish_state_model(
    connection: Connection, text: str, registry: Registry, *, by: str
) -> tuple[StateModel, bool]:
    """Store a version for ever; False when exactly it is there already.

    Raises NotAllowed(state_model_exists) for the same version with other content, NotAllowed(state_model_in_use) when the line is metered
    under another version, and what `check_state_model` raises.
    """
    model = check_state_model(text, registry)
    await alone(connection, f"state_model {model.line}")
    for known in await list_state_models(connection, line=model.line):
        if known.version == model.version and known.digest == model.digest:
            return model, False
        if known.version == model.version:
            raise NotAllowed(
                "state_model_exists",
                f"version {model.version} of the state model of {model.line} is published with other content",
                field="version",
                remedy="publish a new version number for a line that is not metered yet",
            )
    metered = await connection.execute("select from billing.meter_state where line = %s", (model.line,))
    if await metered.fetchone() is not None:
        raise NotAllowed(
            "state_model_in_use",
            f"{model.line} is metered under another version",
            field="line",
            remedy="a line keeps the state model it is metered under",
        )
    streams = {stream: registry.streams[stream].version for stream in model.streams()}
    await connection.execute(
        """insert into billing.state_model (line, version, model_id, digest, source, streams, published_by)
           values (%s, %s, %s, %s, %s, %s, %s)""",
        (model.line, model.version, model.id, model.digest, text, Jsonb(streams), by),
    )
    return model, True


async def list_state_models(connection: Connection, *, line: str | None = None) -> list[PublishedModel]:
    """Every version, of one line or of all, by (line, version)."""
    cursor = await connection.execute(
        f"select {_columns} from billing.state_model where line = %(line)s or %(line)s::text is null order by line, version".encode(),
        {"line": line},
    )
    return [PublishedModel(*row) for row in await cursor.fetchall()]


async def read_state_model(connection: Connection, line: str, version: int) -> PublishedModel:
    """Raises NotFound(state_model_unknown)."""
    for found in await list_state_models(connection, line=line):
        if found.version == version:
            return found
    raise NotFound("state_model_unknown", f"there is no state model {version} of {line}", field="version")


def resolve(published: PublishedModel, registry: Registry) -> StateModel:
    """The model as it was when it was published. Raises ValueError when the registry has lost what it was resolved against."""
    model = load_state_model(published.source, _streams_of(published, registry))
    if model.digest != published.digest:
        raise ValueError(f"state model {published.version} of {published.line} does not have its digest any more")
    return model


def _streams_of(published: PublishedModel, registry: Registry) -> Iterable[Stream]:
    return [registry.versions[stream, version] for stream, version in published.streams.items()]
