"""`pilotline reports …`: through the API; only keys are made and used here, on the machine of the person who signs."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path
from typing import Any

import click

from services.verification.domain.reports.document import document_digest
from services.verification.domain.reports.profile import load_particulars, load_profile
from services.verification.domain.reports.signatures import (
    PublicKey,
    Role,
    Signature,
    next_statement,
    public_key_of,
)
from services.verification.domain.reports.signatures import sign as signed
from services.verification.entrypoints.asking import api_option, ask, explaining, key_option, save
from services.verification.entrypoints.key_files import read_private_key, write_private_key

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_platform = click.option("--platform", required=True, help="whose reports are meant")
_report = click.argument("report")
_output = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="default: the report's number"
)
_language = click.option("--lang", type=click.Choice(["en", "zh"]), default="zh", show_default=True)


@click.group("reports")
def reports() -> None:
    """Verification reports and their evidence. REPORT is `<platform>/<number>`, or a number that only one platform has."""


@reports.group("profile")
def profile() -> None:
    """What a platform says of itself on its reports."""


@profile.command("apply")
@click.argument("file", type=_file)
@api_option
@key_option
def apply_profile(file: Path, api: str, key: str) -> None:
    """Use FILE (YAML) for reports drafted from now on; docs/reports.md shows every field."""
    wanted = explaining(lambda: load_profile(file.read_bytes()))
    made = _ask(api, key, "PUT", "profiles", json=wanted.model_dump(mode="json"))
    click.echo(f"profile of {made['platform']}: version {made['version']}, digest {made['digest']}")


@profile.command("show")
@_platform
@api_option
@key_option
def show_profile(platform: str, api: str, key: str) -> None:
    """Print the profile in force."""
    _print(_ask(api, key, "GET", "profiles", platform))


@reports.group("keys")
def keys() -> None:
    """People's signing keys. The private half stays in its file; only the public half is sent."""


