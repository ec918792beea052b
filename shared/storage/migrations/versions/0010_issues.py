"""Issues of an item under test through its iterations."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql(__file__)
