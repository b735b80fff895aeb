"""How alarms meet events, how rankings name causes, and where means lie."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.episodes import Episode
from detectors.evaluation.bootstrap import interval
from detectors.evaluation.causes import hit_rate, is_top
from detectors.evaluation.events import EARLY_ROWS, Alarm, alarms_of, meet
from detectors.finding import Unit

LABELS = np.zeros(200, dtype=np.bool_)
LABELS[50:60] = LABELS[100:120] = True


def test_an_alarm_within_an_event_finds_it_after_a_delay() -> None:
    met = meet([Alarm(53, 70)], LABELS)
    assert met.found.tolist() == [True, False]
    assert met.delay_rows[0] == 3
    assert met.false_alarms == 0


def test_an_alarm_just_before_an_event_finds_it_without_delay() -> None:
    met = meet([Alarm(50 - EARLY_ROWS, 52)], LABELS)
    assert met.found.tolist() == [True, False]
    assert met.delay_rows[0] == 0


def test_an_alarm_that_has_always_been_on_finds_nothing_and_is_false() -> None:
    met = meet([Alarm(0, 199)], LABELS)
    assert not met.found.any()
    assert met.false_rows.tolist() == [0]


def test_an_alarm_that_ended_before_the_event_is_false() -> None:
    met = meet([Alarm(45, 48)], LABELS)
    assert not met.found.any()
    assert met.false_alarms == 1


def test_several_alarms_in_one_event_are_neither_false_nor_found_twice() -> None:
    met = meet([Alarm(57, 58), Alarm(52, 53)], LABELS)
    assert met.false_alarms == 0
    assert met.delay_rows[0] == 2


def test_an_alarm_begins_when_it_was_raised_and_not_at_the_first_bad_row() -> None:
    time_ns = np.arange(10, dtype=np.int64) * 60
    unit = Unit("key", "name", "", "group_outlier")
    raised = Episode(unit, 0, 4, since_ns=120, raised_ns=240, last_ns=240, cleared_ns=None)
    cleared = Episode(unit, 0, 8, since_ns=120, raised_ns=240, last_ns=360, cleared_ns=480)
    assert alarms_of([raised, cleared], time_ns) == [Alarm(4, 6)]
    assert alarms_of([raised], time_ns) == [Alarm(4, 9)]


def test_a_hit_rate_counts_causes_among_as_many_first_places() -> None:
    assert hit_rate(["a", "x", "b", "c"], {"a", "b", "c"}) == pytest.approx(2 / 3)
    assert is_top(["a", "x"], {"a"})
    assert not is_top(["x", "a"], {"a"})
    assert not is_top([], {"a"})
    with pytest.raises(ValueError, match="no hit rate"):
        hit_rate(["a"], set())


def test_an_interval_covers_the_mean_and_is_the_same_with_the_same_seed() -> None:
    values = [0.2, 0.5, 0.4, 0.9, 0.1]
    low, high = interval(values, seed=3)
    assert low < np.mean(values) < high
    assert interval(values, seed=3) == (low, high)
    assert math.isnan(interval([0.5])[0])


@given(st.lists(st.tuples(st.integers(0, 199), st.integers(0, 30)), max_size=12))
def test_each_alarm_is_false_or_finds_something(drawn: list[tuple[int, int]]) -> None:
    alarms = [Alarm(first, min(first + length, 199)) for first, length in drawn]
    met = meet(alarms, LABELS)
    assert met.false_alarms <= len(alarms)
    assert bool(met.found.any()) == (met.false_alarms < len(alarms))
    assert np.isfinite(met.delay_rows).tolist() == met.found.tolist()
