"""From blocks of a table to frames (a column a channel) or updates (a row a reading)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.collector import Collected, CollectError, Rejected
from collectors.frame import Axis, Channel, Column, Frame, Histogram, Kind, Layout, LayoutError, Quality, Updates
from collectors.tabular.table_blocks import Block
from collectors.tabular.table_values import NO_TIME, is_text, numbers

REPORTED_COLUMNS = 5
"""Columns of a block whose bad cells are reported singly."""

Describe = Callable[[str], Channel | None]
"""The channel that a column or a name in the table stands for; None where it is not wanted."""


@dataclass(frozen=True, slots=True)
class HistogramSource:
    """Where the bins of one histogram are: in the columns that `pattern` names with a number for `{}`, or in a matrix."""

    path: str
    place: str
    pattern: str
    matrix: str
    axes: Callable[[int], tuple[Axis, ...]]
    """Axes from the number of bins, flow bins included; raises ValueError where they cannot have so many."""
    flow: bool
    entries: str
    is_normalised: bool

    def columns(self, names: Sequence[str]) -> list[str]:
        """Columns of the bins in rising order of their number."""
        before, _, after = self.pattern.partition("{}")
        number = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
        found = sorted((int(match[1]), name) for name in names if (match := number.fullmatch(name)))
        if not found:
            raise ValueError(f"no column {self.pattern!r}")
        if found[-1][0] - found[0][0] + 1 != len(found):
            raise ValueError(f"columns {self.pattern!r} have gaps between their numbers")
        return [name for _, name in found]


class BadCells:
    """Collects what could not be read in one block, and says it in a few lines."""

    def __init__(self, path: str, first_row: int) -> None:
        self._path = path
        self._first_row = first_row
        self._columns: list[tuple[str, NDArray[np.int64], str]] = []

    def add(self, name: str, column: pa.Array | None, bad: NDArray[np.bool_], what: str = "is not a number") -> None:
        """Reports the bad cells of a column."""
        if bad.any():
            rows = np.flatnonzero(bad)
            example = f"{column[int(rows[0])].as_py()!r:.60} " if column is not None else ""
            self._columns.append((name, rows, f"{example}{what}"))

    def rejected(self) -> Iterator[Rejected]:
        """A few rejections that stand for all of them."""
        for name, rows, reason in self._columns[:REPORTED_COLUMNS]:
            more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
            yield Rejected(f"{self._path}: column {name!r}", f"row {self._first_row + int(rows[0])}: {reason}{more}")
        if len(self._columns) > REPORTED_COLUMNS:
            cells = sum(len(rows) for _, rows, _ in self._columns[REPORTED_COLUMNS:])
            reason = f"{cells} more bad cells in {len(self._columns) - REPORTED_COLUMNS} columns from row {self._first_row}"
            yield Rejected(self._path, reason)


class WideTable:
    """Frames of a table with a column for each channel; which columns are channels is settled by a file's first block."""

    def __init__(self, source: str, path: str, describe: Describe, histograms: Sequence[HistogramSource]) -> None:
        self._source = source
        self._path = path
        self._describe = describe
        self._histograms = histograms
        self._layout: Layout | None = None
        self._channels: list[tuple[str, Channel]] = []
        self._bins: list[list[str]] = []

    def collect(self, block: Block, time_ns: NDArray[np.int64], skip: Sequence[str]) -> Iterator[Collected]:
        """The block as a frame; rows without a time are left out. `skip`: columns that are no channels."""
        if self._layout is None:
            self._layout = self._described(block, set(skip))
        bad_cells = BadCells(self._path, block.first_row)
        bad_cells.add("time", None, time_ns == NO_TIME, "has no time that can be read; the row is left out")
        values = np.empty((block.rows, self._layout.width))
        invalid: dict[int, NDArray[np.bool_]] = {}
        for i, (name, channel) in enumerate(self._channels):
            values[:, i], bad = numbers(block.columns[name], _state_names(channel))
            if bad.any():
                bad_cells.add(name, block.columns[name], bad)
                invalid[i] = bad
        position = len(self._channels)
        for histogram, source, names in zip(self._layout.histograms, self._histograms, self._bins, strict=True):
            self._fill(values[:, position : position + histogram.width], block, source, names, bad_cells)
            position += histogram.width
        yield from bad_cells.rejected()
        quality = None
        if invalid:
            quality = np.full(values.shape, Quality.GOOD, dtype=np.uint8)
            for i, bad in invalid.items():
                quality[bad, i] = Quality.INVALID
        timed = time_ns != NO_TIME
        if timed.any():
            yield Frame(self._layout, time_ns[timed], values[timed], None if quality is None else quality[timed])

    def _described(self, block: Block, skip: set[str]) -> Layout:
        try:
            self._bins = [source.columns(list(block.columns)) if source.pattern else [] for source in self._histograms]
            histograms = [self._histogram(s, names, block) for s, names in zip(self._histograms, self._bins, strict=True)]
        except ValueError as error:
            raise CollectError(f"{self._path}: {error}") from None
        skip |= {name for names in self._bins for name in names} | {s.entries for s in self._histograms}
        for name, column in block.columns.items():
            channel = None if name in skip else self._describe(name)
            if channel is not None and (channel.states or _holds_numbers(column)):
                self._channels.append((name, channel))
        columns: list[Column] = [*(channel for _, channel in self._channels), *histograms]
        if not columns:
            raise CollectError(f"{self._path}: no column of numbers among {', '.join(block.columns) or 'its arrays'}")
        try:
            return Layout(self._source, tuple(columns))
        except LayoutError as error:
            raise CollectError(f"{self._path}: {error}") from None

    def _histogram(self, source: HistogramSource, names: Sequence[str], block: Block) -> Histogram:
        if source.entries and source.entries not in block.columns:
            raise ValueError(f"no column {source.entries!r} for the entries of {source.path!r}")
        bins = len(names) if source.pattern else math.prod(block.arrays[source.matrix].shape[1:])
        return Histogram(source.path, source.axes(bins), place=source.place, flow=source.flow)

    def _fill(self, section: NDArray[np.float64], block: Block, source: HistogramSource, names: Sequence[str], bad_cells: BadCells) -> None:
        """Writes the entries and bins of one histogram; `section`: shape (rows, 1 + bins)."""
        if source.pattern:
            for i, name in enumerate(names, 1):
                section[:, i], bad = numbers(block.columns[name])
                bad_cells.add(name, block.columns[name], bad)
        else:
            section[:, 1:] = block.arrays[source.matrix].reshape(block.rows, -1)
            is_infinite = np.isinf(section[:, 1:])
            section[:, 1:][is_infinite] = np.nan
            bad_cells.add(source.matrix, None, np.asarray(is_infinite.any(axis=1)), "holds infinite bins")
        if source.entries:
            section[:, 0], bad = numbers(block.columns[source.entries])
            bad_cells.add(source.entries, block.columns[source.entries], bad)
            if source.is_normalised:
                section[:, 1:] *= section[:, :1]
        else:
            section[:, 0] = section[:, 1:].sum(axis=1)


