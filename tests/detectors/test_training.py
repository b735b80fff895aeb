"""Training: what a model is worth without labels, and when a new one takes over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from collectors.frame import Channel, Frame, Histogram, Layout
from detectors.finding import Detector
from detectors.reference import ReferenceDetector, ReferenceOptions
from detectors.robust_z import RobustZDetector, RobustZOptions
from detectors.synthetic_faults import injected
from detectors.training import Figures, Labelled, TrainingError, data_digest, figures, judge, train
from tests.detectors.sample_frames import experiment, frame, gauge, gauges

GOOD = Figures(realised=1.1, separation=0.8, judged=10.0)


def robust_z() -> Detector:
    return RobustZDetector("robust_z", RobustZOptions())


def normal(rows: int, seed: int = 0, channels: int = 5, wide: float = 1.0) -> Frame:
    return gauges(10 + wide * np.random.default_rng(seed).normal(size=(rows, channels)))


def test_fits_the_earlier_rows_and_holds_back_the_later_ones() -> None:
    rows = normal(1000)
    trained = train(robust_z(), rows, 0.4)
    assert trained.fitted_rows == 600
    np.testing.assert_array_equal(trained.held_back.time_ns, rows.time_ns[600:])
    assert trained.scores.values.shape == (400, len(trained.scores.units))
    kept, time_ns = trained.kept_scores()
    assert len(kept.values) == len(time_ns) == 400


def test_says_why_nothing_can_be_learned() -> None:
    with pytest.raises(TrainingError, match=r"3 normal rows, robust_z needs \d+"):
        train(robust_z(), normal(3), 0.4)
    with pytest.raises(TrainingError, match="nothing in table that it could judge"):
        train(ReferenceDetector("reference", ReferenceOptions()), normal(1000), 0.4)


def worth(build: Callable[[], Detector], learned_from: Frame, held_back: Frame) -> Figures:
    return figures(build, train(build(), learned_from, 0.4).detector.state(), held_back)


def test_a_model_that_knows_the_data_tells_faults_from_them() -> None:
    found = worth(robust_z, normal(1500), normal(2000, seed=1))
    assert found.separation > 0.75
    assert 1 / 3 < found.realised < 3
    assert found.as_dict().keys() == {"realised", "separation", "judged"}, "without labels nothing is said of them"


def test_the_same_model_has_the_same_figures() -> None:
    rows = normal(1500)
    assert worth(robust_z, rows, rows).as_dict() == worth(robust_z, rows, rows).as_dict()


def test_a_model_that_knows_more_wins_and_one_of_other_data_does_not() -> None:
    held_back = normal(2000, seed=1)
    good = worth(robust_z, normal(1500), held_back)
    bad = worth(robust_z, normal(1500, wide=30.0), held_back)
    assert not judge(bad, good).wins
    blind = worth(robust_z, normal(1500, channels=2), held_back)
    assert judge(good, blind).wins, "it knows columns that the other does not"
    assert "units judged" in judge(good, blind).why


def test_as_good_is_not_better() -> None:
    verdict = judge(GOOD, GOOD)
    assert not verdict.wins
    assert verdict.why == "no better than the one in use"


@pytest.mark.parametrize(
    ("change", "wins", "words"),
    [
        ({"separation": 0.9}, True, "better: separation 0.900, before 0.800"),
        ({"separation": 0.7}, False, "worse: separation 0.700"),
        ({"realised": 4.0, "separation": 0.95}, False, "worse: realised/promised 4.00, before 1.10"),
        ({"realised": 0.9}, False, "no better"),
        ({"judged": 12.0}, True, "better: 12.0 units judged"),
        ({"judged": float("nan")}, False, "no better"),
    ],
)
def test_worse_in_nothing_and_better_in_something(change: dict[str, float], wins: bool, words: str) -> None:
    verdict = judge(replace(GOOD, **change), GOOD)
    assert verdict.wins == wins
    assert words in verdict.why


def test_what_people_called_real_counts() -> None:
    labelled = [replace(GOOD, labelled=value) for value in (0.9, 0.6)]
    assert judge(*labelled).wins
    assert not judge(*reversed(labelled)).wins
    assert not judge(replace(labelled[1], separation=0.95), labelled[0]).wins


def test_rows_that_people_called_real_are_told_apart() -> None:
    rows = normal(1500)
    values = normal(1000, seed=2).values.astype(np.float64)
    real = np.zeros(1000, dtype=bool)
    real[400:430] = True
    values[real, 0] += 8.0
    held_back = gauges(values)
    state = train(robust_z(), rows, 0.4).detector.state()
    found = figures(robust_z, state, held_back.rows(~real), Labelled(held_back, real))
    assert found.labelled > 0.95


@pytest.mark.parametrize("seed", [0, 3])
def test_faults_are_put_into_some_rows_and_the_others_stay(seed: int) -> None:
    rows = normal(1000)
    kinds = set()
    for fault in injected(rows, seed):
        kinds.add(fault.kind)
        changed = (fault.frame.values != rows.values).any(axis=1)
        assert changed.any()
        assert not (changed & ~fault.faulty).any()
        assert fault.faulty.mean() < 0.25
    assert kinds == {"shift", "drift", "noise", "spike", "stuck", "exchanged"}


def test_faults_in_histograms() -> None:
    rows = experiment(300)
    assert any(isinstance(column, Histogram) for column in rows.layout.columns)
    assert {"dead region", "hot region"} <= {fault.kind for fault in injected(rows)}


def test_nothing_is_put_into_what_never_changes() -> None:
    assert list(injected(gauges(np.full((100, 3), 7.0)))) == []
    assert worth(robust_z, gauges(np.full((500, 3), 7.0)), gauges(np.full((500, 3), 7.0))).separation == 0.5


def test_channels_without_a_reading_do_no_harm() -> None:
    values = normal(1500).values.astype(np.float64)
    values[:, 1] = np.nan
    found = worth(robust_z, gauges(values), gauges(values))
    assert np.isfinite([found.realised, found.separation]).all()


def test_the_digest_names_the_data() -> None:
    rows = normal(100)
    assert data_digest(rows) == data_digest(gauges(rows.values.astype(np.float64)))
    other = rows.values.astype(np.float64)
    other[50, 2] += 1e-9
    assert data_digest(rows) != data_digest(gauges(other))
    renamed = frame(Layout("table", tuple(Channel(f"d{i}", "", "V", place="X") for i in range(5))), rows.values.astype(np.float64))
    assert data_digest(rows) != data_digest(renamed)
    assert gauge("c0").name == "c0"
