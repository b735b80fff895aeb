"""Decodes histograms from the bytes ROOT streams them into, without building an object for each.

What a histogram looks like (name, title, axes) is parsed once; as long as those bytes stay the same, the next snapshot of
it is a comparison and a view of its numbers. Layouts follow the streamer info of TH1 (versions 6 to 8), TAxis (9 and 10), TProfile
and TList (https://root.cern.ch/doc/master/classTH1.html); what differs from them raises UnknownLayoutError, and
`from_model` takes over with uproot, which reads the streamer info of the file itself.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.dqm.root_streams import DamagedHistogramError, Numbers, Stream, UnknownLayoutError
from collectors.frame import Axis, Storage
from collectors.quantities import from_title

_CLASS = re.compile(r"TH(?P<axes>[123])(?P<type>[CSILFD])|TProfile(?P<profile>[23]D)?")
_NUMBER_TYPES = {"C": ">i1", "S": ">i2", "I": ">i4", "L": ">i8", "F": ">f4", "D": ">f8"}
_AXIS_NAMES = ("x", "y", "z")
_TH1_VERSIONS = range(6, 9)
_TAXIS_VERSIONS = range(9, 11)


@dataclass(frozen=True, slots=True)
class Structure:
    """What does not change from snapshot to snapshot: axes, storage, and where in the payload the numbers lie."""

    class_name: str
    axes: tuple[Axis, ...]
    storage: Storage
    payload_bytes: int
    head: bytes
    """Name, title and axes: everything before the number of entries."""
    tail_at: int
    tail: bytes
    """Options, attached functions and buffer, which lie between the sums."""
    sums: tuple[Numbers, ...]
    """One array for each field of the storage; of an unweighted profile the first two are the same."""

    def fits(self, payload: bytes, class_name: str) -> bool:
        """Whether the payload is another snapshot of the same histogram."""
        return (
            class_name == self.class_name
            and len(payload) == self.payload_bytes
            and payload.startswith(self.head)
            and payload.startswith(self.tail, self.tail_at)
            and all(int.from_bytes(payload[s.at - 4 : s.at], "big") == s.length for s in self.sums)
        )

    def content(self, payload: bytes) -> Content:
        """Entries and sums of a payload that fits."""
        (entries,) = struct.unpack_from(">d", payload, len(self.head))
        return Content(entries, tuple(np.frombuffer(payload, s.number_type, s.length, s.at) for s in self.sums))


class Content(NamedTuple):
    """The numbers of one snapshot: entries, and for each field of the storage all cells, flow included, x fastest."""

    entries: float
    sums: tuple[NDArray[Any], ...]

    def write(self, row: NDArray[np.float64], axes: Sequence[Axis]) -> None:
        """Fills the histogram's section of a frame's row, in which the last axis is fastest."""
        row[0] = self.entries
        at = 1
        for values in self.sums:
            section = row[at : at + len(values)]
            if len(axes) == 1:
                section[:] = values
            else:
                cells = tuple(axis.bins + 2 for axis in axes)
                section.reshape(cells)[...] = values.reshape(cells[::-1]).T
            at += len(values)


def is_histogram(class_name: str) -> bool:
    """Whether objects of this class can be read."""
    return _CLASS.fullmatch(class_name) is not None


def parse(payload: bytes, class_name: str) -> Structure:
    """The structure of a streamed histogram. Raises UnknownLayoutError or DamagedHistogramError."""
    match = _CLASS.fullmatch(class_name)
    if match is None:
        raise UnknownLayoutError(f"no histogram class: {class_name}")
    try:
        return _parse(payload, match)
    except (struct.error, IndexError):
        raise DamagedHistogramError("its bytes end early") from None


def _parse(payload: bytes, match: re.Match[str]) -> Structure:
    stream = Stream(payload)
    is_profile = match["axes"] is None
    axes_count = int(match["axes"] or (match["profile"] or "1")[0])
    stream.enter()
    if is_profile:
        stream.enter()  # TH1D, TH2D or TH3D
    if axes_count > 1:
        _, base_end = stream.enter()  # TH2 or TH3
    base = _Base.parse(stream, axes_count)
    if axes_count > 1:
        stream.at = base_end
    cells = stream.numbers(">f8" if is_profile else _NUMBER_TYPES[match["type"]])
    sums: tuple[Numbers, ...] = (cells, base.sum_w2) if base.sum_w2.length else (cells,)
    storage = Storage.WEIGHTED if base.sum_w2.length else Storage.COUNT
    if is_profile:
        entries = stream.numbers(">f8")
        stream.skip(4 + 4 * 8)  # fErrorMode, fYmin, fYmax and two sums
        weights = stream.numbers(">f8") if len(payload) - stream.at >= 4 else entries
        sums = (entries, weights if weights.length else entries, cells, base.sum_w2)
        storage = Storage.PROFILE
    expected = math.prod(axis.bins + 2 for axis in base.axes)
    if any(s.length != expected for s in sums):
        raise DamagedHistogramError(f"{[s.length for s in sums]} cells, its axes have {expected}")
    tail = payload[base.tail_at : base.end]
    return Structure(match[0], base.axes, storage, len(payload), payload[: base.entries_at], base.tail_at, tail, sums)


class _Base(NamedTuple):
    """The TH1 part that all histograms share."""

    axes: tuple[Axis, ...]
    entries_at: int
    sum_w2: Numbers
    tail_at: int
    end: int

    @classmethod
    def parse(cls, stream: Stream, axes_count: int) -> _Base:
        version, end = stream.enter()
        if version not in _TH1_VERSIONS:
            raise UnknownLayoutError(f"TH1 of version {version}")
        for _ in range(4):  # TNamed, TAttLine, TAttFill, TAttMarker
            stream.skip_object()
        stream.skip(4)  # fNcells
        axes = tuple(_axis(stream, name) for name in _AXIS_NAMES)[:axes_count]
        stream.skip(4)  # fBarOffset, fBarWidth
        entries_at = stream.at
        stream.skip(8 * 8)  # fEntries, four sums, fMaximum, fMinimum, fNormFactor
        stream.numbers(">f8")  # fContour
        sum_w2 = stream.numbers(">f8")
        tail_at = stream.at
        stream.text()  # fOption
        stream.skip_object()  # fFunctions
        buffer_numbers = stream.number(">i")
        if buffer_numbers > 0:
            stream.skip(1)
            if stream.number(">d") > 0:
                raise DamagedHistogramError("its entries still wait in its buffer, the range of its axis is not fixed yet")
        stream.at = end
        return cls(axes, entries_at, sum_w2, tail_at, end)


def _axis(stream: Stream, default_name: str) -> Axis:
    version, end = stream.enter()
    if version not in _TAXIS_VERSIONS:
        raise UnknownLayoutError(f"TAxis of version {version}")
    _, title = stream.named()
    stream.skip_object()  # TAttAxis
    bins, low, high = stream.number(">i"), stream.number(">d"), stream.number(">d")
    edges = stream.numbers(">f8")
    stream.skip(4 + 4 + 2 + 1)  # fFirst, fLast, fBits2, fTimeDisplay
    stream.text()  # fTimeFormat
    labels = stream.labels()
    stream.at = end
    name, unit = from_title(title, default_name)
    return axis(name, unit, bins, low, high, stream.array(edges), labels)


def axis(name: str, unit: str, bins: int, low: float, high: float, edges: NDArray[Any], labels: dict[int, str]) -> Axis:
    """An axis from what ROOT keeps of it; `labels` counts bins from 1. Raises DamagedHistogramError."""
    try:
        if bins < 1:
            raise ValueError(f"axis {name!r}: {bins} bins")
        named = tuple(labels.get(i, "") for i in range(1, bins + 1)) if labels else ()
        variable = tuple(float(edge) for edge in edges)
        if variable:
            low, high = variable[0], variable[-1]
        return Axis(name, unit, bins, float(low), float(high), variable, named)
    except ValueError as error:
        raise DamagedHistogramError(str(error)) from None
