"""Single updates become rows at regular ticks."""

from __future__ import annotations

import numpy as np
import pytest

from collectors import align
from collectors.align import Aligner
from collectors.frame import Axis, Histogram, Layout
from tests.collectors.readings import DISCONNECTED, GOOD, INVALID, LAYOUT, POWER, STALE, I, V, qualities, rows, updates
from tests.collectors.rows import NAN, S, same


def test_the_last_value_stands_at_each_tick() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((1, 0, 5.0), (2, 1, 0.1), (9, 0, 6.0), (10, 0, 7.0), (10.001, 0, 8.0), (31, 1, 0.2)))
    assert rows(aligner.until(35 * S)) == {10: [7, 0.1], 20: [8, 0.1], 30: [8, 0.1]}
    assert rows(aligner.until(40 * S)) == {40: [8, 0.2]}


def test_nothing_before_the_first_update_and_each_tick_once() -> None:
    aligner = Aligner(10 * S)
    assert aligner.until(100 * S) == []
    aligner.add(updates())
    assert aligner.until(100 * S) == []
    aligner.add(updates((103, 0, 5.0)))
    assert aligner.until(109 * S) == []
    assert same(list(rows(aligner.until(120 * S)).values()), [[5, NAN], [5, NAN]])
    assert aligner.until(120 * S) == []
    assert aligner.until(110 * S) == []


def test_an_update_at_the_time_of_a_tick_belongs_to_it() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (10, 0, 2.0), (20, 0, 3.0)))
    assert [row[0] for row in rows(aligner.until(20 * S)).values()] == [2, 3]


def test_of_two_updates_at_one_time_the_later_arrival_wins() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (5, 0, 2.0)))
    aligner.add(updates((5, 0, 3.0)))
    assert rows(aligner.until(10 * S))[10][0] == 3


def test_updates_out_of_order_are_put_in_order() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((8, 0, 8.0), (3, 0, 3.0), (14, 0, 14.0)))
    aligner.add(updates((6, 0, 6.0), (12, 0, 12.0)))
    assert [row[0] for row in rows(aligner.until(20 * S)).values()] == [8, 14]


def test_an_update_that_comes_after_its_tick_counts_at_the_next_one() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0)))
    aligner.until(20 * S)
    aligner.add(updates((19, 1, 0.5)))
    assert rows(aligner.until(30 * S)) == {30: [1, 0.5]}


def test_an_update_from_the_future_waits() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (1000, 0, 2.0)))
    assert rows(aligner.until(20 * S))[20][0] == 1
    assert rows(aligner.until(1000 * S))[1000][0] == 2


def test_quality_goes_with_the_value_until_the_next_good_one() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (6, 1, 2.0), (15, 0, NAN, DISCONNECTED), (16, 1, 9.0, INVALID), (35, 0, 3.0)))
    frames = aligner.until(40 * S)
    assert qualities(frames) == [[GOOD, GOOD], [DISCONNECTED, INVALID], [DISCONNECTED, INVALID], [GOOD, INVALID]]
    assert same(frames[0].readings(slice(0, 2)), [[1, 2], [NAN, NAN], [NAN, NAN], [3, NAN]])


def test_all_good_is_written_as_no_quality() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0)))
    assert aligner.until(10 * S)[0].quality is None


def test_a_value_grows_stale_and_is_kept() -> None:
    aligner = Aligner(10 * S, stale_after_ns=15 * S)
    aligner.add(updates((5, 0, 1.0), (5, 1, 2.0, DISCONNECTED), (28, 0, 1.0)))
    frames = aligner.until(50 * S)
    assert [row[0] for row in qualities(frames)] == [GOOD, GOOD, GOOD, GOOD, STALE]
    assert [row[1] for row in qualities(frames)] == [DISCONNECTED] * 5
    assert [row[0] for row in rows(frames).values()] == [1] * 5
    aligner.add(updates((58, 0, 4.0)))
    assert qualities(aligner.until(60 * S))[0][0] == GOOD


def test_the_age_counts_on_from_call_to_call() -> None:
    aligner = Aligner(10 * S, stale_after_ns=15 * S)
    aligner.add(updates((5, 0, 1.0)))
    found = [qualities(aligner.until(at * S))[0][0] for at in (10, 20, 30, 40)]
    assert found == [GOOD, GOOD, STALE, STALE]


def test_a_column_that_was_never_read_is_not_stale() -> None:
    aligner = Aligner(10 * S, stale_after_ns=S)
    aligner.add(updates((5, 0, 1.0)))
    frames = aligner.until(100 * S)
    assert {row[1] for row in qualities(frames)} == {GOOD}
    assert np.isnan([row[1] for row in rows(frames).values()]).all()


