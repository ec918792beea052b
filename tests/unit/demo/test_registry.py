"""The demonstration's registry and criteria fit each other and the recordings."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.demo.configuration import CRITERIA, REGISTRY, registered_streams
from deploy.demo.tennessee import LAYOUT, ROW_PERIOD, RUNS, stream_samples
from services.ingest.domain.registration import plan
from services.verification.domain.check import check
from services.verification.domain.criteria_model import KINDS, load_criteria
from shared.contracts.registry import ClockPolicy, RegistryDraft
from shared.contracts.registry_document import draft, read_yaml


def test_one_line_four_instruments_six_streams_52_channels_two_customers() -> None:
    wanted = draft(read_yaml(REGISTRY.read_text(encoding="utf-8")), lambda line: None)
    plan(wanted, RegistryDraft({}, {}, {}, {}, {}), {})  # raises when it does not hang together  # I-1
    assert (len(wanted.lines), len(wanted.instruments), len(wanted.streams), len(wanted.customers)) == (1, 4, 6, 2)
    assert sum(len(stream.channels) for stream in wanted.streams.values()) == 52
    assert {customer.class_.value for customer in wanted.customers.values()} == {"sme", "industry"}


def test_streams_have_the_recordings_rates_and_are_not_judged_by_our_clock() -> None:
    for key, stream in registered_streams().items():
        assert stream.period == LAYOUT[key.removeprefix("te1/")][0] * ROW_PERIOD
        assert stream.max_age * 2 == stream.period * 5
        assert (stream.clock, stream.lateness_horizon) == (ClockPolicy.RECORDED, None)


def test_every_pressure_is_a_gauge_pressure_and_every_channel_has_an_uncertainty() -> None:
    for stream in registered_streams().values():
        for channel in stream.channels:
            assert (channel.pressure_reference == "gauge") == (channel.quantity_kind == "pressure")
            assert channel.uncertainty is not None


@pytest.mark.parametrize("run", RUNS)
def test_no_recorded_value_lies_outside_its_range(run: str) -> None:
    """So whatever is marked in the demonstration is trouble made on purpose."""
    for name in LAYOUT:
        channels = registered_streams()[f"te1/{name}"].channels
        values = stream_samples(run, name)[1]
        low = np.array([-np.inf if channel.low is None else channel.low for channel in channels])
        high = np.array([np.inf if channel.high is None else channel.high for channel in channels])
        assert ((values >= low) & (values <= high)).all()


STORY = {
    "band",
    "balance",
    "hold",
    "longest_excursion",
    "cumulative_time_out",
    "settle",
    "rate_of_change",
    "window_statistics",
    "data_quality",
}


def test_the_criteria_pass_the_static_checks_and_use_the_kinds_of_the_story() -> None:
    criteria = load_criteria(CRITERIA.read_text(encoding="utf-8"))
    assert check(criteria, tuple(registered_streams().values())).findings == ()  # V-8
    assert {criterion.kind for criterion in criteria.criteria} == STORY <= set(KINDS)
    assert {criterion.decision.rule for criterion in criteria.criteria} == {"simple", "guard_band"}
