"""One table of lumisections: its columns with their meaning, its rows in the order of their time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.collector import Collected, CollectError, Origin, Rejected
from collectors.dqm.histogram_frames import LUMISECTION, RUN
from collectors.dqm.lumisection_times import LUMISECTION_COLUMNS, RUN_COLUMNS, column_named, of_runs, since
from collectors.frame import Channel, Frame, Kind, Quality, concatenate
from collectors.patterns import Selection, join_place
from collectors.tabular.json_tables import json_blocks
from collectors.tabular.table_blocks import Block, csv_blocks, parquet_blocks
from collectors.tabular.table_columns import Columns
from collectors.tabular.table_frames import BadCells, WideTable
from collectors.tabular.table_values import NO_TIME, TimeFormat, is_text, numbers, row_times, times

DEAD_TIME = "dead_time_ratio"
FLAG_STATES = ("false", "true")
RATIO_TOLERANCE = 1e-6
"""Luminosities are given with six digits: recorded may exceed delivered by this share of it."""
TableFormat = Literal["auto", "csv", "parquet", "json"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """Which columns say what, as the options of the source name them; "" where they are looked for or not there."""

    run: str
    lumisection: str
    time: str
    run_start: str
    has_runs: bool
    """Whether the starts of runs come from another table."""
    start_ns: int | None
    """When the first row was, in ns UTC, where no column tells a time."""
    lumisection_s: float
    time_format: TimeFormat
    timezone: str
    delivered: str
    recorded: str
    flags: Selection


def format_of(path: str, table_format: TableFormat) -> TableFormat:
    """The format of a file, by its ending where it is auto."""
    name = path.removesuffix(".gz")
    if table_format != "auto":
        return table_format
    return "json" if name.endswith(".json") else "parquet" if name.endswith((".parquet", ".pq")) else "csv"


def table_blocks(
    path: str, table_format: TableFormat, delimiter: str, rows: int, *, is_written: bool = False
) -> Iterator[Block | Rejected]:
    """Blocks of a table in a file, by its ending where the format is auto; `is_written`: see `csv_blocks`. Raises CollectError."""
    match format_of(path, table_format):
        case "json":
            return json_blocks(path, rows)
        case "parquet":
            return parquet_blocks(path, rows)
    return csv_blocks(path, delimiter, (), rows, is_written=is_written)


class LumisectionTable:
    """Takes a file block by block, then gives its rows in the order of their time: the whole table is in memory once."""

    def __init__(self, origin: Origin, path: str, columns: Columns, meaning: Meaning, starts: Mapping[int, int], rows_before: int) -> None:
        self.rows = 0
        self.newest_ns = NO_TIME
        self._path = path
        self._columns = columns
        self._meaning = meaning
        self._starts = starts
        self._rows_before = rows_before
        self._place = join_place(origin.place)
        self._wide = WideTable(origin.source, path, self._describe, columns.histograms)
        self._flags: set[str] | None = None
        self._run = self._lumisection = ""
        self._frames: list[Frame] = []

    def take(self, block: Block | Rejected) -> Iterator[Rejected]:
        """Adds some rows; what in them cannot be read is rejected. Raises CollectError where the table lacks a column."""
        if isinstance(block, Rejected):
            yield block
            return
        if self._flags is None:
            self._look_at(block)
        prepared, bad_ratio = self._prepared(block)
        time_ns = self._times(block)
        self.rows += block.rows
        times_columns = [name for name in (self._meaning.time, self._meaning.run_start) if name]
        for item in self._wide.collect(prepared, time_ns, times_columns):
            if isinstance(item, Rejected):
                yield item
            elif isinstance(item, Frame):
                self._frames.append(_without(item, bad_ratio[time_ns != NO_TIME]))
        reported = BadCells(self._path, block.first_row)
        reported.add(DEAD_TIME, None, bad_ratio, "is not between 0 and 1: delivered and recorded luminosity contradict each other")
        yield from reported.rejected()

    def frames(self, after_ns: int, rows: int) -> Iterator[Collected]:
        """All rows later than a time, in their order; of two at one time the first."""
        if not self._frames:
            return
        frame = concatenate(self._frames)
        self._frames.clear()
        order = np.argsort(frame.time_ns, kind="stable")
        is_first = np.diff(frame.time_ns[order], prepend=NO_TIME) != 0
        if not is_first.all():
            repeated = order[~is_first]
            yield Rejected(self._path, f"{len(repeated)} rows are there already, the first for {_named(frame, repeated[0])}")
        order = order[is_first]
        order = order[frame.time_ns[order] > after_ns]
        self.newest_ns = int(frame.time_ns.max())
        for begin in range(0, len(order), rows):
            yield frame.rows(order[begin : begin + rows])

    def _look_at(self, block: Block) -> None:
        """Finds the columns of run and lumisection, and which ones are flags."""
        names = list(block.columns)
        meaning = self._meaning
        try:
            self._run = column_named(meaning.run, RUN_COLUMNS, names)
            self._lumisection = column_named(meaning.lumisection, LUMISECTION_COLUMNS, names)
            for needed in (meaning.time, meaning.run_start, meaning.delivered, meaning.recorded):
                column_named(needed, (), names)
        except KeyError as error:
            raise CollectError(f"{self._path}: no column {error} among {', '.join(names)}") from None
        if meaning.has_runs and not self._run:
            raise CollectError(f"{self._path}: no column of runs among {', '.join(names)}; name it in `run`")
        self._flags = {name for name, column in block.columns.items() if name in meaning.flags or _holds_truth(column)}

    def _describe(self, name: str) -> Channel | None:
        if name in (RUN, LUMISECTION):
            return Channel(name, name, "", Kind.STATE, self._place)
        if name == DEAD_TIME and self._meaning.delivered:
            return Channel(DEAD_TIME, "dead-time", "1", Kind.GAUGE, self._place)
        return self._columns.describe(name, FLAG_STATES if name in (self._flags or ()) else ())

    def _prepared(self, block: Block) -> tuple[Block, NDArray[np.bool_]]:
        """The block with columns named run and lumisection, flags as they are compared, and dead-time; where that cannot be, shape (n,)."""
        columns: dict[str, pa.Array] = {}
        for wanted, name in ((RUN, self._run), (LUMISECTION, self._lumisection)):
            if name:
                columns[wanted] = block.columns[name]
        for name, column in block.columns.items():
            if name not in (self._run, self._lumisection):
                lowered = name in (self._flags or ()) and is_text(column)
                columns.setdefault(name, pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string()))) if lowered else column)
        bad = np.zeros(block.rows, dtype=bool)
        if self._meaning.delivered:
            delivered, recorded = (numbers(block.columns[name])[0] for name in (self._meaning.delivered, self._meaning.recorded))
            ratio, bad = dead_time(delivered, recorded)
            columns[DEAD_TIME] = pa.array(ratio)
        return Block(block.first_row, block.rows, columns, {}), bad

    def _times(self, block: Block) -> NDArray[np.int64]:
        """The begin of each row's lumisection; NO_TIME where it is not known. Shape (n,)."""
        meaning = self._meaning
        if meaning.time:
            return times(block.columns[meaning.time], meaning.time_format, meaning.timezone)
        if meaning.start_ns is not None:
            return row_times(meaning.start_ns, meaning.lumisection_s, self._rows_before + block.first_row - 1, block.rows)
        if meaning.run_start:
            start_ns = times(block.columns[meaning.run_start], meaning.time_format, meaning.timezone)
        else:
            start_ns = of_runs(self._starts, numbers(block.columns[self._run])[0])
        if not self._lumisection:
            return start_ns
        return since(start_ns, numbers(block.columns[self._lumisection])[0], meaning.lumisection_s)


