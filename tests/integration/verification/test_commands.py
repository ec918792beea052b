"""`pilotline verification criteria check` and `apply` against a registered line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from services.ingest.adapters.registry_store import apply_registry
from services.verification.entrypoints.cli import group
from shared.contracts.registry_document import read_document
from shared.storage.pool import connect
from tests.integration.verification.rig import CRITERIA, REGISTRY

pytestmark = pytest.mark.stack


@pytest.fixture
def registered(database: str) -> str:
    async def register() -> None:
        async with connect(database, name="test") as connection:
            await apply_registry(connection, read_document(REGISTRY))

    asyncio.run(register())
    return database


def _invoke(database: str, folder: Path, document: dict[str, Any], *arguments: str) -> Result:
    file = folder / "criteria.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return CliRunner().invoke(
        group, ["criteria", arguments[0], str(file), "--line", "l1", "--database-url", database, *arguments[1:]]
    )


def test_check_names_every_error_and_the_memory_of_the_rest(registered: str, tmp_path: Path) -> None:
    # V-8
    good = _invoke(registered, tmp_path, CRITERIA, "check")
    assert good.exit_code == 0, good.output
    assert "together at most" in good.output
    spoilt = [dict(item) for item in CRITERIA["criteria"]]
    spoilt[0]["high"] = {"value": 1, "unit": "Cel"}
    spoilt[1]["signal"] = "slow.nothing"
    bad = _invoke(registered, tmp_path, {**CRITERIA, "criteria": spoilt}, "check")
    assert bad.exit_code == 1
    assert "criteria[0].high: criteria_unit" in bad.output
    assert "criteria[1].signal: criteria_unknown_channel" in bad.output


def test_apply_publishes_once_and_refuses_other_content(registered: str, tmp_path: Path) -> None:
    # V-8, G7
    first = _invoke(registered, tmp_path, CRITERIA, "apply")
    assert first.exit_code == 0, first.output
    assert "published" in first.output
    assert _invoke(registered, tmp_path, CRITERIA, "apply").output == first.output
    other = _invoke(registered, tmp_path, {**CRITERIA, "title": {"en": "b", "zh": "乙"}}, "apply")
    assert other.exit_code == 1
    assert "criteria_published" in other.output
