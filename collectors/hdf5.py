"""Recorded maps (occupancies by lumisection) in HDF5 files."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, ClassVar

import h5py
import numpy as np
from pydantic import Field, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.dqm.hdf5_maps import Map, MapBlocks, Times, Track, column_of, datasets_of, lookup, map_shape, rows_of
from collectors.dqm.histogram_frames import LUMISECTION, RUN
from collectors.frame import Axis, Channel, Histogram, Kind, LayoutError
from collectors.patterns import expression, fill, join_place
from collectors.tabular.table_blocks import expand
from collectors.tabular.table_columns import TableAxis, TimeOptions
from collectors.tabular.table_values import NO_TIME, moment_ns, numbers, row_times, times


class Hdf5Map(Options):
    """Which datasets are maps of one kind; the first entry whose pattern matches describes a dataset."""

    dataset: str = "*"
    """Pattern on the dataset's path in the file ("occupancy/*"); `*` also stands for "/"."""
    path: str = ""
    """The histogram's path; `{1}` is what the first `*` of `dataset` stands for. The dataset's path by default."""
    axes: tuple[TableAxis, ...] = ()
    """Titles with units, limits or edges of the map's axes, in the order of the dataset's axes without that of time."""
    flow: bool = False
    """The first and the last cell of each axis are under- and overflow."""
    entries: str | float = ""
    """Dataset with the number of entries of each row (`{1}` as in `path`), or a number for all; the sum of the cells by default."""
    normalised: bool = False
    """The cells are fractions of the entries, which must be given then: how much a fraction may fluctuate depends on them."""
    nan_is: float | None = None
    """What a cell without a number stands for (masked regions); by default its map is rejected."""
    place: str = ""
    """Below the source's own; `{1}` as in `path`."""

    @model_validator(mode="after")
    def _entries_known(self) -> Hdf5Map:
        if self.normalised and not self.entries:
            raise ValueError("`normalised` needs `entries`")
        return self


class Hdf5Options(TimeOptions):
    """What to read, when it was, and what the axes are.

    A reference is a dataset ("times"), an attribute of the file ("@start") or one of a dataset ("occupancy@times").
    """

    files: str = Field(min_length=1)
    """Glob; files are read in the order of their paths."""
    maps: tuple[Hdf5Map, ...] = Field(default=(Hdf5Map(),), min_length=1)
    """All datasets by default."""
    time_axis: int = Field(default=0, ge=0)
    """Which axis of the datasets is time (or the lumisection), counted from 0."""
    time: str = ""
    """Reference to the times of the rows, or to the time of the first one."""
    row_period_s: float | None = Field(default=None, gt=0)
    """Files with no times or only that of the first row: the time from row to row (23.31 for lumisections of CMS)."""
    start: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    """Files without times: when the first row of the first file was; the rows of the next file follow."""
    run: str = ""
    """Reference to the run of each row, or of all; it becomes the channel `run`."""
    lumisection: str = ""
    """Reference to the lumisection of each row; it becomes the channel `lumisection`."""

    @model_validator(mode="after")
    def _some_time(self) -> Hdf5Options:
        if not self.time and self.row_period_s is None:
            raise ValueError("give `time`, or `row_period_s` (with `start`)")
        return self


