"""The score of the Numenta Anomaly Benchmark, on cases worked out by hand and on published scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.frame import Channel, Frame, Layout
from detectors.evaluation.nab import (
    PROFILES,
    REWARD_LOW_FN_RATE,
    REWARD_LOW_FP_RATE,
    STANDARD,
    NabScore,
    Scored,
    nab_score,
    probationary_rows,
    read_profiles,
    read_windows,
    row_worths,
    window_rows,
)
from detectors.novelty import OPERATING_POINT, NoveltyDetector, NoveltyOptions

ROWS = 100
WINDOW = (50, 59)
"""Ten rows."""
HIGHEST = 2 / (1 + math.exp(-5)) - 1
NO_ANOMALY = "artificialNoAnomaly/"


def alarms_at(*rows: int, windows: tuple[tuple[int, int], ...] = (WINDOW,), name: str = "one") -> Scored:
    scores = np.zeros(ROWS)
    scores[list(rows)] = 1.0
    return Scored(name, scores, windows)


def sigmoid_at(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


def raw(*rows: int) -> float:
    return nab_score([alarms_at(*rows)], threshold=1.0).raw


class TestByHand:
    def test_the_first_row_of_a_window_is_worth_one(self) -> None:
        assert raw(50) == pytest.approx(1.0)

    def test_later_in_the_window_it_is_worth_less(self) -> None:
        assert raw(55) == pytest.approx(sigmoid_at(-0.5) / HIGHEST)
        assert raw(59) == pytest.approx(sigmoid_at(-0.1) / HIGHEST)

    def test_a_window_counts_once_with_its_earliest_detection(self) -> None:
        assert raw(52, 53, 58) == pytest.approx(raw(52))

    def test_nothing_found_costs_each_window(self) -> None:
        assert raw() == pytest.approx(-1.0)
        assert nab_score([alarms_at()], REWARD_LOW_FN_RATE, 1.0).raw == pytest.approx(-2.0)

    def test_a_false_detection_before_any_window_costs_in_full(self) -> None:
        assert raw(30) == pytest.approx(-1.0 - 0.11)
        assert nab_score([alarms_at(30)], REWARD_LOW_FP_RATE, 1.0).raw == pytest.approx(-1.0 - 0.22)

    def test_just_behind_a_window_it_costs_less_than_further_on(self) -> None:
        assert raw(60) == pytest.approx(-1.0 + 0.11 * sigmoid_at(1 / 9))
        assert raw(88) == pytest.approx(-1.0 - 0.11)

    def test_the_probationary_period_does_not_count(self) -> None:
        assert probationary_rows(ROWS) == 15
        assert probationary_rows(23_000) == 750
        assert raw(0, 14) == raw()
        assert raw(15) < raw()

    def test_a_window_of_one_row_has_no_reach(self) -> None:
        assert row_worths(10, [(4, 4)], STANDARD)[0][5:] == pytest.approx(-0.11)

    def test_the_threshold_is_one_for_all_series(self) -> None:
        quiet = Scored("quiet", np.where(np.arange(ROWS) == 50, 0.5, 0.0), (WINDOW,))
        loud = Scored("loud", np.where(np.arange(ROWS) % 2 == 0, 0.9, 0.0), ())
        alone = nab_score([quiet])
        together = nab_score([quiet, loud])
        assert alone.threshold == 0.5
        assert alone.normalised == pytest.approx(100.0)
        assert together.threshold == math.inf
        assert together.normalised == 0.0

    def test_equal_scores_are_detected_together(self) -> None:
        both = np.where(np.isin(np.arange(ROWS), (20, 50)), 0.7, 0.0)
        assert nab_score([Scored("one", both, (WINDOW,))]).raw == pytest.approx(1.0 - 0.11)

    def test_rows_without_a_score_are_never_detected(self) -> None:
        scores = np.full(ROWS, np.nan)
        scores[50] = 0.1
        assert nab_score([Scored("one", scores, (WINDOW,))]).normalised == pytest.approx(100.0)


@given(st.lists(st.floats(0, 1, width=16), min_size=ROWS, max_size=ROWS))
def test_no_threshold_is_better_than_the_chosen_one(scores: list[float]) -> None:
    series = [Scored("one", np.array(scores), (WINDOW, (80, 84)))]
    best = nab_score(series)
    assert all(nab_score(series, threshold=t).raw <= best.raw + 1e-9 for t in {*scores, math.inf})
    assert nab_score(series, threshold=best.threshold).raw == pytest.approx(best.raw)


class TestFiles:
    def test_windows_are_found_by_the_time_of_their_rows(self, tmp_path: Path) -> None:
        labels = tmp_path / "combined_windows.json"
        labels.write_text('{"a/b.csv": [["2014-04-11 00:00:00.000000", "2014-04-11 00:02:00.000000"]]}')
        start = np.datetime64("2014-04-10T23:59:00", "ns").astype(np.int64)
        time_ns = start + 60_000_000_000 * np.array([0, 1, 1, 2, 3, 4])
        assert window_rows(time_ns, read_windows(labels)["a/b.csv"]) == [(1, 4)]

    def test_a_window_that_is_in_no_row_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="2014-04-11"):
            window_rows(np.arange(5), [("2014-04-11 00:00:00", "2014-04-11 00:02:00")])

    @pytest.mark.parametrize("text", ["[1]", "not json", '{"a": [1]}'])
    def test_other_files_are_refused_by_name(self, tmp_path: Path, text: str) -> None:
        labels = tmp_path / "other.json"
        labels.write_text(text)
        with pytest.raises(ValueError, match=r"other\.json"):
            read_windows(labels)


def scored(name: str, scores: np.ndarray, time_ns: np.ndarray, windows: dict[str, list[tuple[str, str]]]) -> Scored:
    return Scored(name, scores, window_rows(time_ns, windows[name]))


@pytest.fixture(scope="module")
def series(data: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Times and values of each series that is there."""
    found = {}
    for path in sorted((data / "nab" / "data").glob("*/*.csv")):
        columns = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=[("time", "U19"), ("value", "f8")])
        found[f"{path.parent.name}/{path.name}"] = (columns["time"].astype("datetime64[ns]").astype(np.int64), columns["value"])
    assert found
    return found


