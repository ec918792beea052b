"""Merkle tree hash of RFC 6962, section 2.1: one digest over an ordered list of leaves, computed while they pass by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

_LEAF, _NODE = b"\x00", b"\x01"


@dataclass(slots=True)
class MerkleTree:
    """Leaves are added one after another; memory grows with the logarithm of their number."""

    count: int = 0
    _subtrees: list[bytes] = field(default_factory=list)

    def add(self, leaf: bytes) -> None:
        """The next leaf, as its data (not its hash)."""
        node = hashlib.sha256(_LEAF + leaf).digest()
        size = self.count
        while size & 1:
            node = hashlib.sha256(_NODE + self._subtrees.pop() + node).digest()
            size >>= 1
        self._subtrees.append(node)
        self.count += 1

    def root(self) -> str:
        """The tree's hash as 64 hexadecimal digits; of no leaf at all, the hash of nothing."""
        if not self._subtrees:
            return hashlib.sha256(b"").hexdigest()
        *rest, node = self._subtrees
        for subtree in reversed(rest):
            node = hashlib.sha256(_NODE + subtree + node).digest()
        return node.hex()


def merkle_root(leaves: Iterable[bytes]) -> str:
    """The hash of the tree over all of `leaves`, in their order."""
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()
