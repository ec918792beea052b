"""The check of what is committed finds what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.checks.committed import machine_paths, offences, registry_hosts

HOSTS = ("packages.example.org",)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("index-url = https://packages.example.org/simple", "host name"),
        ("see /home/me/checkout/README.md", "path of this machine"),
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "private key"),
        ("url = postgresql://user:" + "sehrgeheim1@db.internal/x", "password"),
    ],
)
def test_a_line_that_must_not_be_committed_is_found(line: str, what: str) -> None:
    found = list(offences("file", f"fine\n{line}\n", HOSTS, ("/home/me/checkout/",)))
    assert [(offence.file, offence.line) for offence in found] == [("file", 2)]
    assert what in found[0].what


@pytest.mark.parametrize(
    "line", ["postgresql://pilotline:pilotline@127.0.0.1/x", "https://example.org:8080/a@b", "packagesXexample.org"]
)
def test_an_ordinary_line_is_not(line: str) -> None:
    assert list(offences("file", line, HOSTS, ())) == []


def test_roots_home_is_everywhere_and_a_checkout_is_not() -> None:
    assert machine_paths(Path("/srv/pilotline"), Path("/root")) == ("/srv/pilotline/",)


def test_the_hosts_come_from_this_machines_clients() -> None:
    assert registry_hosts()
