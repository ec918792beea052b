"""The mirror is read from the machine's own configuration, in either form."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import install as servers
from deploy.local import tools
from deploy.local.apt import Mirror, MissingTool, deb822_mirrors, debian_mirror, install, one_line_mirrors

DEB822 = """\
# A comment: URIs: http://not.example/debian
Types: deb deb-src
URIs: http://mirror.example/debian
  http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
"""

ONE_LINE = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://vendor.example/apt stable-tool main  # a vendor's
deb-src http://source.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib

deb cdrom
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """An empty /etc/apt and an os-release of Debian 12."""
    monkeypatch.delenv("PILOTLINE_DEBIAN_MIRROR", raising=False)
    apt, release = tmp_path / "apt", tmp_path / "os-release"
    (apt / "sources.list.d").mkdir(parents=True)
    release.write_text('NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n')
    return apt, release


def test_deb822_sources_give_their_enabled_binary_mirrors() -> None:
    assert list(deb822_mirrors(DEB822)) == [
        Mirror("http://mirror.example/debian", ("bookworm", "bookworm-updates")),
        Mirror("http://second.example/debian", ("bookworm", "bookworm-updates")),
        Mirror("http://mirror.example/debian-security", ("bookworm-security",)),
    ]


def test_one_line_sources_may_have_options_and_comments() -> None:
    assert list(one_line_mirrors(ONE_LINE)) == [
        Mirror("http://vendor.example/apt", ("stable-tool",)),
        Mirror("http://mirror.example/debian", ("bookworm",)),
    ]


def test_the_archive_of_the_machines_release_is_taken_not_a_vendors(machine: tuple[Path, Path]) -> None:
    apt, release = machine
    (apt / "sources.list").write_text(ONE_LINE)
    assert debian_mirror(apt, release) == "http://mirror.example/debian"


def test_deb822_comes_before_the_one_line_form(machine: tuple[Path, Path]) -> None:
    apt, release = machine
    (apt / "sources.list").write_text("deb http://old.example/debian bookworm main\n")
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert debian_mirror(apt, release) == "http://mirror.example/debian"


def test_another_vendors_archive_is_no_debian_mirror(machine: tuple[Path, Path]) -> None:
    apt, release = machine
    release.write_text("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n")
    (apt / "sources.list").write_text("deb http://archive.example/ubuntu noble main\n")
    with pytest.raises(MissingTool, match="PILOTLINE_DEBIAN_MIRROR"):
        debian_mirror(apt, release)


def test_a_mirror_may_be_named(machine: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLINE_DEBIAN_MIRROR", "http://chosen.example/debian")
    assert debian_mirror(*machine) == "http://chosen.example/debian"


def test_where_packages_cannot_be_installed_the_message_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # O-1: stops with a message that says what to install
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(MissingTool, match="apt-get install maven mmdebstrap"):
        install(["maven", "mmdebstrap"], tmp_path / "log")


@pytest.mark.timeout(20)
def test_tools_are_installed_while_the_servers_are_being_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # O-1: on a machine that lacks a tool, set-up once waited for its own lock for ever
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in (("apt-get", 100), ("apt-cache", 0)):
        program = programs / name
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PILOTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tools, "can_install", lambda: True)
    monkeypatch.setattr("deploy.local.apt.can_install", lambda: True)
    with pytest.raises(MissingTool, match="apt-get update -qq` ended with 100"):
        servers.ensure_installed()
