"""Ensemble: members earn their weight on rows held back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.earned_weights import hour_dependence
from detectors.ensemble import EnsembleDetector, EnsembleOptions
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
CHANNELS = 8
HOUR_NS = 3_600_000_000_000
DAY_ROWS = 288


def stream(days: int, seed: int, swing: float = 0.0) -> Values:
    """Channels that follow two loads; with a swing one of the loads follows the time of day."""
    rng = np.random.default_rng(seed)
    rows = days * DAY_ROWS
    mixing = np.random.default_rng(9).standard_normal((2, CHANNELS))
    load = rng.standard_normal((rows, 2))
    load[:, 0] += swing * np.sin(2 * np.pi * np.arange(rows) / DAY_ROWS)
    return np.asarray(10 + load @ mixing + 0.1 * rng.standard_normal((rows, CHANNELS)))


def framed(values: Values, first_row: int = 0) -> Frame:
    """Rows five minutes apart."""
    frame = sample.gauges(values)
    return Frame(frame.layout, np.arange(first_row, first_row + len(values), dtype=np.int64) * HOUR_NS // 12, values)


def trained(values: Values, *members: str) -> EnsembleDetector:
    return EnsembleDetector("ensemble", EnsembleOptions.model_validate({"members": members})).fit(framed(values))


def test_weights_add_up_to_one_and_are_kept() -> None:
    detector = trained(stream(10, 1), "windowed_pca", "robust_z", "isolation_forest")
    assert sum(detector.weights.values()) == pytest.approx(1.0)
    assert set(detector.weights) == {"windowed_pca", "robust_z", "isolation_forest"}
    loaded = EnsembleDetector("ensemble", EnsembleOptions(members=("windowed_pca", "robust_z", "isolation_forest")))
    loaded.restore(detector.state())
    assert loaded.weights == detector.weights


def test_a_member_whose_score_follows_the_time_of_day_loses_its_weight() -> None:
    quiet = trained(stream(10, 2), "windowed_pca", "robust_z").weights
    swinging = trained(stream(10, 2, swing=4.0), "windowed_pca", "robust_z").weights
    assert swinging["robust_z"] < 0.5 * quiet["robust_z"]
    assert swinging["windowed_pca"] > quiet["windowed_pca"]


def test_how_much_the_hour_explains() -> None:
    rng = np.random.default_rng(3)
    time_ns = np.arange(8 * DAY_ROWS, dtype=np.int64) * HOUR_NS // 12
    wave = np.sin(2 * np.pi * np.arange(len(time_ns)) / DAY_ROWS)
    noise = rng.standard_normal(len(time_ns))
    assert hour_dependence(np.exp(noise), time_ns) < 0.05
    assert hour_dependence(np.exp(wave), time_ns) > 0.9
    assert hour_dependence(np.exp(wave + wave.std() * noise), time_ns) == pytest.approx(0.5, abs=0.1)
    assert hour_dependence(np.exp(wave[:DAY_ROWS]), time_ns[:DAY_ROWS]) == 0.0


def test_a_member_that_is_broken_on_rows_held_back_loses_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    from detectors.isolation_forest import IsolationForestDetector  # noqa: PLC0415 - only this test breaks it

    healthy = IsolationForestDetector.score

    def broken(self: IsolationForestDetector, frame: Frame) -> object:
        scores = healthy(self, frame)
        scores.values[:] = 1.0
        return scores

    monkeypatch.setattr(IsolationForestDetector, "score", broken)
    assert trained(stream(10, 4), "windowed_pca", "isolation_forest").weights == {"windowed_pca": 1.0, "isolation_forest": 0.0}


def test_what_the_members_say_is_explained_and_their_disagreement_is_an_uncertainty() -> None:
    detector = trained(stream(10, 5), "windowed_pca", "robust_z")
    values = stream(1, 6)
    values[100:110, 3] += 4.0
    later = framed(values, 10 * DAY_ROWS)
    scores = detector.score(later)
    assert scores.values[105, 0] > scores.values[:100, 0].max()
    evidence = detector.explain(later, 105, 0)
    assert evidence.ranked[0].name == "c3"
    assert "windowed_pca" in evidence.summary
    assert "robust_z" in evidence.summary
    assert detector.uncertainty(later, 105, 0).training_run > 0
    assert detector.attribute(later, 100, 109, 0)[0].name == "c3"
