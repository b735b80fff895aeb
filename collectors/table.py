"""Recorded tables: CSV, Parquet and NumPy archives, wide (a column a channel) or long (a row a reading)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.frame import Channel
from collectors.tabular.table_blocks import Block, csv_blocks, expand, npz_blocks, parquet_blocks
from collectors.tabular.table_columns import ColumnOptions, Columns, TimeOptions
from collectors.tabular.table_frames import LongTable, WideTable
from collectors.tabular.table_values import moment_ns, row_times, times

TIME_COLUMNS = ("time", "timestamp", "datetime", "date_time", "time_ns", "time_ms", "time_s", "t")
"""What the column of times is looked for as, in any case of letters, where no option names it."""


class TableOptions(ColumnOptions, TimeOptions):
    """What to read and what its columns mean."""

    files: str = Field(min_length=1)
    """Glob; files are read in the order of their paths."""
    format: Literal["auto", "csv", "parquet", "npz"] = "auto"
    """By the file's ending by default; what is neither Parquet nor a NumPy archive is text, also compressed."""
    time: str = ""
    """Column (or vector of an archive) of times; one called time, timestamp, datetime … by default."""
    row_period_s: float | None = Field(default=None, gt=0)
    """Tables without times: the time from row to row, over all files."""
    start: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    """Tables without times: when the first row was."""
    channel: str = ""
    """Long tables: the column that names the channel; each row is one reading."""
    value: str = "value"
    """Long tables: the column of readings."""
    names: tuple[str, ...] = ()
    """Names of the columns where the file has none."""
    delimiter: str = Field(default="", max_length=1)
    """Text: what separates the columns; found out by default."""
    array: str = ""
    """NumPy archives: the array with a column a channel; the only one of two dimensions by default."""
    vectors: tuple[str, ...] = ()
    """NumPy archives: arrays of one dimension that are channels as well."""
    block_rows: int = Field(default=4096, ge=1)
    """Rows that are read at once: more are faster, fewer need less memory."""


class TableCollector:
    """Recorded tables (CSV, Parquet, NumPy archives), read from beginning to end as if it were happening.

    Example:
        [source.pump]
        collector = "table"
        files = "/data/skab/*.csv"
        exclude = ["anomaly", "changepoint"]

    A NumPy archive without times: `array = "test"`, `row_period_s = 60`.

    """

    options_model: ClassVar[type[Options]] = TableOptions
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: TableOptions) -> None:
        self._origin = origin
        self._options = options
        self._columns = Columns(origin, options)

    def collect(self) -> Iterator[Collected]:
        """All rows of all files; of cells and rows that cannot be read a few are named and the rest is counted."""
        paths = expand(self._options.files)
        rows_before, channels = 0, dict[str, Channel]()
        for path in paths:
            rows = 0
            wide = WideTable(self._origin.source, path, self._columns.describe, self._columns.histograms)
            long = LongTable(self._origin.source, path, self._columns.describe, channels)
            try:
                for block in self._blocks(path):
                    if isinstance(block, Rejected):
                        yield block
                        continue
                    time, time_ns = self._times(path, block, rows_before)
                    rows += block.rows
                    if self._options.channel:
                        yield from long.collect(block, time_ns, self._options.channel, self._options.value)
                    else:
                        yield from wide.collect(block, time_ns, [time])
            except CollectError as error:
                if len(paths) == 1:
                    raise
                yield Rejected(path, str(error).removeprefix(f"{path}: "))
            rows_before += rows
            channels = {name: channel for name, channel in long.channels.items() if channel is not None}

    def close(self) -> None:
        """Nothing stays open after the last row."""

    def _blocks(self, path: str) -> Iterator[Block | Rejected]:
        options = self._options
        if options.format == "npz" or (options.format == "auto" and path.endswith(".npz")):
            vectors = [*options.vectors, *([options.time] if options.time else []), *(h.entries for h in options.histograms if h.entries)]
            return npz_blocks(
                path, options.array, vectors, [h.array for h in options.histograms if h.array], options.names, options.block_rows
            )
        if options.format == "parquet" or (options.format == "auto" and path.endswith((".parquet", ".pq"))):
            return parquet_blocks(path, options.block_rows)
        return csv_blocks(path, options.delimiter, options.names, options.block_rows)

    def _times(self, path: str, block: Block, rows_before: int) -> tuple[str, NDArray[np.int64]]:
        """The column of times ("" where there is none) and the time of each row."""
        options = self._options
        if options.row_period_s is not None and not options.time:
            start_ns = moment_ns(options.start, options.timezone)
            return "", row_times(start_ns, options.row_period_s, block.first_row - 1 + rows_before, block.rows)
        by_name = {name.lower(): name for name in reversed(block.columns)}
        time = options.time or next((by_name[name] for name in TIME_COLUMNS if name in by_name), "")
        if time not in block.columns:
            wanted = f"no column {time!r}" if time else "no column of times"
            raise CollectError(f"{path}: {wanted} among {', '.join(block.columns)}; name it in `time`, or give `row_period_s`")
        return time, times(block.columns[time], options.time_format, options.timezone)
