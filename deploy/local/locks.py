"""Locks between processes that the kernel releases when the holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on `path`, waiting for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Lease:
    """A lock held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def share(self) -> None:
        """Hold it together with others, waiting for an exclusive holder."""
        self._take(fcntl.LOCK_SH)

    def take(self) -> None:
        """Hold it alone, waiting until nobody else does."""
        self._take(fcntl.LOCK_EX)

    def try_take(self) -> bool:
        """Hold it alone; False when somebody else holds it."""
        try:
            self._take(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, how: int) -> None:
        while True:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._descriptor, how)
            if self._is_the_file(self._descriptor):
                return
            self.release()

    def _is_the_file(self, descriptor: int) -> bool:
        """A former holder may have removed the file between our opening and locking: then our lock excludes nobody."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False
