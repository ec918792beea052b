"""The processes that make up pilotline, in one list: the supervisor runs it, compose and the images follow it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its name, the module that is run, the port it prefers for its HTTP (pages, API, health, metrics).

    Processes start in rising `order` and are stopped in falling order, so that what feeds stops before what is fed.
    """

    name: str
    module: str
    port: int
    order: int
    env: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/readyz"

    @property
    def argv(self) -> tuple[str, ...]:
        return (sys.executable, "-m", self.module)

    @property
    def port_variable(self) -> str:
        """The environment variable that fixes the port."""
        return f"PILOTLINE_{self.name.upper().replace('-', '_')}_PORT"


def _named(name: str) -> dict[str, str]:
    """A member name of the consumer group that survives a restart: the next one gets the partitions at once."""
    return {f"PILOTLINE_{name.upper()}_INSTANCE": f"{name}-1"}


PROCESSES = (
    Process("recorder", "services.billing.entrypoints.recorder", 8413, order=0, env=_named("recorder")),
    Process("sink", "services.ingest.entrypoints.sink", 8410, order=1),
    Process("worker", "services.verification.entrypoints.worker", 8411, order=1, env=_named("worker")),
    Process("meter", "services.billing.entrypoints.meter", 8412, order=1, env=_named("meter")),
    Process("verification-api", "services.verification.entrypoints.api", 8401, order=2),
    Process("billing-api", "services.billing.entrypoints.api", 8402, order=2),
    Process("http", "services.ingest.entrypoints.http", 8400, order=3),
)

ADDRESS_OF = "pilotline.address_of"
"""Under this name the root command leaves, in click's `meta`, how commands find a process by its name: `(process) -> address`."""


def preferred_address(process: str) -> str:
    """Where a process listens on this machine unless it is told otherwise."""
    port = next(item.port for item in PROCESSES if item.name == process)
    return f"http://127.0.0.1:{port}"
