"""The data model: what a source measures (Layout) and blocks of what it measured (Frame, Updates).

Records are blocks of many snapshots of many columns, never single values: one Python object for each
sample is what makes a monitoring daemon slow.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = np.float64 | np.float32


class Kind(StrEnum):
    """What a channel's numbers mean. Only gauges are scored as numbers."""

    GAUGE = "gauge"
    COUNTER = "counter"  # grows; becomes a rate before anything judges it
    STATE = "state"  # index into `Channel.states`
    BITS = "bits"  # a status word; `Channel.states` names its bits, lowest first


class Quality(IntEnum):
    """Whether a reading can be believed. Detectors score only GOOD ones."""

    GOOD = 0
    STALE = 1
    INVALID = 2
    DISCONNECTED = 3
    RAMPING = 4
    MUTED = 5


class Storage(StrEnum):
    """What a histogram keeps in each bin."""

    COUNT = "count"
    WEIGHTED = "weighted"
    PROFILE = "profile"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the sums kept for each bin. All of them are additive, so snapshots can be differenced."""
        return _FIELDS[self]


_FIELDS = {
    Storage.COUNT: ("count",),
    Storage.WEIGHTED: ("sum_w", "sum_w2"),
    Storage.PROFILE: ("sum_w", "sum_w2", "sum_wy", "sum_wy2"),
}


def digest_of(*parts: object) -> str:
    """16 hexadecimal digits that depend on the parts alone: the same in every process and version."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def is_within(place: str, ancestor: str) -> bool:
    """Whether `place` is `ancestor` or lies below it in the tree of places ("CMS/ECAL/EB+")."""
    return not ancestor or place == ancestor or place.startswith(ancestor + "/")


