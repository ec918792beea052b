"""State models, tariffs and vouchers over HTTP: checked, published once, never changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from services.billing.adapters import payers
from services.billing.adapters.state_models import (
    PublishedModel,
    check_state_model,
    list_state_models,
    publish_state_model,
    read_state_model,
)
from services.billing.adapters.tariffs import (
    PublishedTariff,
    list_tariffs,
    publish_tariff,
    read_tariff,
    require_platform,
)
from services.billing.domain.tariff_file import load_tariff
from services.billing.entrypoints.asking import (
    NO_NUL,
    Accountant,
    Place,
    Reader,
    Text,
    Version,
    money,
    office,
    plain,
    reach,
    whole_platform,
)
from shared.http.fields import Day
from shared.http.keys import check_scope
from shared.kernel.errors import Malformed

router = APIRouter(prefix="/v1", tags=["rules"])
Platform = Annotated[str, Query(min_length=1, max_length=80, pattern=NO_NUL)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Amount = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=2, allow_inf_nan=False)]


class VoucherBody(BaseModel):
    """A voucher as it is sent. Numbers are text, because JSON numbers are not decimals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    platform: Identifier
    id: Identifier
    customer: Identifier
    scheme: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    kind: Literal["voucher", "district_subsidy", "programme", "platform"]
    priority: int = Field(default=1, ge=1, le=1000)
    percent: Annotated[Decimal, Field(gt=0, le=100, max_digits=7, decimal_places=4, allow_inf_nan=False)]
    cap: Amount | None = None
    service_codes: tuple[Identifier, ...] = Field(default=(), max_length=100)
    valid_from: Day
    valid_to: Day | None = None

    def voucher(self) -> payers.Voucher:
        facts = self.model_dump(exclude={"platform"})
        return payers.Voucher(**facts)


@router.post("/state-models")
async def publish_model(request: Request, caller: Accountant, dry_run: bool = False) -> dict[str, Any]:
    """The body is YAML. The same text again changes nothing; `dry_run` only checks."""
    text = await _text(request)
    desk = office(request)
    registry = await desk.registry.refresh()
    model = check_state_model(text, registry)
    line = registry.lines[model.line]
    check_scope(caller, platform=line.platform, line=line.id, field="line")
    published = False
    if not dry_run:
        async with desk.pool.connection() as connection:
            model, published = await publish_state_model(connection, text, registry, by=caller.label)
    return {
        "line": model.line,
        "id": model.id,
        "version": model.version,
        "digest": model.digest,
        "published": published,
    }


@router.get("/state-models")
async def models(request: Request, caller: Reader, line: Text = None) -> dict[str, Any]:
    seen = reach(caller, None, line)
    async with office(request).pool.connection() as connection:
        found = await list_state_models(connection, line=seen.line)
    registry = await office(request).registry.current()
    inside = [model for model in found if seen.platform is None or registry.lines[model.line].platform == seen.platform]
    return {"items": [_model(model) for model in inside], "next": None}


@router.get("/state-models/{line}/{version}")
async def model(request: Request, caller: Reader, line: Place, version: Version) -> dict[str, Any]:
    seen = reach(caller, None, line)
    registry = await office(request).registry.current()
    if line in registry.lines:
        reach(caller, registry.lines[line].platform, seen.line)
    async with office(request).pool.connection() as connection:
        found = await read_state_model(connection, line, version)
    return _model(found) | {"source": found.source, "streams": dict(found.streams)}


@router.post("/tariffs")
async def publish(request: Request, caller: Accountant, platform: Platform, dry_run: bool = False) -> dict[str, Any]:
    """The body is YAML. The same text again changes nothing; `dry_run` only checks."""
    whole_platform(caller, platform)
    text = await _text(request)
    async with office(request).pool.connection() as connection:
        if dry_run:
            await require_platform(connection, platform)
            tariff, published = load_tariff(text), False
        else:
            tariff, published = await publish_tariff(connection, platform, text, by=caller.label)
    return {
        "platform": platform,
        "id": tariff.id,
        "version": tariff.version,
        "digest": tariff.digest,
        "published": published,
    }


@router.get("/tariffs")
async def tariffs(request: Request, caller: Reader, platform: Text = None) -> dict[str, Any]:
    async with office(request).pool.connection() as connection:
        found = await list_tariffs(connection, reach(caller, platform).platform)
    return {"items": [_tariff(tariff) for tariff in found], "next": None}


@router.get("/tariffs/{tariff_id}/{version}")
async def tariff(
    request: Request, caller: Reader, platform: Platform, tariff_id: Place, version: Version
) -> dict[str, Any]:
    reach(caller, platform)
    async with office(request).pool.connection() as connection:
        found = await read_tariff(connection, platform, tariff_id, version)
    return _tariff(found) | {"source": found.source}


@router.post("/vouchers")
async def add_voucher(request: Request, caller: Accountant, body: VoucherBody) -> dict[str, Any]:
    whole_platform(caller, body.platform)
    voucher = body.voucher()
    async with office(request).pool.connection() as connection:
        await require_platform(connection, body.platform)
        added = await payers.add_voucher(connection, body.platform, voucher)
        used = await payers.consumed(connection, body.platform, [voucher.id])
    return _voucher(body.platform, voucher, used.get(voucher.id, Decimal(0))) | {"added": added}


@router.get("/vouchers")
async def vouchers(request: Request, caller: Reader, platform: Platform, customer: Text = None) -> dict[str, Any]:
    """With what is consumed and left of each."""
    reach(caller, platform)
    async with office(request).pool.connection() as connection:
        found = await payers.list_vouchers(connection, platform, customer=customer)
        used = await payers.consumed(connection, platform, [voucher.id for voucher in found])
    return {
        "items": [_voucher(platform, voucher, used.get(voucher.id, Decimal(0))) for voucher in found],
        "next": None,
    }


async def _text(request: Request) -> str:
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise Malformed("text_malformed", "the body is not UTF-8", field="body", remedy="send YAML in UTF-8") from error


def _model(found: PublishedModel) -> dict[str, Any]:
    return plain(
        {
            "line": found.line,
            "id": found.model_id,
            "version": found.version,
            "digest": found.digest,
            "published_at": found.published_at,
            "published_by": found.published_by,
        }
    )


def _tariff(found: PublishedTariff) -> dict[str, Any]:
    return plain(
        {
            "platform": found.platform,
            "id": found.id,
            "version": found.version,
            "digest": found.digest,
            "currency": found.currency,
            "effective_from": found.effective_from,
            "effective_to": found.effective_to,
            "published_at": found.published_at,
            "published_by": found.published_by,
        }
    )


def _voucher(platform: str, voucher: payers.Voucher, used: Decimal) -> dict[str, Any]:
    return plain(
        {
            "platform": platform,
            "id": voucher.id,
            "customer": voucher.customer,
            "scheme": voucher.scheme,
            "kind": voucher.kind,
            "priority": voucher.priority,
            "percent": voucher.percent,
            "cap": None if voucher.cap is None else money(voucher.cap),
            "service_codes": list(voucher.service_codes),
            "valid_from": voucher.valid_from,
            "valid_to": voucher.valid_to,
            "consumed": money(used),
            "left": None if voucher.cap is None else money(voucher.cap - used),
        }
    )