def dead_time(delivered: NDArray[np.float64], recorded: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """1 - recorded / delivered, NaN where nothing was delivered, and where it is out of range (and NaN as well); both shape (n,)."""
    ratio = np.full(len(delivered), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is out of range
        np.divide(recorded, delivered, out=ratio, where=delivered != 0)
    ratio = 1 - ratio
    ratio = np.where((ratio < 0) & (ratio >= -RATIO_TOLERANCE), 0.0, ratio)
    is_untrue = (ratio < 0) | (ratio > 1) | (delivered < 0) | (recorded < 0) | np.isinf(delivered) | np.isinf(recorded)
    bad = ~np.isnan(delivered) & ~np.isnan(recorded) & is_untrue
    return np.where(bad, np.nan, ratio), bad


def _holds_truth(column: pa.Array) -> bool:
    """Whether a column is one of truth values, also written as text."""
    if not is_text(column):
        return bool(pa.types.is_boolean(column.type))
    found = pc.unique(pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))).drop_null().to_pylist()
    return bool(found) and set(found) <= {*FLAG_STATES, ""} and found != [""]


def _without(frame: Frame, bad: NDArray[np.bool_]) -> Frame:
    """The frame with dead-time marked as invalid in these rows."""
    if not bad.any():
        return frame
    quality = np.zeros(frame.values.shape, np.uint8) if frame.quality is None else frame.quality
    quality[bad, frame.layout.position(DEAD_TIME)] = Quality.INVALID
    return Frame(frame.layout, frame.time_ns, frame.values, quality)


def _named(frame: Frame, row: int) -> str:
    """A row as a person finds it."""
    found = {name: frame.values[row, frame.layout.position(name)] for name in (RUN, LUMISECTION) if name in frame.layout}
    return ", ".join(f"{name} {value:.10g}" for name, value in found.items()) or "its time"
