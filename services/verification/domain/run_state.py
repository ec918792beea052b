"""The run as an ISA-88 state machine (V-2): which commands are allowed in which state, and what they lead to.

A command that has already been carried out (same command id) is answered as before and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from shared.kernel.errors import NotAllowed
from shared.kernel.times import Micros


class RunState(StrEnum):
    """Stable states. The transient ones of ISA-88 (holding, restarting, stopping, aborting, completing) last no time here: the
    platform observes equipment and does not command it, so a command is the record that the equipment has got there."""

    IDLE = "idle"
    RUNNING = "running"
    HELD = "held"
    STOPPED = "stopped"
    ABORTED = "aborted"
    COMPLETE = "complete"


class Command(StrEnum):
    START = "start"
    HOLD = "hold"
    RESTART = "restart"
    STOP = "stop"
    ABORT = "abort"
    COMPLETE = "complete"


_TRANSITIONS: dict[RunState, dict[Command, RunState]] = {
    RunState.IDLE: {Command.START: RunState.RUNNING, Command.ABORT: RunState.ABORTED},
    RunState.RUNNING: {
        Command.HOLD: RunState.HELD,
        Command.STOP: RunState.STOPPED,
        Command.ABORT: RunState.ABORTED,
        Command.COMPLETE: RunState.COMPLETE,
    },
    RunState.HELD: {
        Command.RESTART: RunState.RUNNING,
        Command.STOP: RunState.STOPPED,
        Command.ABORT: RunState.ABORTED,
    },
    RunState.STOPPED: {},
    RunState.ABORTED: {},
    RunState.COMPLETE: {},
}


@dataclass(frozen=True, slots=True)
class Issued:
    """A command as it was given: identity, event time, person and reason."""

    command_id: str
    command: Command
    at: Micros
    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A run's state with everything that led to it, oldest first."""

    state: RunState = RunState.IDLE
    history: tuple[Issued, ...] = ()

    @property
    def ended(self) -> bool:
        return not _TRANSITIONS[self.state]


def allowed(state: RunState) -> tuple[Command, ...]:
    """The commands that a run in this state takes."""
    return tuple(_TRANSITIONS[state])


def transition(lifecycle: Lifecycle, issued: Issued) -> Lifecycle:
    """The run after a command; the same run when this command id was carried out before.

    Raises NotAllowed: `run_command_id_reused` when the id was another command, `run_command_not_allowed` when the state does not
    take it, `run_command_time` when it lies before the last one.
    """
    for earlier in lifecycle.history:
        if earlier.command_id == issued.command_id:
            if earlier.command is not issued.command:
                raise NotAllowed(
                    "run_command_id_reused",
                    f"command id {issued.command_id} was used for {earlier.command}",
                    field="command_id",
                    remedy="give every command an id of its own",
                )
            return lifecycle
    follows = _TRANSITIONS[lifecycle.state].get(issued.command)
    if follows is None:
        names = [str(command) for command in allowed(lifecycle.state)]
        raise NotAllowed(
            "run_command_not_allowed",
            f"a run that is {lifecycle.state} does not take {issued.command}",
            field="command",
            remedy=f"allowed now: {', '.join(names)}" if names else "the run has ended; start a new one",
            extra={"state": str(lifecycle.state), "allowed": names},
        )
    if lifecycle.history and issued.at < lifecycle.history[-1].at:
        raise NotAllowed(
            "run_command_time",
            "the command lies before the one carried out last",
            field="at",
            remedy="give an instant at or after the last command's",
        )
    return replace(lifecycle, state=follows, history=(*lifecycle.history, issued))
