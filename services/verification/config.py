"""Settings of the verification processes: the common ones, and what each needs besides."""

from __future__ import annotations

from pydantic import Field

from services.verification.handlers import COMMAND_HORIZON
from shared.kernel.times import DAY
from shared.observability.settings import ProcessSettings


class ApiSettings(ProcessSettings):
    """`verification_api_port` names the port alone and wins over the one in `bind`."""

    verification_api_port: int | None = Field(default=None, ge=0, le=65535)
    webhook_allow_private: bool = Field(
        default=False, description="whether webhooks may go to private and loopback addresses, and by plain http"
    )
    webhook_timeout: float = Field(
        default=10.0, gt=0, le=60, description="seconds that a webhook receiver has to answer"
    )

    command_horizon_days: float = Field(
        default=COMMAND_HORIZON / DAY, gt=0, le=36_525, description="how long ago a command to a run may lie"
    )

    @property
    def port(self) -> int:
        return self.bind_port if self.verification_api_port is None else self.verification_api_port


class WorkerSettings(ProcessSettings):
    """Times are seconds of this machine's clock, except where event time is said."""

    close_grace: float = Field(
        default=10.0, ge=0, description="how long an ended run waits for samples that lie before its end"
    )
    snapshot_seconds: float = Field(default=2.0, gt=0, description="how often the evaluators' state is written whole")
    level_seconds: float = Field(default=0.5, gt=0, description="how often margins are written for the pages")
    rebuild_memory_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024 * 1024, description="frames kept while a run is read again from storage"
    )
    worker_instance: str | None = Field(
        default=None,
        description="a name of this process that survives a restart and that no other has: it gets its lines back at once",
    )
