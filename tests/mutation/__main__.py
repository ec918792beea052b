"""Breaks each operator of the evaluator on purpose and shows that a test fails (V-26).

python -m tests.mutation [--only NAME] … [--jobs N]
"""

from __future__ import annotations

import sys
import time

import click

from tests.mutation.mutants import MUTANTS
from tests.mutation.trials import Ending, UnfitTests, tried


@click.command(help="Breaks each operator of the evaluator on purpose and shows that a test fails.")
@click.option("--only", multiple=True, metavar="NAME", help="Try this mutant alone; may be given again.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Mutants tried at a time.")
def main(only: tuple[str, ...], jobs: int) -> None:
    """Exit code 1 when a mutant survives or could not be tried."""
    unknown = set(only) - {mutant.name for mutant in MUTANTS}
    if unknown:
        raise click.BadParameter(f"no mutant is called {', '.join(sorted(unknown))}", param_hint="--only")
    wanted = [mutant for mutant in MUTANTS if not only or mutant.name in only]
    begun = time.monotonic()
    click.echo(f"{len(wanted)} mutants; first the {len({mutant.test for mutant in wanted})} tests on the sound code")
    left = []
    try:
        for number, found in enumerate(tried(wanted, jobs), 1):
            mutant = found.mutant
            click.echo(f"[{number:3}/{len(wanted)}] {found.ending.value:8} {found.seconds:5.1f} s  {mutant.name}")
            if found.ending is not Ending.KILLED:
                left.append(found)
    except UnfitTests as failed:
        raise click.ClickException(f"a named test fails on the sound code:\n{failed}") from failed
    for found in left:
        click.echo(f"\n{found.ending.value}: {found.mutant.name} in {found.mutant.file}, under {found.mutant.test}")
        click.echo(f"- {found.mutant.before}\n+ {found.mutant.after}")
        if found.ending is Ending.ERROR:
            click.echo(found.output)
    click.echo(f"{len(wanted) - len(left)} of {len(wanted)} killed in {time.monotonic() - begun:.0f} s")
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