def novelty_scores(time_ns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of a detector with default options that has the probationary period as its history."""
    frame = Frame(Layout("nab", (Channel("value", "value", "1"),)), time_ns, values[:, None])
    probation = probationary_rows(len(frame))
    detector = NoveltyDetector("novelty", NoveltyOptions()).fit(frame.rows(slice(0, probation)))
    return np.concatenate([np.full(probation, np.nan), detector.score(frame.rows(slice(probation, None))).values[:, 0]])


@pytest.mark.data
class TestOnTheBenchmark:
    def test_the_profiles_are_those_of_the_benchmark(self, data: Path) -> None:
        assert read_profiles(data / "nab" / "config" / "profiles.json") == {profile.name: profile for profile in PROFILES}

    def test_a_detector_of_noise_is_near_zero_and_a_perfect_one_near_a_hundred(
        self, data: Path, series: dict[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        windows = read_windows(data / "nab" / "labels" / "combined_windows.json")
        rng = np.random.default_rng(1)
        noise, perfect = [], []
        for name, (time_ns, _) in series.items():
            noise.append(scored(name, rng.random(len(time_ns)), time_ns, windows))
            truth = np.zeros(len(time_ns))
            for first, _ in noise[-1].windows:
                truth[max(first, probationary_rows(len(time_ns)))] = 1.0
            perfect.append(scored(name, truth, time_ns, windows))
        assert 0 <= nab_score(noise).normalised < 25  # the benchmark's own random detector has 8 to 17 on all of its series
        assert nab_score(perfect).normalised > 99
        assert nab_score(noise, threshold=math.inf).normalised == 0

    def test_novelty_reaches_the_mark_and_is_quiet_where_nothing_happens(
        self, data: Path, series: dict[str, tuple[np.ndarray, np.ndarray]]
    ) -> None:
        windows = read_windows(data / "nab" / "labels" / "combined_windows.json")
        judged = [scored(name, novelty_scores(*columns), columns[0], windows) for name, columns in series.items()]
        best: NabScore = nab_score(judged)
        without_labels = nab_score(judged, threshold=OPERATING_POINT)
        assert best.normalised >= 66
        assert without_labels.normalised >= 66
        quiet = [one for one in judged if one.name.startswith(NO_ANOMALY)]
        assert quiet
        assert not any((one.scores >= OPERATING_POINT).any() for one in quiet)
