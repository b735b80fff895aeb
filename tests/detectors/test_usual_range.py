"""The range that a channel usually has: glitches and short incidents are no part of it, what comes again and again is."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from detectors.usual_range import usual_limits, within_limits

ROWS = 2000


def noise() -> NDArray[np.float64]:
    return np.random.default_rng(1).standard_normal((ROWS, 1))


def highest(z: NDArray[np.float64]) -> float:
    return float(usual_limits(z, np.isfinite(z))[1][0])


def test_a_wild_reading_and_a_short_incident_do_not_count() -> None:
    z = noise()
    before = highest(z)
    z[700], z[1200:1215] = 1e9, 50.0
    assert highest(z) < 1.2 * before
    assert within_limits(z, np.isfinite(z)).max() < 1.2 * before


def test_a_job_that_runs_for_a_minute_each_day_counts() -> None:
    z = noise()
    z[100::400] = 50.0  # five rows in all
    assert highest(z) > 50.0
    assert within_limits(z, np.isfinite(z)).max() == 50.0


def test_a_level_that_came_to_stay_near_the_end_counts() -> None:
    z = noise()
    z[-60:] += 20.0
    assert highest(z) > 20.0


def test_usual_readings_are_left_as_they_are() -> None:
    z = noise()
    np.testing.assert_array_equal(within_limits(z, np.isfinite(z)), z)


def test_what_is_missing_is_0_and_a_channel_without_readings_has_no_range() -> None:
    z = np.column_stack([noise(), np.full(ROWS, np.nan)])
    z[5, 0] = np.nan
    there = np.isfinite(z)
    assert within_limits(z, there)[5, 0] == 0
    assert [float(limit[1]) for limit in usual_limits(z, there)] == [0.0, 0.0]


@given(arrays(np.float64, (40, 2), elements=st.one_of(st.floats(-1e150, 1e150), st.just(float("nan")))))
def test_limits_are_in_order_and_most_readings_are_within(z: NDArray[np.float64]) -> None:
    low, high = usual_limits(z, np.isfinite(z))
    assert (low <= high).all()
    assert np.isfinite(within_limits(z, np.isfinite(z))).all()
    assert ((z < low) | (z > high)).sum(axis=0).max() <= 4


def test_no_rows_have_no_range() -> None:
    assert usual_limits(np.empty((0, 2)), np.empty((0, 2), dtype=np.bool_))[1].tolist() == [0.0, 0.0]
