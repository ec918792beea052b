"""Copies of the repository in which one mutant after another is tried by the test that should notice it.

Kernels are interpreted there: compiling a changed one takes three times as long as judging the examples in Python, and Numba's cache would
go on with the old code where the change lies in another file. That compiled and interpreted code agree to the byte is what
`tests/property/test_verification_kernels.py` shows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutation.mutants import Mutant

ROOT = Path(__file__).parents[2]
COPIED = ("services", "shared", "tests")
SECONDS = 100
"""What one test may take."""

PASSED, FAILED = 0, 1
"""Exit codes of pytest; every other one says that the test did not run."""

PYTEST = ("-m", "pytest", "-q", "-x", "--noconftest", "-p", "tests.mutation.examples", "-p", "no:cacheprovider",
          "-p", "no:xdist", "-W", "ignore::RuntimeWarning")  # fmt: skip
"""Interpreted, NumPy warns of a division by zero or an overflow that compiled code does not speak of."""


class UnfitTests(Exception):
    """A named test does not pass on the unchanged code, so that its failing would show nothing."""


class Ending(Enum):
    KILLED = "killed"
    SURVIVED = "survived"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a mutant; `output` is what pytest said."""

    mutant: Mutant
    ending: Ending
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the repository, whole again after every trial."""

    place: Path

    def tried(self, mutant: Mutant) -> Finding:
        """Raises MisfitError when the mutant's file is no longer what it was."""
        file = self.place / mutant.file
        sound = file.read_text(encoding="utf-8")
        # Bytecode is recognised by whole seconds and length: that of the sound file would hide the change.
        Path(cache_from_source(str(file))).unlink(missing_ok=True)
        file.write_text(mutant.applied(sound), encoding="utf-8")
        begun = time.monotonic()
        try:
            code, output = self.run([mutant.test], PYTHONDONTWRITEBYTECODE="1")
        finally:
            file.write_text(sound, encoding="utf-8")
        return Finding(mutant, ending_of(code), time.monotonic() - begun, output)

    def run(self, tests: Sequence[str], **environment: str) -> tuple[int | None, str]:
        """pytest's exit code, None when the tests did not end in time, and what it said."""
        surroundings = os.environ | {"PYTHONPATH": str(self.place), "NUMBA_DISABLE_JIT": "1"} | environment
        try:
            done = subprocess.run(
                [sys.executable, *PYTEST, *tests],
                cwd=self.place,
                env=surroundings,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS * len(tests),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None, f"no end after {SECONDS * len(tests)} s"
        return done.returncode, done.stdout


def ending_of(code: int | None) -> Ending:
    """Only a test that has run and failed kills; one that could not be collected, or did not end, shows nothing."""
    if code == FAILED:
        return Ending.KILLED
    return Ending.SURVIVED if code == PASSED else Ending.ERROR


def copied(place: Path, source: Path = ROOT) -> Copy:
    """A copy at `place` of what the tests need."""
    for name in COPIED:
        shutil.copytree(source / name, place / name, ignore=None if source != ROOT else _left_out)
    shutil.copy2(source / "pyproject.toml", place)
    return Copy(place)


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("__pycache__", "node_modules")}


def tried(mutants: Sequence[Mutant], jobs: int) -> Iterator[Finding]:
    """Every mutant's finding, in the order given. Raises UnfitTests when a named test fails already without a mutant."""
    with TemporaryDirectory(prefix="pilotline-mutation-") as folder:
        first = copied(Path(folder) / "0")
        code, output = first.run(sorted({mutant.test for mutant in mutants}))
        if code != PASSED:
            raise UnfitTests(output)
        free: SimpleQueue[Copy] = SimpleQueue()
        free.put(first)
        for number in range(1, jobs):
            free.put(copied(Path(folder) / str(number), first.place))

        def trial(mutant: Mutant) -> Finding:
            copy = free.get()
            try:
                return copy.tried(mutant)
            finally:
                free.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(trial, mutants)
