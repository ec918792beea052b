"""Private keys of people who sign: PEM files that only their owner can read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.kernel.errors import Invalid, NotAllowed


def write_private_key(path: Path, passphrase: str | None) -> Ed25519PrivateKey:
    """A new key in a new file of mode 0600, encrypted when there is a passphrase. Raises NotAllowed(key_file_exists)."""
    private = Ed25519PrivateKey.generate()
    encryption = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode())
    )
    text = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise NotAllowed(
            "key_file_exists",
            f"{path} is there already",
            field="file",
            remedy="choose another file; keys are never overwritten",
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    return private


def read_private_key(path: Path, passphrase: Callable[[], str]) -> Ed25519PrivateKey:
    """The key in a file; `passphrase` is asked when it is encrypted. Raises Invalid(key_file_open | key_file_malformed)."""
    if path.stat().st_mode & 0o077:
        raise Invalid("key_file_open", f"others can read {path}", field="file", remedy=f"chmod 600 {path}")
    data = path.read_bytes()
    try:
        try:
            key = serialization.load_pem_private_key(data, None)
        except TypeError:
            key = serialization.load_pem_private_key(data, passphrase().encode())
    except ValueError as error:
        raise _malformed(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _malformed(path)
    return key


def _malformed(path: Path) -> Invalid:
    return Invalid(
        "key_file_malformed", f"{path} holds no Ed25519 key, or the passphrase is another one", field="file",
        remedy="take the file that `pilotline reports keys create` wrote",
    )  # fmt: skip
