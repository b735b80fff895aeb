"""The data model: layouts, keys, digests, views into frames, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.frame import Axis, Channel, Column, Frame, Histogram, Kind, Layout, Quality, Storage, concatenate, is_within
from tests.collectors.strategies import axes, frames, layouts

X = Axis("x", "mm", 4, 0.0, 4.0)
Y = Axis.variable("y", "GeV", [0.0, 1.0, 10.0, 100.0])
Z = Axis("z", "", 2, 0.0, 2.0, labels=("A", "B"))
VOLTAGE = Channel("hv1:v", "voltage", "V", place="CMS/HV")
TRIPS = Channel("hv1:trips", "trips", "1", Kind.COUNTER)
POWER = Channel("hv1:power", "power", "", Kind.STATE, states=("OFF", "ON"))
STATUS = Channel("hv1:status", "status", "", Kind.BITS, states=("on", "trip"))
OCCUPANCY = Histogram("occupancy", (X, Y))


def numbered(layout: Layout, rows: int = 3) -> Frame:
    """A frame in which every value is another one."""
    values = np.arange(rows * layout.width, dtype=np.float64).reshape(rows, layout.width)
    return Frame(layout, np.arange(rows, dtype=np.int64), values)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize("flow", [True, False])
@pytest.mark.parametrize("chosen", [(X,), (X, Y), (X, Y, Z)])
def test_histograms_are_views_of_their_columns(storage: Storage, flow: bool, chosen: tuple[Axis, ...]) -> None:
    histogram = Histogram("h", chosen, storage, flow=flow)
    layout = Layout("dqm", (VOLTAGE, histogram, TRIPS))
    frame = numbered(layout)
    stored = tuple(axis.bins + 2 * flow for axis in chosen)
    size = math.prod(stored)
    assert histogram.width == 1 + len(storage.fields) * size
    assert np.array_equal(layout.entries(frame, "h"), frame.values[:, 1])
    assert np.shares_memory(layout.entries(frame, "h"), frame.values)
    for i, field in enumerate(storage.fields):
        everything = layout.view(frame, "h", field, flow=True)
        inside = layout.view(frame, "h", field)
        first = 2 + i * size
        assert np.array_equal(everything, frame.values[:, first : first + size].reshape(3, *stored))
        assert inside.shape == (3, *(axis.bins for axis in chosen))
        assert np.array_equal(inside, everything[(slice(None), *(slice(1, -1) for _ in chosen))] if flow else everything)
        assert np.shares_memory(everything, frame.values)
        assert np.shares_memory(inside, frame.values)
    assert np.array_equal(layout.view(frame, "h"), layout.view(frame, "h", storage.fields[0]))
    assert layout.position("hv1:trips") == 1 + histogram.width


def test_views_of_a_part_of_the_rows_and_of_other_memory_orders_are_views() -> None:
    layout = Layout("dqm", (VOLTAGE, OCCUPANCY))
    frame = numbered(layout, 6)
    for some in (
        frame.rows(slice(1, 5, 2)),
        Frame(layout, frame.time_ns, np.asfortranarray(frame.values)),
        Frame(layout, frame.time_ns, frame.values[::-1]),
    ):
        view = layout.view(some, "occupancy")
        assert np.shares_memory(view, some.values)
        assert np.array_equal(view, some.values[:, 2:].reshape(len(some), 6, 5)[:, 1:-1, 1:-1])


def test_writing_through_a_view_changes_the_frame() -> None:
    layout = Layout("dqm", (OCCUPANCY,))
    frame = numbered(layout)
    layout.view(frame, "occupancy", flow=True)[1, 2, 3] = -7.0
    assert frame.values[1, 1 + 2 * 5 + 3] == -7.0


KEPT: list[Column] = [VOLTAGE, TRIPS, POWER, STATUS, OCCUPANCY]


def test_one_added_channel_changes_no_other_key() -> None:
    before = Layout("hv", tuple(KEPT))
    for position in range(len(KEPT) + 1):
        after = Layout("hv", (*KEPT[:position], Channel("new", "voltage", "V"), *KEPT[position:]), part="3")
        assert [after.key(column.name) for column in KEPT] == list(before.keys)
        assert after.digest != before.digest


@pytest.mark.parametrize(
    ("column", "other", "same_key"),
    [
        (VOLTAGE, replace(VOLTAGE, place="elsewhere"), True),
        (POWER, replace(POWER, states=("OFF", "ON", "RAMPING")), True),
        (VOLTAGE, replace(VOLTAGE, name="hv2:v"), False),
        (VOLTAGE, replace(VOLTAGE, quantity="current"), False),
        (VOLTAGE, replace(VOLTAGE, unit="mV"), False),
        (TRIPS, replace(TRIPS, kind=Kind.GAUGE), False),
        (OCCUPANCY, replace(OCCUPANCY, place="elsewhere"), True),
        (OCCUPANCY, replace(OCCUPANCY, flow=False), True),
        (OCCUPANCY, replace(OCCUPANCY, path="other"), False),
        (OCCUPANCY, replace(OCCUPANCY, storage=Storage.PROFILE), False),
        (OCCUPANCY, replace(OCCUPANCY, axes=(X, Axis.variable("y", "GeV", [0.0, 2.0, 10.0, 100.0]))), False),
        (OCCUPANCY, replace(OCCUPANCY, axes=(replace(X, bins=5), Y)), False),
        (OCCUPANCY, replace(OCCUPANCY, axes=(replace(X, high=5.0), Y)), False),
        (OCCUPANCY, replace(OCCUPANCY, axes=(replace(X, unit="cm"), Y)), False),
        (OCCUPANCY, replace(OCCUPANCY, axes=(replace(X, labels=tuple("abcd")), Y)), False),
        (OCCUPANCY, replace(OCCUPANCY, axes=(Y, X)), False),
    ],
)
def test_key_and_digest_when_one_thing_differs(column: Column, other: Column, same_key: bool) -> None:
    one, two = Layout("hv", (column,)), Layout("hv", (other,))
    assert (one.keys == two.keys) is same_key
    assert one.digest != two.digest


def test_key_and_digest_belong_to_the_source_and_the_digest_to_the_part() -> None:
    layout = Layout("hv", (VOLTAGE,))
    assert Layout("hv2", (VOLTAGE,)).keys != layout.keys
    assert Layout("hv", (VOLTAGE,), "1").keys == layout.keys
    assert len({layout.digest, Layout("hv2", (VOLTAGE,)).digest, Layout("hv", (VOLTAGE,), "1").digest}) == 3
    assert Layout("hv", (VOLTAGE, TRIPS)).digest != Layout("hv", (TRIPS, VOLTAGE)).digest
    assert (Layout("hv", ()).stream, Layout("hv", (), "1").stream) == ("hv", "hv#1")


def test_keys_do_not_run_into_one_another() -> None:
    """A separator between the fields is no part of them."""
    columns = [Channel("a", "b", "c"), Channel("a", "bc", ""), Channel("ab", "", "c"), Channel('a","b', "", "c")]
    assert len({Layout("s", (column,)).keys[0] for column in columns} | {Layout("sa", (Channel("", "b", "c"),)).keys[0]}) == 5


def test_keys_and_digests_are_the_same_in_every_version() -> None:
    """Models and state on disk belong to them: a change here loses all that was learned."""
    layout = Layout("hv", (VOLTAGE, POWER, OCCUPANCY), "1")
    assert layout.keys == ("010d5769282dd10f", "bd905ecc16a29cfa", "e4ca9781030fa743")
    assert layout.digest == "ab473c51eb2925ff"


def test_whole_numbers_as_axis_limits_are_the_same_axis() -> None:
    written = [
        Layout("s", (Histogram("h", (axis,)),))
        for axis in (Axis("x", "", 10, 0, 100), Axis("x", "", 10, 0.0, 100.0), Axis("x", "", np.int64(10), np.float32(0), 100))  # type: ignore[arg-type]
    ]
    assert len({layout.digest for layout in written}) == 1
    assert len({layout.keys for layout in written}) == 1


@settings(deadline=None)
@given(layouts())
def test_equal_layouts_have_equal_keys_and_others_other_digests(layout: Layout) -> None:
    again = Layout(layout.source, tuple(replace(column) for column in layout.columns), layout.part)
    assert (again.digest, again.keys) == (layout.digest, layout.keys)
    moved = Layout(layout.source, tuple(replace(column, place=column.place + "/x") for column in layout.columns), layout.part)
    assert moved.keys == layout.keys
    assert not layout.columns or moved.digest != layout.digest
    assert len(set(layout.keys)) == len(layout.keys)


def test_columns_are_found_by_name_position_and_kind() -> None:
    layout = Layout("hv", (TRIPS, OCCUPANCY, VOLTAGE, POWER, STATUS))
    width = OCCUPANCY.width
    assert width == 1 + 6 * 5
    assert list(layout.starts) == [0, 1, 1 + width, 2 + width, 3 + width, 4 + width]
    assert layout.width == 4 + width
    assert [layout.owner(column) for column in (0, 1, width, 1 + width, 3 + width)] == [TRIPS, OCCUPANCY, OCCUPANCY, VOLTAGE, STATUS]
    assert list(layout.of_kind(Kind.GAUGE)) == [1 + width]
    assert list(layout.of_kind(Kind.BITS, Kind.COUNTER)) == [0, 3 + width]
    assert len(Layout("hv", (OCCUPANCY,)).of_kind(Kind.GAUGE)) == 0
    assert layout.channels == (TRIPS, VOLTAGE, POWER, STATUS)
    assert layout.histograms == (OCCUPANCY,)
    assert layout.column("occupancy") is OCCUPANCY
    assert "hv1:v" in layout
    assert "hv1:i" not in layout
    for find in (layout.column, layout.key, layout.position):
        with pytest.raises(KeyError):
            find("hv1:i")


@settings(deadline=None)
@given(layouts(min_size=1))
def test_every_frame_column_has_the_owner_whose_slice_it_lies_in(layout: Layout) -> None:
    owners = [layout.owner(column) for column in range(layout.width)]
    assert owners == [column for column in layout.columns for _ in range(column.width)]


def test_select_keeps_source_and_keys() -> None:
    layout = Layout("hv", (VOLTAGE, OCCUPANCY, TRIPS))
    chosen = layout.select([TRIPS, VOLTAGE], "2")
    assert (chosen.source, chosen.part) == ("hv", "2")
    assert chosen.keys == (layout.key("hv1:trips"), layout.key("hv1:v"))


@settings(deadline=None)
@given(axes(), st.data())
def test_a_section_of_an_axis_has_its_edges_and_labels(axis: Axis, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, axis.bins - 1))
    stop = data.draw(st.integers(start + 1, axis.bins))
    section = axis.section(start, stop)
    edges = axis.edges_array
    assert len(edges) == axis.bins + 1
    assert (edges[0], edges[-1]) == (axis.low, axis.high)
    assert section.bins == stop - start
    assert np.allclose(section.edges_array, edges[start : stop + 1], rtol=1e-12, atol=0) or np.allclose(
        section.edges_array, edges[start : stop + 1], rtol=0, atol=1e-12 * (axis.high - axis.low)
    )
    assert section.labels == axis.labels[start:stop]


def test_readings_are_missing_where_they_are_not_good() -> None:
    layout = Layout("hv", (VOLTAGE, TRIPS, POWER))
    values = np.arange(9, dtype=np.float32).reshape(3, 3)
    quality = np.zeros((3, 3), dtype=np.uint8)
    quality[1, 0], quality[2, 2] = Quality.STALE, Quality.MUTED
    frame = Frame(layout, np.arange(3, dtype=np.int64), values, quality)
    readings = frame.readings(np.array([2, 0]))
    assert readings.dtype == np.float64
    assert np.array_equal(readings, np.array([[2, 0], [5, np.nan], [np.nan, 6]]), equal_nan=True)
    readings[:] = -1
    assert frame.values[0, 2] == 2
    assert np.array_equal(Frame(layout, frame.time_ns, values).readings(slice(0, 2)), values[:, :2])


def test_rows_of_a_frame() -> None:
    layout = Layout("hv", (VOLTAGE,))
    frame = Frame(layout, np.arange(4, dtype=np.int64), np.arange(4.0)[:, None], np.arange(4, dtype=np.uint8)[:, None])
    part = frame.rows(slice(1, 3))
    assert np.shares_memory(part.values, frame.values)
    for which in (np.array([False, True, True, False]), np.array([1, 2])):
        assert np.array_equal(frame.rows(which).values, part.values)
        assert frame.rows(which).quality is not None
        assert np.array_equal(frame.rows(which).time_ns, [1, 2])
    assert len(frame.rows(slice(4, 9))) == 0


@settings(deadline=None)
@given(st.data())
def test_concatenated_rows_are_the_frame_again(data: st.DataObject) -> None:
    frame = data.draw(frames(data.draw(layouts())))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frame)), max_size=3)))
    pieces = [frame.rows(slice(start, stop)) for start, stop in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
    joined = concatenate(pieces)
    assert np.array_equal(joined.time_ns, frame.time_ns)
    assert joined.values.dtype == frame.values.dtype
    assert np.array_equal(joined.values, frame.values, equal_nan=True)
    if frame.quality is None or joined.quality is None:
        assert joined.quality is frame.quality
    else:
        assert np.array_equal(joined.quality, frame.quality)


def test_concatenation_marks_rows_without_quality_as_good() -> None:
    layout = Layout("hv", (VOLTAGE,))
    good = Frame(layout, np.arange(2), np.ones((2, 1), np.float32))
    bad = Frame(layout, np.arange(2), np.ones((2, 1)), np.full((2, 1), Quality.INVALID, np.uint8))
    joined = concatenate([good, bad, good])
    assert joined.quality is not None
    assert joined.quality[:, 0].tolist() == [0, 0, 2, 2, 0, 0]
    assert joined.values.dtype == np.float64


def test_places_form_a_tree() -> None:
    assert is_within("CMS/ECAL/EB+", "CMS/ECAL")
    assert is_within("CMS/ECAL", "CMS/ECAL")
    assert is_within("CMS/ECAL", "")
    assert not is_within("CMS/ECALX", "CMS/ECAL")
    assert not is_within("CMS", "CMS/ECAL")
