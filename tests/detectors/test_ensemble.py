"""Ensemble: members earn their weight on rows held back."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Frame, Layout
from detectors.earned_weights import earn, hour_dependence
from detectors.ensemble import EnsembleDetector, EnsembleOptions, votes
from detectors.finding import Scores, Unit
from detectors.gauge_groups import CONDITION
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


class Coarse:
    """Scores a row by how far its first channel is off, in two steps only."""

    def score(self, frame: Frame) -> Scores:
        high = np.abs(frame.values[:, 0] - 10) > 8.0
        return Scores((Unit("g", "g", "", CONDITION),), np.where(high, 2.0, 1.0)[:, None])


def test_equal_scores_are_half_told_apart() -> None:
    """Twice the area under the ROC curve, less one: a row with a fault that scores as a normal one counts half, not as worse."""
    values = np.column_stack([10 + np.random.default_rng(7).standard_normal(2000), np.full(2000, 3.0)])
    earned = earn({"coarse": Coarse()}, framed(values), ("coarse",))["g"]  # type: ignore[dict-item]
    assert 0.0 < earned.separation["coarse"] < 0.3


def test_members_are_weighed_by_faults_of_the_channels_that_they_look_at() -> None:
    """Four channels of a hundred are judged: faults of the others say nothing about who sees those."""
    values = np.column_stack([stream(8, 8)[:, :4], np.random.default_rng(1).standard_normal((8 * DAY_ROWS, 96))])
    options = {"members": ("windowed_pca", "robust_z"), "include": [f"c{i}" for i in range(4)]}
    few = EnsembleDetector("ensemble", EnsembleOptions.model_validate(options)).fit(framed(values))
    alone = trained(values[:, :4], "windowed_pca", "robust_z")
    assert few.weights == pytest.approx(alone.weights)


def test_each_of_many_groups_is_weighed_by_its_own_faults() -> None:
    values = np.column_stack([stream(8, seed)[:, :4] for seed in range(20, 30)])
    places = tuple(sample.gauge(f"g{i // 4}c{i % 4}", place=f"g{i // 4}/c") for i in range(values.shape[1]))
    frame = Frame(Layout("table", places), framed(values).time_ns, values)
    options = EnsembleOptions(members=("windowed_pca", "robust_z"), group_depth=1)
    detector = EnsembleDetector("ensemble", options).fit(frame)
    told = [value for earned in detector.state()["earned"].values() for value in earned["separation"].values()]
    assert len(told) == 20
    assert min(told) > 0.2


def test_a_model_that_is_refused_leaves_the_one_in_use_as_it_is() -> None:
    values = stream(4, 1)
    detector = trained(values, "windowed_pca", "robust_z")
    before = detector.score(framed(stream(1, 2), len(values))).values
    refused = detector.state()
    last = list(refused["members"])[-1]
    refused["members"][last] = {**refused["members"][last], "version": 0}
    with pytest.raises(ValueError, match="version"):
        detector.restore(refused)
    np.testing.assert_array_equal(detector.score(framed(stream(1, 2), len(values))).values, before)


def test_a_model_that_was_written_before_rows_were_carried_is_refused() -> None:
    state = trained(stream(4, 1), "robust_z").state()
    with pytest.raises(ValueError, match="model of version 1, this is version 2"):
        EnsembleDetector("ensemble", EnsembleOptions()).restore({**state, "version": 1})


@pytest.mark.parametrize("size", [1, 4, 15])
def test_evidence_and_cause_are_the_same_in_blocks_of_any_size(size: int) -> None:
    history = stream(6, 5)
    whole, live = (EnsembleDetector("ensemble", EnsembleOptions()).fit(framed(history)) for _ in range(2))
    values = stream(1, 6)[:120]
    values[100:110, 3] += 4.0
    values[101:110, 5] += 6.0
    later = framed(values, len(history))
    whole.score(later)
    for start in range(0, len(later), size):
        block = later.rows(slice(start, start + size))
        live.score(block)
        for row in range(max(start, 98), min(start + size, 112)):
            at, expected = row - start, whole.explain(later, row, 0)
            assert [c.name for c in live.explain(block, at, 0).ranked] == [c.name for c in expected.ranked]
            assert live.explain(block, at, 0).summary.split(" (")[0] == expected.summary.split(" (")[0]
            assert live.attribute(block, at - 4, at, 0)[0].name == expected.ranked[0].name


@pytest.mark.parametrize("size", [1, 15, 120])
def test_the_picture_shows_what_the_evidence_names_and_changes_nothing(size: int) -> None:
    history = stream(6, 5)
    detector, undisturbed = (EnsembleDetector("ensemble", EnsembleOptions()).fit(framed(history)) for _ in range(2))
    values = stream(1, 6)[:120]
    values[101:, 3] += 9.0
    later = framed(values, len(history))
    for start in range(0, len(later), size):
        block = later.rows(slice(start, start + size))
        detector.score(block)
        if start <= 102 < start + size:
            figure = detector.picture(later.rows(slice(0, start + size)), 102, 0)
            assert figure is not None
            assert [line.name for line in figure.lines] == [
                c.name for c in detector.explain(block, 102 - start, 0).ranked[: len(figure.lines)]
            ]
            assert figure.lines[0].name == "c3"
            assert figure.since_ns == later.time_ns[101]
            assert figure.found_ns == later.time_ns[102]
        np.testing.assert_array_equal(detector.score(block).values, undisturbed.score(block).values)


def test_a_source_that_was_off_at_the_end_of_the_history_is_learned() -> None:
    values = stream(10, 5)
    values[4 * DAY_ROWS :] = np.nan
    detector = trained(values, "windowed_pca", "robust_z")
    assert sum(detector.weights.values()) == pytest.approx(1.0)
    fault = stream(1, 6)
    fault[100:110, 3] += 6.0
    scores = detector.score(framed(fault, 10 * DAY_ROWS)).values[:, 0]
    assert scores[105] > scores[:100].max()


def test_where_nothing_was_read_no_value_is_made_up() -> None:
    detector = trained(stream(4, 5), "windowed_pca", "robust_z")
    values = stream(1, 6)[:40]
    values[20:] = np.nan
    later = framed(values, 4 * DAY_ROWS)
    assert np.isnan(detector.score(later).values[30:, 0]).all()
    assert detector.explain(later, 35, 0).summary == "no channel has had a reading in the last rows"
    assert "nan" not in detector.explain(later, 21, 0).summary


def test_how_many_models_see_it_is_said() -> None:
    log = np.log
    assert votes({"windowed_pca": log(3.2), "robust_z": log(0.8)}) == (
        "1 of 2 models sees it: windowed_pca at 3.2 times the score of one normal row in a hundred, robust_z at 0.8"
    )
    assert votes({"a": log(2.0), "b": log(4.0)}).startswith("2 of 2 models see it: b at 4 times")
    assert votes({"a": log(0.5)}).startswith("no model sees it alone: a at 0.5 times")
    assert votes({"a": float("nan"), "b": np.inf}) == (
        "the only model that can judge it sees it: b at more than 1000 times the score of one normal row in a hundred"
    )
    assert votes({"a": float("nan")}) == "no model could judge this row"
