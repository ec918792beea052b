"""From the ledger to final invoices: drafting, vouchers, closing, explaining, verifying, and what must not be possible."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import psycopg
import pytest

from tests.integration.billing.conftest import Plant
from tests.integration.billing.plant import CUSTOMER, OTHER, PLATFORM, TARIFF, query

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

MARCH = {"from": "2026-03-01T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00"}
VOUCHER = {
    "platform": PLATFORM,
    "id": "v-1",
    "customer": CUSTOMER,
    "scheme": "innovation voucher",
    "kind": "voucher",
    "percent": "30",
    "cap": "500.00",
    "service_codes": ["reactor-hours"],
    "valid_from": "2026-01-01",
    "valid_to": "2027-01-01",
}


def wanted(customer: str = CUSTOMER, **other: Any) -> dict[str, Any]:
    tariff = {"id": "test-2026", "version": 1}
    return {"platform": PLATFORM, "customer": customer, "tariff": tariff, "period": MARCH, "issuer": "hz"} | other


async def ask(api: httpx.AsyncClient, method: str, path: str, **request: Any) -> dict[str, Any]:
    answer = await api.request(method, path, **request)
    assert answer.is_success, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def publish(api: httpx.AsyncClient) -> None:
    await ask(api, "POST", "/v1/tariffs", params={"platform": PLATFORM}, content=TARIFF)


async def test_an_invoice_is_drafted_closed_explained_and_verified(api: httpx.AsyncClient, metered: Plant) -> None:
    await publish(api)
    assert (await ask(api, "POST", "/v1/vouchers", json=VOUCHER))["added"]
    assert not (await ask(api, "POST", "/v1/vouchers", json=VOUCHER))["added"]
    draft = await ask(api, "POST", "/v1/invoices", json=wanted())
    assert draft["state"] == "draft"
    assert draft["number"] is None
    again = await ask(api, "POST", "/v1/invoices", json=wanted())
    assert (again["id"], again["digest"]) == (draft["id"], draft["digest"])  # B-12
    final = await ask(api, "POST", f"/v1/invoices/{draft['id']}/finalise")
    assert (final["state"], final["number"]) == ("final", "hz-000001")  # B-16

    lines = (await ask(api, "GET", f"/v1/invoices/{draft['id']}/lines"))["items"]
    assert [line["charge"] for line in lines] == ["reactor-hours", "energy"]
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(final["net"])
    assert sum(Decimal(line["tax"]) for line in lines) == Decimal(final["tax"])
    for line in lines:  # B-15: shares sum exactly
        assert sum(Decimal(share["amount"]) for share in line["shares"]) == Decimal(line["gross"])
    paid = {share["payer"]: Decimal(share["amount"]) for share in final["shares"]}
    assert sum(paid.values()) == Decimal(final["gross"])
    assert 0 < paid["v-1"] <= 500
    voucher = (await ask(api, "GET", "/v1/vouchers", params={"platform": PLATFORM}))["items"][0]
    assert Decimal(voucher["consumed"]) == paid["v-1"]

    for line in lines:  # B-14
        found = await ask(api, "GET", f"/v1/lines/{line['id']}/explain")
        assert found["evaluated"] == found["amount"] == line["amount"]
        assert found["sentence"]["zh"]
        leaf = _first_segment(found["tree"])
        assert leaf["run"] == "r1"
        assert leaf["evidence"]["ranges"][0]["stream"] == "p1/reactor"
        assert leaf["evidence"]["ranges"][0]["boot"] == "b1"
        assert leaf["evidence"]["offsets"]["first"] >= 0
    proof = await ask(api, "POST", f"/v1/invoices/{draft['id']}/verify")
    assert proof["ok"], proof["differences"]
    assert all(line["ok"] for line in proof["lines"])

    # closing again changes nothing; the same request finds the final invoice; another cut of the period is refused
    assert (await ask(api, "POST", f"/v1/invoices/{draft['id']}/finalise"))["number"] == "hz-000001"
    assert (await ask(api, "POST", "/v1/invoices", json=wanted()))["state"] == "final"
    refused = await api.post("/v1/invoices", json=wanted(period=MARCH | {"to": "2026-03-20T00:00:00+08:00"}))
    assert (refused.status_code, refused.json()["code"]) == (409, "period_billed")


async def test_two_closers_at_once_give_one_number_and_one_consumption(api: httpx.AsyncClient, metered: Plant) -> None:
    """B-21: two closers at once."""
    await publish(api)
    await ask(
        api, "POST", "/v1/vouchers", json=VOUCHER | {"id": "v-2", "customer": OTHER, "percent": "100", "cap": "7.77"}
    )
    first = await ask(api, "POST", "/v1/invoices", json=wanted(OTHER))
    shorter = MARCH | {"to": "2026-03-25T00:00:00+08:00"}
    second = await ask(api, "POST", "/v1/invoices", json=wanted(OTHER, period=shorter))
    closing = [api.post(f"/v1/invoices/{invoice['id']}/finalise") for invoice in (first, second) for _ in range(3)]
    answers = await asyncio.gather(*closing)
    final = {answer.json()["id"] for answer in answers if answer.is_success}
    refused = {answer.json()["code"] for answer in answers if not answer.is_success}
    assert len(final) == 1
    assert refused == {"period_billed"}
    numbers = query(
        metered.database, "select number from billing.invoice where customer_id = %s and state = 'final'", OTHER
    )
    assert len(numbers) == 1
    given = query(metered.database, "select sum(amount) from billing.voucher_consumption where voucher_id = 'v-2'")
    assert given == [(Decimal("7.77"),)]  # B-15: the cap and not a fen more
    taken = query(metered.database, "select next_number - 1 from billing.invoice_number where issuer = 'hz'")[0][0]
    final_count = query(metered.database, "select count(*) from billing.invoice where state = 'final'")[0][0]
    assert taken == final_count  # B-16: no number is lost to the refused closers


@pytest.mark.parametrize(
    "statement",
    [
        "update billing.invoice set net = net + 1, gross = gross + 1 where state = 'final'",
        "delete from billing.invoice where state = 'final'",
        "update billing.invoice_line l set amount = amount + 1 from billing.invoice i where i.invoice_id = l.invoice_id and i.state = 'final'",
        "delete from billing.invoice_share s using billing.invoice i where i.invoice_id = s.invoice_id and i.state = 'final'",
        "update billing.ledger set measured_s = 0",
        "delete from billing.ledger_quantity",
        "update billing.tariff set source = ''",
        "update billing.state_model set source = ''",
        "delete from billing.voucher_consumption",
        "update billing.segment set void = true",
    ],
)
async def test_what_is_final_cannot_be_changed_by_sql(api: httpx.AsyncClient, metered: Plant, statement: str) -> None:
    """B-7, B-9, B-16: immutable also for whoever has the database's password."""
    await publish(api)
    draft = await ask(api, "POST", "/v1/invoices", json=wanted())
    await ask(api, "POST", f"/v1/invoices/{draft['id']}/finalise")
    with psycopg.connect(metered.database) as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(statement.encode())


