"""Totals since the start become what happened in each interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from collectors import difference
from collectors.difference import Differencer
from collectors.frame import Axis, Channel, Frame, Histogram, Kind, Layout, Quality, Storage
from tests.collectors.rows import NAN, S, frame, same

AXIS = Axis("x", "", 2, 0.0, 2.0)
COUNTS = Histogram("h", (AXIS,), flow=False)
RUN = Channel("run", "run", "", Kind.STATE)
LAYOUT = Layout("dqm", (COUNTS,))
WITH_RUN = Layout("dqm", (RUN, COUNTS))


def intervals(layout: Layout, rows: Any) -> list[list[float]]:
    """What a new differencer makes of the rows."""
    result: list[list[float]] = Differencer(histograms=True).difference(frame(layout, rows)).values.tolist()
    return result


def random_totals(histogram: Histogram, rows: int, seed: int = 1) -> NDArray[np.float64]:
    """Totals of a histogram that is filled and never reset, from fills of random weights; shape (rows, width)."""
    rng = np.random.default_rng(seed)
    size = histogram.shape[0]
    total = np.zeros(histogram.width)
    result = []
    for _ in range(rows):
        for _ in range(rng.integers(0, 20)):
            bin_, w, y = rng.integers(0, size), rng.normal(1, 2), rng.normal()
            sums = {"count": 1, "sum_w": w, "sum_w2": w * w, "sum_wy": w * y, "sum_wy2": w * y * y}
            total[0] += 1
            for i, field in enumerate(histogram.storage.fields):
                total[1 + i * size + bin_] += sums[field]
        result.append(total.copy())
    return np.array(result)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("flow", [True, False])
def test_intervals_are_what_was_filled_between_snapshots(storage: Storage, flow: bool) -> None:
    histogram = Histogram("h", (AXIS,), storage, flow=flow)
    totals = random_totals(histogram, 12)
    values = Differencer(histograms=True).difference(frame(Layout("dqm", (histogram,)), totals.tolist())).values
    assert np.isnan(values[0]).all()
    assert np.allclose(values[1:], np.diff(totals, axis=0), rtol=0, atol=1e-12)
    assert np.allclose(totals[0] + values[1:].sum(axis=0), totals[-1], rtol=0, atol=1e-9)


def test_negative_weights_and_means_are_no_reset() -> None:
    weighted = Histogram("h", (Axis("x", "", 1, 0, 1),), Storage.PROFILE, flow=False)
    rows = [[1, 5, 25, 10, 20], [2, 3, 29, -6, 84]]  # one fill of weight -2 at y = 8
    assert intervals(Layout("dqm", (weighted,)), rows)[1] == [1, -2, 4, -16, 64]


@pytest.mark.parametrize("storage", Storage)
def test_fewer_entries_are_a_reset(storage: Storage) -> None:
    histogram = Histogram("h", (Axis("x", "", 1, 0, 1),), storage, flow=False)
    sums = len(storage.fields)
    rows = [[9] * (1 + sums), [10] * (1 + sums), [3] * (1 + sums), [4] * (1 + sums)]
    assert intervals(Layout("dqm", (histogram,)), rows)[1:] == [[1] * (1 + sums), [3] * (1 + sums), [1] * (1 + sums)]


def test_a_bin_that_shrinks_while_entries_grow_is_a_reset() -> None:
    assert intervals(LAYOUT, [[10, 9, 1], [11, 3, 8], [12, 3, 9]])[1:] == [[11, 3, 8], [1, 0, 1]]


def test_squared_weights_that_shrink_while_entries_grow_are_a_reset() -> None:
    weighted = Layout("dqm", (Histogram("h", (AXIS,), Storage.WEIGHTED, flow=False),))
    assert intervals(weighted, [[4, 1, 3, 1, 3], [5, 2, 3, 0.5, 4.5]])[1] == [5, 2, 3, 0.5, 4.5]


def test_rounding_of_squared_weights_is_no_reset() -> None:
    weighted = Layout("dqm", (Histogram("h", (AXIS,), Storage.WEIGHTED, flow=False),))
    rounded = 1e6 * (1 - 1e-12)
    step = intervals(weighted, [[4, 1, 3, 1e6, 3], [5, 1, 4, rounded, 4]])[1]
    assert step == pytest.approx([1, 0, 1, rounded - 1e6, 1])


def test_nothing_new_is_an_empty_interval() -> None:
    assert intervals(LAYOUT, [[5, 2, 3], [5, 2, 3]])[1] == [0, 0, 0]


def test_an_empty_histogram_after_a_reset() -> None:
    assert intervals(LAYOUT, [[5, 2, 3], [0, 0, 0], [1, 1, 0]])[1:] == [[0, 0, 0], [1, 1, 0]]


def test_another_run_is_a_reset_although_it_holds_more() -> None:
    rows = [[1, 5, 2, 3], [1, 6, 3, 3], [2, 9, 4, 5], [2, 10, 4, 6]]
    assert [row[1:] for row in intervals(WITH_RUN, rows)[1:]] == [[1, 1, 0], [9, 4, 5], [1, 0, 1]]


def test_the_run_itself_stays_as_it_is() -> None:
    assert [row[0] for row in intervals(WITH_RUN, [[7, 1, 1, 0], [8, 2, 1, 1]])] == [7, 8]


def test_another_name_for_the_run() -> None:
    layout = Layout("dqm", (Channel("fill", "fill", ""), COUNTS))
    values = Differencer(histograms=True, run="fill").difference(frame(layout, [[1, 5, 2, 3], [2, 9, 4, 5]])).values
    assert values[1].tolist() == [2, 9, 4, 5]


def test_a_run_change_in_an_incomplete_row_counts() -> None:
    rows = [[1, 5, 2, 3], [2, NAN, NAN, NAN], [2, 9, 4, 5]]
    values = intervals(WITH_RUN, rows)
    assert np.isnan(values[1][1:]).all()
    assert values[2][1:] == [9, 4, 5]


def test_a_run_change_over_rows_without_a_run_counts() -> None:
    rows = [[1, 5, 2, 3], [NAN, 6, 3, 3], [2, 9, 4, 5], [NAN, 10, 5, 5]]
    assert [row[1:] for row in intervals(WITH_RUN, rows)[1:]] == [[1, 1, 0], [9, 4, 5], [1, 1, 0]]


def test_a_run_that_was_missing_and_comes_back_is_no_reset() -> None:
    rows = [[1, 5, 2, 3], [NAN, 6, 3, 3], [1, 7, 4, 3]]
    assert [row[1:] for row in intervals(WITH_RUN, rows)[1:]] == [[1, 1, 0], [1, 1, 0]]


def test_a_run_that_is_not_good_is_not_believed() -> None:
    bad = frame(WITH_RUN, [[1, 5, 2, 3], [0, 6, 3, 3], [1, 7, 4, 3]])
    quality = np.zeros(bad.values.shape, dtype=np.uint8)
    quality[1, 0] = Quality.INVALID
    values = Differencer(histograms=True).difference(Frame(WITH_RUN, bad.time_ns, bad.values, quality)).values
    assert values[1:, 1:].tolist() == [[1, 1, 0], [1, 1, 0]]


def test_two_run_changes_while_the_histogram_was_missing() -> None:
    rows = [[1, 5, 2, 3], [2, NAN, NAN, NAN], [1, 9, 4, 5]]
    assert intervals(WITH_RUN, rows)[2][1:] == [9, 4, 5]


def test_the_first_run_is_no_reset_and_the_first_snapshot_no_interval() -> None:
    assert np.isnan(intervals(WITH_RUN, [[NAN, 5, 2, 3]])[0][1:]).all()
    assert intervals(WITH_RUN, [[NAN, 5, 2, 3], [1, 6, 3, 3]])[1][1:] == [1, 1, 0]


@pytest.mark.parametrize("gap", [[NAN, NAN, NAN], [6, NAN, 3], [NAN, 3, 3], [6, np.inf, 3]])
def test_the_interval_after_a_gap_spans_it(gap: list[float]) -> None:
    values = intervals(LAYOUT, [[5, 2, 3], gap, [8, 4, 4]])
    assert np.isnan(values[1]).all()
    assert values[2] == [3, 2, 1]


def test_what_is_not_good_is_a_gap() -> None:
    damaged = frame(LAYOUT, [[5, 2, 3], [0, 0, 0], [8, 4, 4]])
    quality = np.zeros(damaged.values.shape, dtype=np.uint8)
    quality[1] = Quality.INVALID
    result = Differencer(histograms=True).difference(Frame(LAYOUT, damaged.time_ns, damaged.values, quality))
    assert np.isnan(result.values[1]).all()
    assert result.values[2].tolist() == [3, 2, 1]
    assert same(result.quality, quality)


def test_each_histogram_is_reset_alone() -> None:
    layout = Layout("dqm", (COUNTS, Histogram("other", (AXIS,), flow=False)))
    values = intervals(layout, [[5, 2, 3, 50, 20, 30], [1, 1, 0, 51, 21, 30]])
    assert values[1] == [1, 1, 0, 1, 1, 0]


def test_histograms_of_intervals_are_left_alone() -> None:
    given_frame = frame(LAYOUT, [[5, 2, 3], [6, 3, 3]])
    assert Differencer(histograms=False).difference(given_frame) is given_frame


def test_the_frame_given_is_not_changed() -> None:
    layout = Layout("dqm", (COUNTS, Channel("n", "n", "1", Kind.COUNTER)))
    given_frame = frame(layout, [[5, 2, 3, 1], [6, 3, 3, 2]])
    Differencer(histograms=True).difference(given_frame)
    assert given_frame.values.tolist() == [[5, 2, 3, 1], [6, 3, 3, 2]]


def test_a_layout_change_keeps_what_is_known_of_the_columns_that_stay() -> None:
    count, added = Channel("n", "n", "1", Kind.COUNTER), Channel("m", "m", "1", Kind.COUNTER)
    differencer = Differencer(histograms=True)
    differencer.difference(frame(Layout("dqm", (COUNTS, count)), [[5, 2, 3, 10]]))
    wider = Layout("dqm", (added, count, Histogram("new", (AXIS,), flow=False), COUNTS))
    result = differencer.difference(frame(wider, [[7, 12, 1, 1, 0, 6, 3, 3]], first_s=1))
    assert same(result.values, [[NAN, 2, NAN, NAN, NAN, 1, 1, 0]])
    back = differencer.difference(frame(Layout("dqm", (COUNTS,)), [[7, 3, 4]], first_s=2))
    assert back.values.tolist() == [[1, 0, 1]]
    again = differencer.difference(frame(wider, [[9, 16, 3, 1, 2, 7, 3, 4]], first_s=3))
    assert again.values.tolist() == [[1, 2, 2, 0, 2, 0, 0, 0]]


def test_a_histogram_that_gets_flow_bins_begins_anew() -> None:
    """Its key does not change, because the bins do not."""
    differencer = Differencer(histograms=True)
    differencer.difference(frame(LAYOUT, [[5, 2, 3]]))
    wider = Layout("dqm", (Histogram("h", (AXIS,)),))
    assert wider.keys == LAYOUT.keys
    result = differencer.difference(frame(wider, [[6, 0, 2, 3, 1], [7, 0, 2, 4, 1]]))
    assert same(result.values, [[NAN] * 5, [1, 0, 0, 1, 0]])


def test_a_histogram_that_was_away_during_a_run_change_holds_the_new_run() -> None:
    differencer = Differencer(histograms=True)
    other = Layout("dqm", (RUN, Histogram("other", (AXIS,), flow=False)))
    differencer.difference(frame(WITH_RUN, [[1, 5, 2, 3]]))
    differencer.difference(frame(other, [[2, 1, 1, 0]]))
    assert differencer.difference(frame(WITH_RUN, [[2, 9, 4, 5]])).values.tolist() == [[2, 9, 4, 5]]


EVERYTHING = Layout(
    "dqm", (RUN, COUNTS, Channel("n", "n", "1", Kind.COUNTER), Histogram("w", (Axis("x", "", 1, 0, 1),), Storage.WEIGHTED, flow=False))
)
SMALL = st.integers(0, 5).map(float) | st.just(NAN)


@settings(deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 12), st.just(EVERYTHING.width)), elements=SMALL), st.data())
def test_the_same_rows_in_other_blocks_give_the_same_intervals(values: NDArray[np.float64], data: st.DataObject) -> None:
    quality = data.draw(arrays.arrays(np.uint8, values.shape, elements=st.sampled_from([0, 0, 0, 2])))
    time_ns = np.cumsum(data.draw(arrays.arrays(np.int64, len(values), elements=st.integers(0, 3)))) * S
    whole = Frame(EVERYTHING, time_ns, values, quality)
    expected = Differencer(histograms=True).difference(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=6)))
    differencer = Differencer(histograms=True)
    blocks = [
        differencer.difference(whole.rows(slice(start, stop))).values
        for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True)
        if stop > start
    ]
    assert same(np.concatenate(blocks), expected.values)


@settings(deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.integers(2, 15), st.just(3)), elements=st.integers(0, 9).map(float)), st.data())
def test_intervals_sum_up_to_what_was_counted(steps: NDArray[np.float64], data: st.DataObject) -> None:
    """Over gaps and resets nothing is lost or counted twice, but for what was counted between the last snapshot and a reset."""
    steps[:, 0] = steps[:, 1:].sum(axis=1)
    run = np.cumsum(data.draw(arrays.arrays(np.int64, len(steps), elements=st.sampled_from([0, 0, 0, 1]))))
    totals = np.array([steps[: i + 1][run[: i + 1] == run[i]].sum(axis=0) for i in range(len(steps))])
    shown = totals.copy()
    gaps = data.draw(arrays.arrays(np.bool_, len(steps), elements=st.sampled_from([False, False, True])))
    shown[gaps] = NAN
    values = Differencer(histograms=True).difference(frame(WITH_RUN, np.column_stack([run + 1, shown]).tolist())).values[:, 1:]
    for number in range(run[-1] + 1):
        seen = np.flatnonzero((run == number) & ~gaps)
        if len(seen):
            first = np.isnan(values[seen[0]]).all()  # only the first snapshot of all
            assert first == (seen[0] == np.flatnonzero(~gaps)[0])
            before = totals[seen[0]] if first else 0
            assert same(np.nansum(values[seen], axis=0), totals[seen[-1]] - before)


def test_empty_frames() -> None:
    differencer = Differencer(histograms=True)
    empty = frame(WITH_RUN, [])
    assert len(differencer.difference(empty)) == 0
    differencer.difference(frame(WITH_RUN, [[1, 5, 2, 3]]))
    differencer.difference(empty)
    assert differencer.difference(frame(WITH_RUN, [[1, 6, 2, 4]])).values.tolist() == [[1, 1, 0, 1]]


def test_what_comes_and_goes_for_ever_is_forgotten_and_what_stays_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference, "_KEPT_ANYHOW", 20)
    day_ns, differencer, rates = 86_400_000_000_000, Differencer(histograms=True), list[float]()
    for day in range(200):
        job = Histogram(f"job {day}", (Axis("x", "", 1, 0, 1),), flow=False)
        layout = Layout("dqm", (Channel("n", "n", "", Kind.COUNTER), Channel(f"job {day} bytes", "n", "B", Kind.COUNTER), job))
        rows = Frame(layout, np.array([day * day_ns], np.int64), np.array([[864.0 * day, 1.0, 2.0, 2.0]]))
        rates.append(float(differencer.difference(rows).values[0, 0]))
    assert rates[1:] == [0.01] * 199
    assert max(len(differencer._totals), len(differencer._contents)) < 100
