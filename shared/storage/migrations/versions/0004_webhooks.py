"""Webhooks: endpoints, their secrets, deliveries and attempts."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql(__file__)