@dataclass(frozen=True, slots=True)
class Channel:
    """One number that a source reads again and again.

    `unit` is a unit symbol ("V", "Hz", "1" for a plain ratio, "" for states and bits). `place` is the path in the tree
    of the detector or the computing centre. `states` names the values of a state or the bits of a status word.
    """

    name: str
    quantity: str
    unit: str
    kind: Kind = Kind.GAUGE
    place: str = ""
    states: tuple[str, ...] = ()

    width = 1

    def identity(self) -> tuple[object, ...]:
        """What makes it the same channel over time: a model or a state belongs to this."""
        return ("channel", self.name, self.quantity, self.unit, str(self.kind))

    def description(self) -> list[object]:
        """All of it, as plain JSON values."""
        return ["channel", self.name, self.quantity, self.unit, str(self.kind), self.place, list(self.states)]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a histogram: regular (`bins` between `low` and `high`), or with `edges`, or with `labels`."""

    name: str
    unit: str
    bins: int
    low: float
    high: float
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # 0 and 0.0 are one axis but two texts, and keys and digests are made of texts
        object.__setattr__(self, "bins", int(index(self.bins)))
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        if self.bins < 1 or not math.isfinite(self.high - self.low) or self.high <= self.low:
            raise ValueError(f"axis {self.name!r}: {self.bins} bins from {self.low} to {self.high}")
        if self.edges and (len(self.edges) != self.bins + 1 or not all(np.diff(self.edges) > 0)):
            raise ValueError(f"axis {self.name!r}: {self.bins} bins need {self.bins + 1} rising edges")
        if self.edges and (self.edges[0], self.edges[-1]) != (self.low, self.high):
            raise ValueError(f"axis {self.name!r}: edges from {self.edges[0]} to {self.edges[-1]}, not from {self.low} to {self.high}")
        if self.labels and len(self.labels) != self.bins:
            raise ValueError(f"axis {self.name!r}: {len(self.labels)} labels for {self.bins} bins")

    @classmethod
    def variable(cls, name: str, unit: str, edges: Sequence[float]) -> Axis:
        """An axis with bins of different width."""
        return cls(name, unit, len(edges) - 1, float(edges[0]), float(edges[-1]), tuple(float(e) for e in edges))

    @property
    def edges_array(self) -> NDArray[np.float64]:
        """Bin edges, shape (bins + 1,)."""
        return np.array(self.edges) if self.edges else np.linspace(self.low, self.high, self.bins + 1)

    def section(self, start: int, stop: int) -> Axis:
        """The axis of bins start..stop alone."""
        edges = self.edges_array[start : stop + 1]
        kept = tuple(float(e) for e in edges) if self.edges else ()
        return Axis(self.name, self.unit, stop - start, float(edges[0]), float(edges[-1]), kept, self.labels[start:stop])

    def description(self) -> list[object]:
        """All of it, as plain JSON values."""
        return [self.name, self.unit, self.bins, self.low, self.high, list(self.edges), list(self.labels)]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram that a source shows again and again.

    In a frame it is a slice of columns: the number of entries, then one run of bins for each of `storage.fields`,
    row-major over the axes. With `flow` every axis has an underflow bin before and an overflow bin after its own.
    """

    path: str
    axes: tuple[Axis, ...]
    storage: Storage = Storage.COUNT
    place: str = ""
    flow: bool = True

    @property
    def name(self) -> str:
        """The path: every column has a name."""
        return self.path

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins along each axis as stored, flow bins included."""
        return tuple(axis.bins + 2 * self.flow for axis in self.axes)

    @property
    def width(self) -> int:
        """Number of columns it takes in a frame."""
        return 1 + len(self.storage.fields) * math.prod(self.shape)

    def identity(self) -> tuple[object, ...]:
        """What makes it the same histogram over time; another binning is another histogram."""
        return ("histogram", self.path, str(self.storage), [axis.description() for axis in self.axes])

    def description(self) -> list[object]:
        """All of it, as plain JSON values."""
        return ["histogram", self.path, [a.description() for a in self.axes], str(self.storage), self.place, self.flow]


Column = Channel | Histogram


class LayoutError(ValueError):
    """A layout or a block that contradicts itself."""


@dataclass(frozen=True)
class Layout:
    """What the columns of a source's blocks are. Only an index for the wire: models and state belong to keys.

    A source with too many columns for one block is split into parts, which are layouts of their own with the same
    source; the keys stay the same.
    """

    source: str
    columns: tuple[Column, ...]
    part: str = ""

    def __post_init__(self) -> None:
        if len(self._index) != len(self.columns):
            twice = sorted(name for name, times in Counter(c.name for c in self.columns).items() if times > 1)[:5]
            raise LayoutError(f"source {self.source!r}: names used twice: {', '.join(twice)}")

    @cached_property
    def _index(self) -> dict[str, int]:
        return {column.name: i for i, column in enumerate(self.columns)}

    @cached_property
    def digest(self) -> str:
        """Names this layout on the wire."""
        return digest_of(self.source, self.part, [column.description() for column in self.columns])

    @property
    def stream(self) -> str:
        """The key of its blocks on the bus: the order of blocks within a stream holds."""
        return f"{self.source}#{self.part}" if self.part else self.source

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """One key for each of `columns`: a hash of source, name, quantity, unit, kind or axes."""
        return tuple(digest_of(self.source, *column.identity()) for column in self.columns)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First column of each of `columns` in a frame, and the width as the last value; shape (len(columns) + 1,)."""
        return np.cumsum([0, *(column.width for column in self.columns)], dtype=np.int64)

    @property
    def width(self) -> int:
        """Number of columns of a frame."""
        return int(self.starts[-1])

    @cached_property
    def channels(self) -> tuple[Channel, ...]:
        """The channels alone, in order."""
        return tuple(c for c in self.columns if isinstance(c, Channel))

    @cached_property
    def histograms(self) -> tuple[Histogram, ...]:
        """The histograms alone, in order."""
        return tuple(c for c in self.columns if isinstance(c, Histogram))

    def column(self, name: str) -> Column:
        """The channel or histogram of this name; KeyError where there is none."""
        return self.columns[self._index[name]]

    def key(self, name: str) -> str:
        """The key of the channel or histogram of this name."""
        return self.keys[self._index[name]]

    def position(self, name: str) -> int:
        """First frame column of the channel or histogram of this name."""
        return int(self.starts[self._index[name]])

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def of_kind(self, *kinds: Kind) -> NDArray[np.int64]:
        """Frame columns of all channels of these kinds, rising."""
        wanted = [i for i, c in enumerate(self.columns) if isinstance(c, Channel) and c.kind in kinds]
        return self.starts[:-1][np.array(wanted, dtype=np.int64)]

    def owner(self, frame_column: int) -> Column:
        """The channel or histogram that a frame column belongs to."""
        return self.columns[int(np.searchsorted(self.starts, frame_column, side="right")) - 1]

    def entries(self, frame: Frame, path: str) -> NDArray[Float]:
        """Number of entries of a histogram, shape (n,); a view."""
        return frame.values[:, self.position(self._histogram(path).path)]

    def view(self, frame: Frame, path: str, field: str | None = None, *, flow: bool = False) -> NDArray[Float]:
        """One sum of a histogram as (n, *bins), a view into the frame; with `flow` the flow bins are included.

        `field` is one of the storage's fields (the first by default).
        """
        histogram = self._histogram(path)
        fields = histogram.storage.fields
        if field is not None and field not in fields:
            raise LayoutError(f"histogram {path!r} of source {self.source!r} keeps {', '.join(fields)}, not {field!r}")
        size = math.prod(histogram.shape)
        start = self.position(path) + 1 + (fields.index(field) if field else 0) * size
        bins = frame.values[:, start : start + size].reshape(len(frame), *histogram.shape)
        if histogram.flow and not flow:
            bins = bins[(slice(None), *(slice(1, -1) for _ in histogram.axes))]
        return bins

    def _histogram(self, path: str) -> Histogram:
        histogram = self.column(path)
        if not isinstance(histogram, Histogram):
            raise LayoutError(f"{path!r} of source {self.source!r} is a channel, not a histogram")
        return histogram

    def select(self, columns: Iterable[Column], part: str = "") -> Layout:
        """A layout of some of the columns."""
        return Layout(self.source, tuple(columns), part)


