"""Use cases: check, keep and publish criteria sets. Each runs in one transaction that its caller opens and closes."""

from __future__ import annotations

from services.verification.domain.check import CheckReport, check, require_valid
from services.verification.domain.criteria.marks import Marked
from services.verification.domain.criteria_model import CriteriaSet
from services.verification.ports import (
    KeepsCriteria,
    KeepsStandards,
    StoredCriteria,
)
from services.verification.standard_handlers import hold_to_standard
from shared.contracts.registry import Stream
from shared.kernel.errors import Forbidden, Invalid, NotAllowed, NotFound
from shared.storage.api_keys import EVERYTHING, Scope
from shared.storage.registry import Registry


def streams_of_line(registry: Registry, line: str) -> tuple[Stream, ...]:
    """Raises NotFound(line_unknown)."""
    if line not in registry.lines:
        raise NotFound(
            "line_unknown", f"there is no line {line}", field="line", remedy="see GET /v1/registry of ingest"
        )
    return registry.streams_of_line(line)


def check_criteria(criteria: CriteriaSet, line: str, registry: Registry, marks: Marked | None = None) -> CheckReport:
    """Every static error of the set on this line (V-8), with its line in the text where `marks` are given."""
    return check(criteria, streams_of_line(registry, line), marks)


async def save_criteria(
    criteria: CriteriaSet,
    *,
    line: str | None,
    publish: bool,
    who: str,
    registry: Registry,
    store: KeepsCriteria,
    standards: KeepsStandards | None = None,
    marks: Marked | None = None,
    scope: Scope = EVERYTHING,
) -> StoredCriteria:
    """Keep a draft, or publish a version after checking it against the channels of `line`. The same content again changes nothing.

    `scope` is what the one who saves reaches: a draft is replaced or published only from a scope that includes the one it was saved under.
    Raises NotAllowed(criteria_published) for other content under a published version, Forbidden(criteria_draft_scope), Invalid with every
    finding, and what `hold_to_standard` raises for a set that names a standard.
    """
    present = await store.find(criteria.id, criteria.version, lock=True)
    if present is not None and present.published:
        if present.digest != criteria.digest():
            raise NotAllowed(
                "criteria_published",
                f"{criteria.id} version {criteria.version} is published with other content",
                field="version",
                remedy=f"give the new content version {criteria.version + 1}",
                extra={"published_digest": present.digest},
            )
        return present
    if present is not None and not publish and (present.digest, present.line) == (criteria.digest(), line):
        return present
    if present is not None and not scope.includes(present.scope):
        raise Forbidden(
            "criteria_draft_scope",
            f"the draft {criteria.id} version {criteria.version} was saved with a key that reaches beyond this one",
            field="version",
            remedy="use another id or version, or a key that reaches as far as the one that saved it",
        )
    memory = None
    if publish:
        if line is None:
            raise Invalid(
                "line_missing", "publishing checks the set against a line", field="line", remedy="name the line"
            )
        report = require_valid(criteria, streams_of_line(registry, line), marks)
        await hold_to_standard(criteria, platform=registry.lines[line].platform, store=standards)
        memory = sum(size for _, size in report.memory)
    await store.save(criteria, who=who, published=publish, line=line, memory=memory)
    saved = await store.find(criteria.id, criteria.version)
    assert saved is not None
    return saved


async def published_criteria(store: KeepsCriteria, set_id: str, version: int) -> StoredCriteria:
    """Raises NotFound(criteria_unknown) or NotAllowed(criteria_not_published)."""
    stored = await store.find(set_id, version)
    if stored is None:
        raise NotFound("criteria_unknown", f"there are no criteria {set_id} version {version}", field="criteria.set")
    if not stored.published:
        raise NotAllowed(
            "criteria_not_published",
            f"{set_id} version {version} is a draft",
            field="criteria.version",
            remedy="publish it, then create the run",
        )
    return stored
