"""Everything verification owns: criteria sets, runs, evaluations, results, the worker's state."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql(__file__)
