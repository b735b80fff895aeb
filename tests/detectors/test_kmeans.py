"""k-means on windows: states that each look the same, and what lies between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.kmeans import KMeansDetector, KMeansOptions
from tests.detectors import sample_frames as sample

ROWS, LATER = 1200, 300


def two_states(rows: int, seed: int, first_row: int = 0) -> Frame:
    """Idle and full load in turns of 60 rows: three channels at 0 or at 10 together."""
    rng = np.random.default_rng(seed)
    load = 10.0 * ((np.arange(first_row, first_row + rows) // 60) % 2)
    values = load[:, None] + 0.3 * rng.standard_normal((rows, 3))
    return sample.frame(sample.gauges(values).layout, values, first_row)


def scores(frame: Frame, seed: int = 1) -> NDArray[np.float64]:
    detector = KMeansDetector("kmeans", KMeansOptions(window_rows=5, seed=seed)).fit(two_states(ROWS, 1))
    return detector.score(frame).values[:, 0]


def test_half_load_is_unusual_though_it_lies_between_the_usual_states() -> None:
    frame = two_states(LATER, 2, ROWS)
    frame.values[30:45] = 5.0
    found = scores(frame)
    usual = np.concatenate([found[10:28], found[70:118]])
    assert found[36:45].min() > 2 * np.quantile(usual, 0.99)


def test_usual_states_score_about_one() -> None:
    assert 0.3 < np.median(scores(two_states(LATER, 3, ROWS))) < 2.0


def test_the_same_seed_gives_the_same_scores() -> None:
    frame = two_states(LATER, 3, ROWS)
    np.testing.assert_array_equal(scores(frame), scores(frame))


def test_a_missing_channel_is_left_out_and_not_an_alarm() -> None:
    frame = two_states(LATER, 3, ROWS)
    frame.values[100:110, 2] = np.nan
    found = scores(frame)
    assert np.isfinite(found[100:110]).all()
    assert found[104:110].max() < 3 * np.median(found)


def test_a_history_of_one_state_has_one_sort_of_windows() -> None:
    frame = sample.gauges(np.full((400, 3), 7.0))
    detector = KMeansDetector("kmeans", KMeansOptions()).fit(frame)
    assert np.nanmax(detector.score(frame).values) < 0.01


def test_a_short_history_does_not_make_every_window_a_sort_of_its_own() -> None:
    """Nothing would be any distance away from its centre, and everything that comes later infinitely far."""
    rng = np.random.default_rng(1)
    detector = KMeansDetector("kmeans", KMeansOptions()).fit(sample.gauges(rng.standard_normal((25, 6))))
    later = sample.frame(sample.gauges(np.zeros((1, 6))).layout, rng.standard_normal((LATER, 6)), 25)
    assert np.median(detector.score(later).values) < 5


def test_data_that_it_makes_up_look_like_the_data() -> None:
    detector = KMeansDetector("kmeans", KMeansOptions(window_rows=5)).fit(two_states(ROWS, 1))
    drawn, real = detector.simulate(4000, seed=1), two_states(ROWS, 1).values
    np.testing.assert_allclose(drawn.mean(axis=0), real.mean(axis=0), atol=0.5)
    np.testing.assert_allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.1)
    assert ((drawn > 2) & (drawn < 8)).mean() < 0.15  # two states, and little between them


def test_a_window_far_from_all_centres_scores_the_same_in_blocks_of_any_size() -> None:
    frame = two_states(100, 2, ROWS)
    frame.values[20:60] = 1e6
    one, many = (KMeansDetector("kmeans", KMeansOptions(window_rows=5)).fit(two_states(ROWS, 1)) for _ in range(2))
    singly = np.concatenate([many.score(frame.rows(slice(row, row + 1))).values for row in range(100)])
    np.testing.assert_allclose(singly, one.score(frame).values, rtol=1e-5)
