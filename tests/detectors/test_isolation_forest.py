"""Isolation forest: the same scores as scikit-learn, combinations of readings, what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyod.models.iforest import IForest
from sklearn.ensemble import IsolationForest

from collectors.frame import Layout
from detectors.isolation_forest import IsolationForestDetector, IsolationForestOptions
from detectors.packed_forest import PackedForest, pack, usual_path
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
HISTORY_ROWS = 500


def pairs(rows: int, seed: int = 1, channels: int = 4) -> Values:
    """Channels two by two: the second follows the first."""
    rng = np.random.default_rng(seed)
    load = rng.standard_normal((rows, channels // 2))
    return np.stack([load, 3 + 2 * load + 0.1 * rng.standard_normal(load.shape)], axis=2).reshape(rows, channels)


def fitted(values: Values, **options: object) -> IsolationForestDetector:
    return IsolationForestDetector("isolation_forest", IsolationForestOptions.model_validate(options)).fit(sample.gauges(values))


@pytest.mark.parametrize(("rows", "features"), [(3, 1), (100, 2), (1000, 20)])
def test_packed_trees_score_exactly_as_the_library_does(rows: int, features: int) -> None:
    rng = np.random.default_rng(1)
    training = rng.standard_t(3, (rows, features)).round(1)  # rounded, so that values meet thresholds
    model = IForest(50, max_samples=min(256, rows), n_jobs=1, random_state=1).fit(training)
    later = rng.standard_t(3, (2000, features)).round(1)
    packed = pack([tree.tree_ for tree in model.estimators_], model.max_samples_)
    np.testing.assert_array_equal(packed.score(later), -model.detector_.score_samples(later.astype(np.float32)))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 400), st.integers(1, 9), st.integers(1, 12), st.integers(2, 300), st.integers(0, 3), st.integers(0, 2**31))
def test_whatever_the_forest_no_score_differs(rows: int, features: int, trees: int, samples: int, decimals: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    training = rng.standard_t(2, (rows, features)).round(decimals).astype(np.float32)
    model = IsolationForest(n_estimators=trees, max_samples=min(samples, rows), random_state=seed).fit(training)
    packed = pack([tree.tree_ for tree in model.estimators_], model.max_samples_)
    inner = np.flatnonzero(np.isfinite(packed.threshold))
    later = rng.standard_t(2, (200, features)).round(decimals).astype(np.float32)
    if len(inner):  # readings that are thresholds of the forest
        chosen = rng.choice(inner, 100)
        later[np.arange(100), packed.feature[chosen]] = packed.threshold[chosen]
    expected = -model.score_samples(later)
    np.testing.assert_array_equal(packed.score(later), expected)
    np.testing.assert_array_equal(PackedForest.of(packed.state()).score(later[:1]), expected[:1])


def test_the_usual_path_of_few_samples_is_defined() -> None:
    assert usual_path(np.array([0, 1, 2])).tolist() == [0.0, 0.0, 1.0]
    assert usual_path(np.array([256]))[0] == pytest.approx(10.24, abs=0.01)


def test_readings_that_do_not_go_together_stand_out_within_their_usual_ranges() -> None:
    later = pairs(200, seed=2, channels=2)
    later[100] = [-1.5, 6.0]  # each is usual, but with -1.5 goes 0
    scores = fitted(pairs(HISTORY_ROWS, channels=2)).score(sample.gauges(later)).values[:, 0]
    assert scores[100] > np.quantile(np.delete(scores, 100), 0.9)


def test_a_missing_reading_counts_as_usual_and_too_many_make_the_row_unjudged() -> None:
    detector = fitted(pairs(HISTORY_ROWS))
    later = pairs(3, seed=2)
    later[1, 0] = np.nan
    later[2, :3] = np.nan
    usual = later.copy()
    usual[1, 0] = detector.groups.scaling.centre[0]
    scores = detector.score(sample.gauges(later)).values[:, 0]
    assert np.isnan(scores).tolist() == [False, False, True]
    assert scores[1] == detector.score(sample.gauges(usual)).values[1, 0]


def test_groups_have_forests_of_their_own() -> None:
    channels = tuple(sample.gauge(f"c{i}", place=f"X/ch{i // 2}") for i in range(4))
    layout = Layout("hv", channels)
    detector = IsolationForestDetector("isolation_forest", IsolationForestOptions(group_depth=2))
    detector.fit(sample.frame(layout, pairs(HISTORY_ROWS)))
    later = pairs(50, seed=2)
    later[20, 2:] = [8.0, -9.0]
    frame = sample.frame(layout, later, HISTORY_ROWS)
    scores = detector.score(frame)
    assert [unit.place for unit in scores.units] == ["X/ch0", "X/ch1"]
    assert scores.values[20].argmax() == 1
    evidence = detector.explain(frame, 20, 1)
    assert {contribution.name for contribution in evidence.ranked} == {"c2", "c3"}
    assert evidence.summary.startswith("Readings of X/ch1 do not usually occur together: c")


def test_another_seed_grows_another_forest() -> None:
    later = sample.gauges(pairs(50, seed=2))
    first, second = (fitted(pairs(HISTORY_ROWS), seed=seed).score(later).values for seed in (1, 2))
    assert (first != second).any()
    assert np.corrcoef(first[:, 0], second[:, 0])[0, 1] > 0.9
