"""Streaming principal components: they follow slow changes and learn nothing from what is bad."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.streaming_pca import UPDATE_ROWS, StreamingPcaDetector, StreamingPcaOptions
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


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each eigenvalue problem that is solved."""
    solved: list[int] = []
    original = np.linalg.eigh

    def eigh(matrix: Values) -> tuple[Values, Values]:
        solved.append(len(matrix))
        values, vectors = original(matrix)
        return values, vectors

    monkeypatch.setattr(np.linalg, "eigh", eigh)
    return solved


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


def test_a_channel_that_is_gone_does_not_end_the_learning(watched: StreamingPcaDetector) -> None:
    values = followers(6000, 6)
    values[:, 3] += np.linspace(0.0, 3.0, 6000)
    values[:, 7] = np.nan
    scores = scored(watched, values)
    assert np.median(scores[-500:]) < 1.2 * np.median(scores[:500])


def test_components_are_worked_out_once_for_a_block_of_updates_and_not_for_each_row(
    watched: StreamingPcaDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out = counted(monkeypatch)
    values = followers(128, 7)
    for row in range(len(values)):
        scored(watched, values[row : row + 1], ROWS + row)
    assert len(worked_out) == len(values) // UPDATE_ROWS


def test_of_many_channels_components_are_worked_out_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    history = np.random.default_rng(1).standard_normal((2000, 200))
    detector = StreamingPcaDetector("streaming_pca", StreamingPcaOptions()).fit(sample.gauges(history))
    worked_out = counted(monkeypatch)
    scored(detector, np.random.default_rng(2).standard_normal((200, 200)), 2000)
    assert len(worked_out) == 4


def test_data_that_it_makes_up_look_like_the_data(watched: StreamingPcaDetector) -> None:
    drawn, real = watched.simulate(4000, seed=1), followers(ROWS, 1)
    np.testing.assert_allclose(drawn.mean(axis=0), real.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.15)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(real.T), atol=0.12)


def test_all_channels_are_ranked_over_the_rows_of_an_event(watched: StreamingPcaDetector) -> None:
    values = followers(100, 8)
    values[50:60, 5] += 5.0
    frame = sample.frame(sample.gauges(values).layout, values, ROWS)
    watched.score(frame)
    cause = watched.attribute(frame, 50, 59, 0)
    assert len(cause) == CHANNELS
    assert cause[0].name == "c5"
