"""Reports: profiles, people's public keys, numbered reports with their evidence documents and signatures."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql(__file__)
