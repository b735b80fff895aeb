"""Persistence and hysteresis: when a unit is raised and cleared, however the rows are cut into blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.episodes import Episode, Episodes
from detectors.finding import Severity, Unit

S = 1_000_000_000
UNITS = tuple(Unit(f"key{i}", f"unit {i}", f"DEMO/{i}", "outlier", Severity.CRITICAL if i == 2 else Severity.WARNING) for i in range(3))


@dataclass(frozen=True)
class Rows:
    """Rows of a few units: "x" bad, "." good, "?" not judged; one text for each unit."""

    marks: tuple[str, ...]

    def advance(self, episodes: Episodes, start: int = 0, stop: int | None = None, units: Sequence[Unit] = UNITS) -> list[Episode]:
        marks = np.array([list(text) for text in self.marks]).T[start:stop, [UNITS.index(unit) for unit in units]]
        time_ns = (np.arange(len(self.marks[0]), dtype=np.int64)[start:stop] + 1) * S
        return episodes.advance(units, marks == "x", marks != "?", time_ns)


def one(text: str, raise_rows: int = 2, clear_rows: int = 3) -> list[tuple[int, int, int, int | None]]:
    """Since, raised, last and cleared of what one unit goes through, as numbers of rows from 1."""
    found = Episodes(raise_rows, clear_rows).advance(
        UNITS[:1],
        np.array([[mark in "xX"] for mark in text]),
        np.array([[mark not in "?X"] for mark in text]),
        (np.arange(len(text), dtype=np.int64) + 1) * S,
    )
    return [(e.since_ns // S, e.raised_ns // S, e.last_ns // S, None if e.cleared_ns is None else e.cleared_ns // S) for e in found]


@pytest.mark.parametrize(
    ("text", "episodes"),
    [
        ("....", []),
        (".x..", []),
        (".xx.", [(2, 3, 3, None)]),
        ("xxxx", [(1, 2, 2, None)]),
        ("x.x.x.", []),
        ("xx...", [(1, 2, 2, None), (1, 2, 2, 5)]),
        ("xx..x...", [(1, 2, 2, None), (1, 2, 5, 8)]),
        ("xx...xx", [(1, 2, 2, None), (1, 2, 2, 5), (6, 7, 7, None)]),
        ("x?x", [(1, 3, 3, None)]),
        ("xx?????", [(1, 2, 2, None)]),
        ("xx.?.?.", [(1, 2, 2, None), (1, 2, 2, 7)]),
        ("?.?x??x", [(4, 7, 7, None)]),
        ("XXXX", []),
    ],
)
def test_two_bad_rows_raise_and_three_good_ones_clear(text: str, episodes: list[tuple[int, int, int, int | None]]) -> None:
    assert one(text) == episodes


def test_one_row_is_enough_where_so_configured() -> None:
    assert one("x.", 1, 1) == [(1, 1, 1, None), (1, 1, 1, 2)]


def test_what_is_critical_may_be_quicker() -> None:
    found = Rows(("xxx", "...", "x..")).advance(Episodes(3, 3, critical_raise_rows=1))
    assert [(e.unit.name, e.row) for e in found] == [("unit 2", 0), ("unit 0", 2)]


@pytest.mark.parametrize("rows", [(0, 1, None), (1, 0, None), (2, 2, -1)])
def test_refuses_numbers_of_rows_that_mean_nothing(rows: tuple[int, int, int | None]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        Episodes(*rows)


def test_the_row_and_the_index_are_those_of_the_call() -> None:
    episodes = Episodes(2, 1)
    rows = Rows(("......", "..xx..", "......"))
    assert rows.advance(episodes, 0, 3) == []
    (raised,) = rows.advance(episodes, 3, 4, units=UNITS[1:])
    assert (raised.unit, raised.index, raised.row, raised.since_ns) == (UNITS[1], 0, 0, 3 * S)


class TestUnitsThatDisappear:
    def test_count_as_good(self) -> None:
        episodes = Episodes(2, 3)
        rows = Rows(("xx.....", ".......", "......."))
        rows.advance(episodes, 0, 2)
        assert rows.advance(episodes, 2, 4, units=UNITS[1:]) == []
        (ended,) = rows.advance(episodes, 4, 7, units=UNITS[1:])
        assert (ended.unit, ended.row, ended.cleared_ns) == (UNITS[0], 0, 5 * S)
        assert episodes.active == 0

    def test_not_in_rows_in_which_nothing_was_judged(self) -> None:
        episodes = Episodes(2, 3)
        Rows(("xx", "..", "..")).advance(episodes)
        nothing = np.zeros((9, 0), dtype=bool)
        times = (np.arange(9, dtype=np.int64) + 3) * S
        assert episodes.advance((), nothing, nothing, times, np.zeros(9, dtype=bool)) == []
        assert episodes.active == 1

    def test_begin_anew_when_they_come_back(self) -> None:
        episodes = Episodes(2, 3)
        rows = Rows(("x...x", ".....", "....."))
        rows.advance(episodes, 0, 1)
        rows.advance(episodes, 1, 4, units=UNITS[1:])
        assert rows.advance(episodes, 4, 5) == []


MARKS = st.integers(1, 40).flatmap(lambda n: st.tuples(*(st.text("xx..?", min_size=n, max_size=n) for _ in UNITS)))
COUNTS = st.integers(1, 4)


def in_blocks(episodes: Episodes, rows: Rows, cuts: Sequence[int]) -> list[tuple[str, int, int, int, int | None]]:
    n = len(rows.marks[0])
    edges = [0, *sorted({cut for cut in cuts if cut < n}), n]
    found = [e for start, stop in pairwise(edges) for e in rows.advance(episodes, start, stop)]
    return [(e.unit.key, e.since_ns, e.raised_ns, e.last_ns, e.cleared_ns) for e in found]


@given(MARKS, st.lists(st.integers(1, 39)), COUNTS, COUNTS, st.none() | COUNTS)
def test_blocks_of_any_size_give_the_same(
    marks: tuple[str, ...], cuts: list[int], raise_rows: int, clear_rows: int, critical: int | None
) -> None:
    rows = Rows(marks)
    whole = in_blocks(Episodes(raise_rows, clear_rows, critical), rows, [])
    assert in_blocks(Episodes(raise_rows, clear_rows, critical), rows, cuts) == whole
    assert in_blocks(Episodes(raise_rows, clear_rows, critical), rows, range(40)) == whole


@given(MARKS, st.integers(0, 40), COUNTS, COUNTS)
def test_going_on_from_a_saved_state_gives_the_same(marks: tuple[str, ...], cut: int, raise_rows: int, clear_rows: int) -> None:
    rows = Rows(marks)
    whole, first, second = (Episodes(raise_rows, clear_rows) for _ in range(3))
    expected = rows.advance(whole)
    before = rows.advance(first, 0, cut)
    second.restore(json.loads(json.dumps(first.state())))
    after = rows.advance(second, cut)
    assert [(e.unit, e.since_ns, e.cleared_ns) for e in [*before, *after]] == [(e.unit, e.since_ns, e.cleared_ns) for e in expected]
    assert second.active == whole.active


@given(MARKS, COUNTS, COUNTS)
def test_raised_and_cleared_follow_one_another(marks: tuple[str, ...], raise_rows: int, clear_rows: int) -> None:
    episodes = Episodes(raise_rows, clear_rows)
    found = Rows(marks).advance(episodes)
    for unit in UNITS:
        of_unit = [e.cleared_ns is None for e in found if e.unit == unit]
        assert of_unit == [number % 2 == 0 for number in range(len(of_unit))]
    assert episodes.active == sum(1 if e.cleared_ns is None else -1 for e in found)
