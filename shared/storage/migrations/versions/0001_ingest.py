"""Positions, dead letters and everything ingest owns."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql(__file__)