class Hdf5Collector:
    """Reads recorded maps of any number of dimensions from beginning to end, one histogram a dataset and one row a map.

    Maps hold counts, or shares of a number of entries that is given beside them. Only a few maps are in memory at a time. Example:

        [source.ecal-maps]
        collector = "hdf5"
        place = "CMS/ECAL"
        files = "/data/ecal/lumisections_*.hdf5"
        row_period_s = 23.31
        [[source.ecal-maps.maps]]
        dataset = "EBOccupancyTask*"
        axes = [{ title = "ieta", low = -85, high = 85 }, { title = "iphi", low = 1, high = 361 }]
    """

    options_model: ClassVar[type[Options]] = Hdf5Options
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: Hdf5Options) -> None:
        self._origin = origin
        self._options = options
        self._patterns = tuple((expression(kind.dataset), kind) for kind in options.maps)

    def collect(self) -> Iterator[Collected]:
        """All rows of all files; datasets and rows that cannot be used are rejected and the rest goes on."""
        paths = expand(self._options.files)
        rows_before = 0
        for path in paths:
            try:
                with closing(_open(path)) as file:
                    rows = yield from self._file(path, file, rows_before)
                rows_before += rows
            except CollectError as error:
                if len(paths) == 1:
                    raise
                yield Rejected(path, str(error).removeprefix(f"{path}: "))

    def close(self) -> None:
        """Nothing stays open after the last row."""

    def _file(self, path: str, file: Any, rows_before: int) -> Generator[Collected, None, int]:  # noqa: ANN401 - h5py has no types
        """All rows of one file; returns how many there are."""
        maps, rejected = self._maps(path, file)
        yield from rejected
        if not maps:
            raise CollectError(f"{path}: no dataset in it is a map that `maps` describes")
        rows = rows_of(maps[0].dataset, self._options.time_axis)
        tracks = [self._track(path, file, name, rows) for name in (RUN, LUMISECTION) if getattr(self._options, name)]
        time_ns = self._times(path, file, rows, rows_before)
        try:
            blocks = MapBlocks(self._origin.source, maps, tracks, self._options.time_axis)
        except LayoutError as error:
            raise CollectError(f"{path}: {error}") from None
        yield from blocks.frames(path, time_ns)
        return rows

    def _maps(self, path: str, file: Any) -> tuple[list[Map], list[Rejected]]:  # noqa: ANN401 - as above
        """The datasets that are maps, all with as many rows as the first one, and those that cannot be used."""
        maps: list[Map] = []
        rejected: list[Rejected] = []
        beside = {self._options.time, self._options.run, self._options.lumisection}
        beside |= {fill(kind.entries, match) for _, kind, match in self._described(file) if isinstance(kind.entries, str)}
        for dataset, kind, match in self._described(file):
            name = dataset.name.strip("/")
            if name in beside:
                continue
            try:
                maps.append(self._map(file, dataset, kind, match, rows_of(maps[0].dataset, self._options.time_axis) if maps else None))
            except (ValueError, CollectError) as error:
                rejected.append(Rejected(f"{path}:{name}", str(error).removeprefix(f"{path}: ")))
        return maps, rejected

    def _described(self, file: Any) -> Iterator[tuple[Any, Hdf5Map, re.Match[str]]]:  # noqa: ANN401 - as above
        for name, dataset in datasets_of(file):
            for pattern, kind in self._patterns:
                if match := pattern.fullmatch(name):
                    yield dataset, kind, match
                    break

    def _map(self, file: Any, dataset: Any, kind: Hdf5Map, match: re.Match[str], rows: int | None) -> Map:  # noqa: ANN401 - as above
        """One dataset as a map. Raises ValueError or CollectError."""
        shape = map_shape(dataset, self._options.time_axis)
        found = rows_of(dataset, self._options.time_axis)
        if rows is not None and found != rows:
            raise ValueError(f"it has {found} rows, the first map of the file has {rows}")
        entries = np.full(found, float(kind.entries)) if isinstance(kind.entries, float) else None
        if kind.entries and isinstance(kind.entries, str):
            entries, _ = numbers(column_of(lookup(file, fill(kind.entries, match))))
            if len(entries) != found:
                raise ValueError(f"{len(entries)} numbers of entries for {found} rows")
        name = fill(kind.path, match) if kind.path else match.string
        place = join_place(self._origin.place, fill(kind.place, match))
        return Map(dataset, Histogram(name, _axes(kind, shape), place=place, flow=kind.flow), entries, kind.normalised, kind.nan_is)

    def _track(self, path: str, file: Any, name: str, rows: int) -> Track:  # noqa: ANN401 - as above
        reference = getattr(self._options, name)
        values, bad = numbers(column_of(lookup(file, reference)))
        if bad.any() or len(values) not in (1, rows):
            what = "holds something that is no number" if bad.any() else f"has {len(values)} values for {rows} rows"
            raise CollectError(f"{path}: {reference!r} {what}")
        return Track(Channel(name, name, "", Kind.STATE, join_place(self._origin.place)), np.broadcast_to(values, (rows,)))

    def _times(self, path: str, file: Any, rows: int, rows_before: int) -> Times:  # noqa: ANN401 - as above
        options = self._options
        if not options.time:
            assert options.row_period_s is not None
            return row_times(moment_ns(options.start, options.timezone), options.row_period_s, rows_before, rows)
        found = times(column_of(lookup(file, options.time)), options.time_format, options.timezone)
        if len(found) == 1 and options.row_period_s is not None and found[0] != NO_TIME:
            return row_times(int(found[0]), options.row_period_s, 0, rows)
        if len(found) != rows or (found == NO_TIME).all():
            what = f"has {len(found)} times for {rows} rows" if len(found) != rows else "holds no time that can be read"
            raise CollectError(f"{path}: {options.time!r} {what}")
        return found


def _axes(kind: Hdf5Map, shape: tuple[int, ...]) -> tuple[Axis, ...]:
    """Axes for maps of this shape; ValueError where they contradict the options."""
    described = kind.axes or tuple(TableAxis(title=f"axis {i}") for i in range(len(shape)))
    if len(described) != len(shape):
        raise ValueError(f"{len(described)} `axes` for maps of {len(shape)} axes")
    bins = [size - 2 * kind.flow for size in shape]
    for axis, size in zip(described, bins, strict=True):
        if size < 1 or axis.bins not in (None, size):
            raise ValueError(f"axis {axis.title!r}: {size} bins{'' if axis.bins is None else f', not {axis.bins}'}")
    return tuple(axis.axis(size) for axis, size in zip(described, bins, strict=True))


def _open(path: str) -> Any:  # noqa: ANN401 - as above
    """The open file. Raises CollectError."""
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise CollectError(f"{path}: {error.strerror or ' '.join(str(error).split())}") from None