async def test_a_tariff_that_leaves_a_state_without_a_rate_is_refused(api: httpx.AsyncClient) -> None:
    """B-9"""
    holed = TARIFF.replace('      - {price: "30"}\n', "").replace("test-2026", "holed-2026")
    for dry_run in ("true", "false"):
        answer = await api.post("/v1/tariffs", params={"platform": PLATFORM, "dry_run": dry_run}, content=holed)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "tariff_state_not_covered"
        assert answer.json()["remedy"]
    found = await ask(api, "GET", "/v1/tariffs", params={"platform": PLATFORM})
    assert "holed-2026" not in {tariff["id"] for tariff in found["items"]}


async def test_a_published_version_is_never_changed(api: httpx.AsyncClient) -> None:
    """B-9: immutable once published."""
    await publish(api)
    same = await ask(api, "POST", "/v1/tariffs", params={"platform": PLATFORM}, content=TARIFF)
    assert not same["published"]
    other = TARIFF.replace('price: "100"', 'price: "101"')
    answer = await api.post("/v1/tariffs", params={"platform": PLATFORM}, content=other)
    assert (answer.status_code, answer.json()["code"]) == (409, "tariff_exists")


async def test_a_tariff_that_no_run_pinned_is_refused(api: httpx.AsyncClient) -> None:
    dearer = TARIFF.replace("test-2026", "dear-2026").replace('price: "100"', 'price: "900"')
    await ask(api, "POST", "/v1/tariffs", params={"platform": PLATFORM}, content=dearer)
    answer = await api.post("/v1/invoices", json=wanted(tariff={"id": "dear-2026", "version": 1}))
    assert (answer.status_code, answer.json()["code"]) == (422, "tariff_not_pinned")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"customer": "nobody"}, "customer_unknown"),
        ({"tariff": {"id": "none", "version": 1}}, "tariff_unknown"),
        ({"period": {"from": MARCH["to"], "to": MARCH["from"]}}, "period_empty"),
        ({"period": {"from": "soon", "to": MARCH["to"]}}, "time_malformed"),
        ({"period": {"from": "2025-03-01T00:00:00Z", "to": "2025-04-01T00:00:00Z"}}, "nothing_used"),
        ({"ledger_seq": 10**9}, "ledger_seq_unknown"),
        ({"surprise": 1}, "request_invalid"),
    ],
)
async def test_a_draft_that_cannot_be_is_refused_with_its_reason(
    api: httpx.AsyncClient, change: dict[str, Any], code: str
) -> None:
    await publish(api)
    answer = await api.post("/v1/invoices", json=wanted() | change)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code


async def test_who_may_read_and_who_may_write(api: httpx.AsyncClient, metered: Plant) -> None:
    def key(secret: str) -> dict[str, str]:
        return {"authorization": f"Bearer {secret}"}

    draft = wanted()
    assert (await api.post("/v1/invoices", json=draft, headers=key(metered.viewer))).json()["code"] == "key_role"
    assert (await api.get("/v1/invoices", headers=key(metered.viewer))).status_code == 200
    assert (await api.get("/v1/invoices", headers=key(metered.gateway))).json()["code"] == "key_role"
    assert (await api.post("/v1/invoices", json=draft, headers=key(metered.elsewhere))).json()["code"] == "key_scope"
    assert (await api.get("/v1/invoices", headers=key(metered.elsewhere))).json()["items"] == []
    hours = await api.get("/v1/usage/hours", headers=key(metered.elsewhere))
    assert hours.json()["items"] == []  # B-21: tenants never see each other


def _first_segment(node: dict[str, Any]) -> dict[str, Any]:
    if node["op"] == "segment":
        return node
    for part in node.get("of", ()):
        if found := _first_segment(part):
            return found
    return {}
