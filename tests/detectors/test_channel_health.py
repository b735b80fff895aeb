"""Silent, stuck, dead and hot channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Axis, Frame, Histogram, Layout, Quality, Storage
from detectors.channel_health import ChannelHealthDetector, ChannelHealthOptions
from detectors.finding import Evidence, Scores
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
HISTORY_ROWS = 300


def fitted(history: Frame, **options: object) -> ChannelHealthDetector:
    return ChannelHealthDetector("channel_health", ChannelHealthOptions.model_validate(options)).fit(history)


def of(scores: Scores, condition: str, name: str = "") -> Values:
    (index,) = (i for i, unit in enumerate(scores.units) if unit.condition == condition and name in ("", unit.name))
    return scores.values[:, index]


def explained(detector: ChannelHealthDetector, frame: Frame, row: int, condition: str) -> Evidence:
    units = detector.score(frame).units
    (index,) = (i for i, unit in enumerate(units) if unit.condition == condition)
    return detector.explain(frame, row, index)


def noise(rows: int, channels: int = 2, seed: int = 1) -> Values:
    return np.random.default_rng(seed).standard_normal((rows, channels))


def later(values: Values) -> Frame:
    return sample.frame(sample.gauges(values).layout, values, HISTORY_ROWS)


class TestSilent:
    def test_the_score_is_the_silence_over_the_longest_usual_one(self) -> None:
        history = noise(HISTORY_ROWS)
        history[100:105, 0] = np.nan  # five rows: 50 s
        values = noise(60)
        values[20:, 0], values[20:, 1] = np.nan, np.nan
        scores = fitted(sample.gauges(history)).score(later(values))
        assert of(scores, "silent", "c0")[19] == 0
        assert of(scores, "silent", "c0")[24] == pytest.approx(1.0)  # as long as ever
        assert of(scores, "silent", "c0")[59] == pytest.approx(8.0)
        assert of(scores, "silent", "c1")[59] == pytest.approx(20.0)  # two rows are usual for everybody

    @pytest.mark.parametrize("quality", [Quality.STALE, Quality.INVALID, Quality.DISCONNECTED])
    def test_readings_that_cannot_be_believed_count_as_none(self, quality: Quality) -> None:
        frame = later(noise(40))
        qualities = np.zeros(frame.values.shape, dtype=np.uint8)
        qualities[10:, 0] = quality
        scores = fitted(sample.gauges(noise(HISTORY_ROWS))).score(replace(frame, quality=qualities))
        assert of(scores, "silent", "c0")[39] == pytest.approx(15.0)
        assert of(scores, "silent", "c1").max() == 0

    def test_a_muted_channel_is_given_time_again_when_the_muting_ends(self) -> None:
        values = noise(60)
        values[10:, 0] = np.nan
        qualities = np.zeros(values.shape, dtype=np.uint8)
        qualities[10:40, 0] = Quality.MUTED
        scores = fitted(sample.gauges(noise(HISTORY_ROWS))).score(replace(later(values), quality=qualities))
        silent = of(scores, "silent", "c0")
        assert np.isnan(silent[10:40]).all()
        assert silent[41] == pytest.approx(1.0)

    def test_silence_goes_on_over_blocks_and_a_gap_between_them_counts(self) -> None:
        detector = fitted(sample.gauges(noise(HISTORY_ROWS)))
        values = noise(10)
        values[:, 0] = np.nan
        detector.score(later(values))
        second = sample.frame(sample.gauges(values).layout, values, HISTORY_ROWS + 30)
        assert of(detector.score(second), "silent", "c0")[0] == pytest.approx(31 / 2)

    def test_a_histogram_without_entries_is_silent(self) -> None:
        rng = np.random.default_rng(1)
        detector = fitted(sample.histogram_frame(sample.SPECTRUM, rng.poisson(5.0, (HISTORY_ROWS, 60)).astype(float)))
        counts = rng.poisson(5.0, (20, 60)).astype(float)
        counts[10:] = 0
        frame = sample.histogram_frame(sample.SPECTRUM, counts, HISTORY_ROWS)
        assert of(detector.score(frame), "silent")[19] == pytest.approx(5.0)
        assert "ECAL/mass has had no entries for 100 s" in explained(detector, frame, 19, "silent").summary


class TestStuck:
    def test_a_lively_channel_that_stands_still_scores_rows_over_the_longest_usual_run(self) -> None:
        values = noise(60)
        values[20:, 0] = values[20, 0]
        detector = fitted(sample.gauges(noise(HISTORY_ROWS)))
        scores = detector.score(later(values))
        assert of(scores, "stuck", "c0")[20] == 0
        assert of(scores, "stuck", "c0")[59] == pytest.approx(39 / 5)
        assert of(scores, "stuck", "c1").max() == 0

    def test_a_coarse_channel_is_given_the_runs_that_it_usually_has(self) -> None:
        history = np.repeat(noise(HISTORY_ROWS // 20), 20, axis=0)
        values = np.repeat(noise(4, seed=2), 20, axis=0)
        scores = fitted(sample.gauges(history)).score(later(values))
        assert of(scores, "stuck", "c0").max() == 0.0

    def test_a_channel_that_is_naturally_constant_is_never_stuck(self) -> None:
        history = noise(HISTORY_ROWS)
        history[:, 0] = 400.0
        history[150:, 1] = 1.0  # had its time, but was still for half of the history
        units = fitted(sample.gauges(history)).score(later(noise(5))).units
        assert not [unit for unit in units if unit.condition == "stuck"]

    def test_the_text_says_how_long_and_at_what(self) -> None:
        values = noise(60, 1)
        values[20:] = 2.5
        evidence = explained(fitted(sample.gauges(noise(HISTORY_ROWS, 1))), later(values), 39, "stuck")
        assert evidence.summary == "c0 is stuck at 2.5 V: the same in 20 readings, usually never in more than 6"


def maps(rows: int, scale: float = 1.0, seed: int = 1) -> Values:
    return np.random.default_rng(seed).poisson(scale * sample.mean_counts(sample.MAP), (rows, 12, 8)).astype(np.float64)


def map_frame(counts: Values) -> Frame:
    return sample.histogram_frame(sample.MAP, counts, HISTORY_ROWS)


@pytest.fixture(scope="module")
def watched() -> ChannelHealthDetector:
    history = maps(HISTORY_ROWS)
    history[:, 3, 3] = 0  # dead for years
    return fitted(sample.histogram_frame(sample.MAP, history))


def normal(rows: int, scale: float = 1.0, seed: int = 2) -> Values:
    counts = maps(rows, scale, seed)
    counts[:, 3, 3] = 0
    return counts


class TestMaps:
    @pytest.mark.parametrize("scale", [0.2, 1.0, 20.0])
    def test_normal_maps_are_quiet_at_any_luminosity(self, watched: ChannelHealthDetector, scale: float) -> None:
        scores = watched.score(map_frame(normal(300, scale)))
        assert of(scores, "dead_region").max() < 3
        assert of(scores, "hot_channel").max() < 3

    def test_a_dead_region_is_found_with_its_place_and_size(self, watched: ChannelHealthDetector) -> None:
        counts = normal(10)
        counts[5:, 6:9, 2:6] = 0
        frame = map_frame(counts)
        dead = of(watched.score(frame), "dead_region")
        assert dead[4] < 1
        assert dead[5] > 100
        evidence = explained(watched, frame, 5, "dead_region")
        assert evidence.summary.startswith("Dead region of 12 bins in ECAL/occupancy at eta 0 to 2, phi 3 to 6: 0 entries")
        assert {contribution.observed for contribution in evidence.ranked} == {0.0}

    def test_one_dead_cell_and_a_region_of_weak_cells_are_found(self, watched: ChannelHealthDetector) -> None:
        counts = normal(10)
        counts[5, 6, 2] = 0
        counts[6, 6:10, 2:6] *= 0.35
        dead = of(watched.score(map_frame(counts)), "dead_region")
        assert dead[5] > 10
        assert dead[6] > 20

    def test_half_a_dead_map_does_not_make_the_other_half_hot(self, watched: ChannelHealthDetector) -> None:
        counts = normal(2)
        counts[1, :6] = 0
        scores = watched.score(map_frame(counts))
        assert of(scores, "dead_region")[1] > 1000
        assert of(scores, "hot_channel")[1] < 3

    def test_a_hot_channel_is_named_and_makes_no_other_channel_dead(self, watched: ChannelHealthDetector) -> None:
        counts = normal(2)
        counts[1, 10, 7] *= 300
        frame = map_frame(counts)
        scores = watched.score(frame)
        assert of(scores, "hot_channel")[1] > 1000
        assert of(scores, "dead_region")[1] < 3
        evidence = explained(watched, frame, 1, "hot_channel")
        assert evidence.ranked[0].name == "eta 4, phi 8"
        assert "times the expected" in evidence.summary

    def test_a_channel_that_was_dead_and_fires_is_hot(self, watched: ChannelHealthDetector) -> None:
        counts = normal(1)
        counts[0, 3, 3] = 500
        assert of(watched.score(map_frame(counts)), "hot_channel")[0] > 10

    def test_where_all_neighbours_count_more_none_of_them_is_a_hot_channel(self, watched: ChannelHealthDetector) -> None:
        counts = normal(1)
        counts[0, :4, :4] *= 2.2
        one = normal(1)
        one[0, 1, 1] *= 2.2
        together = of(watched.score(map_frame(counts)), "hot_channel")[0]
        assert together < of(watched.score(map_frame(one)), "hot_channel")[0]

    def test_too_few_entries_cannot_be_judged(self, watched: ChannelHealthDetector) -> None:
        scores = watched.score(map_frame(normal(5, 0.02)))
        assert np.isnan(of(scores, "dead_region")).all()
        assert np.isnan(of(scores, "hot_channel")).all()

    def test_fluctuations_that_the_history_shows_are_allowed_for(self) -> None:
        rng = np.random.default_rng(5)
        wobble = 1 + 0.25 * rng.standard_normal((HISTORY_ROWS + 200, 12, 8))
        counts = rng.poisson(100 * sample.mean_counts(sample.MAP) * np.maximum(wobble, 0.1)).astype(np.float64)
        detector = fitted(sample.histogram_frame(sample.MAP, counts[:HISTORY_ROWS]))
        scores = detector.score(map_frame(counts[HISTORY_ROWS:]))
        assert np.quantile(of(scores, "hot_channel"), 0.95) < 3

    def test_modules_along_a_line_are_judged_too(self) -> None:
        rng = np.random.default_rng(1)
        mean = sample.mean_counts(sample.LINE)
        detector = fitted(sample.histogram_frame(sample.LINE, rng.poisson(mean, (HISTORY_ROWS, 32)).astype(float)))
        counts = rng.poisson(mean, (3, 32)).astype(float)
        counts[1, 10:14] = 0
        counts[2, 20] *= 3
        frame = sample.histogram_frame(sample.LINE, counts, HISTORY_ROWS)
        scores = detector.score(frame)
        assert of(scores, "dead_region")[1] > 50
        assert of(scores, "hot_channel")[2] > 20
        assert "module 11 to 14" in explained(detector, frame, 1, "dead_region").summary

    def test_weights_count_as_the_entries_that_they_are_worth(self) -> None:
        weighted = Histogram("TRACKER/occupancy", (Axis("module", "", 32, 0.5, 32.5),), Storage.WEIGHTED, "X/TRACKER")
        layout = Layout("dqm", (weighted,))
        counts = np.random.default_rng(1).poisson(100.0, (HISTORY_ROWS + 100, 32)).astype(float)
        values = sample.columns_of(weighted, [0.01 * counts, 0.0001 * counts])
        detector = fitted(sample.frame(layout, values[:HISTORY_ROWS]))
        scores = detector.score(sample.frame(layout, values[HISTORY_ROWS:], HISTORY_ROWS))
        assert np.isfinite(of(scores, "hot_channel")).all()
        assert of(scores, "hot_channel").max() < 3

    def test_only_histograms_whose_bins_are_channels_are_maps(self) -> None:
        conditions = {unit.condition for unit in fitted(sample.experiment(HISTORY_ROWS)).score(sample.experiment(2)).units}
        assert conditions == {"silent", "stuck", "dead_region", "hot_channel"}
        spectrum = sample.histogram_frame(sample.SPECTRUM, np.full((HISTORY_ROWS, 60), 5.0))
        assert {unit.condition for unit in fitted(spectrum).score(spectrum).units} == {"silent"}
        assert "hot_channel" in {unit.condition for unit in fitted(spectrum, maps=["ECAL/*"]).score(spectrum).units}
