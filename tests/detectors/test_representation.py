"""What a training sample has much of and what it lacks."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from collectors.frame import Channel, Frame, Layout, Quality
from detectors.representation import representation

LAYOUT = Layout("s", (Channel("a", "q", "V"), Channel("b", "q", "V")))
HOUR_NS = 3_600_000_000_000
MONDAY_NS = 1_767_571_200_000_000_000  # 2026-01-05 00:00 UTC


def sample(time_ns: np.ndarray[tuple[int], np.dtype[np.int64]], quality: int = Quality.GOOD) -> Frame:
    values = np.ones((len(time_ns), 2))
    marked = np.zeros(values.shape, np.uint8)
    marked[:, 1] = quality
    return Frame(LAYOUT, time_ns, values, marked)


def hours(first: int, last: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return MONDAY_NS + np.arange(first * 60, last * 60) * (HOUR_NS // 60)


def test_four_whole_weeks_represent_the_calendar() -> None:
    times = hours(0, 4 * 7 * 24)
    assert representation(sample(times), times, {}) == []


def test_nights_only() -> None:
    times = np.concatenate([hours(day * 24, day * 24 + 6) for day in range(14)])
    said = representation(sample(times), times, {})
    assert said == [
        "over-represented time of day: night 100% instead of 25%",
        "under-represented time of day: morning 0% instead of 25%, afternoon 0% instead of 25%, evening 0% instead of 25%",
    ]


def test_the_time_of_day_is_that_of_the_experiment() -> None:
    times = np.concatenate([hours(day * 24, day * 24 + 6) for day in range(14)])
    assert "over-represented time of day: evening" in representation(sample(times), times, {}, ZoneInfo("America/Chicago"))[0]


def test_conditions_are_compared_with_all_rows() -> None:
    times = hours(0, 4 * 7 * 24)
    half = len(times) // 2
    beam = ["stable"] * half + ["ramp"] * (len(times) - half)
    said = representation(sample(times[:half]), times, {"beam": (beam[:half], beam)})
    assert "over-represented beam: stable 100% instead of 50%" in said
    assert "under-represented beam: ramp 0% instead of 50%" in said
    assert "50% of the rows were left out: incidents, muted times" in said


def test_channels_with_few_readings_are_named() -> None:
    times = hours(0, 4 * 7 * 24)
    assert representation(sample(times, Quality.STALE), times, {}) == ["under-represented channels: b (0% of the rows)"]


def test_nothing_at_all() -> None:
    assert representation(sample(hours(0, 0)), hours(0, 0), {})


def test_rows_in_which_a_condition_is_not_known_say_nothing_of_it() -> None:
    times = hours(0, 4 * 7 * 24)
    beam = ["stable", "ramp", "", "", "", ""] * (len(times) // 6)
    assert representation(sample(times), times, {"beam": (beam, beam)}) == []


def test_a_condition_that_is_known_in_no_row_of_the_sample_is_said() -> None:
    times = hours(0, 4 * 7 * 24)
    beam = ["stable"] * len(times)
    assert representation(sample(times), times, {"beam": ([""] * len(times), beam)}) == ["under-represented beam: not known in any row"]


def test_rows_that_are_many_are_all_counted() -> None:
    """A row an hour for seven years: every twelfth of them would be of two hours only."""
    times = MONDAY_NS + np.arange(7 * 364 * 24) * HOUR_NS
    assert representation(sample(times), times, {}) == []
