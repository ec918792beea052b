"""The demonstration's files as values: what is registered, what is demanded, and what the recordings must come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from deploy.demo.expected import Channel, expected_outcome, worst
from deploy.demo.plan import KILLS, LENGTH, LINE, PHASES, TROUBLES, Kill, Plan, Trouble, starts_at
from deploy.demo.tennessee import RUNS
from shared.contracts.registry import Stream, channel_path
from shared.contracts.registry_document import draft, read_yaml

FOLDER = Path(__file__).parent
REGISTRY = FOLDER / "registry.yaml"
CRITERIA = FOLDER / "criteria.yaml"
STATE_MODEL = FOLDER / "state_model.yaml"
TARIFF = FOLDER / "tariff.yaml"


@lru_cache(maxsize=1)
def registered_streams() -> Mapping[str, Stream]:
    """The streams of `registry.yaml` by id."""
    return draft(read_yaml(REGISTRY.read_text(encoding="utf-8")), lambda line: None).streams


def demo_plan(
    runs: Iterable[str] = RUNS, troubles: tuple[Trouble, ...] = TROUBLES, kills: tuple[Kill, ...] = KILLS
) -> Plan:
    """The plan over the registered channels."""
    channels = {
        key.removeprefix(f"{LINE}/"): tuple(channel.name for channel in stream.channels)
        for key, stream in registered_streams().items()
    }
    return Plan(tuple(runs), channels, troubles, kills)


@lru_cache(maxsize=1)
def criteria_document() -> Any:
    """`criteria.yaml` as it is written."""
    return yaml.safe_load(CRITERIA.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """What a run must come to: verdict, and (outcome, margin) by criterion."""

    verdict: str
    criteria: Mapping[str, tuple[str, float | None]]


def expected_run(plan: Plan, run: str) -> ExpectedRun:
    """Computed from the recording as the plan delivers it."""
    channels = delivered_channels(plan, run)
    start = starts_at(run)
    ends = [*(at for _, at in PHASES[1:]), LENGTH]
    phases = {name: (start + at, start + end) for (name, at), end in zip(PHASES, ends, strict=True)}
    outcomes = {
        criterion["id"]: expected_outcome(criterion, channels, *phases[criterion["phase"]])
        for criterion in criteria_document()["criteria"]
    }
    return ExpectedRun(worst([outcome for outcome, _ in outcomes.values()]), outcomes)


def delivered_channels(plan: Plan, run: str) -> dict[str, Channel]:
    """Every channel of a run by path, as the plan delivers it."""
    channels = {}
    for name, (times, values) in plan.delivered(run).items():
        stream = registered_streams()[f"{LINE}/{name}"]
        for position, channel in enumerate(stream.channels):
            uncertainty = 0.0 if channel.uncertainty is None else channel.uncertainty.expanded
            path = channel_path(stream, channel.name)
            channels[path] = Channel(times, values[:, position], stream.max_age, uncertainty)
    return channels
