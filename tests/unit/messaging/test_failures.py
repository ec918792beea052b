"""What a failure means is decided by SQLSTATE class."""

from __future__ import annotations

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from shared.kernel.errors import Retry
from shared.messaging.failures import refused_data, transient
from shared.messaging.positions import Fenced


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psycopg.errors.ConnectionFailure(), "sqlstate_08"),
        (psycopg.errors.SerializationFailure(), "sqlstate_40"),
        (psycopg.errors.DeadlockDetected(), "sqlstate_40"),
        (psycopg.errors.DiskFull(), "sqlstate_53"),
        (psycopg.errors.LockNotAvailable(), "sqlstate_55"),
        (psycopg.errors.AdminShutdown(), "sqlstate_57"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "connection"),
        (PoolTimeout(), "PoolTimeout"),
        (Retry("later"), "Retry"),
        (Fenced("other owner"), "fenced"),
    ],
)
def test_what_may_succeed_later_is_tried_again(error: BaseException, reason: str) -> None:
    assert transient(error) == reason


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.NumericValueOutOfRange(),
        psycopg.errors.UniqueViolation(),
        psycopg.errors.UndefinedTable(),
        psycopg.InterfaceError("misuse"),
        ValueError("our own mistake"),
    ],
)
def test_what_no_retry_can_cure_is_not(error: BaseException) -> None:
    assert transient(error) is None


def test_data_the_database_refuses_is_told_from_our_own_mistakes() -> None:
    assert refused_data(psycopg.errors.NumericValueOutOfRange())
    assert refused_data(psycopg.errors.CheckViolation())
    assert not refused_data(psycopg.errors.UndefinedColumn())
    assert not refused_data(psycopg.OperationalError("gone"))
