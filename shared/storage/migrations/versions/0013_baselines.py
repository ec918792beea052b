"""The values of the run before that a run is compared with, pinned when it starts."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql(__file__)
