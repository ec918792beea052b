"""Ports on 127.0.0.1 that nobody holds."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

from deploy.local.locks import Lease

_LOWEST, _HIGHEST = 20_000, 32_000
"""Below the range from which the kernel takes the ports of outgoing connections: while a killed broker is down no
client's own connection can land on its port."""


def is_free(port: int) -> bool:
    """Whether a server may listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, *, taken: Collection[int] = ()) -> int:
    """`preferred` when it is free, else another one that is, and none of `taken`.

    Raises RuntimeError when a thousand tries find none.
    """
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    for _ in range(1000):
        port = random.randrange(_LOWEST, _HIGHEST)
        if port not in taken and is_free(port):
            return port
    raise RuntimeError(f"no free port on 127.0.0.1 between {_LOWEST} and {_HIGHEST}")


def reserved_port(preferred: int, folder: Path, ends: ExitStack, *, taken: Collection[int] = ()) -> int:
    """`preferred`, else another free port, none of `taken`, that no other caller with this `folder` gets until `ends` closes or this
    process dies.

    That a port is free now is not enough: another installation may be starting on it, and one whose process was killed leaves the port
    open until that process is back. Whoever takes it then answers the first one's clients. Raises RuntimeError as `free_port`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    passed = set(taken)
    while True:
        port = free_port(preferred, taken=passed)
        file = folder / str(port)
        lease = Lease(file)
        if lease.try_take():
            ends.callback(lease.release)
            ends.callback(file.unlink, missing_ok=True)
            return port
        passed.add(port)
