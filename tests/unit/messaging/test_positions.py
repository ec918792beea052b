"""What of a delivery is applied."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.positions import Partition, Position, PositionGap, applicable
from shared.messaging.processor import Record

_token = datetime(2026, 1, 1, tzinfo=UTC)


def record(offset: int, partition: int = 0, topic: str = "t") -> Record:
    return Record(topic, partition, offset, b"k", "frame", b"v", 0, {})


def held(**positions: int) -> dict[Partition, Position]:
    return {Partition("t", int(number[1:])): Position(offset, _token) for number, offset in positions.items()}


def offsets(records: list[Record]) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in records]


def test_an_offset_delivered_twice_in_one_batch_is_applied_once() -> None:
    # Faust after a rebalance: its buffer still holds the first copy (kafka4.md section 2).
    delivered = [record(5), record(6), record(5), record(6), record(7)]
    assert offsets(applicable(delivered, held(p0=5))) == [(0, 5), (0, 6), (0, 7)]


def test_records_below_the_position_are_dropped() -> None:
    assert offsets(applicable([record(3), record(4), record(5)], held(p0=5))) == [(0, 5)]


def test_records_of_a_partition_that_is_not_held_are_dropped() -> None:
    assert applicable([record(0, partition=1)], held(p0=0)) == []


def test_a_missing_record_before_the_first_is_a_gap() -> None:
    with pytest.raises(PositionGap) as caught:
        applicable([record(6)], held(p0=5))
    assert (caught.value.partition, caught.value.expected, caught.value.found) == (Partition("t", 0), 5, 6)


def test_a_missing_record_in_the_middle_is_a_gap() -> None:
    with pytest.raises(PositionGap) as caught:
        applicable([record(5), record(7)], held(p0=5))
    assert caught.value.expected == 6


@given(st.permutations(list(range(3, 12))), st.integers(3, 11), st.lists(st.integers(3, 11)))
def test_any_order_and_any_copies_give_the_same_sorted_records(
    order: list[int], position: int, copies: list[int]
) -> None:
    delivered = [record(offset) for offset in (*order, *copies)]
    assert offsets(applicable(delivered, held(p0=position))) == [(0, offset) for offset in range(position, 12)]


def test_partitions_and_topics_are_told_apart() -> None:
    positions = held(p0=1, p1=9) | {Partition("u", 0): Position(4, _token)}
    delivered = [record(4, topic="u"), record(9, partition=1), record(1)]
    assert [(each.topic, each.partition) for each in applicable(delivered, positions)] == [("t", 0), ("t", 1), ("u", 0)]
