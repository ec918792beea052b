"""Kafka and TimescaleDB are named in several files; all of them mean the same version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KAFKA = {
    "docker-compose.yml": r"KAFKA_IMAGE:-apache/kafka:([\w.-]+)\}",
    "deploy/docker/images.sh": r"^KAFKA_VERSION=([\w.-]+)$",
    "deploy/docker/kafka/pom.xml": r"<kafka\.version>([\w.-]+)<",
    "deploy/local/kafka/pom.xml": r"<kafka\.version>([\w.-]+)<",
    "tests/plugins/docker_stack.py": r'"apache/kafka:([\w.-]+)"',
}
TIMESCALE = {
    "docker-compose.yml": r"TIMESCALE_IMAGE:-timescale/timescaledb:([\w.-]+)-oss\}",
    "deploy/docker/images.sh": r"^TIMESCALE_VERSION=([\w.-]+)$",
    "tests/plugins/docker_stack.py": r'"timescale/timescaledb:([\w.-]+)-oss"',
}


# O-3
@pytest.mark.parametrize("places", [KAFKA, TIMESCALE], ids=["kafka", "timescaledb"])
def test_every_file_that_names_a_server_names_the_same_version(places: dict[str, str]) -> None:
    found = {name: re.findall(pattern, (ROOT / name).read_text(), re.MULTILINE) for name, pattern in places.items()}
    assert all(found.values()), found
    assert len({version for versions in found.values() for version in versions}) == 1, found
