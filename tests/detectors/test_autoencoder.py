"""Autoencoder: channels that leave the others, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from detectors import autoencoder
from detectors.autoencoder import HIDDEN_MOST, AutoencoderDetector, AutoencoderOptions
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
HISTORY_ROWS, CHANNELS = 500, 24


def followers(rows: int, seed: int = 1) -> Values:
    """Channels that all follow three loads, with a little noise of their own."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).standard_normal((3, CHANNELS))
    return np.asarray(10 + rng.standard_normal((rows, 3)) @ mixing + 0.1 * rng.standard_normal((rows, CHANNELS)))


@pytest.fixture(scope="module")
def watched() -> AutoencoderDetector:
    return AutoencoderDetector("autoencoder", AutoencoderOptions(bottleneck=3)).fit(sample.gauges(followers(HISTORY_ROWS)))


def scored(detector: AutoencoderDetector, values: Values) -> Values:
    return detector.score(sample.gauges(values)).values[:, 0]


def test_a_channel_that_leaves_the_others_within_its_usual_range_stands_out(watched: AutoencoderDetector) -> None:
    later = followers(200, seed=2)
    spread = later[:, 7].std()
    later[100, 7] += 1.5 * spread if later[100, 7] < 10 else -1.5 * spread
    scores = scored(watched, later)
    assert scores[100] > 1.2 * np.delete(scores, 100).max()
    evidence = watched.explain(sample.gauges(later), 100, 0)
    assert evidence.ranked[0].name == "c7"
    assert evidence.ranked[0].expected == pytest.approx(followers(200, seed=2)[100, 7], abs=0.8)


def test_one_bad_channel_is_not_diluted_by_the_others(watched: AutoencoderDetector) -> None:
    """The trap of a mean squared error over everything."""
    later = followers(200, seed=3)
    later[50:, 3] = 10.0  # a dead channel: always at its mean
    scores = scored(watched, later)
    assert np.median(scores[50:]) > np.quantile(scores[:50], 0.95)


def test_one_wild_reading_does_not_throw_off_the_reconstruction_of_the_others(watched: AutoencoderDetector) -> None:
    later = followers(1, seed=4)
    later[0, 5] = 1e12
    evidence = watched.explain(sample.gauges(later), 0, 0)
    assert evidence.ranked[0].name == "c5"
    assert np.isfinite(scored(watched, later)).all()


def test_missing_readings_do_not_count_and_too_many_make_the_row_unjudged(watched: AutoencoderDetector) -> None:
    later = followers(50, seed=5)
    later[10, 0] = np.nan
    later[20, : CHANNELS // 2 + 1] = np.nan
    scores = scored(watched, later)
    assert np.isnan(scores).nonzero()[0].tolist() == [20]
    assert scores[10] < 2 * np.nanmax(np.delete(scores, 10))


def test_training_leaves_the_random_numbers_of_others_alone_and_takes_one_thread() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    AutoencoderDetector("autoencoder", AutoencoderOptions(epochs=1)).fit(sample.gauges(followers(HISTORY_ROWS)))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == 1


def test_a_wide_network_is_no_wider_and_trained_no_longer_than_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    original = torch.optim.Adam.step

    def step(self: torch.optim.Adam) -> None:
        taken.append(1)
        original(self)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    monkeypatch.setattr(autoencoder, "UPDATES_MOST", 4e6)
    values = np.random.default_rng(1).standard_normal((300, 600))
    state = AutoencoderDetector("autoencoder", AutoencoderOptions()).fit(sample.gauges(values)).state()
    weights = state["models"][0]["weights"]
    assert max(array.shape[1] for array in weights[:-1]) == HIDDEN_MOST
    assert len(taken) * sum(array.size for array in weights) < 1.3 * 4e6  # whole passes through the history
