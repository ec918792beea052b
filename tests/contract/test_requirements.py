"""The requirements page says the truth: what it calls met or part is cited by the test it names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| (?P<id>[A-Z]-\d+) \| (?P<promise>[^|]+) \| (?P<state>\w+) \| (?P<tests>[^|]*) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")


def rows() -> list[dict[str, str]]:
    return [match.groupdict() for match in ROW.finditer(PAGE)]


def test_every_row_is_read_and_every_id_stands_once() -> None:
    ids = [row["id"] for row in rows()]
    lines = [line for line in PAGE.splitlines() if re.match(r"^\| [A-Z]-\d+ ", line)]
    assert len(ids) == len(lines) > 0
    assert len(set(ids)) == len(ids)
    assert {row["state"] for row in rows()} <= {"met", "part", "later"}


def test_what_is_called_met_is_cited_by_its_test() -> None:
    wrong = []
    for row in rows():
        files = re.findall(r"tests/[\w./-]+", row["tests"])
        if row["state"] == "later":
            if files:
                wrong.append(f"{row['id']} is later but names a test")
            continue
        cited = [name for name in files if (ROOT / name).is_file() and cites(ROOT / name, row["id"])]
        if not files or cited != files:
            wrong.append(f"{row['id']}: {sorted(set(files) - set(cited)) or 'no test named'}")
    assert not wrong, wrong


def cites(file: Path, requirement: str) -> bool:
    return re.search(rf"\b{requirement}\b", file.read_text(encoding="utf-8")) is not None
