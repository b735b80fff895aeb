"""What a detector learned: a score that is the hour of the day in disguise is told, and so are data that look wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.finding import Scores, Unit
from detectors.learned_report import distance_correlation, predictive_check, sensitivity
from tests.detectors import sample_frames as sample

ROWS, STEP_NS = 2000, 172_800_000_000
RNG = np.random.default_rng(1)
UNIT = (Unit("u", "u", "", "group_outlier"),)
VALUES = RNG.standard_normal((ROWS, 3)) @ np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 5.0]])


def history() -> Frame:
    """Four days, a row every three minutes."""
    frame = sample.gauges(VALUES)
    return replace(frame, time_ns=sample.START_NS + np.arange(ROWS, dtype=np.int64) * STEP_NS)


def hours(frame: Frame) -> NDArray[np.float64]:
    return np.asarray(frame.time_ns / 1e9 % 86_400 / 3600)


def lines(scores: NDArray[np.float64], **conditions: NDArray[np.float64]) -> list[str]:
    return sensitivity(Scores(UNIT, scores[:, None]), history(), conditions, UTC)


def test_a_score_that_follows_the_hour_is_said_to_be_driven_by_it() -> None:
    found = lines(np.sin(2 * np.pi * hours(history()) / 24) + 0.1 * RNG.standard_normal(ROWS))
    assert found[0].startswith("score against hour of day:")
    assert "it drives the score" in found[0]
    assert "▁" in found[0]
    assert "█" in found[0] or "▇" in found[0]


def test_a_score_that_follows_nothing_is_not() -> None:
    found = lines(RNG.standard_normal(ROWS), pile_up=RNG.random(ROWS))
    assert len(found) == 3
    assert not any("drives" in line or "noticeable" in line for line in found)


def test_a_condition_that_drives_comes_first() -> None:
    pile_up = RNG.random(ROWS) * 60
    found = lines(pile_up**2 + RNG.standard_normal(ROWS), pile_up=pile_up)
    assert found[0].startswith("score against pile_up: ▁")
    assert "drives" in found[0]


def test_conditions_that_are_unknown_or_constant_are_left_out() -> None:
    found = lines(RNG.standard_normal(ROWS), unknown=np.full(ROWS, np.nan), constant=np.ones(ROWS))
    assert not any("unknown" in line or "constant" in line for line in found)


def test_hours_are_local() -> None:
    scores = (hours(history()) >= 12).astype(np.float64)
    utc, there = (sensitivity(Scores(UNIT, scores[:, None]), history(), {}, zone)[0] for zone in (UTC, ZoneInfo("Asia/Tokyo")))
    assert utc.split(": ")[1][:8] != there.split(": ")[1][:8]


class Model:
    """Draws what it is told to."""

    def __init__(self, drawn: NDArray[np.float64]) -> None:
        self.drawn = drawn

    def simulate(self, rows: int, seed: int, group: int = 0) -> NDArray[np.float64]:  # noqa: ARG002 - as the protocol has it
        return self.drawn


def test_good_data_of_a_model_are_called_so() -> None:
    assert predictive_check(Model(VALUES[::-1].copy()), history()) == [
        "data drawn from the model vary as the real ones do in 3 of 3 channels",
        "and go together as they do in 100% of 3 pairs of channels",
    ]


def test_channels_that_vary_too_much_or_alone_are_named() -> None:
    wrong = np.random.default_rng(2).permuted(VALUES, axis=0) * np.array([1.0, 1.0, 4.0])
    spread, pairs = predictive_check(Model(wrong), history())
    assert "2 of 3 channels; not in c2" in spread
    assert "67%" in pairs


def test_detectors_that_draw_nothing_have_nothing_to_check() -> None:
    assert predictive_check(object(), history()) == []


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=6, max_size=30))
def test_distance_correlation_is_between_0_and_1_and_the_same_both_ways(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    found = distance_correlation(x, y)
    assert 0 <= found <= 1 + 1e-9
    assert abs(found - distance_correlation(y, x)) < 1e-9
    if len(set(np.round(x, 3))) == len(x):
        assert distance_correlation(x, 3 * x - 1) > 1 - 1e-6


def test_rows_that_are_compared_are_of_all_hours() -> None:
    """A row every 4.8 hours: every fifth of them would be of one hour, which says nothing of the others."""
    frame = replace(history(), time_ns=sample.START_NS + np.arange(ROWS, dtype=np.int64) * 17_280_000_000_000)
    scores = np.sin(2 * np.pi * hours(frame) / 24) + 0.1 * RNG.standard_normal(ROWS)
    first = sensitivity(Scores(UNIT, scores[:, None]), frame, {}, UTC)[0]
    assert "hour of day" in first
    assert "it drives the score" in first


def test_scores_that_are_equal_follow_nothing() -> None:
    time_like = np.arange(ROWS, dtype=np.float64)
    flat = np.zeros(ROWS)
    flat[::7] = 1.0
    assert not any("drives" in line or "noticeable" in line for line in lines(flat, time=time_like))
    assert lines(np.zeros(ROWS), time=time_like) == []


def test_a_day_or_two_do_not_tell_whether_it_is_the_hour() -> None:
    rows = ROWS // 4
    frame = replace(history(), time_ns=history().time_ns[:rows], values=history().values[:rows])
    found = sensitivity(Scores(UNIT, np.arange(rows, dtype=np.float64)[:, None]), frame, {}, UTC)
    line = next(line for line in found if "hour of day" in line)
    assert line.endswith("; 1.0 days are too few to tell, 3 are needed")


def test_a_few_wild_readings_do_not_hide_what_drives() -> None:
    pile_up = RNG.random(ROWS)
    score = pile_up + 0.1 * RNG.standard_normal(ROWS)
    pile_up[::100] = 1e200
    found = lines(score, pile_up=pile_up)
    assert found[0].startswith("score against pile_up:")
    assert found[0].endswith("it drives the score; among the conditions of the detector it would be taken out")


def test_what_helps_is_said_for_each_nuisance() -> None:
    assert lines(np.sin(2 * np.pi * hours(history()) / 24))[0].endswith("it drives the score; season = true takes it out")
    assert lines(VALUES.mean(axis=1) + VALUES[:, 1])[0].startswith("score against load")
