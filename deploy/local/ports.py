"""Ports on 127.0.0.1 that nobody holds."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

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
