"""Use cases of standards: keep a draft, carry it through its life, adopt it, and hold criteria sets to it (V-19).

Each runs in one transaction that its caller opens and closes.
"""

from __future__ import annotations

from dataclasses import asdict

from services.verification.domain.criteria_model import CriteriaSet
from services.verification.domain.standards import Action, Standard, State, Step, after, check_effect, check_in_effect
from services.verification.domain.succession import check_newest, check_number, predecessor
from services.verification.domain.tightening import loosened
from services.verification.ports import KeepsStandards, StoredStandard
from shared.kernel.errors import Invalid, NotAllowed, NotFound
from shared.storage.registry import Registry


async def save_draft(standard: Standard, *, who: str, store: KeepsStandards) -> StoredStandard:
    """Keep a draft. The same content again changes nothing.

    Raises NotAllowed(standard_state) for other content of a version that is no draft any more.
    """
    present = await store.find(standard.id, standard.version, lock=True)
    if present is not None and present.digest == standard.digest():
        return present
    step = Step(Action.CHANGE, who)
    if present is not None:
        after(present.standing, step)
    await store.save(standard)
    await store.record(standard.id, standard.version, step)
    return await _found(standard.id, standard.version, store)


async def take_step(standard: str, version: str, step: Step, *, store: KeepsStandards) -> StoredStandard:
    """Carry a version one step on. A version that comes into effect supersedes the one that was.

    Raises NotFound(standard_unknown), NotAllowed(standard_state | standard_dates | standard_older), Forbidden(standard_same_person),
    Invalid(standard_version) for content that has changed by more than the version's number says.
    """
    versions = {item.standard.version: item for item in await store.versions(standard, lock=True)}
    stored = versions.get(version)
    if stored is None:
        raise _unknown(standard, version)
    if step.action in (Action.CHANGE, Action.SUPERSEDE):
        raise Invalid(
            "standard_action",
            f"{step.action} is not asked for: it follows from what else is done",
            field="action",
            remedy="save the draft again, or bring a newer version into effect",
        )
    after(stored.standing, step)
    if step.action in (Action.SUBMIT, Action.EFFECT):
        once = [item.standard for item in versions.values() if item.was_in_effect]
        check_number(predecessor(stored.standard, once), stored.standard)
    if step.action is Action.EFFECT:
        check_effect(stored.standard, await store.today())
        effective = [item.standard for item in versions.values() if item.standing.state is State.EFFECTIVE]
        check_newest(stored.standard, effective)
        for earlier in effective:
            await store.record(standard, earlier.version, Step(Action.SUPERSEDE, step.who, f"{version} is in effect"))
    await store.record(standard, version, step)
    return await _found(standard, version, store)


async def adopt(
    standard: str, version: str, platform: str, *, who: str, registry: Registry, store: KeepsStandards
) -> StoredStandard:
    """A platform adopts a version that is in effect. Raises NotFound(standard_unknown | platform_unknown), NotAllowed(standard_state)."""
    stored = await _found(standard, version, store)
    if platform not in registry.platforms:
        raise NotFound("platform_unknown", f"there is no platform {platform}", field="platform")
    check_in_effect(stored.standard, stored.standing, await store.today())
    await store.adopt(platform, standard, version, who)
    return stored


async def hold_to_standard(criteria: CriteriaSet, *, platform: str, store: KeepsStandards | None) -> None:
    """What publishing a set that names a standard asks for: the very version, in effect, adopted, and nothing loosened.

    Raises NotFound(standard_unknown), NotAllowed(standard_state | standard_not_adopted), Invalid(standard_digest | standard_loosened).
    """
    named = criteria.standard
    if named is None:
        return
    if store is None:
        raise _unknown(named.id, named.version)
    stored = await _found(named.id, named.version, store)
    if stored.digest != named.digest:
        raise Invalid(
            "standard_digest",
            f"{named.id} {named.version} has the digest {stored.digest}",
            field="standard.digest",
            remedy="name the digest of the version that is meant",
        )
    check_in_effect(stored.standard, stored.standing, await store.today(), field="standard.version")
    if all(adoption.platform != platform for adoption in await store.adoptions(named.id, named.version)):
        raise NotAllowed(
            "standard_not_adopted",
            f"platform {platform} has not adopted {named.id} {named.version}",
            field="standard",
            remedy="adopt it first: pilotline standards adopt",
        )
    if found := loosened(stored.standard, criteria):
        first = found[0]
        raise Invalid(
            "standard_loosened",
            f"{first.criterion or 'the set'}: {first.detail}",
            field=f"criteria[{first.criterion}].{first.field}".rstrip(".") if first.criterion else first.field,
            remedy="keep the standard's criterion, or tighten it",
            extra={"loosened": [asdict(item) for item in found]},
        )


async def _found(standard: str, version: str, store: KeepsStandards, *, lock: bool = False) -> StoredStandard:
    stored = await store.find(standard, version, lock=lock)
    if stored is None:
        raise _unknown(standard, version)
    return stored


def _unknown(standard: str, version: str) -> NotFound:
    return NotFound("standard_unknown", f"there is no standard {standard} {version}", field="standard")
