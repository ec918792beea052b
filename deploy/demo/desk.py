"""The engineer's desk of the demonstration: publishes the criteria, creates runs and tells the platform how they go, over HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from deploy.demo.configuration import CRITERIA, criteria_document
from deploy.demo.plan import CUSTOMERS, LINE, PHASES, TARIFF_ID
from deploy.demo.replay import RefusedError
from deploy.demo.tennessee import RUNS
from shared.kernel.times import Micros, to_rfc3339

_IN_LOG_WITHIN = 10
_FAULTS = {
    "d00": "none: normal operation",
    "d01": "A/C feed ratio step",
    "d02": "B composition step",
    "d03": "D feed temperature step",
    "d04": "reactor cooling water inlet temperature step",
    "d05": "condenser cooling water inlet temperature step",
    "d06": "A feed loss",
    "d07": "C header pressure loss",
    "d08": "A, B, C feed composition random",
    "d09": "D feed temperature random",
    "d10": "C feed temperature random",
}


class Desk:
    """Commands carry a key of their own, so that asking again after a lost answer changes nothing."""

    def __init__(self, client: httpx.AsyncClient, key: str, *, patience: float = 60.0) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}
        self._patience = patience

    async def publish_criteria(self) -> str:
        """Publish `criteria.yaml` for the line; answers its digest."""
        parameters = {"line": LINE, "publish": "true"}
        answer = await self._post("/v1/criteria-sets", params=parameters, content=CRITERIA.read_bytes())
        return str(answer["digest"])

    async def begin(self, run: str, customer: str, at: Micros) -> None:
        """Create the run as the next iteration of its customer's project, start it, and enter its first phase."""
        number = RUNS.index(run)
        criteria = criteria_document()
        await self._post(
            "/v1/runs",
            json={
                "run": run,
                "project": f"disturbance-{customer}",
                "customer": customer,
                "line": LINE,
                "scene": "replica",
                "verification_kind": "process",
                "item": f"control concept, disturbance: {_FAULTS[run]}",
                "item_revision": "1",
                "iteration": number // len(CUSTOMERS) + 1,
                "equipment": [f"{LINE}/reactor", f"{LINE}/separator", f"{LINE}/stripper", f"{LINE}/analysers"],
                "criteria": {"set": criteria["id"], "version": criteria["version"]},
                "tariff": TARIFF_ID,
                "service_code": "process-verification",
            },
        )
        await self._command(run, "start", at)
        await self.enter(run, PHASES[0][0], at)

    async def enter(self, run: str, phase: str, at: Micros) -> None:
        body = {"phase": phase, "at": to_rfc3339(at), "key": f"phase-{phase}"}
        await self._recorded(f"/v1/runs/{run}/phases", body)

    async def finish(self, run: str, at: Micros) -> None:
        await self._command(run, "complete", at)

    async def _command(self, run: str, command: str, at: Micros) -> None:
        body = {"command": command, "at": to_rfc3339(at), "key": command}
        await self._recorded(f"/v1/runs/{run}/commands", body)

    async def _recorded(self, path: str, body: dict[str, str]) -> None:
        """Returns when the record is in the log."""
        give_up = time.monotonic() + self._patience
        while not (await self._post(path, params={"wait": str(_IN_LOG_WITHIN)}, json=body))["in_log"]:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{path}: not in the log after {self._patience:g} s")

    async def _post(self, path: str, **request: Any) -> dict[str, Any]:
        give_up = time.monotonic() + self._patience
        while True:
            try:
                response = await self._client.post(path, headers=self._headers, **request)
            except httpx.TransportError as error:
                reason = repr(error)
            else:
                if response.is_success:
                    answer: dict[str, Any] = response.json()
                    return answer
                reason = f"{path}: {response.status_code} {response.text[:500]}"
                if response.status_code < 500:
                    raise RefusedError(reason)
            if time.monotonic() > give_up:
                raise TimeoutError(reason)
            await asyncio.sleep(0.1)
