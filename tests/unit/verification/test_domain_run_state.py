"""The run as an ISA-88 state machine."""

from __future__ import annotations

import pytest

from services.verification.domain.run_state import Command, Issued, Lifecycle, RunState, allowed, transition
from shared.kernel.errors import NotAllowed


def after(*commands: Command) -> Lifecycle:
    run = Lifecycle()
    for number, command in enumerate(commands):
        run = transition(run, Issued(f"id-{number}", command, number, "ada", "test"))
    return run


@pytest.mark.parametrize(
    ("commands", "state"),
    [
        ((), RunState.IDLE),
        ((Command.START,), RunState.RUNNING),
        ((Command.START, Command.HOLD), RunState.HELD),
        ((Command.START, Command.HOLD, Command.RESTART), RunState.RUNNING),
        ((Command.START, Command.HOLD, Command.STOP), RunState.STOPPED),
        ((Command.START, Command.STOP), RunState.STOPPED),
        ((Command.START, Command.ABORT), RunState.ABORTED),
        ((Command.START, Command.COMPLETE), RunState.COMPLETE),
        ((Command.ABORT,), RunState.ABORTED),
    ],
)
def test_commands_lead_from_state_to_state(commands: tuple[Command, ...], state: RunState) -> None:  # V-2
    assert after(*commands).state is state


def test_a_command_that_the_state_does_not_take_is_refused_with_the_ones_it_takes() -> None:  # V-2
    with pytest.raises(NotAllowed) as caught:
        transition(after(Command.START), Issued("x", Command.RESTART, 9, "ada"))
    assert caught.value.code == "run_command_not_allowed"
    assert caught.value.extra["allowed"] == ["hold", "stop", "abort", "complete"]
    assert caught.value.remedy == "allowed now: hold, stop, abort, complete"


@pytest.mark.parametrize("end", [Command.STOP, Command.ABORT, Command.COMPLETE])
def test_a_run_that_has_ended_takes_nothing_more(end: Command) -> None:  # V-2, V-4
    run = after(Command.START, end)
    assert run.ended
    assert allowed(run.state) == ()
    for command in Command:
        with pytest.raises(NotAllowed, match="run_command_not_allowed"):
            transition(run, Issued("x", command, 9, "ada"))


def test_the_same_command_again_changes_nothing() -> None:  # V-2
    run = after(Command.START, Command.HOLD)
    assert transition(run, Issued("id-1", Command.HOLD, 1, "ada")) is run
    assert transition(run, Issued("id-0", Command.START, 0, "ada")) is run


def test_a_command_id_belongs_to_one_command() -> None:  # V-2
    with pytest.raises(NotAllowed, match="run_command_id_reused"):
        transition(after(Command.START), Issued("id-0", Command.STOP, 5, "ada"))


def test_a_command_does_not_lie_before_the_last_one() -> None:  # V-2
    with pytest.raises(NotAllowed, match="run_command_time"):
        transition(after(Command.START, Command.HOLD), Issued("x", Command.RESTART, 0, "ada"))


def test_who_when_and_why_are_kept() -> None:  # V-2
    assert [(i.command, i.at, i.who, i.why) for i in after(Command.START).history] == [
        (Command.START, 0, "ada", "test")
    ]
