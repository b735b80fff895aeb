"""Streaming principal components: they follow slow changes and learn nothing from what is bad."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.streaming_pca import StreamingPcaDetector, StreamingPcaOptions
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
ROWS, CHANNELS = 1000, 8


def followers(rows: int, seed: int) -> Values:
    """Channels that follow two loads, with a little noise of their own."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).standard_normal((2, CHANNELS))
    return np.asarray(10 + rng.standard_normal((rows, 2)) @ mixing + 0.3 * rng.standard_normal((rows, CHANNELS)))


@pytest.fixture
def watched() -> StreamingPcaDetector:
    return StreamingPcaDetector("streaming_pca", StreamingPcaOptions(memory_rows=500)).fit(sample.gauges(followers(ROWS, 1)))


def scored(detector: StreamingPcaDetector, values: Values, first_row: int = ROWS) -> Values:
    return detector.score(sample.frame(sample.gauges(values).layout, values, first_row)).values[:, 0]


def test_a_slow_change_is_followed(watched: StreamingPcaDetector) -> None:
    values = followers(6000, 2)
    values[:, 3] += np.linspace(0.0, 3.0, 6000)
    scores = scored(watched, values)
    fixed = StreamingPcaDetector("fixed", StreamingPcaOptions(memory_rows=1e9)).fit(sample.gauges(followers(ROWS, 1)))
    assert np.median(scores[-500:]) < 1.2 * np.median(scores[:500])
    assert np.median(scored(fixed, values)[-500:]) > 1.3 * np.median(scores[-500:])


def test_an_incident_cannot_poison_it(watched: StreamingPcaDetector) -> None:
    values = followers(3000, 3)
    values[500:2500, 2] += 6.0
    scores = scored(watched, values)
    usual = np.quantile(scores[:500], 0.99)
    assert scores[2000:2500].min() > usual
    assert np.median(scores[2600:]) == pytest.approx(np.median(scores[:500]), rel=0.1)


def test_a_spike_cannot_widen_it(watched: StreamingPcaDetector) -> None:
    clean = followers(1000, 4)
    spiked = clean.copy()
    spiked[100, 1] = 1e9
    expected = scored(watched, clean)
    again = StreamingPcaDetector("streaming_pca", StreamingPcaOptions(memory_rows=500)).fit(sample.gauges(followers(ROWS, 1)))
    found = scored(again, spiked)
    assert found[100] > 3 * expected.max()
    np.testing.assert_allclose(found[128:], expected[128:], rtol=0.05)


def test_blocks_of_any_size_give_the_same_scores(watched: StreamingPcaDetector) -> None:
    values = followers(200, 5)
    whole = scored(watched, values)
    again = StreamingPcaDetector("streaming_pca", StreamingPcaOptions(memory_rows=500)).fit(sample.gauges(followers(ROWS, 1)))
    parts = [scored(again, values[a:b], ROWS + a) for a, b in ((0, 1), (1, 40), (40, 130), (130, 200))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-9)
