"""Everything billing owns: meter state, segments, usage, ledger, tariffs, payers, invoices."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql(__file__)
