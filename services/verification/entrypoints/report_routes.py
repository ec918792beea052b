"""Reports over HTTP: profiles, public keys, drafts, signatures, issue, and what is downloaded of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.verification.adapters.reports.drafting import Reports, report_unknown
from services.verification.adapters.reports.store import Report, ReportStore
from services.verification.bootstrap import Verification, now
from services.verification.domain.reports.profile import Particulars, Profile
from services.verification.domain.reports.signatures import PublicKey, Role, Signature, fingerprint
from services.verification.domain.reports.trust import RegisteredKey
from services.verification.entrypoints.context import Operator, Parts, Reader, reach_run
from services.verification.entrypoints.report_files import html_response, pack_response, pdf_response
from shared.http.keys import check_scope
from shared.kernel.canonical import digest
from shared.kernel.errors import Invalid, NotFound
from shared.kernel.times import to_rfc3339
from shared.storage.api_keys import Caller

router = APIRouter(prefix="/v1/reports", tags=["reports"])
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]

Lang = Literal["en", "zh"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewReport(_Body):
    """A draft of a run. `type` is one of the platform's report types."""

    run: Annotated[str, Field(min_length=1, max_length=200)]
    type: Annotated[str, Field(min_length=1, max_length=40)] = "verification"
    particulars: Particulars


class NewAmendment(_Body):
    """Without `particulars` those of the report it replaces."""

    reason: Reason
    particulars: Particulars | None = None


class NewKey(_Body):
    """A person's Ed25519 public key, 32 bytes in hexadecimal. The private key never leaves the person."""

    platform: Annotated[str, Field(min_length=1, max_length=60)]
    person: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=80)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    public_key: Annotated[str, Field(min_length=64, max_length=64)]
    roles: Annotated[list[Role], Field(min_length=1, max_length=len(Role))]


class Voiding(_Body):
    reason: Reason


class NewSignature(_Body):
    """The statement's fields and the signature over it, as `pilotline reports sign` makes them."""

    signature: dict[str, str | int]


@router.put("/profiles")
async def apply_profile(parts: Parts, caller: Operator, profile: Profile) -> dict[str, Any]:
    """What the platform says of itself on reports drafted from now on."""
    await _platform(parts, caller, profile.platform)
    content = digest(profile.model_dump(mode="json"))
    async with parts.pool.connection() as connection, connection.transaction():
        version = await ReportStore(connection).apply_profile(profile, content, caller.person)
    return {"platform": profile.platform, "version": version, "digest": content}


@router.get("/profiles/{platform}")
async def show_profile(parts: Parts, caller: Reader, platform: str) -> dict[str, Any]:
    """The newest profile of a platform."""
    await _platform(parts, caller, platform)
    async with parts.pool.connection() as connection:
        profile = await ReportStore(connection).profile(platform)
    if profile is None:
        raise NotFound(
            "report_profile_missing", f"the platform {platform} has no profile", field="platform",
            remedy="write one and apply it: `pilotline reports profile apply FILE`",
        )  # fmt: skip
    return profile.model_dump(mode="json")


@router.post("/keys")
async def register_key(parts: Parts, caller: Operator, wanted: NewKey, response: Response) -> dict[str, Any]:
    """A person may sign with it from now on, in the roles named."""
    await _platform(parts, caller, wanted.platform)
    key = PublicKey(wanted.person, wanted.name, wanted.public_key, tuple(sorted(wanted.roles)))
    fingerprint(key.public_key)
    async with parts.pool.connection() as connection, connection.transaction():
        store = ReportStore(connection)
        new = await store.add_key(wanted.platform, key, caller.person)
        known = next(item for item in await store.keys(wanted.platform) if item.key.fingerprint == key.fingerprint)
    if known.key != key or known.revoked_at is not None:
        raise Invalid(
            "report_key_known", "this public key is registered otherwise, or was revoked", field="public_key",
            remedy="make a new key: `pilotline reports keys create`",
        )  # fmt: skip
    response.status_code = 201 if new else 200
    return _key_document(known)


@router.get("/keys/{platform}")
async def keys(parts: Parts, caller: Reader, platform: str) -> dict[str, Any]:
    """What signatures are checked against: every key of the platform, the revoked ones too, and per report type the orders in which the
    platform has ever asked people to sign."""
    await _platform(parts, caller, platform)
    async with parts.pool.connection() as connection:
        store = ReportStore(connection)
        return {
            "items": [_key_document(item) for item in await store.keys(platform)],
            "policies": await store.policies(platform),
        }


@router.post("/keys/{platform}/{key}/revoke")
async def revoke_key(parts: Parts, caller: Operator, platform: str, key: str) -> dict[str, Any]:
    """Nobody signs with it any more; what it has signed until now stays valid."""
    await _platform(parts, caller, platform)
    async with parts.pool.connection() as connection, connection.transaction():
        store = ReportStore(connection)
        if not await store.revoke_key(platform, key, caller.person):
            raise NotFound("signature_key_unknown", "no key in force has this fingerprint", field="key")
        return _key_document(next(item for item in await store.keys(platform) if item.key.fingerprint == key))


@router.post("", status_code=201)
async def draft(parts: Parts, caller: Operator, wanted: NewReport) -> dict[str, Any]:
    """A numbered draft, ready to be signed. Refused over a mismatch, an evaluation that is not final, or an undecided criterion without an
    accepted deviation."""
    await reach_run(parts, caller, wanted.run)
    made = await _reports(parts).draft(
        wanted.run, kind=wanted.type, particulars=wanted.particulars, who=caller.person
    )  # fmt: skip
    return report_document(made)


