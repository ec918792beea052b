"""Senders' clocks."""

from __future__ import annotations

from services.ingest.domain.clock import ClockRule, Clocks
from shared.contracts.registry import ClockPolicy
from shared.kernel.times import DAY, SECOND
from tests.unit.ingest.streams import stream

NOW = 1_772_409_600 * SECOND
LIVE = stream(clock=ClockPolicy.LIVE)


def test_a_live_stream_may_be_five_seconds_ahead() -> None:  # I-17
    judgement = Clocks(ClockRule()).judge(LIVE, NOW, NOW)
    assert judgement.latest == NOW + 5 * SECOND
    assert not judgement.suspect


def test_the_bound_follows_the_estimated_offset_only_as_far_as_it_is_trusted() -> None:  # I-17
    slightly = Clocks(ClockRule()).judge(LIVE, NOW + SECOND, NOW)
    assert (slightly.latest, slightly.suspect) == (NOW + 6 * SECOND, False)
    far = Clocks(ClockRule()).judge(LIVE, NOW + 3600 * SECOND, NOW)
    assert (far.latest, far.suspect) == (NOW + 7 * SECOND, True)


def test_a_clock_behind_is_suspect_too() -> None:  # I-17
    assert Clocks(ClockRule()).judge(LIVE, NOW - 3 * SECOND, NOW).suspect


def test_one_late_packet_does_not_make_a_clock_suspect() -> None:  # I-17
    clocks = Clocks(ClockRule())
    for _ in range(10):
        clocks.judge(LIVE, NOW, NOW)
    assert not clocks.judge(LIVE, NOW - 10 * SECOND, NOW).suspect


def test_data_may_be_as_late_as_the_horizon() -> None:  # I-17
    assert Clocks(ClockRule()).judge(LIVE, 0, NOW).earliest == NOW - 35 * DAY
    own = stream(clock=ClockPolicy.LIVE, lateness_horizon=DAY)
    assert Clocks(ClockRule()).judge(own, 0, NOW).earliest == NOW - DAY


def test_recorded_data_has_no_clock_rule() -> None:
    judgement = Clocks(ClockRule()).judge(stream(), NOW + 400 * DAY, NOW)
    assert judgement.earliest < 0
    assert judgement.latest > NOW + 10_000 * DAY
    assert not judgement.suspect


def test_the_number_of_estimates_is_bounded() -> None:  # I-13
    clocks = Clocks(ClockRule(remembered=2))
    for number in range(5):
        clocks.judge(stream(id=f"te1/s{number}", clock=ClockPolicy.LIVE), NOW + 3600 * SECOND, NOW)
    assert not clocks.judge(stream(id="te1/s0", clock=ClockPolicy.LIVE), 0, NOW).suspect
    assert clocks.judge(stream(id="te1/s4", clock=ClockPolicy.LIVE), 0, NOW).suspect
