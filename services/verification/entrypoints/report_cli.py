"""`pilotline reports …`: through the API; only keys are made and used here, on the machine of the person who signs."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx

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
from services.verification.entrypoints.key_files import read_private_key, write_private_key
from shared.kernel.errors import Problem

_T = TypeVar("_T")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_api = click.option(
    "--api",
    envvar="PILOTLINE_API",
    default="http://127.0.0.1:8401",
    show_default=True,
    help="address of the verification api",
)
_key = click.option("--key", envvar="PILOTLINE_KEY", required=True, help="API key; default $PILOTLINE_KEY")
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
@_api
@_key
def apply_profile(file: Path, api: str, key: str) -> None:
    """Use FILE (YAML) for reports drafted from now on; docs/reports.md shows every field."""
    wanted = _explaining(lambda: load_profile(file.read_bytes()))
    made = _ask(api, key, "PUT", "/profiles", json=wanted.model_dump(mode="json"))
    click.echo(f"profile of {made['platform']}: version {made['version']}, digest {made['digest']}")


@profile.command("show")
@_platform
@_api
@_key
def show_profile(platform: str, api: str, key: str) -> None:
    """Print the profile in force."""
    _print(_ask(api, key, "GET", f"/profiles/{platform}"))


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
@_api
@_key
def create_key(person: str, name: str, roles: tuple[str, ...], file: Path | None, encrypt: bool, platform: str, api: str,
               key: str) -> None:  # fmt: skip
    """Make a key for PERSON: the private half into a file that only its owner reads, the public half registered."""
    passphrase = click.prompt("passphrase", hide_input=True, confirmation_prompt=True) if encrypt else None
    path = file or Path(f"{person}.key.pem")
    private = _explaining(lambda: write_private_key(path, passphrase))
    body = {
        "platform": platform,
        "person": person,
        "name": name,
        "public_key": public_key_of(private),
        "roles": list(roles),
    }
    try:
        made = _ask(api, key, "POST", "/keys", json=body)
    except click.ClickException:
        path.unlink()
        raise
    click.echo(f"{path}: private key of {person}, keep it\nregistered: {made['fingerprint']}")


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="for `pilotline verify --keys`")
@_platform
@_api
@_key
def list_keys(as_json: bool, platform: str, api: str, key: str) -> None:
    """The platform's public keys, revoked ones too."""
    found = _ask(api, key, "GET", f"/keys/{platform}")
    if as_json:
        _print(found)
        return
    for item in found["items"]:
        state = f"revoked {item['revoked_at']}" if item["revoked_at"] else ", ".join(item["roles"])
        click.echo(f"{item['fingerprint']}  {item['person']}  {item['name']}  {state}")


@keys.command("revoke")
@click.argument("fingerprint")
@_platform
@_api
@_key
def revoke_key(fingerprint: str, platform: str, api: str, key: str) -> None:
    """Let nobody sign with it any more; what it has signed until now stays valid."""
    click.echo(f"revoked {_ask(api, key, 'POST', f'/keys/{platform}/{fingerprint}/revoke')['revoked_at']}")


@reports.command("draft")
@click.argument("run")
@click.option("--particulars", "file", required=True, type=_file, help="item, customer's contact, sampling, … (YAML)")
@click.option("--type", "kind", default="verification", show_default=True, help="one of the profile's report types")
@_api
@_key
def draft(run: str, file: Path, kind: str, api: str, key: str) -> None:
    """Write a numbered draft of RUN. The run is judged again from its stored frames first."""
    wanted = _explaining(lambda: load_particulars(file.read_bytes()))
    body = {"run": run, "type": kind, "particulars": wanted.model_dump(mode="json")}
    _say(_ask(api, key, "POST", "", json=body))


@reports.command("list")
@click.option("--run", "of_run", help="only of this run")
@_api
@_key
def list_(of_run: str | None, api: str, key: str) -> None:
    """Reports with their state, newest first."""
    after: str | None = None
    while True:
        wanted = {name: value for name, value in (("run", of_run), ("after", after)) if value}
        page = _ask(api, key, "GET", "", params=wanted)
        for item in page["items"]:
            _say(item)
        after = page["next"]
        if after is None:
            return


@reports.command("show")
@_report
@click.option("--json", "as_json", is_flag=True, help="the whole document")
@_api
@_key
def show(report: str, as_json: bool, api: str, key: str) -> None:
    """State, verdict, clauses and signatures of REPORT."""
    found = _ask(api, key, "GET", f"/{_path(api, key, report)}")
    if as_json:
        _print(found)
        return
    _say(found)
    _summary(found)


