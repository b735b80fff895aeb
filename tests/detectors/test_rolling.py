"""What is kept of the recent past: bounded, the same however the rows come, and high scores are never lost within the window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from daemon.store.packing import pack, unpack
from detectors.alarm_rate import EXCESS_MOST, AlarmRate, poisson_interval
from detectors.episodes import Episode
from detectors.finding import Unit
from detectors.levels import levels
from detectors.rolling import RecentMaxima, lasting_scores
from detectors.rolling_calibration import peaks

Values = NDArray[np.float64]
DAY_NS = 86_400_000_000_000


def filled(values: Values, step_ns: int, window_ns: int, blocks: int = 64, every: int = 50) -> RecentMaxima:
    recent = RecentMaxima(window_ns, blocks)
    recent.bind([f"u{i}" for i in range(values.shape[1])])
    time_ns = step_ns * np.arange(len(values), dtype=np.int64)
    for first in range(0, len(values), every):
        rows = slice(first, first + every)
        recent.add(time_ns[rows], values[rows], step_ns)
        recent.settle()
    return recent


def test_memory_is_bounded_and_the_highest_score_is_kept() -> None:
    values = np.random.default_rng(1).random((5000, 3))
    values[123, 1] = 7.0
    recent = filled(values, 10, 10**9)
    assert 16 < len(recent.start_ns) <= 64
    np.testing.assert_array_equal(recent.maxima.max(axis=0), values.max(axis=0))


def test_what_is_older_than_the_window_is_forgotten() -> None:
    values = np.zeros((5000, 1))
    values[100] = 9.0
    recent = filled(values, 10, 20_000)
    assert recent.maxima.max() == 0.0
    assert recent.start_ns[0] >= 5000 * 10 - 20_000 - 2 * recent.block_ns


def test_units_that_are_away_for_a_while_are_remembered_and_then_forgotten() -> None:
    recent = RecentMaxima(1000, 64)
    recent.bind(["a", "b"])
    recent.add(np.arange(10, dtype=np.int64), np.ones((10, 2)), 1)
    recent.bind(["b", "c"])
    recent.add(np.arange(10, 20, dtype=np.int64), 2 * np.ones((10, 2)), 1)
    assert np.nanmax(recent.maxima[:10, 0]) == 1.0
    assert np.isnan(recent.maxima[:10, 1]).all()
    recent.add(np.arange(5000, 5900, dtype=np.int64), np.full((900, 2), 3.0), 1)
    recent.settle()
    assert "a" in recent.state()["keys"]  # a gap is not forgotten over
    recent.add(np.arange(5900, 6100, dtype=np.int64), np.full((200, 2), 3.0), 1)
    recent.settle()
    assert recent.state()["keys"] == ["b", "c"]


@settings(deadline=None)
@given(st.integers(1, 4), st.lists(st.one_of(st.floats(0, 10), st.just(float("nan"))), min_size=1, max_size=40), st.integers(1, 39))
def test_a_lasting_score_is_the_lowest_of_the_last_judged_ones(rows: int, scores: list[float], cut: int) -> None:
    values = np.array(scores)[:, None]
    before = np.full((rows - 1, 1), -np.inf)
    whole, _ = lasting_scores(values, before, np.array([rows]))
    first, carried = lasting_scores(values[:cut], before, np.array([rows]))
    second, _ = lasting_scores(values[cut:], carried, np.array([rows]))
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    judged: list[float] = []
    for score, lasting in zip(scores, whole[:, 0], strict=True):
        if np.isnan(score):
            assert np.isnan(lasting)
            continue
        judged.append(score)
        assert lasting == (min(judged[-rows:]) if len(judged) >= rows else -np.inf)


def test_peaks_stand_apart_and_a_constant_score_has_some() -> None:
    values = np.array([1.0, 5.0, 2.0, 4.0, 1.0, 1.0, 3.0, np.nan, 1.0])[:, None]
    assert np.flatnonzero(np.isfinite(peaks(values, 1)[:, 0])).tolist() == [1, 3, 6, 8]
    assert np.flatnonzero(np.isfinite(peaks(values, 2)[:, 0])).tolist() == [1, 6]
    assert np.isfinite(peaks(np.ones((100, 1)), 2)).sum() == 20


def test_the_level_follows_a_drift_and_not_a_spike() -> None:
    start_ns = np.arange(56 * 4, dtype=np.int64) * (DAY_NS // 8)
    flat = np.random.default_rng(1).random((len(start_ns), 1))
    now = levels(start_ns, flat, 7 * DAY_NS)[1][0]
    assert 0.6 < now < 0.9
    spiked = flat.copy()
    spiked[-10:] = 1e6
    assert levels(start_ns, spiked, 7 * DAY_NS)[1][0] < 1.0
    rising = flat + np.arange(len(start_ns))[:, None]
    before, after = levels(start_ns, rising, 7 * DAY_NS)
    assert after[0] > len(start_ns) - 25
    assert (np.diff(before[60:, 0]) > -1).all()


def test_nothing_known_is_no_level() -> None:
    before, now = levels(np.empty(0, dtype=np.int64), np.empty((0, 2)), DAY_NS)
    assert before.shape == (0, 2)
    assert np.isnan(now).all()
    assert np.isnan(levels(np.arange(3) * DAY_NS, np.full((3, 1), np.nan), DAY_NS)[1]).all()


def test_what_was_kept_is_the_same_after_a_restart() -> None:
    recent, loaded = filled(np.random.default_rng(1).random((300, 2)), 10, 2000), RecentMaxima(2000, 64)
    loaded.restore(unpack(pack(recent.state())))
    loaded.bind(["u0", "u1"])
    np.testing.assert_array_equal(loaded.maxima, recent.maxima)
    assert loaded.block_ns == recent.block_ns


# Garwood's exact limits for 0, 1, 5 and 20 counts
@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 2.996), (1, 0.0513, 4.744), (5, 1.970, 10.513), (20, 13.255, 29.062)])
def test_the_interval_of_a_count_is_that_of_poisson(count: int, low: float, high: float) -> None:
    found = poisson_interval(count)
    assert found[0] == pytest.approx(low, abs=0.05)
    assert found[1] == pytest.approx(high, abs=0.05)


class TestAlarmRate:
    UNIT = Unit("u", "u", "X", "outlier")

    def raised(self, at_days: float) -> Episode:
        at_ns = int(at_days * DAY_NS)
        return Episode(self.UNIT, 0, 0, at_ns, at_ns, at_ns, None)

    def test_it_is_counted_over_the_days_judged(self) -> None:
        rate = AlarmRate()
        rate.take([], DAY_NS)
        for day in range(2, 12):
            rate.take([self.raised(day)], day * DAY_NS)
        found = rate.measured()
        assert (found.episodes, found.days) == (10, 10.0)
        assert found.low < found.per_day == 1.0 < found.high
        loaded = AlarmRate()
        loaded.restore(unpack(pack(rate.state())))
        assert loaded.measured() == found

    def test_what_was_weeks_ago_does_not_count_any_more(self) -> None:
        rate = AlarmRate()
        rate.take([self.raised(1)], DAY_NS)
        rate.take([], 100 * DAY_NS)
        rate.forget()
        assert rate.measured().episodes == 0
        assert rate.measured().days == 28.0
        assert rate.state()["raised"] == {}

    def test_before_anything_is_judged_the_rate_may_be_anything(self) -> None:
        found = AlarmRate().measured()
        assert found.days == 0
        assert found.high == float("inf")

    def test_few_alarms_are_no_excess_and_many_are(self) -> None:
        rate = AlarmRate()
        rate.take([self.raised(10 + hour / 24) for hour in range(2)], 11 * DAY_NS)
        assert rate.excess((self.UNIT,), np.array([0.01])) == 1.0
        rate.take([self.raised(10.1 + hour / 24) for hour in range(18)], 11 * DAY_NS)
        assert rate.excess((self.UNIT,), np.array([1.0])) > 3.0
        assert rate.excess((self.UNIT,), np.array([0.01])) == EXCESS_MOST
        assert rate.excess((Unit("v", "v", "X", "outlier"),), np.array([1.0])) == 1.0
