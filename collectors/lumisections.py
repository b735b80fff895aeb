"""Tables with a row for each run and lumisection: luminosity, dead-time, conditions, and histograms."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.dqm.followed_files import Signature
from collectors.dqm.lumisection_tables import LumisectionTable, Meaning, TableFormat, format_of, table_blocks
from collectors.dqm.lumisection_times import LUMISECTION_S, start_of_runs
from collectors.patterns import Selection
from collectors.tabular.table_blocks import Block, expand
from collectors.tabular.table_columns import ColumnOptions, Columns, TimeOptions
from collectors.tabular.table_values import NO_TIME, moment_ns

REST_NS = 1_800_000_000_000
"""A table that nobody has written to for so long ends with a whole row, also without a newline; writers may hold lines back for minutes."""


class RunStarts(Options):
    """A table with a row for each run that tells when it began."""

    file: Path
    """CSV, Parquet or JSON, by its ending."""
    run: str = ""
    """Column of runs; `run` or `run_number` by default."""
    start: str = "start_time"
    """Column of the runs' starts."""


class LumisectionsOptions(ColumnOptions, TimeOptions):
    """What to read, when it was, and what its columns mean."""

    files: str = Field(min_length=1)
    """Glob; files are read in the order of their paths."""
    format: TableFormat = "auto"
    """By the file's ending by default. JSON is a list of records, a dictionary of columns, or by run one of records or
    of named tables with lumisections (trigger rates, `{"381594": {"HLT_Physics": {"rate": [], "lumisection": []}}}`)."""
    run: str = ""
    """Column of runs; `run` or `run_number` by default. It becomes the channel `run`."""
    lumisection: str = ""
    """Column of lumisections; `lumisection`, `lumisection_number`, `lumi` or `ls` by default. It becomes the channel `lumisection`;
    without one a row is a whole run."""
    time: str = ""
    """Column of times, where there is one: of the lumisection's begin."""
    run_start: str = ""
    """Column of the time at which the row's run began; lumisections are counted from there."""
    runs: RunStarts | None = None
    """Another table with the starts of the runs."""
    start: datetime | None = None
    """Tables that tell no time at all: when the first row was; each row is a lumisection later than the one before."""
    lumisection_s: Annotated[float, Field(gt=0)] = LUMISECTION_S
    """Length of a lumisection."""
    delivered: str = ""
    """Column of delivered luminosity; with `recorded` it makes the channel `dead_time_ratio`."""
    recorded: str = ""
    """Column of recorded luminosity, in the same unit."""
    flags: tuple[str, ...] = ("*_ready", "*beams_stable", "*stable_beam*", "*_flag")
    """Patterns of columns whose 0 and 1 are the states false and true; columns of truth values are so anyway."""
    delimiter: str = Field(default="", max_length=1)
    """Text: what separates the columns; found out by default."""
    block_rows: int = Field(default=4096, ge=1)
    """Rows that are read at once: more are faster, fewer need less memory."""

    @model_validator(mode="after")
    def _consistent(self) -> LumisectionsOptions:
        if bool(self.delivered) != bool(self.recorded):
            raise ValueError("give both `delivered` and `recorded`, or none of them")
        given = [name for name in ("time", "run_start", "runs", "start") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of `time`, `run_start`, `runs` and `start`{': not ' + ' and '.join(given) if given else ''}")
        if any(histogram.array for histogram in self.histograms):
            raise ValueError("histograms of a table have `columns`, no `array`")
        return self


class LumisectionsCollector:
    """Tables with one row for each run and lumisection (CSV, Parquet, JSON): luminosity, conditions, histograms a lumisection.

    Numbers are channels, truth values (and `*_ready`, `beams_stable` …) are states "false" and "true", runs of columns are histograms as in
    the source `table`. `delivered` and `recorded` luminosity make `dead_time_ratio`, 1 - recorded / delivered; no reading where nothing
    was delivered. Rows are put in order of their time, file by file. With `role = "conditions"` the channels mute other sources and
    tell run and lumisection. A file that grows is read again, and what it has gained is added. Example:

        [source.luminosity]
        collector = "lumisections"
        role = "conditions"
        files = "/data/oms/lumisections_*.csv"
        time = "start_time"
        delivered = "delivered_lumi"
        recorded = "recorded_lumi"
        units = { "*_lumi" = "1/pb" }
    """

    options_model: ClassVar[type[Options]] = LumisectionsOptions
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: LumisectionsOptions) -> None:
        self._origin = origin
        self._options = options
        self._columns = Columns(origin, options)
        self._meaning = Meaning(
            run=options.run,
            lumisection=options.lumisection,
            time=options.time,
            run_start=options.run_start,
            has_runs=options.runs is not None,
            start_ns=None if options.start is None else moment_ns(options.start, options.timezone),
            lumisection_s=options.lumisection_s,
            time_format=options.time_format,
            timezone=options.timezone,
            delivered=options.delivered,
            recorded=options.recorded,
            flags=Selection(options.flags),
        )
        self._done: dict[str, _Done] = {}

    def collect(self) -> Iterator[Collected]:
        """All rows of all files in order of their time, and at later calls those that were added; what cannot be read is rejected."""
        paths = expand(self._options.files)
        runs = self._options.runs
        runs_signature = None if runs is None or not runs.file.exists() else Signature.of(runs.file.stat())
        starts = self._start_of_runs()
        rows_before = 0
        for path in paths:
            try:
                yield from self._file(path, starts, runs_signature, rows_before)
            except (CollectError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).removeprefix(f"{path}: ")
                if len(paths) == 1:
                    raise CollectError(f"{path}: {reason}") from None
                yield Rejected(path, reason)
            rows_before += self._done[path].rows if path in self._done else 0

    def _file(self, path: str, starts: Mapping[int, int], runs: Signature | None, rows_before: int) -> Iterator[Collected]:
        """The rows of one file that are new, where it or the table of runs has changed."""
        options, done = self._options, self._done.get(path, _Done(None, None, NO_TIME, 0))
        signature = Signature.of(Path(path).stat())
        if (signature, runs) == done[:2]:
            return
        is_open = self._may_end_within_a_row(path)
        is_written = is_open and abs(self._origin.now_ns() - signature.modified_ns) < REST_NS
        table = LumisectionTable(self._origin, path, self._columns, self._meaning, starts, rows_before)
        for block in table_blocks(path, options.format, options.delimiter, options.block_rows, is_written=is_written):
            yield from table.take(block)
        if is_written:
            yield Rejected(path, f"its last line has no end; it is read when it has one, or after {REST_NS // 60_000_000_000} min")
        yield from table.frames(done.newest_ns, options.block_rows)
        newest_ns = max(done.newest_ns, table.newest_ns - (is_open and not is_written))
        self._done[path] = _Done(None if is_written else signature, runs, newest_ns, table.rows)

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def _may_end_within_a_row(self, path: str) -> bool:
        """Whether the last row of a text is perhaps still being written.

        It waits until it is whole or the file has rested; then it is taken, and taken again should the file grow.
        """
        if path.endswith(".gz") or format_of(path, self._options.format) != "csv":
            return False
        with Path(path).open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _start_of_runs(self) -> Mapping[int, int]:
        """From the table of runs, where there is one."""
        runs = self._options.runs
        if runs is None:
            return {}
        path = str(runs.file)
        blocks = table_blocks(path, "auto", "", self._options.block_rows)
        columns = (block.columns for block in blocks if isinstance(block, Block))
        return start_of_runs(columns, path, runs.run, runs.start, self._options.time_format, self._options.timezone)


class _Done(NamedTuple):
    """What was read of a file."""

    signature: Signature | None
    runs: Signature | None
    """Of the table of runs: what had no start then may have one now."""
    newest_ns: int
    rows: int
