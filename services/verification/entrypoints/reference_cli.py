"""`pilotline criteria reference`: the reference of an envelope, made from stored runs."""

from __future__ import annotations

import asyncio
import json
import re

import click
import yaml

from services.verification.adapters.references import References
from services.verification.domain.criteria.earlier import Reference
from services.verification.domain.criteria.parts import Quantity
from services.verification.domain.criteria.writing import record_text
from services.verification.domain.references import reference_of
from services.verification.domain.signals import convert
from shared.kernel.errors import Problem
from shared.storage.pool import build_pool

_DIGITS = 9
"""Significant digits of what is printed: more than any instrument has, and a file that people can read."""


@click.command("reference")
@click.option("--runs", required=True, help="ids of the runs of the family, separated by commas; their phase has ended")
@click.option("--channel", required=True, help="<stream>.<channel>")
@click.option("--phase", required=True, help="the phase that the envelope will judge")
@click.option("--step", required=True, help="time from point to point, as `10 s` or `1 min`")
@click.option("--least", type=click.IntRange(min=2), help="runs that a point needs; default: all of them")
@click.option("--to", "form", type=click.Choice(["yaml", "json", "text"]), default="yaml", show_default=True)
@click.option("--database-url", envvar="PILOTLINE_DATABASE_URL", required=True, help="default $PILOTLINE_DATABASE_URL")
def reference(runs: str, channel: str, phase: str, step: str, least: int | None, form: str, database_url: str) -> None:
    """Print mean and standard deviation of CHANNEL over a family of runs, point by point from the phase's start on.

    It goes into the field `reference` of an envelope. It ends where fewer than --least runs go on.
    """
    names = tuple(dict.fromkeys(name.strip() for name in runs.split(",") if name.strip()))
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(\S+)\s*", step)
    if found is None:
        raise click.BadParameter("give a number and a unit of time, as `10 s`", param_hint="--step")
    apart = Quantity(value=float(found[1]), unit=found[2])
    try:
        made, thinnest = asyncio.run(_made(database_url, names, channel, phase, apart, least or len(names)))
    except Problem as problem:
        remedy = f"; {problem.remedy}" if problem.remedy else ""
        where = f"{problem.field}: " if problem.field else ""
        raise click.ClickException(f"{where}{problem.code}: {problem.detail}{remedy}") from problem
    document = made.model_dump(mode="json")
    if form == "text":
        click.echo(f"reference = {record_text(made)}")
    elif form == "json":
        click.echo(json.dumps({"reference": document}))
    else:
        click.echo(
            yaml.safe_dump({"reference": document}, sort_keys=False, default_flow_style=None, width=140), nl=False
        )
    click.echo(f"{len(made.mean)} points of {thinnest} to {len(names)} runs", err=True)


async def _made(
    database_url: str, runs: tuple[str, ...], channel: str, phase: str, step: Quantity, least: int
) -> tuple[Reference, int]:
    apart = round(convert(step, "us", "step", difference=True))
    if apart < 1:
        raise click.BadParameter("must be at least 1 us", param_hint="--step")
    async with build_pool(database_url, name="pilotline-cli", max_size=1) as pool:
        unit, family = await References(pool).family(runs, channel, phase)
    points = reference_of(family, apart, least)
    made = Reference(
        step=step,
        unit=unit,
        mean=tuple(_rounded(point.mean) for point in points),
        sd=tuple(_rounded(point.sd) for point in points),
        runs=runs,
    )
    return made, min(point.runs for point in points)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
