"""What people enter of a run: results, inspections with their files, deviations; and the lifecycle of each run as the worker read it."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql(__file__)