@dataclass(frozen=True, eq=False)
class Frame:
    """n snapshots of all m columns of a layout.

    time_ns: shape (n,), int64, UTC. values: shape (n, m), float32 or float64, NaN is "no reading". quality: shape
    (n, m), uint8 of `Quality`, or None where all are good.
    """

    layout: Layout
    time_ns: NDArray[np.int64]
    values: NDArray[Float]
    quality: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        source = self.layout.source
        if self.time_ns.dtype != np.int64 or self.time_ns.ndim != 1:
            raise LayoutError(f"source {source!r}: time_ns must be int64 of one dimension")
        expected = (len(self.time_ns), self.layout.width)
        if self.values.dtype not in (np.float32, np.float64) or self.values.shape != expected:
            raise LayoutError(f"source {source!r}: values {_form(self.values)}, expected float32 or float64 {expected}")
        if self.quality is not None and (self.quality.dtype != np.uint8 or self.quality.shape != expected):
            raise LayoutError(f"source {source!r}: quality {_form(self.quality)}, expected uint8 {expected}")

    def __len__(self) -> int:
        return len(self.time_ns)

    def rows(self, which: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Frame:
        """Some of the snapshots; a view where `which` is a slice."""
        quality = None if self.quality is None else self.quality[which]
        return replace(self, time_ns=self.time_ns[which], values=self.values[which], quality=quality)

    def readings(self, columns: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """Values of some columns as float64, NaN wherever the quality is not good; shape (n, len(columns))."""
        values = self.values[:, columns].astype(np.float64)
        if self.quality is not None:
            values[self.quality[:, columns] != Quality.GOOD] = np.nan
        return values


@dataclass(frozen=True, eq=False)
class Updates:
    """The sparse block of event-driven sources: k single readings.

    time_ns, column (index into the frame's columns), value, quality: each of shape (k,), in order of arrival.
    """

    layout: Layout
    time_ns: NDArray[np.int64]
    column: NDArray[np.int32]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def __post_init__(self) -> None:
        k = len(self.time_ns)
        if any(array.shape != (k,) for array in (self.time_ns, self.column, self.value, self.quality)):
            raise LayoutError(f"source {self.layout.source!r}: arrays of updates differ in length")
        types = [str(array.dtype) for array in (self.time_ns, self.column, self.value, self.quality)]
        if types != ["int64", "int32", "float64", "uint8"]:
            raise LayoutError(f"source {self.layout.source!r}: updates of {', '.join(types)}, not int64, int32, float64, uint8")
        if k and (self.column.min() < 0 or self.column.max() >= self.layout.width):
            raise LayoutError(f"source {self.layout.source!r}: an update names a column that the layout does not have")

    def __len__(self) -> int:
        return len(self.time_ns)


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"


def concatenate(frames: Sequence[Frame]) -> Frame:
    """Frames of one layout as one, in the order given."""
    layout = frames[0].layout
    if any(f.layout.digest != layout.digest for f in frames):
        raise LayoutError(f"source {layout.source!r}: frames of different layouts cannot be joined")
    quality = None
    if any(f.quality is not None for f in frames):
        quality = np.concatenate([np.zeros(f.values.shape, np.uint8) if f.quality is None else f.quality for f in frames])
    return Frame(layout, np.concatenate([f.time_ns for f in frames]), np.concatenate([f.values for f in frames]), quality)
