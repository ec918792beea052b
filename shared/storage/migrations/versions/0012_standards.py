"""Standards: versions, steps of their life, adoptions."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql(__file__)