@keys.command("create")
@click.argument("person")
@click.option("--name", required=True, help="as printed on the report")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice([str(role) for role in Role]))
@click.option("--file", "file", type=click.Path(dir_okay=False, path_type=Path), help="default: PERSON.key.pem")
@click.option("--encrypt", is_flag=True, help="ask for a passphrase, and need it at every signature")
@_platform
@api_option
@key_option
def create_key(person: str, name: str, roles: tuple[str, ...], file: Path | None, encrypt: bool, platform: str, api: str,
               key: str) -> None:  # fmt: skip
    """Make a key for PERSON: the private half into a file that only its owner reads, the public half registered."""
    passphrase = click.prompt("passphrase", hide_input=True, confirmation_prompt=True) if encrypt else None
    path = file or Path(f"{person}.key.pem")
    private = explaining(lambda: write_private_key(path, passphrase))
    body = {
        "platform": platform,
        "person": person,
        "name": name,
        "public_key": public_key_of(private),
        "roles": list(roles),
    }
    try:
        made = _ask(api, key, "POST", "keys", json=body)
    except click.ClickException:
        path.unlink()
        raise
    click.echo(f"{path}: private key of {person}, keep it\nregistered: {made['fingerprint']}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="for `pilotline verify --keys`")
@_platform
@api_option
@key_option
def list_keys(as_json: bool, platform: str, api: str, key: str) -> None:
    """The platform's public keys, revoked ones too."""
    found = _ask(api, key, "GET", "keys", platform)
    if as_json:
        _print(found)
        return
    for item in found["items"]:
        state = f"revoked {item['revoked_at']}" if item["revoked_at"] else ", ".join(item["roles"])
        click.echo(f"{item['fingerprint']}  {item['person']}  {item['name']}  {state}")


@keys.command("revoke")
@click.argument("fingerprint")
@_platform
@api_option
@key_option
def revoke_key(fingerprint: str, platform: str, api: str, key: str) -> None:
    """Let nobody sign with it any more; what it has signed until now stays valid."""
    made = _ask(api, key, "POST", "keys", platform, fingerprint, "revoke")
    click.echo(f"revoked {made['revoked_at']}")


@reports.command("draft")
@click.argument("run")
@click.option("--particulars", "file", required=True, type=_file, help="item, customer's contact, sampling, … (YAML)")
@click.option("--type", "kind", default="verification", show_default=True, help="one of the profile's report types")
@api_option
@key_option
def draft(run: str, file: Path, kind: str, api: str, key: str) -> None:
    """Write a numbered draft of RUN. The run is judged again from its stored frames first."""
    wanted = explaining(lambda: load_particulars(file.read_bytes()))
    body = {"run": run, "type": kind, "particulars": wanted.model_dump(mode="json")}
    _say(_ask(api, key, "POST", json=body))


@reports.command("list")
@click.option("--run", "of_run", help="only of this run")
@api_option
@key_option
def list_(of_run: str | None, api: str, key: str) -> None:
    """Reports with their state, newest first."""
    after: str | None = None
    while True:
        wanted = {name: value for name, value in (("run", of_run), ("after", after)) if value}
        page = _ask(api, key, "GET", params=wanted)
        for item in page["items"]:
            _say(item)
        after = page["next"]
        if after is None:
            return


@reports.command("show")
@_report
@click.option("--json", "as_json", is_flag=True, help="the whole document")
@api_option
@key_option
def show(report: str, as_json: bool, api: str, key: str) -> None:
    """State, verdict, clauses and signatures of REPORT."""
    found = _ask(api, key, "GET", *_path(api, key, report))
    if as_json:
        _print(found)
        return
    _say(found)
    _summary(found)


@reports.command("sign")
@_report
@click.option("--file", "file", required=True, type=_file, help="your private key")
@click.option("--yes", is_flag=True, help="do not ask")
@api_option
@key_option
def sign(report: str, file: Path, yes: bool, api: str, key: str) -> None:
    """Sign REPORT in the next role of its policy, here: the private key is not sent."""
    path = _path(api, key, report)
    found = _ask(api, key, "GET", *path)
    if found["next_role"] is None:
        raise click.ClickException(f"{found['number']} takes no signature: it is {found['state']} or fully signed")
    digest = document_digest(found["document"])
    if digest != found["digest"]:
        raise click.ClickException(
            f"the server says digest {found['digest']}, the document has {digest}; do not sign it"
        )
    private = explaining(lambda: read_private_key(file, _passphrase))
    own = public_key_of(private)
    registered = _ask(api, key, "GET", "keys", found["platform"])["items"]
    mine = next(
        (
            PublicKey.of({name: item[name] for name in PublicKey.FIELDS})
            for item in registered
            if item["public_key"] == own
        ),
        None,
    )
    if mine is None:
        raise click.ClickException(
            f"the key in {file} is not registered on {found['platform']}; `pilotline reports keys create`"
        )
    _say(found)
    _summary(found)
    if not yes:
        click.confirm(f"sign as {found['next_role']}: {mine.name}?", abort=True)
    chain = [Signature.of(item) for item in found["signatures"]]
    made = explaining(
        lambda: signed(
            private,
            next_statement(
                digest, found["document"]["signatures"], chain, mine, found["next_role"], time.time_ns() // 1000
            ),
        )
    )
    _say(_ask(api, key, "POST", *path, "signatures", json={"signature": made.document()}))


@reports.command("issue")
@_report
@api_option
@key_option
def issue(report: str, api: str, key: str) -> None:
    """Issue REPORT once it is fully signed; nothing changes afterwards."""
    _say(_ask(api, key, "POST", *_path(api, key, report), "issue"))


@reports.command("void")
@_report
@click.option("--reason", required=True)
@api_option
@key_option
def void(report: str, reason: str, api: str, key: str) -> None:
    """Give up a draft. Its number stays taken, with the reason."""
    _say(_ask(api, key, "POST", *_path(api, key, report), "void", json={"reason": reason}))


@reports.command("amend")
@_report
@click.option("--reason", required=True, help="why the issued report is replaced; printed on the new one")
@click.option("--particulars", "file", type=_file, help="default: those of the replaced report")
@api_option
@key_option
def amend(report: str, reason: str, file: Path | None, api: str, key: str) -> None:
    """Draft a report that replaces the issued REPORT."""
    facts = None if file is None else explaining(lambda: load_particulars(file.read_bytes())).model_dump(mode="json")
    _say(_ask(api, key, "POST", *_path(api, key, report), "amendments", json={"reason": reason, "particulars": facts}))


@reports.command("pack")
@_report
@_output
@api_option
@key_option
def pack(report: str, output: Path | None, api: str, key: str) -> None:
    """Save the evidence pack of REPORT; `pilotline verify` computes it again."""
    _save(api, key, report, "pack", "zip", output)


@reports.command("pdf")
@_report
@_language
@_output
@api_option
@key_option
def pdf(report: str, lang: str, output: Path | None, api: str, key: str) -> None:
    """Save REPORT as PDF/A."""
    _save(api, key, report, "pdf", "pdf", output, lang=lang)


@reports.command("html")
@_report
@_language
@_output
@api_option
@key_option
def html(report: str, lang: str, output: Path | None, api: str, key: str) -> None:
    """Save REPORT as one HTML file."""
    _save(api, key, report, "html", "html", output, lang=lang)


def _save(api: str, key: str, report: str, what: str, ending: str, output: Path | None, **query: str) -> None:
    path = _path(api, key, report)
    target = output or Path(f"{path[1]}{''.join(f'.{value}' for value in query.values())}.{ending}")
    save(api, key, target, "reports", *path, what, **query)
    click.echo(str(target))


def _path(api: str, key: str, report: str) -> tuple[str, str]:
    """Platform and number of what a person typed."""
    if "/" in report:
        platform, _, number = report.partition("/")
        return platform, number
    found = _ask(api, key, "GET", params={"number": report})["items"]
    if len(found) != 1:
        these = ", ".join(item["report"] for item in found)
        raise click.ClickException(
            f"several platforms have {report}; write one of {these}" if found else f"there is no report {report}"
        )
    platform, _, number = str(found[0]["report"]).partition("/")
    return platform, number


def _say(item: dict[str, Any]) -> None:
    replaces = f", replaces {item['replaces']}" if item["replaces"] else ""
    replaced = f", replaced by {item['replaced_by']}" if item["replaced_by"] else ""
    click.echo(f"{item['report']}  {item['state']}{replaces}{replaced}, {item['signed']} signatures, run {item['run']}")


def _summary(found: dict[str, Any]) -> None:
    document = found["document"]
    click.echo(f"verdict  {document['verdict']}")
    for clause in document["clauses"]:
        click.echo(f"clause   {clause['clause']}: {clause['state'].replace('_', ' ')}")
    click.echo(f"digest   {found['digest']}")
    for item in found["signatures"]:
        click.echo(f"signed   {item['position']} {item['role']}: {item['name']}")


def _passphrase() -> str:
    return os.environ.get("PILOTLINE_KEY_PASSPHRASE") or getpass.getpass("passphrase of the key: ")


def _print(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _ask(api: str, key: str, method: str, *path: str, **facts: Any) -> Any:
    """A draft judges the whole run again before it is answered."""
    return ask(api, key, method, "reports", *path, timeout=600, **facts)
