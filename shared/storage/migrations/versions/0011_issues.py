"""Issues of an item under test through its iterations."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql(__file__)
