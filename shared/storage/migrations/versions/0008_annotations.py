"""People's notes on an instrument's time, and what of them stands on a ledger row."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql(__file__)
