"""The phases of a run as the worker has found them: by command, by a record of the line's topic, or by a condition on telemetry."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql(__file__)
