"""Layouts, axes, frames and updates that contradict themselves."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Frame, Histogram, Kind, Layout, LayoutError, Updates, concatenate

X = Axis("x", "mm", 4, 0.0, 4.0)
Y = Axis.variable("y", "GeV", [0.0, 1.0, 10.0, 100.0])
VOLTAGE = Channel("hv1:v", "voltage", "V", place="CMS/HV")
TRIPS = Channel("hv1:trips", "trips", "1", Kind.COUNTER)
OCCUPANCY = Histogram("occupancy", (X, Y))


def numbered(layout: Layout, rows: int = 3) -> Frame:
    """A frame in which every value is another one."""
    values = np.arange(rows * layout.width, dtype=np.float64).reshape(rows, layout.width)
    return Frame(layout, np.arange(rows, dtype=np.int64), values)


def test_layout_errors_name_the_source_and_what_is_wrong() -> None:
    with pytest.raises(LayoutError, match=r"^source 'hv': names used twice: hv1:v$"):
        Layout("hv", (VOLTAGE, TRIPS, replace(VOLTAGE, unit="mV")))
    layout = Layout("hv", (VOLTAGE, OCCUPANCY))
    frame = numbered(layout)
    for look in (layout.entries, layout.view):
        with pytest.raises(LayoutError, match=r"^'hv1:v' of source 'hv' is a channel, not a histogram$"):
            look(frame, "hv1:v")
    with pytest.raises(LayoutError, match=r"^histogram 'occupancy' of source 'hv' keeps count, not 'sum_w'$"):
        layout.view(frame, "occupancy", "sum_w")
    with pytest.raises(LayoutError, match=r"^source 'hv': frames of different layouts cannot be joined$"):
        concatenate([frame, numbered(Layout("hv", (VOLTAGE,)))])


def test_many_names_used_twice_are_found_at_once() -> None:
    """Counting each name in the whole list would take hours for a layout as large as the wire allows."""
    columns = [Channel(f"c{i}", "q", "V") for i in range(100_000)]
    with pytest.raises(LayoutError, match=r"names used twice: c0, c1, c10, c100, c1000$"):
        Layout("s", (*columns, *columns))


TIME = np.zeros(2, dtype=np.int64)


@pytest.mark.parametrize(
    ("time_ns", "values", "quality", "message"),
    [
        (TIME.astype(np.int32), np.zeros((2, 1)), None, "time_ns must be int64 of one dimension"),
        (TIME[:, None], np.zeros((2, 1)), None, "time_ns must be int64 of one dimension"),
        (np.array(0, dtype=np.int64), np.zeros((2, 1)), None, "time_ns must be int64 of one dimension"),
        (TIME, np.zeros((2, 2)), None, r"values float64 \(2, 2\), expected float32 or float64 \(2, 1\)"),
        (TIME, np.zeros(2), None, r"values float64 \(2,\), expected float32 or float64 \(2, 1\)"),
        (TIME, np.zeros((3, 1)), None, r"values float64 \(3, 1\), expected float32 or float64 \(2, 1\)"),
        (TIME, np.zeros((2, 1), np.int64), None, r"values int64 \(2, 1\), expected float32 or float64 \(2, 1\)"),
        (TIME, np.zeros((2, 1), ">f8"), None, r"values >f8 \(2, 1\), expected float32 or float64 \(2, 1\)"),
        (TIME, np.zeros((2, 1)), np.zeros((2, 2), np.uint8), r"quality uint8 \(2, 2\), expected uint8 \(2, 1\)"),
        (TIME, np.zeros((2, 1)), np.zeros((2, 1), np.int8), r"quality int8 \(2, 1\), expected uint8 \(2, 1\)"),
    ],
)
def test_frames_that_contradict_their_layout_are_refused(time_ns: Any, values: Any, quality: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=f"^source 'hv': {message}$"):
        Frame(Layout("hv", (VOLTAGE,)), time_ns, values, quality)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"column": np.array([0, 1], np.int32)}, "an update names a column that the layout does not have"),
        ({"column": np.array([0, -1], np.int32)}, "an update names a column that the layout does not have"),
        ({"value": np.zeros(3)}, "arrays of updates differ in length"),
        ({"quality": np.zeros((2, 1), np.uint8)}, "arrays of updates differ in length"),
        ({"column": np.zeros(2, np.int64)}, "updates of int64, int64, float64, uint8, not int64, int32, float64, uint8"),
        ({"value": np.zeros(2, np.float32)}, "updates of int64, int32, float32, uint8, not int64, int32, float64, uint8"),
    ],
)
def test_updates_that_contradict_their_layout_are_refused(changes: dict[str, NDArray[Any]], message: str) -> None:
    good: dict[str, Any] = {"time_ns": TIME, "column": np.zeros(2, np.int32), "value": np.zeros(2), "quality": np.zeros(2, np.uint8)}
    assert len(Updates(Layout("hv", (VOLTAGE,)), **good)) == 2
    with pytest.raises(LayoutError, match=f"^source 'hv': {message}$"):
        Updates(Layout("hv", (VOLTAGE,)), **{**good, **changes})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.0, 1.0), "0 bins from 0.0 to 1.0"),
        ((3, 1.0, 1.0), "3 bins from 1.0 to 1.0"),
        ((3, 2.0, 1.0), "3 bins from 2.0 to 1.0"),
        ((3, math.nan, 1.0), "3 bins from nan to 1.0"),
        ((3, 0.0, math.inf), "3 bins from 0.0 to inf"),
        ((3, -1.7e308, 1.7e308), "3 bins from -1.7e.308 to 1.7e.308"),
        ((2, 0.0, 2.0, (0.0, 2.0)), "2 bins need 3 rising edges"),
        ((2, 0.0, 2.0, (0.0, 2.0, 2.0)), "2 bins need 3 rising edges"),
        ((2, 0.0, 2.0, (0.0, math.nan, 2.0)), "2 bins need 3 rising edges"),
        ((2, 0.0, 2.0, (5.0, 6.0, 7.0)), "edges from 5.0 to 7.0, not from 0.0 to 2.0"),
        ((2, 0.0, 2.0, (), ("only one",)), "1 labels for 2 bins"),
    ],
)
def test_axes_that_cannot_be_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^axis 'x': {message}$"):
        Axis("x", "", *arguments)
