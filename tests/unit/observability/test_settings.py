"""Configuration from environment, files and YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.observability.settings import ProcessSettings

URL = "postgresql://u:secret@127.0.0.1/db"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "KAFKA",
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "CONFIG",
        "BIND",
        "TOPIC_PREFIX",
        "LOG_LEVEL",
        "LOG_FORMAT",
    ):
        monkeypatch.delenv(f"PILOTLINE_{name}", raising=False)


# O-4
def test_the_database_address_has_no_default() -> None:
    with pytest.raises(ValidationError, match="database_url"):
        ProcessSettings.read()


# O-4
def test_a_secret_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text(URL + "\n")
    monkeypatch.setenv("PILOTLINE_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert ProcessSettings.read().database_url.get_secret_value() == URL


# O-4
def test_the_environment_wins_over_the_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text(f"database_url: {URL}\nkafka: from-file:9092\ntopic_prefix: site1.\n")
    monkeypatch.setenv("PILOTLINE_CONFIG", str(tmp_path / "c.yaml"))
    monkeypatch.setenv("PILOTLINE_KAFKA", "from-environment:9092")
    settings = ProcessSettings.read()
    assert (settings.kafka, settings.topic_prefix) == ("from-environment:9092", "site1.")


# O-4
def test_an_unknown_key_of_the_configuration_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.yaml").write_text(f"database_url: {URL}\nkafak: x:1\n")
    monkeypatch.setenv("PILOTLINE_CONFIG", str(tmp_path / "c.yaml"))
    with pytest.raises(ValidationError, match="kafak"):
        ProcessSettings.read()


def test_a_configuration_file_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTLINE_CONFIG", str(tmp_path / "none.yaml"))
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        ProcessSettings.read(database_url=URL)


def test_settings_are_frozen_and_do_not_show_secrets() -> None:
    settings = ProcessSettings.read(database_url=URL)
    with pytest.raises(ValidationError):
        settings.kafka = "other:1"
    assert "secret" not in repr(settings)


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ValidationError, match="bind"):
        ProcessSettings.read(database_url=URL, bind="localhost")
