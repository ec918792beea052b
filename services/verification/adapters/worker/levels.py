"""What the pages see of open criteria: written when it has changed, at most every half second per run; a decision at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from services.verification.adapters.worker.closing import subject_of
from services.verification.adapters.worker.effects import Effects
from services.verification.adapters.worker.session import NEVER, Session, Stage
from services.verification.domain.outcomes import CriterionState
from shared.contracts.registry import ClockPolicy
from shared.kernel.times import Micros


class Levels:
    """Remembers what it has written of each run."""

    def __init__(self, now: Callable[[], Micros], seconds: float, monotonic: Callable[[], float]) -> None:
        self._now = now
        self._seconds = seconds
        self._monotonic = monotonic
        self._next_at: dict[str, float] = {}
        self._written: dict[str, dict[str, object]] = {}

    def forget(self) -> None:
        self._next_at.clear()
        self._written.clear()

    def leave(self, session: Session) -> None:
        self._next_at.pop(session.run, None)
        self._written.pop(session.run, None)

    def due(self, session: Session) -> None:
        """Something other than a sample has changed the run: write it with this transaction."""
        self._next_at.pop(session.run, None)

    def write(self, sessions: Iterable[Session], effects: Effects) -> None:
        """The criteria of every run that is due."""
        clock = self._monotonic()
        for session in sessions:
            if session.stage is Stage.SUPERSEDING or clock < self._next_at.get(session.run, 0.0):
                continue
            self._next_at[session.run] = clock + self._seconds
            self.changed(session, session.evaluator.states(now=self._event_now(session)), effects)

    def changed(self, session: Session, states: Sequence[CriterionState], effects: Effects) -> None:
        """Those of these states that are not written yet."""
        written = self._written.setdefault(session.run, {})
        positions = {name: position for position, name in enumerate(session.plan.order)}
        streams = {plan.id: plan.signal.streams for plan in session.plan.criteria}
        for state in states:
            activity = "rebuilding" if state.stale or session.catching_up else str(state.activity)
            shown = (session.evaluation, activity, state.outcome, state.margin, state.low, state.high, state.reason)
            if written.get(state.criterion) != shown:
                written[state.criterion] = shown
                position = positions[state.criterion]
                frontier = _frontier(session, streams.get(state.criterion, ()))
                effects.state(subject_of(session), state, position, activity, frontier)

    def _event_now(self, session: Session) -> Micros | None:
        """Event time by which silence is judged: this machine's clock, or for recordings the newest sample of the run's streams."""
        if all(stream.clock is ClockPolicy.LIVE for stream in session.plan.streams):
            return self._now()
        return max(session.marks.values(), default=None)


def _frontier(session: Session, streams: Sequence[str]) -> Micros | None:
    mark = min((session.marks.get(name, NEVER) for name in streams), default=NEVER)
    return None if mark == NEVER else mark
