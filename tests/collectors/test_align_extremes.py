"""Minimum, maximum and number of updates between two ticks; and all of alignment against its plain definition."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.align import Aligner
from collectors.frame import Channel, Layout, concatenate
from tests.collectors.readings import DISCONNECTED, GOOD, INVALID, POWER, STALE, Update, V, qualities, rows, updates
from tests.collectors.rows import NAN, S, same


def test_extremes_are_described_after_the_columns() -> None:
    aligner = Aligner(10 * S, extremes=True)
    aligner.add(updates((5, 0, 1.0), layout=Layout("hv", (V, POWER), "2")))
    layout = aligner.until(10 * S)[0].layout
    assert layout.columns == (
        V,
        POWER,
        Channel("v:min", "voltage min", "V", place="CMS/HV"),
        Channel("v:max", "voltage max", "V", place="CMS/HV"),
        Channel("v:updates", "voltage updates", "1", place="CMS/HV"),
    )
    assert (layout.source, layout.part) == ("hv", "2")


def extremes(*given_updates: Update, until_s: int = 30) -> list[list[float]]:
    aligner = Aligner(10 * S, extremes=True)
    aligner.add(updates(*given_updates))
    return [row[2:5] for row in rows(aligner.until(until_s * S)).values()]


def test_a_spark_between_two_ticks_is_seen() -> None:
    assert extremes((5, 0, 1.0), (12, 0, 900.0), (12.1, 0, -3.0), (13, 0, 1.0)) == [[1, 1, 1], [-3, 900, 3], [1, 1, 0]]


def test_an_infinite_spark_is_seen() -> None:
    assert extremes((5, 0, 1.0), (6, 0, np.inf), (7, 0, 2.0), until_s=10) == [[1, np.inf, 3]]


def test_without_updates_the_extremes_are_the_standing_value() -> None:
    assert same(extremes((5, 1, 1.0), (25, 0, 7.0)), [[NAN, NAN, 0], [NAN, NAN, 0], [7, 7, 1]])


def test_readings_that_are_not_good_are_no_extremes() -> None:
    """An invalid 0 or 1e30 would be a good minimum or maximum, and an alarm."""
    assert extremes((5, 0, 1.0), (6, 0, 1e30, INVALID), (7, 0, NAN, DISCONNECTED), (8, 0, 2.0), until_s=10) == [[1, 2, 4]]


def test_extremes_of_a_column_that_is_not_good_are_not_good() -> None:
    aligner = Aligner(10 * S, extremes=True)
    aligner.add(updates((5, 0, 1.0), (6, 1, 2.0), (15, 0, 1e30, INVALID), (24, 0, 3.0), (25, 0, 0.0, DISCONNECTED)))
    frames = aligner.until(30 * S)
    found = [row[2:5] for row in qualities(frames)]
    assert found == [[GOOD] * 3, [INVALID, INVALID, GOOD], [GOOD] * 3]
    assert [row[0] for row in qualities(frames)] == [GOOD, INVALID, DISCONNECTED]
    assert rows(frames)[30][2:5] == [3, 3, 2]


def test_extremes_of_a_stale_column_are_stale() -> None:
    aligner = Aligner(10 * S, extremes=True, stale_after_ns=5 * S)
    aligner.add(updates((9, 0, 1.0)))
    assert [row[2:5] for row in qualities(aligner.until(20 * S))] == [[GOOD] * 3, [STALE, STALE, GOOD]]


def test_extremes_span_a_layout_change() -> None:
    aligner = Aligner(10 * S, extremes=True)
    aligner.add(updates((3, 0, 1.0), (4, 0, 50.0)))
    aligner.add(updates((8, 0, 2.0), layout=Layout("hv", (V, POWER))))
    assert same(rows(aligner.until(10 * S))[10], [2, NAN, 1, 50, 3])


ONE = st.tuples(
    st.integers(0, 60).map(lambda quarter: quarter / 4),
    st.integers(0, 1),
    st.integers(-3, 3).map(float),
    st.sampled_from([GOOD, GOOD, INVALID]),
)


def by_definition(given_updates: list[Any], ticks: list[int], stale_after_s: float) -> tuple[Any, Any]:
    """Rows of values and qualities with extremes, one tick, column and update at a time."""
    values, found = [], []
    for tick in ticks:
        row, quality = [], []
        extremes_row: list[float] = []
        extremes_quality: list[int] = []
        for column in (0, 1):
            known = [u for u in given_updates if u[1] == column and u[0] <= tick]
            last = max(enumerate(known), key=lambda e: (e[1][0], e[0]))[1] if known else (0, 0, NAN, GOOD)
            row.append(last[2])
            stale = known and last[3] == GOOD and tick - last[0] > stale_after_s and last[0] > 0
            quality.append(STALE if stale else last[3])
            inside = [u for u in known if u[0] > tick - 4 or tick == ticks[0]]
            good = [u[2] for u in inside if u[3] == GOOD]
            extremes_row += [min(good), max(good), len(inside)] if good else [last[2], last[2], len(inside)]
            extremes_quality += [GOOD] * 3 if good else [quality[-1], quality[-1], GOOD]
        values.append(row + extremes_row)
        found.append(quality + extremes_quality)
    return values, found


@settings(deadline=None)
@given(st.lists(ONE, min_size=1, max_size=25), st.integers(0, 8))
def test_any_updates_in_one_block(given_updates: list[Any], stale_after_s: int) -> None:
    aligner = Aligner(4 * S, stale_after_ns=stale_after_s * S, extremes=True)
    aligner.add(updates(*given_updates))
    frames = aligner.until(20 * S)
    first = int(min(u[0] for u in given_updates) // 4 + 1) * 4
    ticks = list(range(first, 21, 4))
    values, found = by_definition(given_updates, ticks, stale_after_s or np.inf)
    assert list(rows(frames)) == ticks
    assert same(list(rows(frames).values()), values)
    assert qualities(frames) == found


@settings(deadline=None)
@given(st.lists(ONE, min_size=1, max_size=25).map(lambda u: sorted(u, key=lambda e: e[0])), st.data())
def test_the_same_updates_in_other_blocks_give_the_same_rows(given_updates: list[Any], data: st.DataObject) -> None:
    whole = Aligner(4 * S, stale_after_ns=5 * S, extremes=True)
    whole.add(updates(*given_updates))
    expected = whole.until(20 * S)
    aligner = Aligner(4 * S, stale_after_ns=5 * S, extremes=True)
    frames = []
    start = 0
    for stop in [*sorted(data.draw(st.lists(st.integers(1, len(given_updates)), max_size=5))), len(given_updates)]:
        frames += aligner.add(updates(*given_updates[start:stop]))
        if stop < len(given_updates) and data.draw(st.booleans()):
            frames += aligner.until(int(given_updates[stop][0] * S) - 1)
        start = stop
    frames += aligner.until(20 * S)
    assert rows(frames).keys() == rows(expected).keys()
    assert same(concatenate(frames).values, expected[0].values)
    assert qualities(frames) == qualities(expected)
