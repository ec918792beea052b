"""How `data/tennessee-eastman.csv.gz` was made from the source's text files; run again, it writes the same bytes.

    python -m deploy.demo.convert FOLDER

FOLDER holds d00_te.dat … d10_te.dat (960 lines of 52 numbers). Each number is written as the shortest text that reads back to the same
binary64, so the copy holds exactly the source's values.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import click
import numpy as np

from deploy.demo.tennessee import COLUMNS, DATA, ROWS, RUNS


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def convert(folder: Path) -> None:
    """Write the project's copy of the recorded runs from the source files in FOLDER."""
    text = io.StringIO()
    text.write("run,row," + ",".join(COLUMNS) + "\n")
    for run in RUNS:
        table = np.loadtxt(folder / f"{run}_te.dat")
        if table.shape != (ROWS, len(COLUMNS)):
            raise click.ClickException(f"{run}_te.dat has shape {table.shape}, not {(ROWS, len(COLUMNS))}")
        for row, values in enumerate(table):
            text.write(f"{run},{row}," + ",".join(_shortest(value) for value in values) + "\n")
    DATA.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))


def _shortest(value: np.float64) -> str:
    return repr(float(value)).removesuffix(".0")


if __name__ == "__main__":
    convert()
