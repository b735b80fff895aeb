"""Conditions as of any time, however their rows arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.conditions import EXACT_ROWS, ConditionHistory
from collectors.frame import Axis, Channel, Frame, Histogram, Kind, Layout, Quality
from tests.collectors.rows import NAN, same

BEAM = Channel("beam", "beam mode", "", Kind.STATE, states=("NO BEAM", "STABLE BEAMS"))
RUN = Channel("run", "run", "")
LAYOUT = Layout("lhc", (BEAM, RUN))


def block(*rows: Sequence[float], layout: Layout = LAYOUT, quality: Any = None) -> Frame:
    """Each row: time in ns, then the values."""
    times = np.array([row[0] for row in rows], dtype=np.int64)
    values = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), layout.width)
    return Frame(layout, times, values, None if quality is None else np.array(quality, dtype=np.uint8))


def history(*blocks: Frame) -> ConditionHistory:
    conditions = ConditionHistory()
    for each in blocks:
        conditions.add(each)
    return conditions


def as_of(conditions: ConditionHistory, name: str, *times_ns: int) -> list[float]:
    result: list[float] = conditions.as_of(name, np.array(times_ns, dtype=np.int64)).tolist()
    return result


def test_the_last_value_at_or_before_a_time() -> None:
    conditions = history(block((10, 0, 1), (20, 1, 1), (30, 1, 2)))
    assert same(as_of(conditions, "beam", 9, 10, 19, 20, 29, 10**18), [NAN, 0, 0, 1, 1, 1])
    assert same(as_of(conditions, "run", -5, 29, 30, 31), [NAN, 1, 2, 2])
    assert as_of(conditions, "run", 31, 10, 30) == [2, 1, 2]


def test_a_condition_that_was_never_seen() -> None:
    assert same(as_of(ConditionHistory(), "beam", 1, 2), [NAN, NAN])
    conditions = history(block((10, NAN, 1)))
    assert same(as_of(conditions, "beam", 10), [NAN])
    assert conditions.text_as_of("beam", 10) == ""
    assert conditions.text_as_of("pile-up", 10) == ""
    assert as_of(conditions, "run") == []


def test_what_is_missing_or_not_good_changes_nothing() -> None:
    quality = [[0, 0], [Quality.INVALID, 0], [0, Quality.STALE]]
    conditions = history(block((10, 1, 5), (20, 0, NAN), (30, 1, 9), quality=quality))
    assert as_of(conditions, "beam", 25) == [1]
    assert as_of(conditions, "run", 25, 35) == [5, 5]


def test_a_late_change_between_two_readings_of_one_value() -> None:
    """The reading that follows it must not have been thrown away because it repeated the one before."""
    conditions = history(block((10, 0, 1), (20, 0, 1), (30, 0, 1)), block((15, 1, 1)))
    assert as_of(conditions, "beam", 10, 15, 19, 20, 30) == [0, 1, 1, 0, 0]


def test_blocks_in_any_order_and_more_than_once() -> None:
    blocks = [block((t, t % 3 % 2, t // 4)) for t in range(20)]
    expected = [(t % 3 % 2, t // 4) for t in range(20)]
    rng = np.random.default_rng(3)
    for _ in range(20):
        order = rng.permutation(40) % 20
        conditions = history(*(blocks[i] for i in order))
        found = list(zip(as_of(conditions, "beam", *range(20)), as_of(conditions, "run", *range(20)), strict=True))
        assert found == expected


def test_of_two_readings_at_one_time_the_later_arrival_counts() -> None:
    conditions = history(block((10, 0, 1), (20, 0, 1)), block((10, 1, 1)))
    assert as_of(conditions, "beam", 10, 19, 20) == [1, 1, 0]


ROW = st.tuples(st.integers(-20, 20), st.sampled_from([0.0, 1.0, 2.0, NAN]))


@settings(deadline=None)
@given(st.lists(st.lists(ROW, max_size=6), max_size=8))
def test_any_arrival_gives_what_sorting_gives(arrivals: list[list[tuple[int, float]]]) -> None:
    layout = Layout("lhc", (RUN,))
    conditions = history(*(block(*rows, layout=layout) for rows in arrivals))
    known = {time_ns: value for rows in arrivals for time_ns, value in rows if not np.isnan(value)}
    times = list(range(-22, 23))
    expected = [known[max(t for t in known if t <= at)] if any(t <= at for t in known) else NAN for at in times]
    assert same(as_of(conditions, "run", *times), expected)


def test_states_and_numbers_as_text() -> None:
    conditions = history(block((10, 1, 382711), (20, 0, 12.5)))
    assert conditions.text_as_of("beam", 10) == "STABLE BEAMS"
    assert conditions.text_as_of("beam", 25) == "NO BEAM"
    assert conditions.text_as_of("beam", 5) == ""
    assert conditions.text_as_of("run", 10) == "382711"
    assert conditions.text_as_of("run", 20) == "12.5"


@pytest.mark.parametrize(("value", "text"), [(2, "2"), (-1, "-1"), (1, "STABLE BEAMS")])
def test_a_state_without_a_name_is_a_number(value: int, text: str) -> None:
    assert history(block((10, value, 1))).text_as_of("beam", 10) == text


def test_large_numbers_are_written_out() -> None:
    assert history(block((10, 0, 4_294_967_295))).text_as_of("run", 10) == "4294967295"


def test_the_newest_description_names_the_states() -> None:
    renamed = Layout("lhc", (Channel("beam", "beam mode", "", Kind.STATE, states=("kein Strahl", "Strahl")), RUN))
    conditions = history(block((10, 1, 1)), block((20, 0, 1), layout=renamed))
    assert conditions.text_as_of("beam", 10) == "Strahl"
    assert conditions.channels == {"beam": renamed.columns[0], "run": RUN}


def test_histograms_among_the_columns_are_left_out() -> None:
    layout = Layout("lhc", (Histogram("h", (Axis("x", "", 1, 0, 1),), flow=False), RUN))
    conditions = history(block((10, 7, 7, 3), layout=layout))
    assert as_of(conditions, "run", 10) == [3]
    assert list(conditions.channels) == ["run"]


def kept_rows(conditions: ConditionHistory) -> int:
    return max(len(times) for times in conditions._time_ns.values())


def test_memory_is_bounded_for_a_condition_that_always_changes() -> None:
    layout = Layout("lhc", (RUN,))
    conditions = ConditionHistory(kept_rows=500)
    for start in range(0, 5_000, 100):
        conditions.add(block(*((t, t) for t in range(start, start + 100)), layout=layout))
        assert kept_rows(conditions) <= 500
    assert same(as_of(conditions, "run", 4_499, 4_500, 9_999), [NAN, 4_500, 4_999])


def test_a_value_that_stays_is_kept_as_its_ends() -> None:
    """A magnet that is on for a year is still known to have been on at its beginning."""
    layout = Layout("lhc", (RUN,))
    conditions = ConditionHistory(kept_rows=2 * EXACT_ROWS)
    for start in range(0, 20 * EXACT_ROWS, EXACT_ROWS):
        conditions.add(block(*((t, 1) for t in range(start, start + EXACT_ROWS)), layout=layout))
    assert kept_rows(conditions) <= EXACT_ROWS + 2
    assert same(as_of(conditions, "run", -1, 0, 7, 30 * EXACT_ROWS), [NAN, 1, 1, 1])


def test_repeated_blocks_take_no_room() -> None:
    rows = block(*((t, t % 2, 1) for t in range(50)))
    conditions = history(*[rows] * 30)
    assert kept_rows(conditions) == 50