@reports.command("sign")
@_report
@click.option("--file", "file", required=True, type=_file, help="your private key")
@click.option("--yes", is_flag=True, help="do not ask")
@_api
@_key
def sign(report: str, file: Path, yes: bool, api: str, key: str) -> None:
    """Sign REPORT in the next role of its policy, here: the private key is not sent."""
    path = _path(api, key, report)
    found = _ask(api, key, "GET", f"/{path}")
    if found["next_role"] is None:
        raise click.ClickException(f"{found['number']} takes no signature: it is {found['state']} or fully signed")
    digest = document_digest(found["document"])
    if digest != found["digest"]:
        raise click.ClickException(
            f"the server says digest {found['digest']}, the document has {digest}; do not sign it"
        )
    private = _explaining(lambda: read_private_key(file, _passphrase))
    own = public_key_of(private)
    registered = _ask(api, key, "GET", f"/keys/{found['platform']}")["items"]
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
    made = _explaining(
        lambda: signed(
            private,
            next_statement(
                digest, found["document"]["signatures"], chain, mine, found["next_role"], time.time_ns() // 1000
            ),
        )
    )
    _say(_ask(api, key, "POST", f"/{path}/signatures", json={"signature": made.document()}))


@reports.command("issue")
@_report
@_api
@_key
def issue(report: str, api: str, key: str) -> None:
    """Issue REPORT once it is fully signed; nothing changes afterwards."""
    _say(_ask(api, key, "POST", f"/{_path(api, key, report)}/issue"))


@reports.command("void")
@_report
@click.option("--reason", required=True)
@_api
@_key
def void(report: str, reason: str, api: str, key: str) -> None:
    """Give up a draft. Its number stays taken, with the reason."""
    _say(_ask(api, key, "POST", f"/{_path(api, key, report)}/void", json={"reason": reason}))


@reports.command("amend")
@_report
@click.option("--reason", required=True, help="why the issued report is replaced; printed on the new one")
@click.option("--particulars", "file", type=_file, help="default: those of the replaced report")
@_api
@_key
def amend(report: str, reason: str, file: Path | None, api: str, key: str) -> None:
    """Draft a report that replaces the issued REPORT."""
    facts = None if file is None else _explaining(lambda: load_particulars(file.read_bytes())).model_dump(mode="json")
    _say(
        _ask(api, key, "POST", f"/{_path(api, key, report)}/amendments", json={"reason": reason, "particulars": facts})
    )


@reports.command("pack")
@_report
@_output
@_api
@_key
def pack(report: str, output: Path | None, api: str, key: str) -> None:
    """Save the evidence pack of REPORT; `pilotline verify` computes it again."""
    _save(api, key, report, "pack", "zip", output)


@reports.command("pdf")
@_report
@_language
@_output
@_api
@_key
def pdf(report: str, lang: str, output: Path | None, api: str, key: str) -> None:
    """Save REPORT as PDF/A."""
    _save(api, key, report, "pdf", "pdf", output, lang=lang)


@reports.command("html")
@_report
@_language
@_output
@_api
@_key
def html(report: str, lang: str, output: Path | None, api: str, key: str) -> None:
    """Save REPORT as one HTML file."""
    _save(api, key, report, "html", "html", output, lang=lang)


def _save(api: str, key: str, report: str, what: str, ending: str, output: Path | None, **query: str) -> None:
    path = _path(api, key, report)
    target = output or Path(f"{path.split('/')[1]}{''.join(f'.{value}' for value in query.values())}.{ending}")
    address, headers = f"{api}/v1/reports/{path}/{what}", {"authorization": f"Bearer {key}"}
    part = target.with_name(target.name + ".part")
    try:
        with httpx.stream(
            "GET", address, headers=headers, params=query, timeout=httpx.Timeout(600, connect=10)
        ) as answer:
            if not answer.is_success:
                answer.read()
                raise _refused(answer)
            with part.open("wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
    except httpx.HTTPError as error:
        raise _silent(api, error) from error
    part.replace(target)
    click.echo(str(target))


def _path(api: str, key: str, report: str) -> str:
    """`<platform>/<number>` of what a person typed."""
    if "/" in report:
        return report
    found = _ask(api, key, "GET", "", params={"number": report})["items"]
    if len(found) != 1:
        these = ", ".join(item["report"] for item in found)
        raise click.ClickException(
            f"several platforms have {report}; write one of {these}" if found else f"there is no report {report}"
        )
    return str(found[0]["report"])


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


def _explaining(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except Problem as problem:
        where = f"{problem.field}: " if problem.field else ""
        remedy = f"; {problem.remedy}" if problem.remedy else ""
        raise click.ClickException(f"{where}{problem.code}: {problem.detail}{remedy}") from problem


def _ask(api: str, key: str, method: str, path: str, **facts: Any) -> Any:
    try:
        answer = httpx.request(
            method, f"{api}/v1/reports{path}", headers={"authorization": f"Bearer {key}"}, timeout=600, **facts
        )
    except httpx.HTTPError as error:
        raise _silent(api, error) from error
    if answer.is_success:
        return answer.json()
    raise _refused(answer)


def _refused(answer: httpx.Response) -> click.ClickException:
    problem = answer.json()
    remedy = f"; {problem['remedy']}" if problem.get("remedy") else ""
    return click.ClickException(f"{problem['code']}: {problem['detail']}{remedy}")


def _silent(api: str, error: Exception) -> click.ClickException:
    return click.ClickException(f"{api} does not answer: {error}; `pilotline status` says what runs")
