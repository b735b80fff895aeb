"""Persistence and hysteresis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from daemon.store.packing import pack, unpack
from detectors.episodes import Episode, Episodes
from detectors.finding import Severity, Unit

Flags = NDArray[np.bool_]
GOOD, BAD, UNKNOWN = ".", "x", " "


def unit(number: int, severity: Severity = Severity.WARNING) -> Unit:
    return Unit(f"u{number}", f"u{number}", "X", "outlier", severity)


def flags(*histories: str) -> tuple[Flags, Flags]:
    """bad and judged from a text for each unit: `.` good, `x` bad, blank not judged."""
    signs = np.array([list(history) for history in histories]).T
    return signs == BAD, signs != UNKNOWN


def fed(episodes: Episodes, *histories: str, first_row: int = 1) -> list[Episode]:
    bad, judged = flags(*histories)
    time_ns = np.arange(first_row, first_row + len(bad), dtype=np.int64)
    return episodes.advance([unit(i) for i in range(len(histories))], bad, judged, time_ns)


def described(episode: Episode) -> tuple[str, int, int, int, int | None]:
    return episode.unit.key, episode.since_ns, episode.raised_ns, episode.last_ns, episode.cleared_ns


def test_it_is_raised_after_bad_rows_in_a_row_and_cleared_after_good_ones() -> None:
    found = fed(Episodes(2, 3), "..x.xxx..x...")
    assert [described(e) for e in found] == [("u0", 5, 6, 6, None), ("u0", 5, 6, 10, 13)]
    assert [e.row for e in found] == [5, 12]


def test_rows_that_were_not_judged_count_neither_way() -> None:
    assert [described(e) for e in fed(Episodes(2, 2), "x x . . ")] == [("u0", 1, 3, 3, None), ("u0", 1, 3, 3, 7)]
    assert fed(Episodes(2, 2), "x .x ") == []
    standing = Episodes(1, 2)
    fed(standing, "x.     ")
    assert standing.active == 1


def test_several_bad_rows_within_a_window_suffice() -> None:
    assert [described(e) for e in fed(Episodes(3, 3, window_rows=5), "x..x.x....")] == []
    assert [described(e) for e in fed(Episodes(3, 3, window_rows=5), ".x..xx...")] == [("u0", 2, 6, 6, None), ("u0", 2, 6, 6, 9)]
    cleared = fed(Episodes(2, 1, window_rows=5), "xx.x.")
    assert [described(e) for e in cleared] == [("u0", 1, 2, 2, None), ("u0", 1, 2, 2, 3)]  # what is over does not count again


def test_critical_units_may_be_raised_sooner() -> None:
    episodes = Episodes(3, 1, critical_raise_rows=1)
    bad, judged = flags("x.", "x.")
    found = episodes.advance([unit(0), unit(1, Severity.CRITICAL)], bad, judged, np.array([1, 2], dtype=np.int64))
    assert {e.unit.key for e in found} == {"u1"}


def test_a_unit_that_is_gone_counts_as_good_while_anything_is_said() -> None:
    episodes = Episodes(1, 2)
    fed(episodes, ".x", "..")
    bad, judged = flags("....")
    awake = np.array([False, True, False, True])
    other = [unit(9)]
    found = episodes.advance(other, bad, judged, np.arange(3, 7, dtype=np.int64), awake)
    assert [described(e) for e in found] == [("u0", 2, 2, 2, 6)]
    assert found[0].index == -1
    assert episodes.active == 0


def test_units_may_change_places_between_blocks() -> None:
    episodes = Episodes(2, 1)
    fed(episodes, ".x", "..")
    bad, judged = flags("..", "x.")
    found = episodes.advance([unit(1), unit(0)], bad, judged, np.array([3, 4], dtype=np.int64))
    assert [described(e) for e in found] == [("u0", 2, 3, 3, None), ("u0", 2, 3, 3, 4)]
    assert [e.index for e in found] == [1, 1]


def test_an_interruption_ends_what_lasts_and_forgets_what_was_beginning() -> None:
    episodes = Episodes(2, 3)
    fed(episodes, "xx.", "..x", "...")
    (ended,) = episodes.interrupt(60)
    assert described(ended) == ("u0", 1, 2, 2, 60)
    assert fed(episodes, "x", "x", ".", first_row=61) == []
    assert episodes.active == 0


def test_events_come_in_order_of_time() -> None:
    found = fed(Episodes(1, 1), "..x.", "x...", ".x.x")
    assert [(e.row, e.unit.key) for e in found] == [(0, "u1"), (1, "u1"), (1, "u2"), (2, "u0"), (2, "u2"), (3, "u0"), (3, "u2")]


def slowly(history: str, raise_rows: int, clear_rows: int, window_rows: int) -> list[tuple[str, int, int, int, int | None]]:
    """The same row by row, as it is defined."""
    found: list[tuple[str, int, int, int, int | None]] = []
    window: list[tuple[int, bool]] = []
    since, raised, last, good = 0, 0, 0, 0
    for at, sign in enumerate(history, start=1):
        if sign == UNKNOWN:
            continue
        if raised:
            last, good = (at, 0) if sign == BAD else (last, good + 1)
            if good == clear_rows:
                found.append(("u0", since, raised, last, at))
                raised, window = 0, []
            continue
        window = [*window, (at, sign == BAD)][-window_rows:]
        bad = [when for when, is_bad in window if is_bad]
        if sign == BAD and len(bad) >= raise_rows:
            since, raised, last, good = bad[-raise_rows], at, at, 0
            found.append(("u0", since, raised, last, None))
    return found


@settings(max_examples=300, deadline=None)
@given(
    st.text(alphabet=GOOD + BAD + UNKNOWN, max_size=60),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 3),
    st.lists(st.integers(1, 9), max_size=60),
)
def test_blocks_of_any_size_and_a_restart_after_each_give_what_is_defined(
    history: str, raise_rows: int, clear_rows: int, wider: int, sizes: list[int]
) -> None:
    window_rows = raise_rows + wider
    expected = slowly(history, raise_rows, clear_rows, window_rows)
    episodes = Episodes(raise_rows, clear_rows, window_rows=window_rows)
    found: list[Episode] = []
    start = 0
    for size in [*sizes, len(history)]:
        part = history[start : start + size]
        if part:
            found += fed(episodes, part, first_row=start + 1)
            restarted = Episodes(raise_rows, clear_rows, window_rows=window_rows)
            restarted.restore(unpack(pack(episodes.state())))
            episodes = restarted
        start += size
    assert [described(e) for e in found] == expected
    assert episodes.active == (len(expected) % 2)


@pytest.mark.parametrize("numbers", [(0, 1, None, None), (1, 0, None, None), (3, 1, None, 2), (1, 1, 3, 2)])
def test_numbers_that_make_no_sense_are_refused(numbers: tuple[int, int, int | None, int | None]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Episodes(*numbers)
