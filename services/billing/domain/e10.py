"""Words of SEMI E10 for what a piece of equipment does, and who answers for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EquipmentState(StrEnum):
    """The six basic states of SEMI E10. Every instant of an instrument lies in exactly one."""

    PRODUCTIVE = "productive"
    STANDBY = "standby"
    ENGINEERING = "engineering"
    SCHEDULED_DOWN = "scheduled_down"
    UNSCHEDULED_DOWN = "unscheduled_down"
    NON_SCHEDULED = "non_scheduled"


class SubState(StrEnum):
    """What happens inside a state; NONE where nobody needs to know."""

    NONE = ""
    SETUP = "setup"
    RUN = "run"
    CLEAN = "clean"
    IDLE_HOLD = "idle_hold"
    RECOVER = "recover"


class Responsible(StrEnum):
    """The party that answers for the time, and so decides who pays for it."""

    CUSTOMER = "customer"
    PLATFORM = "platform"
    UTILITY = "utility"
    SUPPLIER = "supplier"
    FORCE_MAJEURE = "force_majeure"


@dataclass(frozen=True, slots=True)
class StateOutcome:
    """What a rule of the state model says about a stretch of time. `reason` is a code of the model's author, '' for none."""

    state: EquipmentState
    sub_state: SubState = SubState.NONE
    reason: str = ""
    responsible: Responsible = Responsible.CUSTOMER
