"""Settings of the billing processes, on top of what every process is told."""

from __future__ import annotations

from pydantic import Field

from shared.observability.settings import ProcessSettings


class MeterSettings(ProcessSettings):
    """`pilotline billing meter`."""

    meter_instance: str | None = Field(
        default=None, description="a name that survives a restart: the process gets its partitions back at once"
    )
    meter_session_seconds: float = Field(default=10.0, gt=0, description="how long a dead meter keeps its partitions")


class RecorderSettings(ProcessSettings):
    """`pilotline billing recorder`."""

    recorder_instance: str | None = Field(default=None, description="as of the meter")
    recorder_records: int = Field(default=5000, ge=1, description="most usage events of one transaction")


class ApiSettings(ProcessSettings):
    """`pilotline billing api`."""

    body_max_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="inflated")
    body_patience_seconds: float = Field(default=30.0, gt=0)
    in_flight_max_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, description="request bodies held at once")
    events_per_request: int = Field(default=1000, ge=1)
