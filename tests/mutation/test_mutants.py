"""The mutants still fit the evaluator, every part of it has one, and each is noticed by the test that it names."""

from __future__ import annotations

import re

import pytest

from tests.mutation.mutants import MUTANTS, MisfitError, Mutant
from tests.mutation.trials import ROOT, Ending, tried

DOMAIN = ROOT / "services" / "verification" / "domain"
WITHOUT_OPERATORS = {"__init__", "compiled", "lanes", "registry"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_its_file_and_can_be_compiled(mutant: Mutant) -> None:
    changed = mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8"))
    compile(changed, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_that_a_mutant_names_exists(mutant: Mutant) -> None:
    node = re.fullmatch(r"(?P<file>tests/(?:unit|property)/\S+\.py)::(?P<function>\w+)(?:\[.*])?", mutant.test)
    assert node is not None
    assert f"def {node['function']}(" in (ROOT / node["file"]).read_text(encoding="utf-8")


def test_every_part_of_the_evaluator_has_a_mutant() -> None:
    parts = [path for path in (DOMAIN / "kinds").glob("*.py") if path.stem not in WITHOUT_OPERATORS]
    parts += [
        DOMAIN / f"{name}.py"
        for name in ("signals", "merging", "conditions", "groups", "arrivals", "evaluator", "rebuilding")
    ]
    assert {path.relative_to(ROOT).as_posix() for path in parts} == {mutant.file for mutant in MUTANTS}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("text", ["a < b; c < d", "a > b"])
def test_a_mutant_that_does_not_fit_says_so(text: str) -> None:
    with pytest.raises(MisfitError, match="mutant open does not fit its file any more"):
        Mutant("open", "a.py", " < ", " <= ", "tests/unit/test_a.py::test_a").applied(text)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_mutant_is_noticed() -> None:  # V-26
    assert not [(found.mutant.name, found.ending) for found in tried(MUTANTS, 1) if found.ending is not Ending.KILLED]
