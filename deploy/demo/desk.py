"""The engineer's desk of the demonstration: publishes the criteria, creates runs and tells the platform how they go, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Sequence

from deploy.demo.asking import Service
from deploy.demo.configuration import CRITERIA, criteria_document
from deploy.demo.plan import LINE, PHASES, TARIFF_ID, customer_of
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

    def __init__(self, service: Service, runs: Sequence[str], *, patience: float = 60.0) -> None:
        self._service = service
        self._runs = runs
        self._patience = patience

    async def publish_criteria(self) -> str:
        """Publish `criteria.yaml` for the line; answers its digest."""
        parameters = {"line": LINE, "publish": "true"}
        answer = await self._service.ask("POST", "/v1/criteria-sets", params=parameters, content=CRITERIA.read_bytes())
        return str(answer["digest"])

    async def begin(self, run: str, customer: str, at: Micros) -> None:
        """Create the run as the next iteration of its customer's project, start it, and enter its first phase."""
        project = [other for other in self._runs if customer_of(other) == customer]
        number = project.index(run)
        criteria = criteria_document()
        await self._service.ask(
            "POST",
            "/v1/runs",
            json={
                "run": run,
                "project": f"disturbance-{customer}",
                "customer": customer,
                "line": LINE,
                "scene": "replica",
                "verification_kind": "process",
                "item": "control concept",
                "item_revision": f"1, disturbance: {_FAULTS[run]}",
                "iteration": number + 1,
                "previous_run": project[number - 1] if number else None,
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
        while not (await self._service.ask("POST", path, params={"wait": str(_IN_LOG_WITHIN)}, json=body))["in_log"]:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{path}: not in the log after {self._patience:g} s")
