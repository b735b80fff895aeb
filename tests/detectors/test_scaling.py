"""Centre and spread that a few bad rows do not move, choice of columns, names, and what is carried from block to block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from collectors.frame import Kind, Layout
from detectors.blocks import Carried
from detectors.ranking import mean_of_highest, shares
from detectors.scaling import learn_scaling, spread_of
from detectors.selection import PerLayout, SelectionOptions, common_place, select_channels
from detectors.smoothing import moving_means
from detectors.wording import amount, lasting, listed, times
from tests.detectors import sample_frames as sample


def test_centre_and_spread_of_normal_readings() -> None:
    readings = 5 + 2 * np.random.default_rng(1).standard_normal((5000, 1))
    scaling = learn_scaling(("a",), readings)
    assert scaling.centre[0] == pytest.approx(5, abs=0.1)
    assert scaling.spread[0] == pytest.approx(2, rel=0.05)


def test_a_few_wild_rows_move_neither_and_missing_ones_do_not_count() -> None:
    clean = np.random.default_rng(1).standard_normal((1000, 1))
    dirty = np.concatenate([clean, np.full((4, 1), 1e9), np.full((500, 1), np.nan)])
    before, after = learn_scaling(("a",), clean), learn_scaling(("a",), dirty)
    assert after.centre[0] == pytest.approx(before.centre[0], abs=0.02)
    assert after.spread[0] == pytest.approx(before.spread[0], rel=0.15)


@pytest.mark.parametrize(("value", "spread"), [(400.0, 4.0), (-2.0, 0.02), (0.0, 1.0)])
def test_a_constant_channel_has_a_spread_that_fits_its_value(value: float, spread: float) -> None:
    assert learn_scaling(("a",), np.full((100, 1), value)).spread[0] == pytest.approx(spread)


def test_bursts_count_although_the_median_does_not_see_them() -> None:
    readings = np.zeros((1000, 1))
    readings[::50] = 10.0
    assert learn_scaling(("a",), readings).spread[0] > 1.5


@given(arrays(np.float64, (30, 2), elements=st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")))))
def test_every_spread_is_finite_and_above_zero(readings: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    scaling = learn_scaling(("a", "b"), readings)
    assert (np.isfinite(scaling.spread) & (scaling.spread > 0) & np.isfinite(scaling.centre)).all()
    assert (spread_of(readings) >= 0).all()


@given(
    arrays(np.float64, (30, 2), elements=st.floats(allow_nan=True, allow_infinity=True)),
    arrays(np.float64, (5, 2), elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_a_reading_in_spreads_is_a_number_however_small_or_large(
    history: np.ndarray[tuple[int, int], np.dtype[np.float64]], later: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> None:
    scaling = learn_scaling(("a", "b"), history)
    z = scaling.standardised(later[:, : len(scaling.keys)], np.arange(len(scaling.keys)))
    assert np.isfinite(z[~np.isnan(later[:, : len(scaling.keys)])]).all()
    assert np.isfinite(np.square(z[~np.isnan(z)])).all()


@pytest.mark.parametrize("usual", [5e-324, 1e-310])
def test_a_channel_that_was_always_denormal_is_read_when_it_moves(usual: float) -> None:
    z = learn_scaling(("a",), np.full((100, 1), usual)).standardised(np.array([[3.0], [usual]]), np.array([0]))
    assert z[0, 0] > 1e6
    assert z[1, 0] == 0


def test_a_moving_mean_forgets_and_ignores_what_is_missing() -> None:
    values = np.array([[1.0], [np.nan], [1.0], [100.0]])
    means = moving_means(values, np.zeros(1), 0.5, np.array([2.0]))
    assert means[:, 0].tolist() == [0.0, 0.5, 0.5, 0.75, 1.75]


def test_the_mean_of_the_highest_takes_what_there_is() -> None:
    values = np.array([[1.0, 5.0, 3.0, np.nan], [np.nan, np.nan, 2.0, np.nan], [np.nan] * 4])
    assert mean_of_highest(values, 2)[:2].tolist() == [4.0, 2.0]
    assert np.isnan(mean_of_highest(values, 2)[2])
    assert mean_of_highest(values, 9)[0] == 3.0
    assert shares(np.array([1.0, 3.0, 2.0]), 2).tolist() == [0.0, 0.6, 0.4]


def test_columns_are_selected_by_patterns_and_named_shortly_where_that_is_enough() -> None:
    layout = Layout(
        "hv",
        (
            sample.gauge("a:IMon", "current", "uA", "X/ch0"),
            sample.gauge("b:IMon", "current", "uA", "X/ch1"),
            sample.gauge("b2:IMon", "current", "uA", "X/ch1"),
            sample.gauge("plain", place="X"),
            sample.gauge("left:IMon", "current", "uA", "X/ch2"),
        ),
    )
    chosen = select_channels(layout, SelectionOptions(include=("*:IMon", "pl?in"), exclude=("left*",)), Kind.GAUGE)
    assert chosen.names == ("current of ch0", "b:IMon", "b2:IMon", "plain")
    some, position = chosen.among([layout.key("plain"), layout.key("a:IMon")])
    assert [channel.name for channel in some.channels] == ["a:IMon", "plain"]
    assert position.tolist() == [1, 0]


def test_the_common_place_is_the_deepest_that_holds_all() -> None:
    assert common_place(["X/HV/ch1", "X/HV/ch2"]) == "X/HV"
    assert common_place(["X/HV", "Y"]) == ""
    assert common_place(["X/HV"]) == "X/HV"


def test_what_is_built_for_a_layout_is_built_once_and_not_kept_for_ever() -> None:
    built: list[str] = []
    layouts = [Layout(f"s{i}", ()) for i in range(12)]
    per_layout = PerLayout(lambda layout: built.append(layout.source))
    for layout in [*layouts, layouts[-1], layouts[0]]:
        per_layout.of(layout)
    assert built == [*(f"s{i}" for i in range(12)), "s0"]


def test_carried_arrays_follow_the_blocks() -> None:
    zero, one, two = ({"a": np.full(1, float(i))} for i in range(3))
    carried = Carried(zero)
    first, second, third = (sample.frame(Layout("s", ()), np.empty((2, 0)), row) for row in (10, 12, 14))
    assert carried.before(first) is zero
    carried.after(first, one)
    carried.after(second, two)
    assert carried.before(third) is two
    assert carried.before(second) is one  # the same block again
    assert carried.before(first) is zero  # a replay
    assert Carried.of(carried.state()).before(third)["a"][0] == 2.0


def test_numbers_in_texts_are_short() -> None:
    assert [amount(12.1, "V"), amount(0.5, "1"), amount(3.14159)] == ["12.1 V", "0.5", "3.142"]
    assert [times(2.53), times(8.2), times(123.4), times(1e6)] == ["2.5", "8.2", "123", "more than 1000"]
    assert [lasting(40), lasting(720), lasting(3.5 * 3600)] == ["40 s", "12 min", "3.5 h"]
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"]), listed(list("abcdefg"))] == [
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 4 more",
    ]
