"""What verification tells the world: CloudEvents on `verification.events`, under ids that a replay gives again.

| type (after `pilotline.verification.`) | subject | when |
| --- | --- | --- |
| run.created | run | an idle run was created |
| run.started, run.held, run.restarted, run.phase_started, run.ended | run | a command was carried out |
| run.phase_started, run.phase_ended | run | a condition on telemetry has begun or ended a phase (`by`: condition) |
| criterion | run | a criterion's outcome has grown, or a new evaluation changed it |
| verdict | run | an evaluation is final |
| evaluation_mismatch | run | the recomputation from stored frames differs from the live evaluation |
| result.entered, result.confirmed | run | a person entered a result of a laboratory or inspection, or a second one confirmed it |
| deviation.recorded, deviation.accepted | run | a departure from what was agreed was recorded, or accepted by somebody else |
| gap, late | run | records are missing in a run's streams, or came after their instants had been judged |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.contracts.events import CloudEvent, encode_event
from shared.contracts.topics import Kind, Topics
from shared.kernel.ids import stable_id
from shared.kernel.times import Micros, to_rfc3339
from shared.messaging.outbox import OutboxMessage

PREFIX = "pilotline.verification."


def event_message(
    topics: Topics, *, line: str, run: str, type_: str, identity: Sequence[object], at: Micros, data: Mapping[str, Any]
) -> OutboxMessage:
    """An event of a run. `identity` names it within (type, run); `at` is the event time of the fact."""
    event_id = stable_id(f"verification-event/{type_}", run, *identity)
    event = CloudEvent(
        id=str(event_id),
        source=f"/verification/{line}",
        type=PREFIX + type_,
        subject=run,
        time=to_rfc3339(at),
        data=dict(data),
    )
    return OutboxMessage(event_id, topics.verification_events, line, Kind.EVENT, encode_event(event))
