"""The recorded runs that the project carries."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.demo.tennessee import COLUMNS, DATA, FAULT_ROW, LAYOUT, ROWS, RUNS, load_run, stream_samples
from shared.kernel.times import MINUTE


def test_eleven_runs_of_960_rows_and_52_columns_with_their_licence() -> None:
    assert len(RUNS) == 11
    assert {load_run(run).shape for run in RUNS} == {(ROWS, 52)}
    assert "University of Illinois" in (DATA.parent / "LICENSE").read_text(encoding="utf-8")


def test_every_column_belongs_to_one_stream() -> None:
    used = sorted(column for _, columns in LAYOUT.values() for column in columns)
    assert used == list(range(1, len(COLUMNS) + 1))


def test_the_copy_starts_with_the_source_s_numbers() -> None:
    assert load_run("d00")[0, :6].tolist() == [0.24889, 3702.3, 4502.7, 9.417, 26.996, 42.183]


@pytest.mark.parametrize("run", RUNS)
def test_an_analyser_s_value_stands_until_its_next_sample(run: str) -> None:
    """What a stream leaves out between two samples says nothing new."""
    table = load_run(run)
    for every, columns in LAYOUT.values():
        chosen = table[:, [column - 1 for column in columns]]
        np.testing.assert_array_equal(np.repeat(chosen[::every], every, axis=0), chosen)


def test_times_start_at_the_run_and_keep_the_stream_s_period() -> None:
    times, values = stream_samples("d01", "product-analyser")
    assert times[:3].tolist() == [0, 15 * MINUTE, 30 * MINUTE]
    assert values.shape == (192, 5)


def test_the_disturbance_of_d06_is_the_loss_of_the_a_feed() -> None:
    """XMEAS 1 falls from 0.25 to nothing at row 160 and the plant shuts down at 3000 kPa; the source then repeats its last values."""
    a_feed, pressure = load_run("d06")[:, 0], load_run("d06")[:, 6]
    assert a_feed[:FAULT_ROW].min() > 0.15
    assert a_feed[FAULT_ROW:].max() < 0.01
    assert pressure.max() == 3000.0
    assert np.flatnonzero(np.diff(pressure)).max() == 277