@pytest.mark.parametrize("period_ns", [0, -1])
def test_a_period_is_positive(period_ns: int) -> None:
    with pytest.raises(ValueError, match=f"period of {period_ns} ns"):
        Aligner(period_ns)


def test_known_values_outlive_a_layout_change() -> None:
    aligner = Aligner(10 * S, stale_after_ns=15 * S)
    aligner.add(updates((5, 0, 1.0), (6, 1, 2.0, INVALID)))
    aligner.until(10 * S)
    wider = Layout("hv", (POWER, I, V))
    assert aligner.add(updates((15, 0, 1.0), layout=wider)) == []
    frames = aligner.until(30 * S)
    assert frames[0].layout is wider
    assert rows(frames) == {20: [1, 2, 1], 30: [1, 2, 1]}
    assert qualities(frames) == [[GOOD, INVALID, GOOD], [GOOD, INVALID, STALE]]


def test_what_was_pending_comes_out_in_the_old_layout_and_the_rest_goes_on() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (23, 0, 2.0), (24, 1, 3.0)))
    finished = aligner.add(updates((25, 0, 1.0), layout=Layout("hv", (POWER, V))))
    assert finished[0].layout is LAYOUT
    assert same(list(rows(finished).values()), [[1, NAN], [1, NAN]])
    assert rows(aligner.until(30 * S)) == {30: [1, 2]}


def test_a_reading_from_the_future_does_not_stop_the_ticks_at_a_layout_change() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (4_000_000_000, 1, 3.0)))
    aligner.add(updates((12, 0, 0.0), layout=Layout("hv", (POWER, V))))
    assert rows(aligner.until(20 * S))[20] == [0, 1]


def test_a_column_that_went_and_came_back_begins_anew() -> None:
    aligner = Aligner(10 * S)
    aligner.add(updates((5, 0, 1.0), (5, 1, 2.0)))
    aligner.until(10 * S)
    aligner.add(updates((11, 0, 3.0), layout=Layout("hv", (I,))))
    aligner.add(updates((12, 1, 4.0)))
    assert same(rows(aligner.until(20 * S))[20], [NAN, 4])


def test_histograms_among_the_columns() -> None:
    """The Prometheus collector sends whole answers as updates, histograms included."""
    histogram = Histogram("latency", (Axis("x", "s", 2, 0, 2),), flow=False)
    before, after = Layout("s", (V, histogram)), Layout("s", (histogram, I, V))
    aligner = Aligner(10 * S, extremes=True)
    aligner.add(updates(*((5, i, float(i)) for i in range(4)), layout=before))
    assert rows(aligner.until(10 * S)) == {10: [0, 1, 2, 3, 0, 0, 1]}
    aligner.add(updates((15, 1, 20.0), layout=after))
    assert same(rows(aligner.until(20 * S))[20], [1, 20, 3, NAN, 0, NAN, NAN, 0, 0, 0, 0])


def test_what_a_live_source_holds_since_long_makes_no_rows_of_the_past() -> None:
    """A set point that was written a month ago is sent with its time when one connects."""
    aligner = Aligner(S, start_ns=3_000_000 * S + 1)
    aligner.add(updates((12, 0, 1.0), (2_999_999, 1, 2.0)))
    frames = aligner.until(3_000_003 * S)
    assert rows(frames) == {3_000_001: [1, 2], 3_000_002: [1, 2], 3_000_003: [1, 2]}


@pytest.mark.parametrize("gap_s", [align.LONGEST_SILENCE - 1, align.LONGEST_SILENCE, align.LONGEST_SILENCE + 1])
def test_a_silence_is_filled_up_to_a_limit(gap_s: int) -> None:
    aligner = Aligner(S)
    aligner.add(updates((0.5, 0, 1.0), (0.5 + gap_s, 0, 2.0)))
    found = rows(aligner.until((gap_s + 1) * S))
    assert len(found) == min(gap_s, align.LONGEST_SILENCE) + 1
    assert list(found)[0] == 1  # noqa: RUF015 - reads as the times do
    assert list(found)[-1] == gap_s + 1
    assert [row[0] for row in found.values()] == [1.0] * (len(found) - 1) + [2.0]


def test_a_reading_stamped_at_the_epoch_costs_no_more_than_the_limit() -> None:
    aligner = Aligner(S)
    aligner.add(updates((631_152_000, 0, 0.0), (1_700_000_000, 0, 1.0), (1_700_000_003, 1, 5.0)))
    found = rows(aligner.until(1_700_020_000 * S))
    times_s = np.array(list(found))
    assert len(times_s) == 2 * align.LONGEST_SILENCE + 4
    assert (np.diff(times_s) > 0).all()
    assert same(found[1_700_000_002], [1, NAN])
    assert found[1_700_000_003] == found[1_700_020_000] == [1, 5]
    assert rows(aligner.until(1_700_020_001 * S)) == {1_700_020_001: [1, 5]}
