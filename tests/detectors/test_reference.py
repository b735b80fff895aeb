"""Shapes of histograms against their reference: the traps that published code falls into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from collectors.frame import Axis, Frame, Histogram, Layout, Storage
from detectors.finding import Scores
from detectors.reference import ReferenceDetector, ReferenceOptions
from detectors.reference_evidence import moved_by
from detectors.tail_logs import log_any_of, log_chi_square, log_two_sided
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
HISTORY_ROWS = 200
ALARM = 10.0
"""A score that no normal interval comes near."""
MEAN = sample.mean_counts(sample.SPECTRUM)


def spectra(rows: int, mean: Values = MEAN, seed: int = 1) -> Values:
    return np.random.default_rng(seed).poisson(mean, (rows, *mean.shape)).astype(np.float64)


def fitted(histogram: Histogram, counts: Values, **options: float) -> ReferenceDetector:
    return ReferenceDetector("reference", ReferenceOptions.model_validate(options)).fit(sample.histogram_frame(histogram, counts))


@pytest.fixture(scope="module")
def watched() -> ReferenceDetector:
    return fitted(sample.SPECTRUM, spectra(HISTORY_ROWS))


def score(detector: ReferenceDetector, counts: Values, histogram: Histogram = sample.SPECTRUM) -> Values:
    return detector.score(sample.histogram_frame(histogram, counts, HISTORY_ROWS)).values[:, 0]


def text(detector: ReferenceDetector, counts: Values, histogram: Histogram = sample.SPECTRUM) -> str:
    return detector.explain(sample.histogram_frame(histogram, counts, HISTORY_ROWS), 0, 0).summary


def peak(moved_gev: float = 0.0, width_gev: float = 3.0) -> Values:
    mass = np.linspace(60.5, 119.5, 60)
    return np.asarray(20.0 + 300.0 * np.exp(-0.5 * ((mass - 91.0 - moved_gev) / width_gev) ** 2))


def test_normal_intervals_score_as_their_chance_says(watched: ReferenceDetector) -> None:
    scores = score(watched, spectra(2000, seed=2))
    assert (scores > 1).mean() < 0.15
    assert scores.max() < 6


@pytest.mark.parametrize("scale", [0.1, 0.5, 10.0, 100.0])
def test_more_or_fewer_entries_are_normal(watched: ReferenceDetector, scale: float) -> None:
    assert score(watched, spectra(200, scale * MEAN)).max() < 6


@pytest.mark.parametrize("moved_gev", [-3.0, -1.0, 1.0, 3.0])
def test_a_moved_peak_is_found_and_its_way_named(watched: ReferenceDetector, moved_gev: float) -> None:
    counts = spectra(1, peak(moved_gev))
    assert score(watched, counts)[0] > ALARM
    summary = text(watched, counts)
    assert f"has moved {'up' if moved_gev > 0 else 'down'} by" in summary
    bins = float(summary.partition("(")[2].split(" bin")[0])
    assert bins == pytest.approx(abs(moved_gev), abs=0.3)


def test_a_peak_that_moved_by_a_third_of_a_bin_is_found(watched: ReferenceDetector) -> None:
    assert score(watched, spectra(1, 10 * peak(0.33)))[0] > ALARM


def test_the_order_of_bins_matters(watched: ReferenceDetector) -> None:
    """The same contents in other bins: a test on the bare contents passes it."""
    assert score(watched, spectra(1)[:, ::-1])[0] > ALARM


def test_a_hole_is_found_and_named(watched: ReferenceDetector) -> None:
    counts = spectra(1)
    counts[0, 28:31] = 0
    assert score(watched, counts)[0] > ALARM
    assert text(watched, counts).startswith("Too few entries in ECAL/mass at mass 8")


def test_a_hot_bin_is_found_and_ranks_first(watched: ReferenceDetector) -> None:
    counts = spectra(1)
    counts[0, 5] += 100
    assert score(watched, counts)[0] > ALARM
    evidence = watched.explain(sample.histogram_frame(sample.SPECTRUM, counts, HISTORY_ROWS), 0, 0)
    assert evidence.ranked[0].name == "mass 65 to 66 GeV"
    assert evidence.ranked[0].observed == counts[0, 5]
    assert evidence.ranked[0].expected == pytest.approx(20, rel=0.2)


def test_a_wider_peak_is_found(watched: ReferenceDetector) -> None:
    assert score(watched, spectra(1, peak(width_gev=4.0)))[0] > ALARM


@pytest.mark.parametrize("factor", [0.0, 4.0])
def test_a_dead_and_a_hot_tower_are_found_in_a_map(factor: float) -> None:
    mean = sample.mean_counts(sample.MAP)
    detector = fitted(sample.MAP, spectra(HISTORY_ROWS, mean))
    counts = spectra(2, mean, seed=3)
    counts[1, 4, 4] *= factor
    scores = score(detector, counts, sample.MAP)
    assert scores[0] < 5
    assert scores[1] > ALARM
    assert "eta -2, phi 5" in text(detector, counts[1:], sample.MAP)


def test_systematic_changes_that_the_history_shows_are_normal() -> None:
    wobble = 1 + 0.2 * np.random.default_rng(4).standard_normal((HISTORY_ROWS + 200, 1)) * np.linspace(-1, 1, 60)
    counts = np.random.default_rng(1).poisson(100 * MEAN * np.maximum(wobble, 0.1)).astype(np.float64)
    detector = fitted(sample.SPECTRUM, counts[:HISTORY_ROWS])
    assert np.quantile(score(detector, counts[HISTORY_ROWS:]), 0.95) < 3
    strict = fitted(sample.SPECTRUM, spectra(HISTORY_ROWS, 100 * MEAN))
    assert np.median(score(strict, counts[HISTORY_ROWS:])) > ALARM


def test_one_bad_interval_in_the_history_does_not_widen_the_reference() -> None:
    history = spectra(HISTORY_ROWS)
    history[50] = spectra(1, peak(20.0))[0]
    assert score(fitted(sample.SPECTRUM, history), spectra(1, peak(2.0)))[0] > ALARM


def test_too_few_entries_cannot_be_judged(watched: ReferenceDetector) -> None:
    assert np.isnan(score(watched, np.full((1, 60), 1.0))[0])
    assert np.isfinite(score(watched, np.full((1, 60), 2.0))[0])
    nobody = fitted(sample.SPECTRUM, np.full((HISTORY_ROWS, 60), 1.0))
    assert not nobody.score(sample.histogram_frame(sample.SPECTRUM, spectra(1))).units


def test_entries_where_none_ever_were_are_found() -> None:
    mean = MEAN.copy()
    mean[40:] = 0
    counts = spectra(1, mean, seed=2)
    counts[0, 50] = 40
    assert score(fitted(sample.SPECTRUM, spectra(HISTORY_ROWS, mean)), counts)[0] > ALARM


def test_a_profile_is_judged_by_its_means() -> None:
    rng = np.random.default_rng(1)
    layout = Layout("dqm", (sample.TIMING,))
    detector = ReferenceDetector("reference", ReferenceOptions()).fit(sample.frame(layout, sample.filled(sample.TIMING, rng, HISTORY_ROWS)))
    values = sample.filled(sample.TIMING, rng, 300)
    counts, sums = values[-1, 1:15].copy(), slice(1 + 2 * 14, 1 + 3 * 14)
    values[-1, sums][4] += counts[4] * 0.8  # one bin 0.8 late, eight to nine standard deviations
    frame = sample.frame(layout, values, HISTORY_ROWS)
    scores = detector.score(frame).values[:, 0]
    assert scores[:-1].max() < 6
    assert scores[-1] > ALARM
    evidence = detector.explain(frame, 299, 0)
    assert evidence.summary.startswith("Mean in ECAL/timing is too high at eta -3")
    assert evidence.ranked[0].expected == pytest.approx(0.5, abs=0.05)


def test_histograms_of_one_size_are_judged_each_by_its_own_reference() -> None:
    axis = Axis("x", "", 60, 0, 60)
    many = tuple(Histogram(f"h{i}", (axis,)) for i in range(5))
    weighted = Histogram("w", (axis,), Storage.WEIGHTED)
    layout = Layout("dqm", (*many, weighted))
    means = [np.roll(MEAN, 5 * i) for i in range(5)]

    def rows(number: int, seed: int) -> Frame:
        parts = [sample.columns_of(h, [spectra(number, mean, seed + i)]) for i, (h, mean) in enumerate(zip(many, means, strict=True))]
        counts = spectra(number, MEAN, seed + 9)
        return sample.frame(layout, np.concatenate([*parts, sample.columns_of(weighted, [3 * counts, 9 * counts])], axis=1))

    detector = ReferenceDetector("reference", ReferenceOptions()).fit(rows(HISTORY_ROWS, 1))
    later = rows(20, 50)
    scores: Scores = detector.score(later)
    assert sorted(unit.name for unit in scores.units) == ["h0", "h1", "h2", "h3", "h4", "w"]
    assert scores.values.max() < 6
    values = later.values.astype(np.float64)
    section = slice(layout.position("h3") + 1, layout.position("h3") + 63)
    values[:, section] = np.roll(values[:, section], 4, axis=1)
    moved = detector.score(sample.with_values(later, values))
    assert [unit.name for i, unit in enumerate(moved.units) if moved.values[:, i].min() > ALARM] == ["h3"]
    h3 = [unit.name for unit in moved.units].index("h3")
    assert "h3 has moved up by 4 (4 bins)" in detector.explain(sample.with_values(later, values), 0, h3).summary


def test_no_move_is_named_where_none_explains_the_difference() -> None:
    counts = MEAN.copy()
    counts[5] += 500
    assert moved_by(counts, MEAN) == 0
    assert moved_by(MEAN, MEAN) == 0


def test_small_tail_probabilities_agree_with_scipy_and_do_not_underflow() -> None:
    pulls = np.array([0.0, 1.0, 5.0, 60.0])
    np.testing.assert_allclose(log_two_sided(pulls), stats.norm.logsf(pulls) + np.log(2), atol=1e-9)
    p = np.array([1e-300, 1e-14, 1e-3, 0.5])
    expected = np.log(-np.expm1(50 * np.log1p(-p)))
    np.testing.assert_allclose(log_any_of(np.log(p), np.full(4, 50.0)), expected, rtol=1e-6)
    chi_square, degrees = np.array([50.0, 120.0, 300.0]), np.array([60.0, 60.0, 60.0])
    np.testing.assert_allclose(log_chi_square(chi_square, degrees), stats.chi2.logsf(chi_square, degrees), rtol=0.06)
    assert np.isfinite(log_chi_square(np.array([1e9]), np.array([60.0]))).all()


def with_gain(counts: Values, gain: float) -> Values:
    """Spectra, shape (rows, bins), as an amplification that is off by a factor would show them."""
    edges = np.arange(counts.shape[1] + 1)
    below = np.concatenate([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1)], axis=1)
    return np.array([np.diff(np.interp(np.clip(edges / gain, 0, edges[-1]), edges, row)) for row in below])


@pytest.mark.data
def test_on_recorded_pixel_charge_it_finds_bad_runs_and_faults_put_into_good_ones(data: Path) -> None:
    """CMS pixel cluster charge 2017, one spectrum a lumisection.

    Published for leaving out one run in turn: 0.864 with the highest pull, 0.779 with chi-square.
    """
    table = pd.read_csv(data / "dqm" / "pixel_2017B" / "data_ext_train.csv")
    counts, run = table[[f"bin_{i}" for i in range(1, 101)]].to_numpy(np.float64), table["run"].to_numpy()
    good = table["y"].to_numpy() == 1
    charge = Histogram("charge", (Axis("charge", "ke", 100, 0, 100),))
    scores = np.full(len(run), np.nan)
    for number in np.unique(run):
        detector = fitted(charge, counts[good & (run != number)])
        scores[run == number] = score(detector, counts[run == number], charge)
    assert roc_auc_score(~good, scores) > 0.87
    rows = np.flatnonzero(good & (run == 297178))
    earlier, later = counts[rows[:600]], counts[rows[600:]]
    detector = fitted(charge, earlier)
    normal, gain = score(detector, later, charge), score(detector, with_gain(later, 0.95), charge)
    hole = later.copy()
    hole[:, 20:25] *= 0.8
    assert np.mean(gain > np.quantile(normal, 0.99)) > 0.95
    assert np.mean(score(detector, hole, charge) > np.quantile(normal, 0.99)) > 0.7
