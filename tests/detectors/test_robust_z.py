"""Robust z of channels and groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from collectors.frame import Frame, Layout
from detectors.finding import Scores
from detectors.robust_z import RobustZDetector, RobustZOptions
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
HISTORY_ROWS, ROWS = 400, 200


def fitted(history: Frame, **options: object) -> RobustZDetector:
    return RobustZDetector("robust_z", RobustZOptions.model_validate(options)).fit(history)


def noise(rows: int, channels: int, seed: int = 1) -> Values:
    return 5.0 + 0.1 * np.random.default_rng(seed).standard_normal((rows, channels))


def later(values: Values) -> Frame:
    return sample.frame(sample.gauges(values).layout, values, HISTORY_ROWS)


def of(scores: Scores, name: str, condition: str) -> Values:
    (index,) = (i for i, unit in enumerate(scores.units) if (unit.name, unit.condition) == (name, condition))
    return scores.values[:, index]


def test_an_outlier_scores_its_distance_in_spreads() -> None:
    values = noise(ROWS, 6)
    values[150, 2] = 7.0
    scores = fitted(sample.gauges(noise(HISTORY_ROWS, 6, 2))).score(later(values))
    assert of(scores, "c2", "outlier")[150] == pytest.approx(20, rel=0.2)
    assert np.median(of(scores, "c1", "outlier")) == pytest.approx(0.67, abs=0.15)


@pytest.mark.parametrize("rows", [10, 50])
def test_a_slow_ramp_scores_high_in_drift_before_it_is_an_outlier(rows: int) -> None:
    values = noise(ROWS, 6)
    values[100 : 100 + rows, 2] += np.linspace(0, 0.4, rows)
    values[100 + rows :, 2] += 0.4  # four spreads in all
    scores = fitted(sample.gauges(noise(HISTORY_ROWS, 6, 2))).score(later(values))
    drift = of(scores, "c2", "drift")
    others = np.concatenate([of(scores, f"c{i}", "drift") for i in (0, 1, 3, 4, 5)])
    assert drift[100 + rows + 5] > 1.5 * others.max()
    assert drift[100 + rows + 5] > 8


def test_an_outlier_is_judged_against_the_recent_level() -> None:
    values = noise(600, 3)
    values[:, 1] += np.linspace(0, 1, 600)  # ten spreads, but slowly
    scores = fitted(sample.gauges(noise(HISTORY_ROWS, 3, 2))).score(later(values))
    assert of(scores, "c1", "outlier").max() < 8
    assert of(scores, "c1", "drift")[-1] > 20


def test_one_spike_does_not_move_the_levels() -> None:
    values = noise(ROWS, 3)
    values[100, 1] = 1e9
    scores = fitted(sample.gauges(noise(HISTORY_ROWS, 3, 2))).score(later(values))
    assert of(scores, "c1", "outlier")[100] > 1e6
    assert of(scores, "c1", "outlier")[101:].max() < 5
    assert of(scores, "c1", "drift")[101:].max() < 6


def test_a_spike_in_the_history_does_not_widen_the_limits() -> None:
    history = noise(HISTORY_ROWS, 3, 2)
    history[50, 1] = 1e6
    values = noise(ROWS, 3)
    values[100, 1] = 7.0
    scores = fitted(sample.gauges(history)).score(later(values))
    assert of(scores, "c1", "outlier")[100] > 15


def test_a_channel_that_was_constant_is_quiet_about_small_changes_and_never_infinite() -> None:
    history = noise(HISTORY_ROWS, 3, 2)
    history[:, 0], history[:, 1] = 400.0, 0.0
    values = noise(ROWS, 3)
    values[:, 0], values[:, 1] = 400.0, 0.0
    values[100, 0], values[110, 0], values[100, 1] = 400.1, 300.0, 12.0
    scores = fitted(sample.gauges(history)).score(later(values))
    outlier = of(scores, "c0", "outlier")
    assert outlier[99] == 0
    assert outlier[100] < 1
    assert outlier[110] > 20
    assert of(scores, "c1", "outlier")[100] == pytest.approx(12)
    assert np.isfinite(scores.values).all()


def test_the_spread_is_not_smaller_than_the_resolution_of_the_readings() -> None:
    history = np.where(np.random.default_rng(1).random((HISTORY_ROWS, 2)) < 0.002, 0.5, 0.0)
    history[7] = 0.5
    values = np.zeros((ROWS, 2))
    values[100] = 0.5
    assert of(fitted(sample.gauges(history)).score(later(values)), "c0", "outlier")[100] < 2


def test_a_group_sees_a_few_bad_channels_among_many() -> None:
    values = noise(ROWS, 200)
    values[100, :5] += 0.5  # five spreads
    scores = fitted(sample.gauges(noise(HISTORY_ROWS, 200, 2)), ema=1.0).score(later(values))
    group = of(scores, "table", "group_outlier")
    assert group[100] > 1.3 * np.delete(group, 100).max()


def test_the_score_of_a_group_is_a_moving_mean() -> None:
    history, values = sample.gauges(noise(HISTORY_ROWS, 20, 2)), noise(ROWS, 20)
    values[100, :5] += 0.5
    at_once, mean = (of(fitted(history, ema=weight).score(later(values)), "table", "group_outlier") for weight in (1.0, 0.3))
    np.testing.assert_allclose(mean[100], 0.7 * mean[99] + 0.3 * at_once[100])
    np.testing.assert_allclose(mean[101], 0.7 * mean[100] + 0.3 * at_once[101])


def bursting(rows: int, seed: int) -> Values:
    """Channel c0 is quiet but for a burst in three rows of a thousand."""
    values = noise(rows, 6, seed)
    values[100::333, 0] += 6.0
    return values


def test_with_the_standard_deviation_usual_bursts_are_not_louder_than_a_channel_that_leaves_its_range() -> None:
    history, values = sample.gauges(bursting(1000, 4)), bursting(ROWS, 3)
    values[70:90, 4] += 2.5
    group = {}
    for spread in ("robust", "deviation"):
        scores = fitted(history, spread=spread, top=1, ema=1.0).score(sample.frame(history.layout, values, 1000))
        group[spread] = of(scores, "table", "group_outlier")
    assert group["robust"][100] > 1.3 * group["robust"][70:90].max()
    assert group["deviation"][100] < 0.9 * group["deviation"][70:90].min()


def test_with_the_standard_deviation_constant_channels_are_judged_by_the_range_of_others() -> None:
    history, values = noise(HISTORY_ROWS, 6, 2), noise(ROWS, 6)
    history[:, 5] = values[:, 5] = 5.0
    values[100:110, 5] = 5.001
    group = of(fitted(sample.gauges(history), spread="deviation").score(later(values)), "table", "group_outlier")
    assert group[100:110].max() < group[:100].max()


def test_groups_follow_the_places() -> None:
    channels = [sample.gauge(f"c{i}", place=f"X/rack{i // 2}/node{i}") for i in range(4)]
    layout = Layout("farm", tuple(channels))
    detector = fitted(sample.frame(layout, noise(HISTORY_ROWS, 4)), group_depth=2)
    units = detector.score(sample.frame(layout, noise(3, 4), HISTORY_ROWS)).units
    groups = [unit for unit in units if unit.condition == "group_outlier"]
    assert [unit.place for unit in groups] == ["X/rack0", "X/rack1"]
    whole = fitted(sample.frame(layout, noise(HISTORY_ROWS, 4))).score(sample.frame(layout, noise(3, 4), HISTORY_ROWS)).units
    assert [unit.place for unit in whole if unit.condition == "group_outlier"] == ["X"]


def currents(rows: int, luminosity: Values, seed: int) -> Frame:
    """Eight currents that follow the luminosity, each with its own noise."""
    rng = np.random.default_rng(seed)
    channels = tuple(sample.gauge(f"ch{i}:IMon", "IMon", "uA", f"X/HV/ch{i}") for i in range(8))
    base = np.linspace(2.0, 9.0, 8)
    return sample.frame(Layout("hv", channels), base * (0.7 + 0.3 * luminosity[:, None]) * (1 + 0.008 * rng.standard_normal((rows, 8))))


def test_without_its_common_mode_a_current_that_follows_the_luminosity_does_not_drift() -> None:
    luminosity = np.exp(-np.arange(2000) / 4000)
    frame = currents(2000, luminosity, 1)
    values = frame.values.astype(np.float64)
    values[1500:, 3] *= np.minimum(1 + 0.005 * np.arange(500), 1.1)
    faulty = sample.with_values(frame, values)
    history, rest = faulty.rows(slice(0, HISTORY_ROWS)), faulty.rows(slice(HISTORY_ROWS, None))
    follows = fitted(history, common_mode=True).score(rest)
    alone = fitted(history).score(rest)
    assert of(alone, "IMon of ch5", "drift")[-1] > 9
    assert of(follows, "IMon of ch5", "drift").max() < 6
    assert of(follows, "IMon of ch3", "drift")[1130:].min() > 15


def test_explanations_say_which_way_and_how_far() -> None:
    values = noise(ROWS, 6)
    values[150, 2] = 7.0
    values[100:, 4] -= 1.0
    frame = later(values)
    detector = fitted(sample.gauges(noise(HISTORY_ROWS, 6, 2)))
    units = detector.score(frame).units
    at = {(unit.name, unit.condition): i for i, unit in enumerate(units)}
    outlier = detector.explain(frame, 150, at["c2", "outlier"])
    assert "c2 is 7 V" in outlier.summary
    assert "above" in outlier.summary
    drift = detector.explain(frame, 150, at["c4", "drift"])
    assert "c4 has drifted down to 4" in drift.summary
    group = detector.explain(frame, 150, at["table", "group_outlier"])
    assert [contribution.name for contribution in group.ranked[:2]] == ["c2", "c4"]


def test_channels_with_hardly_any_readings_are_not_learned() -> None:
    history = noise(HISTORY_ROWS, 3)
    history[5:, 1] = np.nan
    units = fitted(sample.gauges(history)).score(later(noise(5, 3))).units
    assert "c1" not in {unit.name for unit in units}


@pytest.mark.data
def test_on_server_machines_it_ranks_anomalous_minutes_before_normal_ones(data: Path) -> None:
    """Server Machine Dataset, each machine fitted on its own train part; average precision of the group (random: 0.06)."""
    precision = []
    for path in sorted((data / "smd").glob("*.npz")):
        with np.load(path) as machine:
            train, test, label = machine["train"].astype(np.float64), machine["test"].astype(np.float64), machine["test_label"]
        detector = fitted(sample.gauges(train))
        scores = detector.score(sample.frame(sample.gauges(test).layout, test, len(train)))
        precision.append(average_precision_score(label, of(scores, "table", "group_outlier")))
    assert len(precision) >= 10
    assert np.mean(precision) > 0.40
