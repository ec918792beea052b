"""What every route starts from: who calls, and what they may touch."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from services.verification.bootstrap import Verification
from shared.http.keys import require
from shared.kernel.errors import NotFound
from shared.storage.api_keys import Caller, Role

Reader = Annotated[Caller, Depends(require())]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]


def verification(request: Request) -> Verification:
    found: Verification = request.app.state.verification
    return found


Parts = Annotated[Verification, Depends(verification)]


async def reach_line(parts: Verification, caller: Caller, line: str) -> None:
    """Raises NotFound(line_unknown), also for a line outside the key's scope: a key does not tell what else exists."""
    registry = await parts.registry.current()
    known = registry.lines.get(line)
    if known is None or not caller.scope.covers_line(platform=known.platform, line=line):
        raise NotFound("line_unknown", f"there is no line {line}", field="line")


async def reach_run(parts: Verification, caller: Caller, run: str) -> str:
    """The line of a run. Raises NotFound(run_unknown), also for a run on a line outside the key's scope."""
    async with parts.pool.connection() as connection:
        cursor = await connection.execute("select line_id, platform_id from verification.run where run_id = %s", (run,))
        row = await cursor.fetchone()
    if row is None or not caller.scope.covers_line(platform=row[1], line=row[0]):
        raise NotFound("run_unknown", f"there is no run {run}", field="run", remedy="see GET /v1/runs")
    return str(row[0])
