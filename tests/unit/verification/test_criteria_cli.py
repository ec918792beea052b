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


def test_explain_prints_limits_rule_and_data_as_compiled(tmp_path: Path) -> None:  # V-8, V-9, V-10
    text = """criteria set version 1 "a" / "甲"
phase p "a" / "甲" (planned = 8 h)
criterion bar "a" / "甲" in p: band(reactor.pressure, high = 28.95 bar) decision(guard_band, multiplier = 2)
    quality(min_coverage = 0.9, max_gap = 5 min, idle = 1 min, on_bad_quality = fail)
criterion own "a" / "甲" in p: band(reactor.temperature, low = 390 K, high = 400 K) decision(guard_band, uncertainty = 1 K)
criterion time "a" / "甲" in p: longest_excursion(reactor.pressure, high = 2895 kPa, at_most = 1 min) decision(guard_band)
criterion likely "a" / "甲" in p: band(reactor.pressure, high = 2895 kPa) decision(min_probability)
criterion slope "a" / "甲" in p: rate_of_change(reactor.pressure, window = 30 min, high = 5 kPa/min)
criterion settled "a" / "甲" in p: settle(reactor.temperature, target = 120 Cel, tolerance = 1 K, by = 1 h)
criterion lab "a" / "甲" in p: lab_result(low = 92 %, high = 99 %) decision(guard_band, uncertainty = 1 %)
"""
    file = tmp_path / "set.txt"
    file.write_text(text, encoding="utf-8")
    asked = CliRunner().invoke(criteria, ["explain", str(file), "--line", "te1", "--registry", REGISTRY])
    assert asked.exit_code == 0, asked.output
    for line in (
        "accepts  at most 2880 kPa",
        "decision guard band: w = 2 U = 15 kPa; U = 7.5 kPa, k = 2, from the registry (pressure transmitter, 0.25 % of 3000 kPa)",
        "data     coverage of at least 0.9; no gap longer than 300 s; no silence longer than 60 s at the end; values marked bad: FAIL",
        "accepts  117.85 to 125.85 Cel",
        "decision guard band: w = 1 U = 1 Cel; U = 1 Cel, k = 2, from the criterion",
        "decision guard band: w = 1 U = 7.5 kPa; U from the registry",
        "decision minimum probability of conformity: w = ",
        "accepts  at most 5 kPa/min",
        "accepts  120 +- 1 Cel",
        "accepts  93 to 98 %",
        "decision simple acceptance, equality with a limit passes",
        "data     values marked bad: left out",
    ):
        assert line in asked.output, asked.output


def test_a_registry_file_that_is_no_text_is_told(tmp_path: Path) -> None:  # V-8
    registry = tmp_path / "registry.yaml"
    registry.write_text("lines: []", encoding="utf-16")
    asked = CliRunner().invoke(criteria, ["check", FILE, "--line", "te1", "--registry", str(registry)])
    assert (asked.exit_code, "UTF-8" in asked.output) == (1, True)


def test_a_text_that_cannot_be_read_is_told_with_line_and_column(tmp_path: Path) -> None:  # V-8
    file = tmp_path / "set.txt"
    file.write_text('criteria set version 1 "a" / "甲"\nphase p "a" "甲"', encoding="utf-8")
    asked = CliRunner().invoke(criteria, ["check", str(file), "--line", "te1", "--registry", REGISTRY])
    assert "line 2, column 13: criteria_syntax: " in asked.output


@pytest.mark.parametrize("form", ["text", "yaml", "json"])
def test_convert_keeps_every_character(form: str, tmp_path: Path) -> None:  # V-5
    whole = load_criteria(Path(FILE).read_bytes())
    odd = whole.model_copy(update={"title": whole.title.model_copy(update={"en": "a\x85b\u2028c\r\n\td 1e3"})})
    file = tmp_path / "set.json"
    file.write_text(odd.model_dump_json(), encoding="utf-8")
    asked = CliRunner().invoke(criteria, ["convert", str(file), "--to", form])
    assert load_criteria(asked.stdout_bytes).digest() == odd.digest()
