"""Gaps in a sender's numbering."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.arrival import StreamBook
from services.ingest.domain.sequence import BootOrder, GapChange, open_boot


def arrive(order: BootOrder, seq: int) -> list[tuple[int, int, bool]]:
    return [(c.gap.from_seq, c.gap.to_seq, c.closed) for c in order.arrive(seq, seq * 10, seq * 10 + 9)]


def test_numbers_in_order_make_no_gap() -> None:  # I-15
    order, changes = open_boot(1, 10, 19, None)
    assert changes == []
    assert [arrive(order, seq) for seq in (2, 3, 4)] == [[], [], []]


def test_a_number_left_out_is_a_gap_with_the_samples_around_it() -> None:  # I-15
    order, _ = open_boot(1, 10, 19, None)
    (change,) = order.arrive(5, 50, 59)
    assert (change.gap.from_seq, change.gap.to_seq, change.gap.after, change.gap.before) == (2, 4, 19, 50)


def test_late_data_closes_a_gap_in_part_and_what_is_left_opens_first() -> None:  # I-15
    order, _ = open_boot(1, 10, 19, None)
    arrive(order, 6)
    assert arrive(order, 4) == [(2, 3, False), (5, 5, False), (2, 5, True)]
    assert arrive(order, 5) == [(5, 5, True)]
    assert arrive(order, 2) == [(3, 3, False), (2, 3, True)]
    assert arrive(order, 3) == [(3, 3, True)]
    assert order.gaps == []


def test_a_boot_that_begins_late_has_a_gap_before_it() -> None:  # I-15
    _, changes = open_boot(4, 40, 49, previous_time=7)
    assert [(c.gap.from_seq, c.gap.to_seq, c.gap.after, c.gap.before, c.closed) for c in changes] == [
        (1, 3, 7, 40, False)
    ]


def test_a_boot_begins_at_zero_or_one() -> None:  # I-15
    order, changes = open_boot(1, 10, 19, None)
    assert (changes, arrive(order, 0), order.first_seq) == ([], [], 0)


@given(st.sets(st.integers(0, 40), min_size=1), st.randoms())
def test_open_gaps_are_what_is_missing_whatever_the_order(seqs: set[int], shuffler: random.Random) -> None:  # I-15
    arrivals = list(seqs)
    shuffler.shuffle(arrivals)
    opened: set[tuple[int, int]] = set()

    def note(changes: list[GapChange]) -> None:
        for change in changes:
            key = (change.gap.from_seq, change.gap.to_seq)
            (opened.remove if change.closed else opened.add)(key)

    order, changes = open_boot(arrivals[0], arrivals[0], arrivals[0], None)
    note(changes)
    for seq in arrivals[1:]:
        note(order.arrive(seq, seq, seq))
    missing = {seq for low, high in opened for seq in range(low, high + 1)}
    assert missing == set(range(1, max(seqs))) - seqs
    assert opened == {(gap.from_seq, gap.to_seq) for gap in order.gaps}


def book() -> StreamBook:
    return StreamBook()


def test_a_new_boot_closes_the_old_one() -> None:  # I-16
    stream = book()
    stream.store(0, "first", 1, 10, 19, (1, 1), 100)
    stream.store(1, "second", 1, 20, 29, (1, 1), 200)
    assert stream.current == "second"
    assert stream.closed == {"first": 200}


def test_late_data_of_an_old_boot_does_not_open_it_again() -> None:  # I-16
    stream = book()
    stream.store(0, "first", 1, 10, 19, (1, 1), 100)
    stream.store(1, "second", 1, 20, 29, (1, 1), 200)
    assert stream.store(2, "first", 2, 15, 18, (1, 1), 300)
    assert stream.current == "second"


def test_a_frame_that_is_not_newer_than_its_stream_is_late() -> None:  # I-17
    stream = book()
    assert not stream.store(0, "b", 1, 10, 19, (2, 1), 100)
    assert not stream.store(1, "b", 3, 30, 39, (2, 1), 101)
    assert stream.store(2, "b", 2, 20, 29, (2, 1), 102)
    assert (stream.counts.stored, stream.counts.late, stream.counts.rows, stream.newest, stream.latest) == (
        3,
        1,
        6,
        39,
        1,
    )
