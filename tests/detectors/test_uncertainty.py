"""Parts of uncertainty: they narrow with data, are of the size that samples really differ by, and decide with a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.frame import Frame, Layout, Quality, is_within
from daemon import messages
from daemon.messages import FindingReport
from detectors.calibration import Calibration
from detectors.finding import Certainty, Contribution, Evidence, Finding, Scores, Severity, Uncertainty, Unit
from detectors.uncertainty import (
    GAUGES,
    Gauges,
    Ranges,
    Sample,
    decide,
    measured,
    new_conditions,
    reading_decades,
    sampling_decades,
    with_reading,
)
from tests.detectors import sample_frames as sample

UNIT = Unit("k", "group", "X", "group_outlier")
NOTHING = Uncertainty(math.nan, math.nan, math.nan, math.nan)
COLD, WARM = Sample(212, 212.0, 1.0, 1e-4), Sample(200_000, 200_000.0, 1.0, 1e-4)
TEMPERATURE = sample.gauge("hall", unit="degC")
LAYOUT = Layout("hv", (sample.gauge("c0"), sample.gauge("c1"), sample.gauge("c2"), TEMPERATURE))


def rows(count: int = 500, seed: int = 1) -> Frame:
    rng = np.random.default_rng(seed)
    values = np.column_stack([rng.normal(400.0, 1.0, (count, 3)), rng.uniform(18.0, 22.0, count)])
    values[0, 3], values[1, 3] = 18.0, 22.0
    return sample.frame(LAYOUT, values)


def row_with(**readings: float) -> Frame:
    values = np.array([[400.0, 400.0, 400.0, 20.0]])
    for name, value in readings.items():
        values[0, [c.name for c in LAYOUT.channels].index(name)] = value
    return sample.frame(LAYOUT, values)


@pytest.mark.parametrize(("scores", "probability"), [(100, 0.05), (500, 0.05), (1000, 1e-4), (2000, 1e-5)])
def test_samples_of_normal_rows_really_differ_by_so_much(scores: int, probability: float) -> None:
    rng = np.random.default_rng(7)
    at = -math.log(probability)  # of exponential scores
    found = []
    for _ in range(60):
        drawn = Scores((UNIT,), rng.exponential(size=(scores, 1)))
        calibration = Calibration().fit(drawn, np.arange(scores, dtype=np.int64) * 10**9)
        found.append(calibration.tail_probabilities(Scores((UNIT,), np.array([[at]])))[0, 0])
    really = float(np.std(np.log10(found)))
    assert 0.5 < sampling_decades(probability, scores) / really < 2.0, "the fit of the tail knows more than the delta method"


@given(st.floats(1e-15, 1.0), st.integers(1, 10**7), st.integers(2, 100))
def test_more_rows_never_make_a_probability_less_certain(probability: float, scores: int, more: int) -> None:
    few, many = sampling_decades(probability, scores), sampling_decades(probability, scores * more)
    assert few >= 0
    assert many <= few * 1.5 + 1e-9, "where the tail begins moves with the rows, by no more than that"


def test_it_is_wide_after_a_cold_start_and_narrows() -> None:
    widths = [sampling_decades(1e-4, n) for n in (50, 200, 1000, 10_000, 100_000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1.0
    assert widths[-1] < 0.3


def test_nothing_is_known_without_scores() -> None:
    assert math.isnan(sampling_decades(0.1, 0))
    assert math.isnan(sampling_decades(math.nan, 100))


def test_a_score_at_the_threshold_is_unsure_on_few_rows_and_sure_on_many() -> None:
    just = COLD.alpha / 2
    assert decide(NOTHING, just, COLD) == "only 212 normal rows seen"
    assert decide(NOTHING, just, WARM) == ""


def test_a_score_far_beyond_the_threshold_is_sure_even_on_few_rows() -> None:
    assert decide(NOTHING, 1e-12, COLD) == ""


@given(st.floats(-14.0, -4.0), st.floats(0.0, 5.0))
def test_a_rarer_score_is_never_less_sure(decades: float, further: float) -> None:
    if not decide(NOTHING, 10.0**decades, COLD):
        assert not decide(NOTHING, 10.0 ** (decades - further), COLD)


def test_models_that_disagree_make_it_unsure() -> None:
    assert decide(replace(NOTHING, training_run=0.5), 1e-9, WARM) == ""
    assert decide(replace(NOTHING, training_run=1.3), 1e-9, WARM) == "models disagree by a factor of 20"


def test_few_channels_with_a_reading_make_it_unsure() -> None:
    frame = row_with(c0=410.0)
    quality = np.array([[Quality.GOOD, Quality.STALE, Quality.STALE, Quality.STALE]], dtype=np.uint8)
    frame = replace(frame, quality=quality)
    assert with_reading(frame, 0, "X") == (1, 4)
    parts = measured(frame, 0, UNIT, 1e-5, WARM, None, None)
    assert parts.statistics == pytest.approx(reading_decades(1e-5, 1, 4))
    assert decide(parts, 1e-5, WARM, (1, 4)) == "only 1 of 4 channels have a reading"
    assert measured(row_with(), 0, UNIT, 1e-5, WARM, None, None).statistics == 0.0
    knows_nothing_of_it = replace(NOTHING, statistics=0.0)
    assert measured(frame, 0, UNIT, 1e-5, WARM, None, knows_nothing_of_it).statistics == pytest.approx(parts.statistics)


def test_readings_that_are_all_there_and_still_unclear_make_it_unsure() -> None:
    assert decide(replace(NOTHING, statistics=6.0), 1e-5, WARM, (4, 4)) == "the readings can be understood in several ways"


def test_a_condition_beyond_what_was_learned_is_named_unless_the_alarm_rests_on_it() -> None:
    ranges = Ranges.learned(rows())
    hot = row_with(c0=420.0, hall=26.0)
    current = (Contribution("c0", "X", 420.0, 400.0, 0.9, "V"),)
    new = new_conditions(ranges, hot, 0, current)
    assert decide(NOTHING, 1e-9, WARM, outside=new) == "hall is 4 degC above anything learned"
    cold = new_conditions(ranges, row_with(hall=15.0), 0, current)
    assert cold[0].in_words() == "hall is 3 degC below anything learned"
    own = (Contribution("hall", "X", 26.0, 20.0, 0.9, "degC"),)
    assert new_conditions(ranges, hot, 0, own) == []
    assert new_conditions(ranges, row_with(c0=420.0, hall=21.0), 0, current) == []


def test_out_of_range_is_how_far_in_parts_of_the_learned_range() -> None:
    ranges = Ranges.learned(rows())
    assert measured(row_with(hall=26.0), 0, UNIT, 1e-5, WARM, ranges, None).out_of_range == pytest.approx(1.0)
    assert measured(row_with(), 0, UNIT, 1e-5, WARM, ranges, None).out_of_range == 0.0
    assert math.isnan(measured(row_with(), 0, UNIT, 1e-5, WARM, None, None).out_of_range)


def test_ranges_belong_to_keys_and_survive_a_state() -> None:
    ranges = Ranges.of(Ranges.learned(rows()).state())
    frame = row_with(hall=26.0)
    moved = sample.selected(frame, Layout("hv", LAYOUT.columns[::-1]))
    assert outside(ranges, moved) == outside(ranges, frame) == [("hall", 4.0)]
    narrower = sample.selected(frame, Layout("hv", LAYOUT.columns[:2]))
    assert outside(ranges, narrower) == []


def outside(ranges: Ranges, frame: Frame) -> list[tuple[str, float]]:
    found = ranges.outside(frame, 0, GAUGES.of(frame.layout).within("X"))
    return [(one.channel.name, one.by) for one in found]


@given(st.lists(st.sampled_from(["", "A", "A/b", "A/b/c", "A/bc", "A0", "A-b", "B"]), max_size=12))
def test_gauges_below_a_place_are_those_of_the_tree(places: list[str]) -> None:
    layout = Layout("hv", tuple(sample.gauge(f"c{i}", place=place) for i, place in enumerate(places)))
    gauges = Gauges(layout)
    for place in ("", "A", "A/b", "A/bc", "B", "C"):
        found = sorted(gauges.channels[i].name for i in gauges.within(place))
        assert found == sorted(c.name for c in layout.channels if is_within(c.place, place))


def test_what_the_detector_itself_knows_counts() -> None:
    own = Uncertainty(0.4, math.nan, 0.2, math.nan)
    parts = measured(row_with(), 0, UNIT, 1e-5, COLD, Ranges.learned(rows()), own)
    assert (parts.training_run, parts.statistics, parts.out_of_range) == (0.4, 0.2, 0.0)
    assert parts.training_data == pytest.approx(sampling_decades(1e-5, 212.0))


@pytest.mark.parametrize("parts", [None, NOTHING, Uncertainty(0.1, 0.5, 0.0, math.inf)])
def test_a_finding_carries_it_over_the_bus(parts: Uncertainty | None) -> None:
    finding = Finding(
        "f", "hv", UNIT, ("ensemble",), Severity.WARNING, Certainty.UNSURE, 1, 2, 3, None, 1e-5, Evidence("It is."), "few rows", parts
    )
    read = messages.decode(messages.encode(FindingReport("hv", 1, finding)))
    assert isinstance(read, FindingReport)
    assert repr(read.finding.uncertainty) == repr(parts)  # NaN equals nothing
