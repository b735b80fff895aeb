"""Sources with too many columns for one block become parts, and large maps become tiles."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Column, Frame, Histogram, Layout, Quality, Storage
from collectors.split import MAX_COLUMNS, MAX_LAYOUT_TEXT_BYTES, Splitter
from collectors.wire import MAX_BLOCK_BYTES, Block, Identity, encode, encode_layout, pieces
from tests.collectors.rows import same
from tests.collectors.strategies import CHANNELS, frames, layouts

TILE = re.compile(r"(.+)\[([\d:,]+)\]", re.DOTALL)


def random_frame(layout: Layout, rows: int = 3, *, quality: bool = False) -> Frame:
    rng = np.random.default_rng(5)
    values = rng.poisson(5, (rows, layout.width)).astype(np.float64)
    marks = rng.integers(0, 6, values.shape, dtype=np.uint8) if quality else None
    return Frame(layout, np.arange(rows, dtype=np.int64), values, marks)


def bins_of(tile: Histogram) -> tuple[slice, ...]:
    """Where the tile lies in the whole map, as its name says."""
    match = TILE.fullmatch(tile.path)
    assert match is not None
    return tuple(slice(*(int(bound) for bound in run.split(":"))) for run in match[2].split(","))


def reassembled(parts: Sequence[Frame], histogram: Histogram, field: str) -> NDArray[np.float64]:
    """The map without its flow bins, put together from the tiles; each bin must come exactly once."""
    whole = np.full((len(parts[0]), *(axis.bins for axis in histogram.axes)), np.nan)
    times = np.zeros(whole.shape[1:], dtype=int)
    for part in parts:
        for tile in part.layout.histograms:
            if tile.path.startswith(histogram.path + "["):
                whole[(slice(None), *bins_of(tile))] = part.layout.view(part, tile.path, field)
                times[bins_of(tile)] += 1
    assert (times == 1).all()
    return whole


def test_what_fits_is_left_alone() -> None:
    frame = random_frame(Layout("hv", tuple(Channel(f"c{i}", "q", "V") for i in range(20))))
    assert Splitter(20).split(frame) == [frame]
    assert len(Splitter(19).split(frame)) == 2


def test_a_row_of_as_many_columns_as_allowed_fits_a_block() -> None:
    layout = Layout("a source with a long name " * 4, tuple(Channel(f"c{i}", "q", "V") for i in range(MAX_COLUMNS)), "12.34")
    frame = Frame(layout, np.zeros(1, np.int64), np.ones((1, MAX_COLUMNS)), np.ones((1, MAX_COLUMNS), np.uint8))
    (part,) = Splitter(max_layout_bytes=10_000_000).split(frame)
    (piece,) = pieces(part)
    assert len(encode(Block(Identity(layout.stream, 2**62, 2**62), piece, 2**62, "", 2**62))) < MAX_BLOCK_BYTES


def test_layouts_of_parts_fit_a_record_of_the_bus() -> None:
    """Names and places make the layout of 20,000 channels larger than any of its rows."""
    columns = [
        Channel(f"hv/crate{i // 100:03}/ch{i % 100:02}/Vmon", "voltage", "V", place=f"CMS/TRK/crate{i // 100:03}") for i in range(20_000)
    ]
    frame = random_frame(Layout("hv", tuple(columns)), 1)
    assert len(encode_layout(frame.layout)) > 1_000_000
    parts = Splitter().split(frame)
    assert len(parts) == 2
    assert all(len(encode_layout(part.layout)) <= MAX_LAYOUT_TEXT_BYTES for part in parts)
    assert same(np.concatenate([part.values for part in parts], axis=1), frame.values)
    assert Splitter().split(random_frame(parts[0].layout))[0].layout is parts[0].layout


@settings(deadline=None)
@given(layouts(CHANNELS, min_size=2), st.integers(150, 400))
def test_layouts_of_parts_keep_to_any_limit(layout: Layout, most: int) -> None:
    parts = Splitter(max_layout_bytes=most).split(random_frame(layout))
    for part in parts:
        assert len(encode_layout(part.layout)) <= most or len(part.layout.columns) == 1
    assert sorted(key for part in parts for key in part.layout.keys) == sorted(layout.keys)


def test_a_large_map_beside_many_channels_goes_out_in_blocks() -> None:
    histogram = Histogram("map", (Axis("eta", "", 340, -17, 17), Axis("phi", "", 360, 0, 360)), place="CMS/ECAL")
    layout = Layout("dqm", (*(Channel(f"c{i}", "q", "V", place=f"CMS/HV/{i % 7}") for i in range(60_000)), histogram))
    frame = random_frame(layout, 1, quality=True)
    parts = Splitter().split(frame)
    for part in parts:
        for piece in pieces(part):
            assert len(encode(Block(Identity(part.layout.stream, 1, 0), piece, 0))) < MAX_BLOCK_BYTES
    assert same(reassembled(parts, histogram, "count"), layout.view(frame, "map"))


@settings(deadline=None)
@given(st.data())
def test_parts_and_tiles_hold_everything_once(data: st.DataObject) -> None:
    layout = data.draw(layouts(min_size=1))
    frame = data.draw(frames(layout))
    most = data.draw(st.integers(5, 40))
    parts = Splitter(most).split(frame)
    if layout.width <= most:
        assert parts == [frame]
        return
    assert all(part.layout.width <= most for part in parts)
    assert len({part.layout.stream for part in parts}) == len({part.layout.digest for part in parts}) == len(parts)
    columns: dict[str, Frame] = {column.name: part for part in parts for column in part.layout.columns}
    tiled = [h for h in layout.histograms if h.width > most]
    for column in layout.columns:
        if column in tiled:
            continue
        part = columns[column.name]
        assert part.layout.column(column.name) == column
        assert part.layout.key(column.name) == layout.key(column.name)
        there, here = part.layout.position(column.name), layout.position(column.name)
        assert same(part.values[:, there : there + column.width], frame.values[:, here : here + column.width])
        if frame.quality is not None and part.quality is not None:
            assert same(part.quality[:, there : there + column.width], frame.quality[:, here : here + column.width])
    for histogram in tiled:
        for field in histogram.storage.fields:
            assert same(reassembled(parts, histogram, field), layout.view(frame, histogram.path, field).astype(np.float64))
    for part in parts:
        assert part.layout.source == layout.source
        assert same(part.time_ns, frame.time_ns)
        assert part.values.dtype == frame.values.dtype
        assert (part.quality is None) == (frame.quality is None)


MAP = Histogram("map", (Axis("x", "cm", 6, 0, 12), Axis.variable("y", "", [0, 1, 4, 9, 16])), place="CMS/ECAL")


def test_tiles_are_maps_of_their_own() -> None:
    layout = Layout("dqm", (Channel("c", "q", "V", place="CMS/Z"), MAP))
    frame = random_frame(layout)
    parts = Splitter(14).split(frame)
    tiles = [tile for part in parts for tile in part.layout.histograms]
    assert [tile.path for tile in tiles] == ["map[0:3,0:4]", "map[3:6,0:4]"]
    assert [tile.place for tile in tiles] == ["CMS/ECAL", "CMS/ECAL"]
    assert [tile.flow for tile in tiles] == [False, False]
    assert tiles[1].axes[0] == Axis("x", "cm", 3, 6, 12)
    assert tiles[1].axes[1] == MAP.axes[1]
    for part, tile in zip(parts, tiles, strict=False):
        inside = layout.view(frame, "map")[(slice(None), *bins_of(tile))]
        assert same(part.layout.view(part, tile.path), inside)
        assert same(part.layout.entries(part, tile.path), inside.sum(axis=(1, 2)))


@pytest.mark.parametrize("storage", [Storage.WEIGHTED, Storage.PROFILE])
def test_entries_of_weighted_tiles_are_effective_entries(storage: Storage) -> None:
    """The sum of weights says nothing of how many there were: here 8 fills of weight 0.001 in a bin, and none beyond x = 2."""
    histogram = Histogram("map", (Axis("x", "", 4, 0, 4),), storage, flow=False)
    layout = Layout("dqm", (histogram,))
    values = np.zeros((2, layout.width))
    values[:, 0] = 16
    layout.view(Frame(layout, np.zeros(2, np.int64), values), "map", "sum_w")[:, :2] = 0.008
    layout.view(Frame(layout, np.zeros(2, np.int64), values), "map", "sum_w2")[:, :2] = 8e-6
    values[1] = np.nan
    frame = Frame(layout, np.arange(2, dtype=np.int64), values)
    parts = Splitter(9 if storage is Storage.PROFILE else 5).split(frame)
    entries = [part.layout.entries(part, tile.path) for part in parts for tile in part.layout.histograms]
    assert np.allclose(np.array(entries), [[16, np.nan], [0, np.nan]], equal_nan=True)


def test_quality_of_the_entries_of_a_tile_is_that_of_the_entries_of_the_map() -> None:
    """Not that of whatever column comes first."""
    layout = Layout("dqm", (Channel("c", "q", "V"), MAP))
    frame = random_frame(layout)
    quality = np.zeros(frame.values.shape, dtype=np.uint8)
    quality[:, 0] = Quality.DISCONNECTED
    quality[1, 1:] = Quality.INVALID
    parts = Splitter(14).split(Frame(layout, frame.time_ns, frame.values, quality))
    for part in parts:
        for tile in part.layout.histograms:
            start = part.layout.position(tile.path)
            assert part.quality is not None
            assert part.quality[:, start : start + tile.width].T.tolist() == [[0, Quality.INVALID, 0]] * tile.width


def test_neighbours_in_the_tree_stay_together() -> None:
    columns = [Channel(f"{place}/{i}", "q", "V", place=f"CMS/{place}") for i in range(10) for place in ("HV", "ECAL", "DAQ")]
    parts = Splitter(10).split(random_frame(Layout("hv", tuple(columns))))
    assert [{channel.place for channel in part.layout.channels} for part in parts] == [{"CMS/DAQ"}, {"CMS/ECAL"}, {"CMS/HV"}]
    assert [part.layout.part for part in parts] == ["0", "1", "2"]
    assert [channel.name for channel in parts[0].layout.channels] == [f"DAQ/{i}" for i in range(10)]


def test_parts_of_a_part_have_streams_of_their_own() -> None:
    """Two large parts of one source must not share a stream."""
    columns: tuple[Column, ...] = tuple(Channel(f"c{i}", "q", "V") for i in range(15))
    streams = [part.layout.stream for name in ("a", "b") for part in Splitter(10).split(random_frame(Layout("s", columns, name)))]
    assert streams == ["s#a.0", "s#a.1", "s#b.0", "s#b.1"]


def test_the_split_of_a_layout_is_always_the_same() -> None:
    layout = Layout("dqm", (MAP, *(Channel(f"c{i}", "q", "V", place="CMS/HV") for i in range(30))))
    splitter = Splitter(12)
    first = [part.layout for part in splitter.split(random_frame(layout))]
    assert [part.layout for part in splitter.split(random_frame(layout, 7))] == first
    assert all(a is b.layout for a, b in zip(first, splitter.split(random_frame(layout)), strict=True))
    assert [part.layout for part in Splitter(12).split(random_frame(layout))] == first


def test_keys_and_tiles_outlive_an_added_channel() -> None:
    channels = [Channel(f"c{i}", "q", "V", place="CMS/HV") for i in range(30)]
    before, after = (
        Layout("dqm", (MAP, *channels)),
        Layout("dqm", (*channels[:3], Channel("new", "q", "V", place="CMS/HV"), *channels[3:], MAP)),
    )
    keys = [{key for part in Splitter(12).split(random_frame(layout)) for key in part.layout.keys} for layout in (before, after)]
    assert keys[0] < keys[1]
    assert len(keys[1]) == len(keys[0]) + 1


def test_frames_of_two_layouts_in_turn() -> None:
    splitter = Splitter(12)
    one, two = Layout("dqm", (MAP,)), Layout("dqm", tuple(Channel(f"c{i}", "q", "V") for i in range(30)))
    for layout in (one, two, one, two):
        frame = random_frame(layout)
        parts = splitter.split(frame)
        assert sum(part.layout.width for part in parts) >= math.prod(a.bins for a in MAP.axes)
        assert {column.name for part in parts for column in part.layout.channels} == {c.name for c in layout.channels}
