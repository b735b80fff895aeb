"""Splits a source with too many columns for one block along its tree of places, and a single large map into tiles.

Parts are streams of their own on the bus, which also spreads the load over partitions; keys do not change.
"""

from __future__ import annotations

import json
import math

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Column, Float, Frame, Histogram, Layout, Storage
from collectors.wire import MAX_BLOCK_BYTES, OVERHEAD_BYTES, encode_layout

MAX_COLUMNS = (MAX_BLOCK_BYTES - OVERHEAD_BYTES) // 9 - 1
"""A row of this many float64 values with their quality fits into one block."""

MAX_LAYOUT_TEXT_BYTES = 900_000
"""The layout of a part is a record on the bus too, and brokers with default settings take 1 MB."""
_PLANS_KEPT = 20


class Splitter:
    """Splits frames so that every row fits into a block, and every layout into a record; a split is worked out once."""

    def __init__(self, max_columns: int = MAX_COLUMNS, max_layout_bytes: int = MAX_LAYOUT_TEXT_BYTES) -> None:
        self._max_columns = max_columns
        self._max_layout_bytes = max_layout_bytes
        self._plans: dict[str, list[tuple[Layout, NDArray[np.int64]]]] = {}

    def split(self, frame: Frame) -> list[Frame]:
        """The frame itself where it is small enough, else its parts."""
        layout = frame.layout
        if layout.digest not in self._plans:
            if len(self._plans) >= _PLANS_KEPT:
                self._plans.clear()
            fits = layout.width <= self._max_columns and len(encode_layout(layout)) <= self._max_layout_bytes
            self._plans[layout.digest] = [] if fits else _plan(layout, self._max_columns, self._max_layout_bytes)
        return [_part(frame, part, origin) for part, origin in self._plans[layout.digest]] or [frame]


def _part(frame: Frame, part: Layout, origin: NDArray[np.int64]) -> Frame:
    source = np.where(origin < 0, -1 - origin, origin)
    values = frame.values[:, source]
    quality = None if frame.quality is None else frame.quality[:, source]
    for histogram in part.histograms:
        start = part.position(histogram.path)
        if origin[start] < 0:
            values[:, start] = _tile_entries(part, Frame(part, frame.time_ns, values), histogram)
    return Frame(part, frame.time_ns, values, quality)


def _tile_entries(part: Layout, frame: Frame, tile: Histogram) -> NDArray[Float]:
    """What the bins of a tile hold; of weighted ones the effective number of entries, (sum of w)^2 / sum of w^2. Shape (n,)."""
    bins = tuple(range(1, 1 + len(tile.axes)))
    with np.errstate(invalid="ignore", over="ignore"):  # of bins that are infinite
        sums = [part.view(frame, tile.path, field).sum(axis=bins) for field in tile.storage.fields[:2]]
        entries: NDArray[Float] = sums[0]
        if tile.storage is not Storage.COUNT:
            entries = np.divide(sums[0] ** 2, sums[1], out=np.where(np.isnan(sums[0]), sums[0], 0), where=sums[1] > 0)
    return entries


def _plan(layout: Layout, max_columns: int, max_layout_bytes: int) -> list[tuple[Layout, NDArray[np.int64]]]:
    """Parts of a layout with, for each of their columns, the frame column it comes from.

    Entries of a tile are worked out from its bins and have -1 - column, where column is that of the whole histogram's entries.
    """
    pieces: list[tuple[Column, NDArray[np.int64]]] = []
    for column in layout.columns:
        start = layout.position(column.name)
        if isinstance(column, Histogram) and column.width > max_columns:
            pieces += _tiles(column, start, max_columns)
        else:
            pieces.append((column, np.arange(start, start + column.width)))
    pieces.sort(key=lambda piece: piece[0].place)  # neighbours in the tree stay together; the sort is stable
    parts: list[list[tuple[Column, NDArray[np.int64]]]] = [[]]
    most_text = max_layout_bytes - len(encode_layout(Layout(layout.source, (), f"{layout.part}.{len(pieces)}")))
    room, text_room = max_columns, most_text
    for piece in pieces:
        width, text = piece[0].width, _text_bytes(piece[0])
        if (width > room or text > text_room) and parts[-1]:
            parts.append([])
            room, text_room = max_columns, most_text
        parts[-1].append(piece)
        room, text_room = room - width, text_room - text
    within = f"{layout.part}." if layout.part else ""
    return [
        (Layout(layout.source, tuple(column for column, _ in part), f"{within}{i}"), np.concatenate([origin for _, origin in part]))
        for i, part in enumerate(parts)
    ]


def _text_bytes(column: Column) -> int:
    return 1 + len(json.dumps(column.description(), separators=(",", ":"), ensure_ascii=False).encode())


def _tiles(histogram: Histogram, start: int, max_columns: int) -> list[tuple[Column, NDArray[np.int64]]]:
    """Cuts a histogram along its longest axis until the tiles fit; flow bins stay behind, entries are those of the tile."""
    size = math.prod(histogram.shape)
    fields = [start + 1 + i * size + np.arange(size).reshape(histogram.shape) for i in range(len(histogram.storage.fields))]
    if histogram.flow:
        fields = [field[tuple(slice(1, -1) for _ in histogram.axes)] for field in fields]
    pending = [tuple((0, axis.bins) for axis in histogram.axes)]
    tiles: list[tuple[Column, NDArray[np.int64]]] = []
    while pending:
        ranges = pending.pop(0)
        if 1 + len(fields) * math.prod(stop - first for first, stop in ranges) > max_columns:
            longest = max(range(len(ranges)), key=lambda i: ranges[i][1] - ranges[i][0])
            first, stop = ranges[longest]
            middle = (first + stop) // 2
            pending[:0] = [(*ranges[:longest], half, *ranges[longest + 1 :]) for half in ((first, middle), (middle, stop))]
            continue
        name = f"{histogram.path}[{','.join(f'{first}:{stop}' for first, stop in ranges)}]"
        axes = tuple(axis.section(first, stop) for axis, (first, stop) in zip(histogram.axes, ranges, strict=True))
        cut = tuple(slice(first, stop) for first, stop in ranges)
        origin = np.concatenate([[-1 - start], *(field[cut].reshape(-1) for field in fields)])
        tiles.append((Histogram(name, axes, Storage(histogram.storage), histogram.place, flow=False), origin))
    return tiles
