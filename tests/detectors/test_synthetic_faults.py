"""Faults that are put into normal rows: into each group, where there are readings, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Frame, Quality
from detectors.synthetic_faults import injected
from tests.detectors import sample_frames as sample

ROWS, CHANNELS = 1000, 12
FIRST, LAST = np.arange(3), np.arange(9, 12)


def rows() -> Frame:
    return sample.gauges(np.random.default_rng(1).standard_normal((ROWS, CHANNELS)) + 5.0)


def changed(frame: Frame, fault: Frame) -> NDArray[np.bool_]:
    return np.asarray(~((frame.values == fault.values) | (np.isnan(frame.values) & np.isnan(fault.values))))


def test_each_group_has_a_fault_in_each_place_and_other_channels_have_none() -> None:
    frame = rows()
    for fault in injected(frame, groups=[FIRST, LAST]):
        different = changed(frame, fault.frame)
        assert not different[:, 3:9].any()
        for group in (FIRST, LAST):
            assert (different[:, group].any(axis=1) == fault.faulty).mean() > 0.99  # exchanged or stuck readings may be the same


def test_rows_without_a_reading_have_no_fault() -> None:
    frame = rows()
    frame.values[200:, 0] = np.nan
    for fault in injected(frame, groups=[FIRST[:1]]):
        assert not fault.faulty[200:].any()
        assert np.isnan(fault.frame.values[200:, 0]).all()


def test_a_channel_that_begins_without_a_reading_is_stuck_at_one_it_had() -> None:
    frame = rows()
    frame.values[::2] = np.nan
    (stuck,) = (fault for fault in injected(frame) if fault.kind == "stuck")
    assert stuck.faulty.any()
    assert not stuck.faulty[::2].any()


def test_readings_that_are_not_good_have_no_fault() -> None:
    frame = rows()
    quality = np.full(frame.values.shape, Quality.GOOD, dtype=np.uint8)
    quality[300:] = Quality.MUTED
    muted = Frame(frame.layout, frame.time_ns, frame.values, quality)
    assert all(fault.faulty.any() and not fault.faulty[300:].any() for fault in injected(muted) if fault.kind != "exchanged")


@pytest.mark.parametrize("wild", [np.inf, -np.inf, 1e308])
def test_wild_readings_are_no_trouble(wild: float) -> None:
    frame = rows()
    frame.values[::50, 4] = wild
    assert len(list(injected(frame))) == 6


def test_the_same_seed_gives_the_same_faults() -> None:
    for one, other in zip(injected(rows(), 7), injected(rows(), 7), strict=True):
        np.testing.assert_array_equal(one.frame.values, other.frame.values)
        np.testing.assert_array_equal(one.faulty, other.faulty)
