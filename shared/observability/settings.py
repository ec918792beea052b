"""What every process is told from outside: read once, validated, frozen.

Sources, the first one wins: arguments (tests), `PILOTLINE_<FIELD>`, the file named by `PILOTLINE_<FIELD>_FILE` (secrets), the YAML file
named by `PILOTLINE_CONFIG` (unknown keys are errors), the default. Importing this module reads nothing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

PREFIX = "PILOTLINE_"
_Source = PydanticBaseSettingsSource


class SecretFileSource(PydanticBaseSettingsSource):
    """`PILOTLINE_DATABASE_URL_FILE=/run/secrets/url` sets `database_url` to that file's text, without the newline at its end."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        return (Path(path).read_text(encoding="utf-8").rstrip("\n") if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class ProcessSettings(BaseSettings):
    """Settings of any process; services add their own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    kafka: str = Field(
        default="127.0.0.1:9092", min_length=1, description="bootstrap servers, host:port, comma separated"
    )
    database_url: SecretStr = Field(description="libpq URL of TimescaleDB")
    topic_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9._-]*$", description="put before every topic name and group id"
    )
    bind: str = Field(
        default="127.0.0.1:0", pattern=r"^.+:\d+$", description="host:port of HTTP; port 0 takes a free one"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else JSON lines"
    )

    @classmethod
    def read(cls, **given: Any) -> Self:
        """The settings from every source; `given` wins. Raises pydantic.ValidationError or OSError."""
        return cls(**given)

    @property
    def bind_host(self) -> str:
        return self.bind.rpartition(":")[0]

    @property
    def bind_port(self) -> int:
        return int(self.bind.rpartition(":")[2])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: _Source,
        env_settings: _Source,
        dotenv_settings: _Source,
        file_secret_settings: _Source,
    ) -> tuple[_Source, ...]:
        sources: tuple[_Source, ...] = (init_settings, env_settings, SecretFileSource(settings_cls))
        config = os.environ.get(f"{PREFIX}CONFIG")
        if config is None:
            return sources
        if not Path(config).is_file():
            raise FileNotFoundError(f"{PREFIX}CONFIG names a file that is not there: {config}")
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=config))