def _holds_numbers(column: pa.Array) -> bool:
    """Whether a column is one of numbers: any of its cells is one, or none of them holds anything."""
    values, bad = numbers(column)
    return bool(np.isfinite(values).any() or not bad.any())


class LongTable:
    """Updates of a table with one reading a row; channels join the layout as their names appear."""

    def __init__(self, source: str, path: str, describe: Describe, known: Mapping[str, Channel]) -> None:
        self._source = source
        self._path = path
        self._describe = describe
        self.channels: dict[str, Channel | None] = dict(known)
        self._positions = {name: i for i, name in enumerate(known)}
        self._layout = Layout(source, tuple(known.values()))

    def collect(self, block: Block, time_ns: NDArray[np.int64], channel: str, value: str) -> Iterator[Collected]:
        """The block as updates, in the order of its rows. Raises CollectError where a column is missing."""
        if missing := [name for name in (channel, value) if name not in block.columns]:
            raise CollectError(f"{self._path}: no column {missing[0]!r} among {', '.join(block.columns)}")
        bad_cells = BadCells(self._path, block.first_row)
        bad_cells.add("time", None, time_ns == NO_TIME, "has no time that can be read; the row is left out")
        encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(block.columns[channel].cast(pa.string())))
        names = [str(name) for name in encoded.dictionary.to_pylist()]
        code = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        bad_cells.add(channel, None, code < 0, "names no channel")
        position = np.array([*(self._position(name) for name in names), -1], dtype=np.int32)[code]
        column = block.columns[value]
        values, bad = numbers(column)
        for i, name in enumerate(names):
            described = self.channels[name]
            if described is not None and _state_names(described) and is_text(column):
                rows = np.flatnonzero(code == i)
                values[rows], bad[rows] = numbers(column.take(pa.array(rows)), _state_names(described))
        wanted = (position >= 0) & (time_ns != NO_TIME)
        bad_cells.add(value, column, bad & wanted)
        yield from bad_cells.rejected()
        layout = self._current_layout()
        quality = np.where(bad, Quality.INVALID, Quality.GOOD).astype(np.uint8)
        if wanted.any():
            yield Updates(layout, time_ns[wanted], position[wanted], values[wanted], quality[wanted])

    def _position(self, name: str) -> int:
        if name not in self.channels:
            self.channels[name] = self._describe(name)
            if self.channels[name] is not None:
                self._positions[name] = len(self._positions)
        return self._positions.get(name, -1)

    def _current_layout(self) -> Layout:
        columns = tuple(c for c in self.channels.values() if c is not None)
        if columns != self._layout.columns:
            self._layout = Layout(self._source, columns)
        return self._layout


def _state_names(channel: Channel) -> tuple[str, ...]:
    """What cells may hold instead of numbers; the bits of a status word have names too, but any combination of them can be set."""
    return () if channel.kind is Kind.BITS else channel.states
