"""Whose an API key is: approvals count people, not keys."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql(__file__)
