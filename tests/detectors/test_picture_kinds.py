"""Pictures of histograms, maps and the DAQ, and what all pictures are built with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from collectors.frame import Histogram, Quality, concatenate
from detectors.channel_health import ChannelHealthDetector, ChannelHealthOptions
from detectors.figure import HistogramFigure, MapFigure, SeriesFigure, StackFigure, StatesFigure, decode, encode
from detectors.picturing import BINS_MOST, CELLS_MOST, POINTS_MOST, Moment, map_figure, shown_rows, since_row
from detectors.reference import ReferenceDetector, ReferenceOptions
from tests.contract import test_detectors as contract
from tests.detectors import daq_snapshots as daq
from tests.detectors import sample_frames as sample
from tests.detectors.test_pictures import assert_same

FAULT_ROW = contract.FAULT_ROW


class TestHistograms:
    def test_a_dead_region_of_a_map_is_outlined_with_one_name(self) -> None:
        values = contract.LATER.values.astype(np.float64)
        sample_map = contract.LATER.layout.view(sample.with_values(contract.LATER, values), "ECAL/occupancy")
        sample_map[FAULT_ROW:, 3:6, 2:4] = 0.0
        detector = ChannelHealthDetector("channel_health", ChannelHealthOptions()).fit(contract.HISTORY)
        frame = sample.with_values(contract.LATER, values)
        scores = detector.score(frame)
        unit = next(i for i, u in enumerate(scores.units) if u.condition == "dead_region" and u.name == "ECAL/occupancy")
        figure = detector.picture(frame, FAULT_ROW, unit)
        assert isinstance(figure, MapFigure)
        assert set(figure.suspicious) == {(ix, iy) for ix in (3, 4, 5) for iy in (2, 3)}
        assert figure.names == ("eta -3 to -1, phi 3 to 4",)
        assert figure.observed[3, 2] == 0.0
        assert figure.expected[3, 2] > 30

    def test_a_silent_channel_is_shown_with_its_gap(self) -> None:
        values = contract.LATER.values.astype(np.float64)
        values[40:, contract.LATER.layout.position("crate:ch03:IMon")] = np.nan
        frame = sample.with_values(contract.LATER, values)
        detector = ChannelHealthDetector("channel_health", ChannelHealthOptions()).fit(contract.HISTORY)
        units = detector.score(frame).units
        unit = next(i for i, u in enumerate(units) if u.condition == "silent" and u.name == "IMon of ch03")
        figure = detector.picture(frame, FAULT_ROW, unit)
        assert isinstance(figure, SeriesFigure)
        assert figure.since_ns == frame.time_ns[40]

    def test_a_moved_peak_a_profile_and_a_map_against_their_reference(self) -> None:
        detector = ReferenceDetector("reference", ReferenceOptions()).fit(contract.HISTORY)
        values = contract.LATER.values.astype(np.float64)
        frame = sample.with_values(contract.LATER, values)
        mass = contract.LATER.layout.view(frame, "ECAL/mass")
        mass[FAULT_ROW] = np.roll(mass[FAULT_ROW], 2)
        scores = detector.score(frame)
        kinds = {}
        for unit, described in enumerate(scores.units):
            figure = detector.picture(frame, FAULT_ROW, unit)
            assert figure is not None
            assert figure.suspicious
            kinds[described.name] = type(figure)
            assert_same(figure, decode(encode(figure)))
        assert kinds == {
            "ECAL/occupancy": MapFigure,
            "TRACKER/occupancy": HistogramFigure,
            "ECAL/mass": HistogramFigure,
            "ECAL/timing": HistogramFigure,
        }
        unit = next(i for i, u in enumerate(scores.units) if u.name == "ECAL/mass")
        shown = detector.picture(frame, FAULT_ROW, unit)
        assert isinstance(shown, HistogramFigure)
        marked = [float(shown.edges[i]) for i in shown.suspicious]
        assert min(marked) < 91 < max(marked)
        assert shown.pulls[list(shown.suspicious)].min() < 0 < shown.pulls[list(shown.suspicious)].max()

    def test_of_very_many_bins_those_around_the_suspicious_one_are_shown(self) -> None:
        histogram = Histogram("long", (replace(sample.LINE.axes[0], bins=2000, high=2000.5),))
        rng = np.random.default_rng(1)
        frame = sample.histogram_frame(histogram, rng.poisson(50.0, (40, 2000)).astype(float))
        detector = ReferenceDetector("reference", ReferenceOptions()).fit(frame)
        values = frame.values.astype(np.float64)
        sample.with_values(frame, values).layout.view(sample.with_values(frame, values), "long")[5, 1500] = 500.0
        figure = detector.picture(sample.with_values(frame, values), 5, 0)
        assert isinstance(figure, HistogramFigure)
        assert len(figure.observed) == BINS_MOST
        assert [float(figure.edges[i]) for i in figure.suspicious] == [1500.5]
        assert figure.title == "long, bins 1301 to 1700 of 2000"

    def test_a_map_too_large_to_travel_is_merged(self) -> None:
        histogram = Histogram("map", (replace(sample.MAP.axes[0], bins=900), replace(sample.MAP.axes[1], bins=500)))
        rng = np.random.default_rng(1)
        observed, expected = rng.poisson(50.0, 450_000).astype(float), 50 * (1 + 0.3 * rng.random(450_000))
        cells = np.array([100 * 500 + 7, 101 * 500 + 7])
        figure = map_figure(histogram, "hits", observed, expected, cells, region=True)
        assert figure.observed.size <= CELLS_MOST
        assert figure.observed.sum() == pytest.approx(observed.sum(), rel=1e-2)
        assert len(figure.x_edges) == figure.observed.shape[0] + 1
        assert figure.x_edges[-1] == histogram.axes[0].high
        encode(figure)

    def test_the_map_of_a_calorimeter_travels_as_it_is(self) -> None:
        histogram = Histogram("map", (replace(sample.MAP.axes[0], bins=360), replace(sample.MAP.axes[1], bins=170)))
        rng = np.random.default_rng(1)
        observed, expected = rng.poisson(50.0, 61_200).astype(float), 50 * (1 + 0.3 * rng.random(61_200))
        figure = map_figure(histogram, "hits", observed, expected, np.array([], dtype=np.int64), region=True)
        assert figure.observed.shape == (360, 170)
        np.testing.assert_allclose(figure.observed.ravel(), observed, rtol=2**-6)
        encode(figure)


class TestDaq:
    def test_dead_time_is_stacked_and_the_fed_named_in_the_culprit(self) -> None:
        bad = daq.changed(
            daq.blocked("TIBTID", "WARNING", partition__TIBTID__ttsState="WARNING", fed__101__ttsState="WARNING"),
            global__deadTimes___tts=98,
        )
        rule, recent = daq.rule(), daq.frame(*[daq.healthy()] * 10, *[bad] * 3)
        unit = next(i for i, u in enumerate(rule.judge(recent).units) if u.condition == "fed_stuck")
        figure = rule.picture(recent, 12, unit)
        assert isinstance(figure, StackFigure)
        assert figure.culprit == figure.layers[0].name == "TTS: FED 101"
        assert figure.since_ns == recent.time_ns[10]
        np.testing.assert_array_equal(figure.layers[0].values[-3:], 98)
        assert_same(figure, decode(encode(figure)))

    def test_without_dead_time_the_states_of_the_culprit_are_shown(self) -> None:
        states = {"partition__TIBTID__ttsState": "WARNING", "fed__101__ttsState": "WARNING"}
        rows = [daq.healthy()] * 5 + [daq.blocked("TIBTID", "WARNING", **states)] * 3
        rows = [{name: value for name, value in row.items() if "deadTimes" not in name} for row in rows]
        rule, recent = daq.rule(), daq.frame(*rows)
        unit = next(i for i, u in enumerate(rule.judge(recent).units) if u.condition == "fed_stuck")
        figure = rule.picture(recent, 7, unit)
        assert isinstance(figure, StatesFigure)
        assert figure.lanes[0].name == "FED 101"
        assert figure.lanes[0].bad == ("WARNING",)
        assert figure.since_ns == recent.time_ns[5]
        assert "TIBTID (trigger control)" in {lane.name for lane in figure.lanes}

    def test_dead_time_that_lags_behind_accuses_nobody(self) -> None:
        usual = {"global__deadTimes___tts": 0.5, "global__deadTimes___retri": 1.2}
        bad = daq.blocked("TIBTID", "WARNING", partition__TIBTID__ttsState="WARNING", fed__101__ttsState="WARNING", **usual)
        rule, recent = daq.rule(), daq.frame(*[daq.healthy(**usual)] * 10, bad)
        units = rule.judge(recent).units
        stuck = rule.picture(recent, 10, next(i for i, u in enumerate(units) if u.condition == "fed_stuck"))
        assert isinstance(stuck, StatesFigure)
        assert stuck.lanes[0].name == "FED 101"
        stopped = rule.picture(recent, 10, next(i for i, u in enumerate(units) if u.condition == "no_rate"))
        assert isinstance(stopped, SeriesFigure)
        assert stopped.lines[0].name == "fb.rate"
        assert stopped.lines[0].values[-1] == 0

    def test_a_rate_above_its_limit_is_shown_with_it(self) -> None:
        rule, recent = daq.rule(), daq.frame(*[daq.healthy()] * 4, daq.healthy(global__fb___rate=120_000))
        unit = next(i for i, u in enumerate(rule.judge(recent).units) if u.condition == "rate_too_high")
        figure = rule.picture(recent, 4, unit)
        assert isinstance(figure, SeriesFigure)
        assert figure.limit_high == 100_000
        assert figure.lines[0].values[-1] == 120_000
        assert figure.since_ns == recent.time_ns[4]

    def test_a_picture_uses_the_frame_that_was_judged_and_changes_nothing(self) -> None:
        bad = daq.blocked("TIBTID", "WARNING", fed__101__ttsState="WARNING")
        before, frame = daq.frame(*[daq.healthy()] * 6), daq.frame(bad, bad, start_s=1012)
        rule = daq.rule()
        assert rule.picture(before, 0, 0) is None
        rule.judge(before)
        breaches, state = rule.judge(frame), rule.state()
        recent = concatenate([before, frame])
        for unit in range(len(breaches.units)):
            assert rule.picture(recent, 7, unit) is not None
        assert rule.state() == state
        assert rule.picture(before, 0, 99) is None


def test_rows_shown_are_few_and_hold_the_one_in_question() -> None:
    rows = shown_rows(10_000, 4321)
    assert len(rows) <= POINTS_MOST
    assert {0, 4321, 9999} <= set(rows.tolist())
    np.testing.assert_array_equal(shown_rows(5, 2), np.arange(5))


def test_since_is_the_first_of_the_bad_rows_in_a_row() -> None:
    assert since_row(np.array([True, False, True, True, False]), 3) == 2
    assert since_row(np.array([True, True]), 1) == 0
    assert since_row(np.array([True, False, True]), 1) == 1


def test_a_picture_of_few_columns_reads_no_others() -> None:
    wide = sample.gauges(np.zeros((300, 4)))
    quality = np.zeros(wide.values.shape, dtype=np.uint8)
    quality[:, 2] = Quality.INVALID
    readings = Moment.of(replace(wide, quality=quality), 250).readings(np.array([1, 2]))
    assert readings.shape[1] == 2
    assert np.isnan(readings[:, 1]).all()
    assert not np.isnan(readings[:, 0]).any()
