"""The contract of pictures (detectors/figure.py): each rule and detector shows what it found, and marks it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Frame, Kind, Layout, Quality, concatenate
from detectors.figure import (
    Figure,
    HistogramFigure,
    Picturing,
    SeriesFigure,
    StatesFigure,
    decode,
    encode,
)
from detectors.finding import Evidence
from detectors.limits import Limit, LimitsOptions, LimitsRule
from detectors.picturing import POINTS_MOST
from detectors.robust_z import RobustZDetector, RobustZOptions
from detectors.states import StateLimit, StatesOptions, StatesRule
from tests.contract import test_detectors as contract
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]
FAULT_ROW = contract.FAULT_ROW

KINDS: dict[str, type[Any]] = {
    "autoencoder": SeriesFigure,
    "channel_health": HistogramFigure,
    "ewma": SeriesFigure,
    "isolation_forest": SeriesFigure,
    "limits": SeriesFigure,
    "novelty": SeriesFigure,
    "reference": HistogramFigure,
    "robust_z": SeriesFigure,
    "states": StatesFigure,
}


def found(name: str, frame: Frame) -> tuple[Any, int, Evidence]:
    """The detector, the unit that is worst in FAULT_ROW, and its evidence."""
    plugin: Any = contract.example_of(name) if name in contract.RULES else contract.fitted(name)
    if name in contract.RULES:
        breaches = plugin.judge(frame)
        units, values = breaches.units, np.where(breaches.judged, breaches.holds, np.nan)
    else:
        scores = plugin.score(frame)
        units, values = scores.units, scores.values
    of_condition = [i for i, unit in enumerate(units) if unit.condition == contract.FAULTS[name].condition]
    unit = of_condition[int(np.nanargmax(values[FAULT_ROW, of_condition]))]
    return plugin, unit, plugin.explain(frame, FAULT_ROW, unit)


def named(name: str, evidence: Evidence) -> tuple[str, ...]:
    """What ranks first in the evidence; the same channel may be called by the name that a reader knows it by."""
    return (evidence.ranked[0].name, "IMon of ch03") if name == "ewma" else (evidence.ranked[0].name,)


def culprits(figure: Figure) -> list[str]:
    """What a figure marks, worst first."""
    match figure:
        case SeriesFigure():
            return [line.name for line in figure.lines]
        case StatesFigure():
            return [lane.name for lane in figure.lanes if lane.bad]
        case HistogramFigure():
            return [f"{figure.x_label} {float(figure.edges[i]) + 0.5:.0f}" for i in figure.suspicious]
        case _:
            raise AssertionError(figure)


def assert_same(one: Any, other: Any) -> None:
    """Figures that are equal up to the digits that travel."""
    assert type(one) is type(other)
    for name in one.__dataclass_fields__:
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, np.ndarray):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-6)
        elif isinstance(a, tuple) and a and hasattr(a[0], "__dataclass_fields__"):
            for first, second in zip(a, b, strict=True):
                assert_same(first, second)
        else:
            assert a == b or a != a  # noqa: PLR0124 - NaN


@pytest.mark.parametrize("name", KINDS)
class TestContract:
    def test_what_was_found_is_shown_and_marked(self, name: str) -> None:
        frame = contract.faulty(name)
        plugin, unit, evidence = found(name, frame)
        assert isinstance(plugin, Picturing)
        figure: Any = plugin.picture(frame, FAULT_ROW, unit)
        assert type(figure) is KINDS[name]
        assert culprits(figure)[0] in named(name, evidence)
        assert figure.title
        assert_same(figure, decode(encode(figure)))

    def test_a_picture_goes_back_further_than_the_block_that_was_judged(self, name: str) -> None:
        frame = contract.faulty(name)
        plugin, unit, evidence = found(name, frame)
        recent = concatenate([contract.HISTORY, frame])
        figure = plugin.picture(recent, len(contract.HISTORY) + FAULT_ROW, unit)
        assert culprits(figure)[0] in named(name, evidence)
        if isinstance(figure, SeriesFigure | StatesFigure):
            assert figure.found_ns == frame.time_ns[FAULT_ROW]
            assert figure.found_ns in figure.time_ns
            assert len(figure.time_ns) <= POINTS_MOST
            assert figure.time_ns[0] == contract.HISTORY.time_ns[0]

    def test_a_picture_changes_nothing_that_is_remembered(self, name: str) -> None:
        if name in contract.RULES:
            return
        frame = contract.faulty(name)
        plugin, unit, _ = found(name, frame.rows(slice(0, FAULT_ROW + 1)))
        rest = frame.rows(slice(FAULT_ROW + 1, None))
        plugin.picture(concatenate([contract.HISTORY, frame.rows(slice(0, FAULT_ROW + 1))]), len(contract.HISTORY) + FAULT_ROW, unit)
        other, _, _ = found(name, frame.rows(slice(0, FAULT_ROW + 1)))
        np.testing.assert_array_equal(plugin.score(rest).values, other.score(rest).values)

    def test_rows_without_readings_do_not_matter(self, name: str) -> None:
        frame = sample.with_quality(contract.faulty(name), FAULT_ROW - 1, Quality.INVALID)
        plugin, unit, _ = found(name, frame)
        figure = plugin.picture(frame, FAULT_ROW, unit)
        assert figure is not None
        encode(figure)


@pytest.mark.parametrize("name", ["ewma", "robust_z", "autoencoder", "isolation_forest"])
def test_a_reading_that_was_normal_lies_in_its_band_and_one_that_is_not_outside(name: str) -> None:
    frame = contract.faulty(name)
    plugin, unit, _ = found(name, frame)
    line = plugin.picture(frame, FAULT_ROW, unit).lines[0]
    inside = (line.values >= line.low) & (line.values <= line.high)
    assert inside[:FAULT_ROW].mean() > 0.95
    assert not inside[FAULT_ROW]


@pytest.mark.parametrize("condition", ["outlier", "drift"])
def test_robust_z_shows_a_channel_against_its_own_level(condition: str) -> None:
    frame = contract.faulty("robust_z")
    detector: Any = contract.fitted("robust_z")
    units = detector.score(frame).units
    unit = next(i for i, u in enumerate(units) if u.condition == condition and u.name == "IMon of ch03")
    figure = detector.picture(frame, FAULT_ROW, unit)
    assert isinstance(figure, SeriesFigure)
    expected = detector.explain(frame, FAULT_ROW, unit).ranked[0].expected
    line, at = figure.lines[0], int(np.searchsorted(figure.time_ns, figure.found_ns))
    assert line.low[at] < expected < line.high[at]
    assert line.values[at] > line.high[at]
    assert figure.since_ns == figure.found_ns == frame.time_ns[FAULT_ROW]


def test_a_group_with_a_common_mode_shows_the_band_that_moves_with_it() -> None:
    rng = np.random.default_rng(1)
    luminosity = 1 + 0.3 * np.sin(np.arange(400) / 20)[:, None]
    currents = 10.0 * luminosity * (1 + 0.1 * np.arange(8)) + 0.02 * rng.standard_normal((400, 8))
    currents[380:, 5] += 2.0
    layout = Layout("hv", tuple(sample.gauge(f"ch{i}", "IMon", "uA", f"X/HV/{i}") for i in range(8)))
    frame = sample.frame(layout, currents)
    detector = RobustZDetector("robust_z", RobustZOptions(common_mode=True)).fit(frame.rows(slice(0, 300)))
    later = frame.rows(slice(300, None))
    unit = len(detector.score(later).units) - 1
    figure = detector.picture(later, 85, unit)
    assert figure is not None
    line = figure.lines[0]
    assert line.name == "IMon of 5"
    inside = (line.values >= line.low) & (line.values <= line.high)
    assert inside[:80].mean() > 0.9
    assert not inside[80:].any()
    assert np.ptp(line.low) > 2.0


def test_limits_show_both_and_since_when_one_is_broken() -> None:
    values = np.full((50, 1), 400.0)
    values[30:] = 410.0
    rule = LimitsRule("limits", LimitsOptions(rules=(Limit(channel="*", low=395, high=405, high_severe=420),)))
    frame = sample.gauges(values)
    figure = rule.picture(frame, 35, 0)
    assert figure is not None
    assert (figure.limit_low, figure.limit_high) == (395, 405)
    assert figure.since_ns == frame.time_ns[30]
    assert figure.found_ns == frame.time_ns[35]
    severe = rule.picture(frame, 35, 1)
    assert severe is not None
    assert np.isnan(severe.limit_low)
    assert severe.limit_high == 420


def test_states_show_the_channel_and_others_that_break_the_rule() -> None:
    values = contract.LATER.values.astype(np.float64)
    for channel in (1, 3):
        values[FAULT_ROW - channel :, contract.LATER.layout.position(f"crate:ch{channel:02d}:Status")] = sample.TRIPPED
    frame = sample.with_values(contract.LATER, values)
    rule = StatesRule("states", StatesOptions(rules=(StateLimit(channel="*:Status", bad=("TRIPPED",)),)))
    unit = next(i for i, u in enumerate(rule.judge(frame).units) if u.name == "Status of ch03")
    figure = rule.picture(frame, FAULT_ROW, unit)
    assert figure is not None
    assert [lane.name for lane in figure.lanes] == ["Status of ch03", "Status of ch01"]
    assert figure.lanes[0].bad == ("TRIPPED",)
    assert figure.lanes[0].states[int(figure.lanes[0].codes[FAULT_ROW])] == "TRIPPED"
    assert figure.since_ns == frame.time_ns[FAULT_ROW - 3]


def test_bits_of_a_status_word_have_a_lane_each() -> None:
    channel = replace(sample.gauge("word", unit=""), kind=Kind.BITS, states=("on", "trip", "ramp"))
    frame = sample.frame(Layout("hv", (channel,)), np.array([[1.0], [3.0], [np.nan]]))
    rule = StatesRule("states", StatesOptions(rules=(StateLimit(channel="*", bits_bad=("trip",)),)))
    figure = rule.picture(frame, 1, 0)
    assert figure is not None
    (lane,) = figure.lanes
    assert lane.name == "word: trip"
    np.testing.assert_array_equal(lane.codes, [0, 1, np.nan])
