"""The channel that moved first and furthest for its own kind is named, whatever its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.evaluation import runner
from detectors.evaluation.suite import load_suite
from detectors.gauge_groups import CONDITION
from detectors.root_cause import RootCause
from detectors.selection import SelectionOptions, group_by_place, unit_key
from detectors.state_codec import pack, unpack
from tests.detectors import sample_frames as sample

ROWS, CHANNELS, AT = 600, 5, 60
SIZES = np.array([1e-3, 1.0, 50.0, 1e4, 0.0])
"""Of the noise of each channel; the last one is constant."""


def normal(rows: int, seed: int, first_row: int = 0) -> Frame:
    values = np.random.default_rng(seed).standard_normal((rows, CHANNELS)) * SIZES + 3.0
    return sample.frame(sample.gauges(values).layout, values, first_row)


def learned() -> RootCause:
    return RootCause(SelectionOptions(), 0).fit(normal(ROWS, 1))


def later(change: NDArray[np.float64], rows: int = 100) -> Frame:
    frame = normal(rows, 2, ROWS)
    frame.values[AT:] += change
    return frame


def key(frame: Frame) -> str:
    return unit_key(group_by_place(frame.layout, frame.layout.channels, 0)[0].key, CONDITION)


def names(cause: RootCause, frame: Frame, first: int = AT, last: int = AT + 9) -> list[str]:
    cause.follow(frame)
    return [c.name for c in cause.ranked(frame, first, last, key(frame))]


@pytest.mark.parametrize("channel", range(4))
def test_a_jump_is_named_whatever_the_size_of_the_channel(channel: int) -> None:
    change = np.zeros(CHANNELS)
    change[channel] = 12 * SIZES[channel]
    assert names(learned(), later(change))[0] == f"c{channel}"


def test_a_channel_that_never_moved_is_named_when_it_does() -> None:
    change = np.zeros(CHANNELS)
    change[4] = 40.0
    assert names(learned(), later(change))[0] == "c4"


def test_what_has_been_high_for_long_is_not_the_cause_of_what_begins_now() -> None:
    frame = normal(400, 2, ROWS)
    frame.values[:, 1] += 8.0  # another level all the time
    frame.values[300:, 2] += 400.0
    assert names(learned(), frame, 300, 309)[0] == "c2"


def test_observed_and_expected_are_readings_of_the_channel() -> None:
    cause, frame = learned(), later(np.array([0.0, 12.0, 0.0, 0.0, 0.0]))
    cause.follow(frame)
    first = cause.ranked(frame, AT, AT + 9, key(frame))[0]
    assert first.observed in frame.values[AT : AT + 10, 1]
    assert abs(first.expected - 3.0) < abs(first.observed - 3.0)
    assert 0 < first.share <= 1


def test_all_channels_are_ranked_and_those_without_a_reading_come_last() -> None:
    frame = later(np.array([0.0, 12.0, 0.0, 0.0, 0.0]))
    frame.values[AT:, 3] = np.nan
    ranked = names(learned(), frame)
    assert sorted(ranked) == [f"c{i}" for i in range(CHANNELS)]
    assert ranked[-1] == "c3"


@given(st.lists(st.integers(1, 99), max_size=4, unique=True))
def test_blocks_of_any_size_leave_the_same_levels(cuts: list[int]) -> None:
    frame = later(np.array([0.0, 5.0, 0.0, 0.0, 0.0]))
    whole, parts = learned(), learned()
    whole.follow(frame)
    for first, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(frame)], strict=True):
        parts.follow(frame.rows(slice(first, end)))
    after = normal(30, 3, ROWS + 100)
    assert names(whole, after, 5, 9) == names(parts, after, 5, 9)


def test_saved_and_loaded_it_goes_on() -> None:
    frame, cause = later(np.array([0.0, 12.0, 0.0, 0.0, 0.0])), learned()
    cause.follow(frame.rows(slice(0, AT)))
    loaded = RootCause(SelectionOptions(), 0)
    loaded.restore(unpack(pack(cause.state())))
    rest = frame.rows(slice(AT, None))
    assert names(loaded, rest, 0, 9) == names(cause, rest, 0, 9)


def test_a_unit_or_a_source_it_does_not_know_has_no_ranking() -> None:
    cause, frame = learned(), later(np.zeros(CHANNELS))
    cause.follow(frame)
    assert cause.ranked(frame, AT, AT + 1, "another") == ()
    foreign = sample.gauges(np.ones((5, 2)), source="another")
    cause.follow(foreign)
    assert cause.ranked(foreign, 0, 1, key(foreign)) == ()


@pytest.mark.data
def test_true_causes_of_recorded_incidents_rank_first(data: Path) -> None:
    mean = runner.evaluate(load_suite("asd"), data, ("ensemble",), processes=1).summaries["ensemble"].mean
    assert mean["hit_rate_100"] >= 0.85
    assert mean["top1"] >= 0.8


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12), row=st.integers(0, 99), earlier=st.integers(0, 4))
def test_small_blocks_name_the_cause_that_a_large_one_names(sizes: list[int], row: int, earlier: int) -> None:
    frame = later(6 * SIZES * np.array([1.0, 0.5, 0.0, 0.0, 0.0]))
    whole = learned()
    whole.follow(frame)
    cause, start = learned(), 0
    while True:
        end = start + sizes[start % len(sizes)]
        block = frame.rows(slice(start, end))
        cause.follow(block)
        if row < end:
            break
        start = end
    assert cause.ranked(block, row - earlier - start, row - start, key(frame)) == whole.ranked(frame, row - earlier, row, key(frame))


def test_what_is_explained_over_the_end_of_a_block_outlasts_a_restart() -> None:
    frame = later(12 * SIZES * np.array([0.0, 1.0, 0.0, 0.0, 0.0]))
    cause = learned()
    cause.follow(frame.rows(slice(0, AT + 3)))
    again = learned()
    again.restore(unpack(pack(cause.state())))
    block = frame.rows(slice(AT + 3, AT + 4))
    for each in (cause, again):
        each.follow(block)
    assert again.ranked(block, -3, 0, key(frame)) == cause.ranked(block, -3, 0, key(frame))
    assert again.ranked(block, -3, 0, key(frame))[0].name == "c1"


def test_a_channel_that_appears_in_between_is_ranked_by_what_is_known_of_it() -> None:
    frame = later(12 * SIZES * np.array([0.0, 1.0, 0.0, 0.0, 0.0]))
    cause = learned()
    columns = frame.layout.columns
    fewer = sample.gauges(np.zeros((1, CHANNELS - 1)))
    cause.follow(Frame(fewer.layout, frame.time_ns[:AT], frame.values[:AT, : CHANNELS - 1]))
    block = frame.rows(slice(AT, AT + 1))
    cause.follow(block)
    ranked = cause.ranked(block, -4, 0, key(frame))
    assert {c.name for c in ranked} == {c.name for c in columns}
    assert ranked[0].name == "c1"


@pytest.mark.parametrize("wild", [1e9, 1e308, np.inf, -np.inf])
def test_a_wild_reading_in_the_history_blinds_it_to_no_channel(wild: float) -> None:
    history = normal(ROWS, 1)
    history.values[200, 1] = wild
    change = np.zeros(CHANNELS)
    change[1] = 12
    assert names(RootCause(SelectionOptions(), 0).fit(history), later(change))[0] == "c1"


@pytest.mark.parametrize("wild", [1e308, -np.inf])
def test_a_wild_reading_is_named(wild: float) -> None:
    frame = later(np.zeros(CHANNELS))
    frame.values[AT, 2] = wild
    assert names(learned(), frame)[0] == "c2"
