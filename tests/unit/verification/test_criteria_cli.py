"""`pilotline criteria` without a server: check, explain, convert (V-5, V-7, V-8)."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.verification.domain.criteria_model import load_criteria
from services.verification.entrypoints.criteria_cli import criteria

DEMO = Path(__file__).parents[3] / "deploy" / "demo"
FILE, REGISTRY = str(DEMO / "criteria.yaml"), str(DEMO / "registry.yaml")


def test_a_sound_file_is_checked_without_a_server_and_its_memory_printed() -> None:  # V-8
    asked = CliRunner().invoke(criteria, ["check", FILE, "--line", "te1", "--registry", REGISTRY])
    assert asked.exit_code == 0, asked.output
    assert "pressure-limit: at most" in asked.output
    assert asked.output.splitlines()[-1].startswith("together at most")


def test_a_file_at_fault_is_told_by_line_and_ends_with_1(tmp_path: Path) -> None:  # V-8
    broken = tmp_path / "broken.yaml"
    text = (
        Path(FILE)
        .read_text(encoding="utf-8")
        .replace("high: {value: 2895, unit: kPa}", "high: {value: 2895, unit: kg}", 1)
    )
    broken.write_text(text, encoding="utf-8")
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "unit: kg" in each)
    asked = CliRunner().invoke(criteria, ["check", str(broken), "--line", "te1", "--registry", REGISTRY])
    assert asked.exit_code == 1
    assert f"line {line}, column" in asked.output
    assert "criteria_unit" in asked.output
    explained = CliRunner().invoke(criteria, ["explain", str(broken), "--line", "te1", "--registry", REGISTRY])
    assert explained.exit_code == 1


def test_explain_prints_expansion_margin_and_memory() -> None:  # V-7
    asked = CliRunner().invoke(criteria, ["explain", FILE, "--line", "te1", "--registry", REGISTRY])
    assert asked.exit_code == 0, asked.output
    assert "means    always(reactor.pressure <= 2895 kPa)" in asked.output
    assert "margin   in kPa; waits for te1/reactor" in asked.output


@pytest.mark.parametrize("form", ["text", "yaml", "json"])
def test_convert_loses_nothing(form: str, tmp_path: Path) -> None:  # V-5
    asked = CliRunner().invoke(criteria, ["convert", FILE, "--to", form])
    assert asked.exit_code == 0, asked.output
    assert load_criteria(asked.output).digest() == load_criteria(Path(FILE).read_bytes()).digest()


def test_an_unknown_line_of_the_file_is_told_with_those_there_are() -> None:  # G14
    asked = CliRunner().invoke(criteria, ["check", FILE, "--line", "none", "--registry", REGISTRY])
    assert (asked.exit_code, "line_unknown" in asked.output, "te1" in asked.output) == (1, True, True)


def test_without_database_and_registry_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:  # G14
    monkeypatch.delenv("PILOTLINE_DATABASE_URL", raising=False)
    asked = CliRunner().invoke(criteria, ["check", FILE, "--line", "te1"])
    assert (asked.exit_code, "--registry" in asked.output) == (2, True)
