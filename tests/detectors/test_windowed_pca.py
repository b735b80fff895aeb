"""Windowed principal components: what leaves the other channels or the rows before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from collectors.frame import Frame, Layout
from detectors.learned_report import predictive_check
from detectors.robust_z import RobustZDetector, RobustZOptions
from detectors.windowed_pca import WindowedPcaDetector, WindowedPcaOptions
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
ROWS, CHANNELS = 1500, 8


def followers(rows: int, seed: int) -> Values:
    """Channels that follow two slow loads, with a little noise of their own."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).standard_normal((2, CHANNELS))
    load = np.asarray(lfilter([1.0], np.poly([0.97, 0.97]), rng.standard_normal((rows + 300, 2)), axis=0))[300:]
    return np.asarray(10 + load / 80 @ mixing + 0.05 * rng.standard_normal((rows, CHANNELS)))


def later(values: Values) -> Frame:
    return sample.frame(sample.gauges(values).layout, values, first_row=ROWS)


@pytest.fixture
def watched() -> WindowedPcaDetector:
    return WindowedPcaDetector("windowed_pca", WindowedPcaOptions()).fit(sample.gauges(followers(ROWS, 1)))


def scored(detector: WindowedPcaDetector | RobustZDetector, frame: Frame) -> Values:
    found = detector.score(frame)
    (at,) = (i for i, unit in enumerate(found.units) if unit.condition == "group_outlier")
    return found.values[:, at]


def test_a_channel_that_no_longer_goes_with_the_others_is_seen_though_no_reading_is_unusual(watched: WindowedPcaDetector) -> None:
    values = followers(300, 2)
    values[200:, 3] = followers(100, 3)[:, 3]
    scores = scored(watched, later(values))
    assert scores[220:].min() > scores[30:200].max()  # the first rows do not go on from the history
    simple = RobustZDetector("robust_z", RobustZOptions()).fit(sample.gauges(followers(ROWS, 1)))
    alone = scored(simple, later(values))
    assert np.median(alone[220:]) < np.quantile(alone[:200], 0.95)
    frame = later(values)
    scored(watched, frame)
    cause = watched.attribute(frame, 200, 299, 0)
    assert cause[0].name == "c3"
    assert len(cause) == CHANNELS


def test_what_would_fit_the_others_is_said(watched: WindowedPcaDetector) -> None:
    values = followers(100, 4)
    usual = values[60, 5]
    values[60, 5] += 2.0
    frame = later(values)
    scored(watched, frame)
    first = watched.explain(frame, 60, 0).ranked[0]
    assert first.name == "c5"
    assert first.observed == pytest.approx(usual + 2.0)
    assert first.expected == pytest.approx(usual, abs=1.0)


def test_blocks_of_any_size_give_the_same_scores_also_over_a_gap(watched: WindowedPcaDetector) -> None:
    frame = later(followers(120, 5))
    time_ns = frame.time_ns.copy()
    time_ns[70:] += 1000 * sample.STEP_NS
    frame = replace(frame, time_ns=time_ns)
    whole = scored(watched, frame)
    again = WindowedPcaDetector("windowed_pca", WindowedPcaOptions()).fit(sample.gauges(followers(ROWS, 1)))
    parts = [scored(again, frame.rows(slice(a, b))) for a, b in ((0, 1), (1, 65), (65, 72), (72, 73), (73, 120))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5)


def test_rows_before_a_gap_do_not_count_after_it(watched: WindowedPcaDetector) -> None:
    values = followers(120, 6)
    values[50:60, 2] += 5.0
    frame = later(values)
    time_ns = frame.time_ns.copy()
    time_ns[60:] += 1000 * sample.STEP_NS
    together, apart = scored(watched, frame), scored(watched, replace(frame, time_ns=time_ns))
    assert together[61] > 1.2 * apart[61]
    assert apart[60] < apart[:50].max()


def test_missing_readings_do_not_count(watched: WindowedPcaDetector) -> None:
    values = followers(200, 7)
    normal = scored(watched, later(values))
    values[100:, 4] = np.nan
    scores = scored(watched, later(values))
    assert np.isfinite(scores).all()
    assert np.median(scores[120:]) < np.quantile(normal, 0.999) * 2
    values[150:, 2:] = np.nan  # less than half of the channels
    assert np.isnan(scored(watched, later(values))[150:]).all()


def test_a_channel_that_never_moved_is_an_alarm_when_it_does_and_not_before() -> None:
    history = np.column_stack([followers(ROWS, 8), np.full(ROWS, 3.0)])
    detector = WindowedPcaDetector("windowed_pca", WindowedPcaOptions()).fit(sample.gauges(history))
    values = np.column_stack([followers(100, 9), np.full(100, 3.0)])
    values[60:, -1] = 8.0
    scores = scored(detector, later(values))
    assert scores[61:].min() > scores[:60].max()


def test_a_channel_that_is_gone_leaves_the_others_judged(watched: WindowedPcaDetector) -> None:
    frame = later(followers(100, 10))
    smaller = sample.selected(frame, Layout(frame.layout.source, frame.layout.columns[1:]))
    assert np.isfinite(scored(watched, smaller)).all()


def test_one_wild_reading_of_the_history_does_not_blind_it_to_its_channel() -> None:
    history = followers(ROWS, 1)
    history[700, 3] = 1e9
    detector = WindowedPcaDetector("windowed_pca", WindowedPcaOptions()).fit(sample.gauges(history))
    values = followers(200, 2)
    values[120:, 3] += 5.0
    scores = scored(detector, later(values))
    assert scores[125:].min() > 1.5 * scores[30:120].max()


def test_a_channel_that_was_next_to_nothing_is_an_alarm_when_it_is_as_large_as_the_others() -> None:
    """In its own spreads it is then further off than any limit that such numbers might be given."""
    history = np.column_stack([followers(ROWS, 8), np.full(ROWS, 1e-9)])
    detector = WindowedPcaDetector("windowed_pca", WindowedPcaOptions()).fit(sample.gauges(history))
    values = np.column_stack([followers(100, 9), np.full(100, 1e-9)])
    values[60:, -1] = 8.0
    scores = scored(detector, later(values))
    assert scores[61:].min() > 2 * scores[30:60].max()  # the first rows do not go on from the history


def test_data_that_it_makes_up_look_like_the_data(watched: WindowedPcaDetector) -> None:
    drawn, real = watched.simulate(4000, seed=1), followers(ROWS, 1)
    np.testing.assert_allclose(drawn.mean(axis=0), real.mean(axis=0), atol=0.1 * real.std())
    np.testing.assert_allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.15)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(real.T), atol=0.15)
    np.testing.assert_array_equal(drawn, watched.simulate(4000, seed=1))


def test_data_that_do_not_fit_the_model_show_in_the_predictive_check(watched: WindowedPcaDetector) -> None:
    real = sample.gauges(followers(ROWS, 1))
    assert f"in {CHANNELS} of {CHANNELS} channels" in predictive_check(watched, real)[0]
    other = followers(ROWS, 1)
    other[:, 2] = 10 + 5 * (other[:, 2] - 10)
    assert "not in c2" in predictive_check(watched, sample.gauges(other))[0]
