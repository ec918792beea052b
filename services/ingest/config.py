"""Settings of the ingest processes, on top of what every process is told."""

from __future__ import annotations

from pydantic import Field

from shared.observability.settings import ProcessSettings


class GatewaySettings(ProcessSettings):
    """`pilotline ingest http`. The limits are I-13."""

    body_max_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="inflated")
    body_patience_seconds: float = Field(default=30.0, gt=0)
    in_flight_max_bytes: int = Field(default=128 * 1024 * 1024, ge=1024, description="request bodies held at once")
    producer_max_bytes: int = Field(
        default=64 * 1024 * 1024, ge=4 * 1024 * 1024, description="records not yet acknowledged"
    )
    producer_deadline_seconds: float = Field(default=5.0, gt=0)
    frames_per_request: int = Field(default=1000, ge=1)
    identities_remembered: int = Field(default=100_000, ge=1)
    clock_suspect_seconds: float = Field(default=2.0, gt=0)
    lateness_horizon_days: float = Field(default=35.0, gt=0)
    rows_per_answer: int = Field(default=10_000, ge=1, description="of the read API; the rest is behind a cursor")
    samples_per_scan: int = Field(default=50_000_000, ge=1, description="how much a decimated answer may read")


class SinkSettings(ProcessSettings):
    """`pilotline ingest sink`."""