@router.get("")
async def index(
    parts: Parts,
    caller: Reader,
    run: Annotated[str | None, Query(max_length=200)] = None,
    number: Annotated[str | None, Query(max_length=40)] = None,
    state: Literal["draft", "issued", "void"] | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=120)] = None,
) -> dict[str, Any]:
    """Of a run: oldest first. Else newest first within each platform; `next` is the token of the following page."""
    if run is not None:
        await reach_run(parts, caller, run)
    platform, _, last = (after or "").partition("/")
    async with parts.pool.connection() as connection:
        store = ReportStore(connection)
        found = (
            await store.of_run(run)
            if run is not None
            else await store.listed(
                number=number, state=state, limit=limit + 1, after=(platform, last) if last else None
            )
        )
    more = run is None and len(found) > limit
    shown = found[:limit] if more else found
    within = [report for report in shown if caller.scope.covers(platform=report.platform)]
    return {
        "items": [report_document(report) for report in within],
        "next": f"{shown[-1].platform}/{shown[-1].number}" if more else None,
    }


@router.get("/{platform}/{number}")
async def show(parts: Parts, caller: Reader, platform: str, number: str) -> dict[str, Any]:
    """The report with its document, its signatures so far, and who signs next."""
    report = await reach_report(parts, caller, platform, number)
    async with parts.pool.connection() as connection:
        signatures, _ = await ReportStore(connection).chain(platform, number)
    document = report.tree()
    left = document["signatures"][len(signatures) :] if report.state == "draft" else []
    return {
        **report_document(report),
        "document": document,
        "signatures": [signature.document() for signature in signatures],
        "next_role": left[0] if left else None,
    }


@router.post("/{platform}/{number}/signatures")
async def sign(parts: Parts, caller: Operator, platform: str, number: str, given: NewSignature) -> dict[str, Any]:
    """The next signature of the policy."""
    await reach_report(parts, caller, platform, number)
    return report_document(await _reports(parts).sign(platform, number, Signature.of(given.signature)))


@router.post("/{platform}/{number}/issue")
async def issue(parts: Parts, caller: Operator, platform: str, number: str) -> dict[str, Any]:
    """After the last signature. Nothing changes afterwards."""
    await reach_report(parts, caller, platform, number)
    return report_document(await _reports(parts).issue(platform, number, caller.person))


@router.post("/{platform}/{number}/void")
async def void(parts: Parts, caller: Operator, platform: str, number: str, given: Voiding) -> dict[str, Any]:
    """A draft that will not be issued. Its number stays taken."""
    await reach_report(parts, caller, platform, number)
    return report_document(await _reports(parts).void(platform, number, reason=given.reason, who=caller.person))


@router.post("/{platform}/{number}/amendments", status_code=201)
async def amend(parts: Parts, caller: Operator, platform: str, number: str, given: NewAmendment) -> dict[str, Any]:
    """A draft that replaces an issued report and says why."""
    await reach_report(parts, caller, platform, number)
    made = await _reports(parts).amend(
        platform, number, reason=given.reason, particulars=given.particulars, who=caller.person
    )
    return report_document(made)


@router.get("/{platform}/{number}/pack")
async def download_pack(parts: Parts, caller: Reader, platform: str, number: str) -> FileResponse:
    """The evidence pack; `pilotline verify` computes it again."""
    report = await reach_report(parts, caller, platform, number)
    return await pack_response(parts, report)


@router.get("/{platform}/{number}/pdf")
async def download_pdf(parts: Parts, caller: Reader, platform: str, number: str, lang: Lang = "zh") -> Response:
    """The report on paper, PDF/A."""
    return await pdf_response(parts, await reach_report(parts, caller, platform, number), lang)


@router.get("/{platform}/{number}/html")
async def download_html(parts: Parts, caller: Reader, platform: str, number: str, lang: Lang = "zh") -> Response:
    """The report as one HTML file that loads nothing."""
    return await html_response(parts, await reach_report(parts, caller, platform, number), lang)


async def reach_report(parts: Verification, caller: Caller, platform: str, number: str) -> Report:
    """Raises NotFound(report_unknown), also for a report outside the key's scope."""
    async with parts.pool.connection() as connection:
        report = await ReportStore(connection).find(platform, number)
    if report is None:
        raise report_unknown(platform, number)
    await reach_run(parts, caller, report.run)
    return report


def report_document(report: Report) -> dict[str, Any]:
    """A report without its content."""
    return {
        "report": f"{report.platform}/{report.number}",
        "platform": report.platform,
        "number": report.number,
        "run": report.run,
        "type": report.kind,
        "state": report.state,
        "evaluation": report.evaluation,
        "digest": report.digest,
        "signed": report.signatures,
        "replaces": report.replaces,
        "replaced_by": report.replaced_by,
        "created_by": report.created_by,
        "created_at": to_rfc3339(report.created_at),
        "ended_by": report.ended_by,
        "ended_at": None if report.ended_at is None else to_rfc3339(report.ended_at),
        "void_reason": report.void_reason,
    }


def _key_document(item: RegisteredKey) -> dict[str, Any]:
    return {
        **item.key.document(),
        "registered_at": to_rfc3339(item.registered_at),
        "revoked_at": None if item.revoked_at is None else to_rfc3339(item.revoked_at),
    }


def _reports(parts: Verification) -> Reports:
    return Reports(parts.pool, parts.registry, now)


async def _platform(parts: Verification, caller: Caller, platform: str) -> None:
    """Raises NotFound(platform_unknown) or Forbidden(key_scope)."""
    check_scope(caller, platform=platform, field="platform")
    if platform not in (await parts.registry.current()).platforms:
        raise NotFound(
            "platform_unknown", f"there is no platform {platform}", field="platform", remedy="see `pilotline registry`"
        )
