"""Private keys in files of their owners (V-24)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from services.verification.domain.reports.signatures import public_key_of
from services.verification.entrypoints.key_files import read_private_key, write_private_key
from shared.kernel.errors import Problem


def never() -> str:
    raise AssertionError("no passphrase is needed")


def test_a_key_is_readable_by_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    """V-24"""
    path = tmp_path / "li.pem"
    private = write_private_key(path, None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_key_of(read_private_key(path, never)) == public_key_of(private)
    with pytest.raises(Problem, match="key_file_exists"):
        write_private_key(path, None)
    path.chmod(0o644)
    with pytest.raises(Problem, match="key_file_open"):
        read_private_key(path, never)


def test_an_encrypted_key_needs_its_passphrase(tmp_path: Path) -> None:
    """V-24"""
    path = tmp_path / "li.pem"
    private = write_private_key(path, "correct horse")
    assert public_key_of(read_private_key(path, lambda: "correct horse")) == public_key_of(private)
    with pytest.raises(Problem, match="key_file_malformed"):
        read_private_key(path, lambda: "wrong")
    path.write_text("no key")
    with pytest.raises(Problem, match="key_file_malformed"):
        read_private_key(path, never)
