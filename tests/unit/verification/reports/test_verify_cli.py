"""`pilotline verify` as a person runs it (V-25)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli import main
from services.verification.domain.reports.archive import read_layout
from tests.unit.verification.reports.making import KEYS, members, packed, trust_file


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "VR-2026-000001.zip"
    file.write_bytes(packed(members(tmp_path)))
    return file


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["verify", *arguments])
    return result.exit_code, result.output


def test_it_works_alone_and_answers_zero(pack: Path, tmp_path: Path) -> None:
    """V-25: a process of its own, without any setting of an installation and without a server to ask."""
    keys = tmp_path / "keys.json"
    keys.write_text(trust_file(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "verify", str(pack), "--keys", str(keys)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "everything fits"
    assert "signature 3 approved: Chen Jing 陈静, trusted key" in done.stdout
    assert "frames, and the run judged by them again" in done.stderr


def test_a_changed_byte_is_printed_with_its_place(pack: Path) -> None:
    """V-25"""
    data = bytearray(pack.read_bytes())
    entry = next(item for item in read_layout(memoryview(data)).entries if item.name == "lifecycle.json")
    data[entry.data + 40] ^= 1
    pack.write_bytes(data)
    code, text = run(str(pack), "--quiet")
    assert code == 1
    assert f"byte lifecycle.json, byte {entry.data + 40} of the pack (byte 40 of the member)" in text
    assert text.splitlines()[-1] == "does not fit"


def test_what_is_no_pack_and_what_are_no_keys(pack: Path, tmp_path: Path) -> None:
    """V-25: exit code 2 when nothing can be said, one sentence with the remedy."""
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert run(str(empty))[0] == 2
    code, text = run(str(pack), "--keys", str(pack))
    assert code == 2
    assert "pilotline reports keys list --json" in text
    (tmp_path / "text").write_bytes(b"this is no pack")
    assert run(str(tmp_path / "text"), "--quiet")[0] == 1


def test_without_keys_the_fingerprints_are_shown_for_comparison(pack: Path) -> None:
    """V-25: the pack's own keys prove nothing by themselves, and the command says so."""
    code, text = run(str(pack), "--quiet")
    assert code == 0
    assert KEYS["li"].fingerprint in text
    assert "compare the fingerprints" in text
    assert "everything fits" not in text
