"""What one column of a source reads, and the readings that stand at a moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Column, Frame, Histogram, Layout, Quality, Storage, Updates


@dataclass(frozen=True, slots=True)
class Reading:
    """One column at one time. `values`: shape (column.width,), NaN is no reading. `quality` is None where nothing has come yet."""

    column: Column
    values: NDArray[np.float64]
    quality: Quality | None
    time_ns: int

    @property
    def value(self) -> float:
        """The number of a channel; of a histogram its entries."""
        return float(self.values[0])

    @property
    def unit(self) -> str:
        """The unit of a channel; of a histogram that of its first axis."""
        return self.column.unit if isinstance(self.column, Channel) else self.column.axes[0].unit

    @property
    def means(self) -> tuple[float, ...]:
        """Of a histogram: the mean along each axis from the centres of its bins, of a profile the mean of its values; NaN where empty."""
        assert isinstance(self.column, Histogram)
        return _means(self.column, self.values)


def _means(histogram: Histogram, values: NDArray[np.float64]) -> tuple[float, ...]:
    """Flow bins are left out: they have no centre."""
    size = math.prod(histogram.shape)
    inner = tuple(slice(1, -1) if histogram.flow else slice(None) for _ in histogram.axes)
    sums = [values[1 + i * size : 1 + (i + 1) * size].reshape(histogram.shape)[inner] for i in range(len(histogram.storage.fields))]
    total = float(np.nansum(sums[0]))
    if histogram.storage is Storage.PROFILE:
        return (float(np.nansum(sums[2])) / total,) if total else (math.nan,)
    means = []
    for number, axis in enumerate(histogram.axes):
        others = tuple(i for i in range(len(histogram.axes)) if i != number)
        along = np.nansum(sums[0], axis=others)
        edges = axis.edges_array
        means.append(float(along @ ((edges[1:] + edges[:-1]) / 2)) / total if total else math.nan)
    return tuple(means)


@dataclass(slots=True)
class _Block:
    """What stands of one layout: a value, its quality and its time for each frame column; time 0 where nothing has come."""

    layout: Layout
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    time_ns: NDArray[np.int64]

    @classmethod
    def empty(cls, layout: Layout) -> _Block:
        width = layout.width
        return cls(layout, np.full(width, np.nan), np.zeros(width, np.uint8), np.zeros(width, np.int64))

    def inherit(self, former: _Block) -> None:
        """Takes over what stands of columns with the same key."""
        known = {(key, c.width): int(s) for key, c, s in zip(former.layout.keys, former.layout.columns, former.layout.starts, strict=False)}
        for key, column, start in zip(self.layout.keys, self.layout.columns, self.layout.starts, strict=False):
            first = known.get((key, column.width))
            if first is not None:
                here, there = slice(start, start + column.width), slice(first, first + column.width)
                self.values[here], self.quality[here], self.time_ns[here] = (
                    former.values[there],
                    former.quality[there],
                    former.time_ns[there],
                )

    def readings(self) -> Iterator[Reading]:
        for column, start in zip(self.layout.columns, self.layout.starts, strict=False):
            columns = slice(int(start), int(start) + column.width)
            time_ns = int(self.time_ns[columns].max())
            worst = Quality(int(self.quality[columns].max()))
            yield Reading(column, self.values[columns].copy(), worst if time_ns else None, time_ns)


class Standing:
    """The last reading of every column. A layout that shares a column with an earlier one takes its place."""

    def __init__(self) -> None:
        self._blocks: dict[str, _Block] = {}
        self._sparse: set[str] = set()

    def take(self, item: Frame | Updates) -> None:
        """Takes in the newest row of a frame, or updates in the order of their arrival."""
        if isinstance(item, Updates):
            self._sparse.add(item.layout.digest)
            block = self._block(item.layout, inherits=True)
            block.values[item.column], block.quality[item.column], block.time_ns[item.column] = item.value, item.quality, item.time_ns
        elif len(item):
            block = self._block(item.layout, inherits=False)
            row = int(np.argmax(item.time_ns[::-1]))  # of several newest ones the last
            row = len(item) - 1 - row
            block.values[:], block.time_ns[:] = item.values[row], item.time_ns[row]
            block.quality[:] = 0 if item.quality is None else item.quality[row]

    def readings(self) -> list[Reading]:
        """One for each column, in the order of their layouts."""
        return [reading for block in self._blocks.values() for reading in block.readings()]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was announced yet."""
        return not self._blocks

    @property
    def awaited(self) -> int:
        """How many columns of event-driven sources have no value yet, or no server."""
        sparse = [block for digest, block in self._blocks.items() if digest in self._sparse]
        return sum(int(((block.time_ns == 0) | (block.quality == Quality.DISCONNECTED)).sum()) for block in sparse)

    def _block(self, layout: Layout, *, inherits: bool) -> _Block:
        if layout.digest not in self._blocks:
            made = _Block.empty(layout)
            for digest, former in list(self._blocks.items()):
                if any(column.name in layout for column in former.layout.columns):
                    if inherits:
                        made.inherit(former)
                    del self._blocks[digest]
            self._blocks[layout.digest] = made
        return self._blocks[layout.digest]
