"""`pilotline verify PACK`: needs no server, no database and no network."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import click

from services.verification.adapters.reports.verifying import Checked, verify_pack
from services.verification.domain.reports.trust import Trust, load_trust
from shared.kernel.errors import Invalid
from shared.kernel.times import to_rfc3339

FITS, CONTRADICTS, UNABLE = 0, 1, 2
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("verify")
@click.argument("pack", type=_file)
@click.option(
    "--keys",
    "key_file",
    type=_file,
    help="the platform's public keys and who has to sign (`pilotline reports keys list --json`): only they count",
)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="how many findings to print")
@click.option("--quiet", is_flag=True, help="no progress")
def verify(pack: Path, key_file: Path | None, limit: int, quiet: bool) -> None:
    """Compute everything in the evidence pack PACK again and say what does not fit.

    Every byte is compared with the hashes, every frame with its content hash, the run is judged again from the frames, and digest,
    figures and signatures are compared. Not proven by anything: when and where in Kafka a frame arrived, and the date of issue.

    Exit code 0: all fits; 1: something does not; 2: it cannot be verified here.
    """
    trust = None if key_file is None else _trust(key_file)

    def say(text: str) -> None:
        if not quiet:
            click.echo(f"… {text}", err=True)

    if pack.stat().st_size == 0:
        raise _unable(f"{pack} is empty")
    with pack.open("rb") as file:
        # Not closed by hand: arrays of the Parquet reader may hold slices of the map until they are collected.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    checked = verify_pack(memoryview(mapped), trust=trust, say=say)
    _print(checked, limit, brought=trust is not None)
    sys.exit(CONTRADICTS if checked.findings else UNABLE if checked.unable else FITS)


def _print(checked: Checked, limit: int, *, brought: bool) -> None:
    for finding in checked.findings[:limit]:
        click.echo(f"DOES NOT FIT  {finding.text()}")
    if len(checked.findings) > limit:
        click.echo(f"… and {len(checked.findings) - limit} more")
    if checked.number:
        click.echo(f"report    {checked.number}, run {checked.run}, verdict {checked.verdict}")
        issued = (
            "no record of issue"
            if checked.issued_at is None
            else f"{to_rfc3339(checked.issued_at)}, which nobody has signed"
        )
        click.echo(f"issued    {issued}")
        click.echo(f"frames    {checked.frames} with {checked.rows} rows")
        for signer in checked.signers:
            known = {True: "trusted key", False: "NOT a trusted key", None: "key"}[signer.trusted]
            click.echo(f"signature {signer.position} {signer.role}: {signer.name}, {known} {signer.fingerprint}")
    if checked.digest:
        click.echo(f"digest    {checked.digest}, computed from the frames")
    if checked.merkle_root:
        click.echo(f"root      {checked.merkle_root} over the pack's members")
    if checked.unable:
        click.echo(f"not computed: {checked.unable}")
    if checked.findings:
        click.echo("does not fit")
    elif checked.unable:
        click.echo("not verified")
    elif brought:
        click.echo("everything fits")
    else:
        click.echo(
            "fits in itself; the keys, and who had to sign, are the pack's own word: compare the fingerprints with the platform's, or give "
            "--keys"
        )


def _trust(file: Path) -> Trust:
    try:
        return load_trust(file.read_bytes())
    except Invalid as problem:
        raise _unable(f"{file}: {problem.detail}; {problem.remedy}") from problem


def _unable(text: str) -> click.ClickException:
    problem = click.ClickException(text)
    problem.exit_code = UNABLE
    return problem
