"""What-if jobs: what drafts would have said about stored runs."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql(__file__)
