"""Reservations of instruments, and the quantities that need no channel: samples, bytes, reserved time."""

from __future__ import annotations

from shared.storage.migrate import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql(__file__)
