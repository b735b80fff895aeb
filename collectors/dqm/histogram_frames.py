"""From the histograms of one snapshot of a file to a frame of one row, with what cannot be true taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Rejected
from collectors.dqm.run_files import WHOLE_RUN, RunFile
from collectors.frame import Axis, Channel, Column, Frame, Histogram, Kind, Layout, Quality, Storage
from collectors.patterns import Places

RUN, LUMISECTION = "run", "lumisection"
"""Names of the channels; the framework begins totals anew where the run changes, and joins conditions of these names by default."""


class Content(Protocol):
    """The numbers of one snapshot of a histogram."""

    def write(self, row: NDArray[np.float64], axes: Sequence[Axis]) -> None:
        """Fills the histogram's section of a frame's row: entries, then each sum with the last axis fastest."""


class Found(NamedTuple):
    """A histogram of a snapshot; no content where it is there and cannot be read."""

    histogram: Histogram
    content: Content | None


class HistogramFrames:
    """Frames of one series of files. The layout stays the same as long as the histograms do."""

    def __init__(self, source: str, part: str, places: Places) -> None:
        self._layout = Layout(source, (), part)
        self._places = places
        self._run = Channel(RUN, RUN, "", Kind.STATE, places.origin)
        self._lumisection = Channel(LUMISECTION, LUMISECTION, "", Kind.STATE, places.origin)
        self._has_lumisections = False

    def is_taken(self, name: str, file: RunFile) -> bool:
        """Whether a channel of this file has the name already."""
        return file.run >= 0 and name in (RUN, LUMISECTION)

    def histogram(self, known: Histogram | None, name: str, axes: tuple[Axis, ...], storage: Storage, *, flow: bool = True) -> Histogram:
        """The known histogram where it is still the same, or a new one."""
        if known is not None and (known.axes, known.storage, known.flow) == (axes, storage, flow):
            return known
        return Histogram(name, axes, storage, self._places.of(name), flow)

    def frame(self, file: RunFile, time_ns: int, found: Sequence[Found]) -> tuple[Frame, list[Rejected]]:
        """The frame, and the histograms whose numbers cannot be true."""
        columns: tuple[Column, ...] = (*self._channels(file), *(histogram for histogram, _ in found))
        if columns != self._layout.columns:
            self._layout = Layout(self._layout.source, columns, self._layout.part)
        row = np.empty(self._layout.width)
        starts = self._layout.starts[len(columns) - len(found) :]
        row[: starts[0]] = [file.run, file.lumisection if file.lumisection != WHOLE_RUN else np.nan][: starts[0]]
        for (histogram, content), start, stop in zip(found, starts[:-1], starts[1:], strict=True):
            if content is None:
                row[start:stop] = np.nan
            else:
                content.write(row[start:stop], histogram.axes)
        is_broken = np.array([content is None for _, content in found], dtype=bool)
        is_untrue = _untrue(row, starts) & ~is_broken if found else is_broken
        quality = _blank(row, starts, is_broken | is_untrue)
        frame = Frame(self._layout, np.array([time_ns], dtype=np.int64), row[None], quality)
        reason = "its contents are not finite numbers or its entries are negative"
        return frame, [Rejected(f"{file.path}:{found[i].histogram.path}", reason) for i in np.flatnonzero(is_untrue).tolist()]

    def _channels(self, file: RunFile) -> tuple[Channel, ...]:
        self._has_lumisections |= file.lumisection != WHOLE_RUN
        if file.run < 0:
            return ()
        return (self._run, self._lumisection) if self._has_lumisections else (self._run,)


def _blank(row: NDArray[np.float64], starts: NDArray[np.int64], bad: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """Takes the numbers of bad histograms out of the row, and says so in the quality that is returned."""
    if not bad.any():
        return None
    quality = np.full((1, len(row)), Quality.GOOD, dtype=np.uint8)
    for i in np.flatnonzero(bad):
        row[starts[i] : starts[i + 1]] = np.nan
        quality[0, starts[i] : starts[i + 1]] = Quality.INVALID
    return quality


def _untrue(row: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which histograms hold numbers that are not finite or count less than nothing; shape (histograms,)."""
    untrue: NDArray[np.bool_] = row[starts[:-1]] < 0
    is_infinite = ~np.isfinite(row[: starts[-1]])
    is_infinite[: starts[0]] = False  # a whole run has no lumisection
    if is_infinite.any():
        untrue |= np.logical_or.reduceat(is_infinite, starts[:-1])
    return untrue
