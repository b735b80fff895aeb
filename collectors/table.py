"""Recorded tables: CSV, Parquet and NumPy archives, wide (a column a channel) or long (a row a reading)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.frame import Axis, Channel, Kind
from collectors.patterns import Places, PlaceTemplates, Selection, join_place, matches
from collectors.quantities import from_title
from collectors.table_blocks import Block, csv_blocks, expand, npz_blocks, parquet_blocks
from collectors.table_frames import HistogramSource, LongTable, WideTable
from collectors.table_values import TimeFormat, times

TIME_COLUMNS = ("time", "timestamp", "datetime", "date_time", "time_ns", "time_ms", "time_s", "t")
"""What the column of times is looked for as, in any case of letters, where no option names it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TableAxis(Options):
    """One axis of a histogram whose bins are columns: regular between `low` and `high`, or with `edges`."""

    title: str = "x"
    """With its unit: "charge [e]"."""
    bins: int | None = Field(default=None, ge=1)
    """Without flow bins; needed where there is more than one axis."""
    low: float = 0.0
    high: float | None = None
    """The number of bins by default."""
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    def axis(self, bins: int) -> Axis:
        """The axis with this number of bins; ValueError where it contradicts the options."""
        name, unit = from_title(self.title, "x")
        if self.labels and len(self.labels) != bins:
            raise ValueError(f"axis {name!r}: {len(self.labels)} labels for {bins} bins")
        if self.edges:
            if len(self.edges) != bins + 1:
                raise ValueError(f"axis {name!r}: {bins} bins need {bins + 1} edges")
            return Axis.variable(name, unit, self.edges)
        return Axis(name, unit, bins, self.low, float(bins) if self.high is None else self.high, labels=self.labels)


class TableHistogram(Options):
    """A histogram in every row, from a run of columns or a matrix of an archive."""

    path: str
    columns: str = ""
    """Names of the columns with `{}` for the number of the bin ("bin_{}")."""
    array: str = ""
    """NumPy archives: the array with a histogram a row."""
    axes: tuple[TableAxis, ...] = (TableAxis(),)
    flow: bool = False
    """The first and the last bin of each axis are under- and overflow."""
    entries: str = ""
    """Column with the number of entries; the sum of the bins by default."""
    normalised: bool = False
    """The bins are fractions of the entries."""
    place: str = ""
    """Below the source's own."""

    @model_validator(mode="after")
    def _one_source(self) -> TableHistogram:
        if bool(self.columns) == bool(self.array) or (self.columns and self.columns.count("{}") != 1):
            raise ValueError("give either `columns`, with one {} for the bin's number, or `array`")
        if self.normalised and not self.entries:
            raise ValueError("`normalised` needs `entries`")
        if len(self.axes) > 1 and any(axis.bins is None for axis in self.axes):
            raise ValueError("several axes need `bins` each")
        return self

    def sized_axes(self, bins: int) -> tuple[Axis, ...]:
        """Axes for this number of bins, flow bins included. Raises ValueError."""
        extra = 2 * self.flow
        sizes = [bins - extra if axis.bins is None else axis.bins for axis in self.axes]
        if min(sizes) < 1 or np.prod([size + extra for size in sizes]) != bins:
            raise ValueError(f"histogram {self.path!r}: {bins} bins do not fit {sizes}{' with flow bins' if self.flow else ''}")
        return tuple(axis.axis(size) for axis, size in zip(self.axes, sizes, strict=True))


class TableOptions(Options):
    """What to read and what its columns mean."""

    files: str = Field(min_length=1)
    """Glob; files are read in the order of their paths."""
    format: Literal["auto", "csv", "parquet", "npz"] = "auto"
    """By the file's ending by default; what is neither Parquet nor a NumPy archive is text, also compressed."""
    time: str = ""
    """Column (or vector of an archive) of times; one called time, timestamp, datetime … by default."""
    time_format: TimeFormat = "auto"
    """auto: ISO 8601, or seconds to nanoseconds since 1970 by their size."""
    timezone: str = "UTC"
    """IANA name, for times that name no zone."""
    row_period_s: float | None = Field(default=None, gt=0)
    """Tables without times: the time from row to row, over all files."""
    start: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    """Tables without times: when the first row was."""
    channel: str = ""
    """Long tables: the column that names the channel; each row is one reading."""
    value: str = "value"
    """Long tables: the column of readings."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the channel's name; one must match. Columns of text are no channels unless they have `states`."""
    exclude: tuple[str, ...] = ()
    """Patterns of channels that are left out."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's; `{1}` is what the first `*` stands for."""
    units: dict[str, str] = Field(default_factory=dict)
    """Pattern = unit; a name such as "pressure [bar]" carries its own."""
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Pattern = gauge, counter, state or bits; gauge by default."""
    states: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the values of a state, lowest first; cells hold the name or its number."""
    histograms: tuple[TableHistogram, ...] = ()
    names: tuple[str, ...] = ()
    """Names of the columns where the file has none."""
    delimiter: str = Field(default="", max_length=1)
    """Text: what separates the columns; found out by default."""
    array: str = ""
    """NumPy archives: the array with a column a channel; the only one of two dimensions by default."""
    vectors: tuple[str, ...] = ()
    """NumPy archives: arrays of one dimension that are channels as well."""
    block_rows: int = Field(default=4096, ge=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"no time zone {name!r}") from None
        return name


class TableCollector:
    """Reads recorded tables from beginning to end, as if it were happening.

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
        self._selection = Selection(options.include, options.exclude)
        self._places = Places(origin.place, options.places)
        self._histograms = tuple(
            HistogramSource(h.path, join_place(origin.place, h.place), h.columns, h.array, h.sized_axes, h.flow, h.entries, h.normalised)
            for h in options.histograms
        )

    def collect(self) -> Iterator[Collected]:
        """All rows of all files; of cells and rows that cannot be read a few are named and the rest is counted."""
        paths = expand(self._options.files)
        rows_before, channels = 0, dict[str, Channel]()
        for path in paths:
            rows = 0
            wide = WideTable(self._origin.source, path, self._describe, self._histograms)
            long = LongTable(self._origin.source, path, self._describe, channels)
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
            start = options.start if options.start.tzinfo else options.start.replace(tzinfo=ZoneInfo(options.timezone))
            start_ns = (start - _EPOCH) // timedelta(microseconds=1) * 1000
            row = np.arange(block.rows) + block.first_row - 1 + rows_before
            return "", start_ns + (row * round(options.row_period_s * 1e9)).astype(np.int64)
        by_name = {name.lower(): name for name in reversed(block.columns)}
        time = options.time or next((by_name[name] for name in TIME_COLUMNS if name in by_name), "")
        if time not in block.columns:
            wanted = f"no column {time!r}" if time else "no column of times"
            raise CollectError(f"{path}: {wanted} among {', '.join(block.columns)}; name it in `time`, or give `row_period_s`")
        return time, times(block.columns[time], options.time_format, options.timezone)

    def _describe(self, name: str) -> Channel | None:
        if name not in self._selection:
            return None
        options = self._options
        quantity, unit = from_title(name)
        states = next((names for pattern, names in options.states.items() if matches(pattern, name)), ())
        kind = next((k for pattern, k in options.kinds.items() if matches(pattern, name)), Kind.STATE if states else Kind.GAUGE)
        unit = next((u for pattern, u in options.units.items() if matches(pattern, name)), unit)
        return Channel(name, quantity, unit, kind, self._places.of(name), states)
