"""Cumulative histograms of a run and the ROOT file that shows them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from numpy.typing import NDArray
from uproot.writing import identify


@dataclass(frozen=True, slots=True)
class RegularAxis:
    """Equal bins between `low` and `high`; `title` is "quantity [unit]"."""

    title: str
    bins: int
    low: float
    high: float

    @property
    def centres(self) -> NDArray[np.float64]:
        """Bin centres with one bin of under- and overflow on either side, shape (bins + 2,)."""
        width = (self.high - self.low) / self.bins
        return np.asarray(self.low + width * (np.arange(self.bins + 2) - 0.5), dtype=np.float64)

    def to_root(self, name: str) -> Any:  # noqa: ANN401 (uproot is untyped)
        """The axis as uproot writes it."""
        return identify.to_TAxis(name, self.title, self.bins, self.low, self.high)


@dataclass(slots=True)
class CountHistogram:
    """Counts in one or two dimensions since the start of the run; `counts` includes flow bins."""

    path: str
    axes: tuple[RegularAxis, ...]
    counts: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything: a new run begins."""
        self.counts = np.zeros(tuple(axis.bins + 2 for axis in self.axes))

    def add(self, counts: NDArray[np.int64]) -> None:
        """Adds what one lumisection brought; `counts` has the shape of the bins without flow."""
        self.counts[tuple(slice(1, -1) for _ in self.axes)] += counts

    def to_root(self) -> Any:  # noqa: ANN401 (uproot is untyped)
        """The histogram as TH1D or TH2D; ROOT keeps x as the fastest index."""
        total = float(self.counts.sum())
        inside = self.counts[tuple(slice(1, -1) for _ in self.axes)]
        kept = float(inside.sum())
        x = self.axes[0].centres[1:-1]
        along_x = inside if len(self.axes) == 1 else inside.sum(axis=1)
        moments_x = (float(along_x @ x), float(along_x @ x**2))
        x_axis = self.axes[0].to_root("xaxis")
        if len(self.axes) == 1:
            return identify.to_TH1x(None, "", self.counts, total, kept, kept, *moments_x, None, x_axis)
        y = self.axes[1].centres[1:-1]
        along_y = inside.sum(axis=0)
        moments_y = (float(along_y @ y), float(along_y @ y**2), float(x @ inside @ y))
        flat = np.ascontiguousarray(self.counts.T).ravel()
        return identify.to_TH2x(None, "", flat, total, kept, kept, *moments_x, *moments_y, None, x_axis, self.axes[1].to_root("yaxis"))


@dataclass(slots=True)
class ProfileHistogram:
    """Mean of y in bins of x since the start of the run, kept as sums (entries, y, y squared) with flow bins."""

    path: str
    axis: RegularAxis
    sums: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everything: a new run begins."""
        self.sums = np.zeros((3, self.axis.bins + 2))

    def add(self, entries: NDArray[np.int64], sum_y: NDArray[np.float64], sum_y2: NDArray[np.float64]) -> None:
        """Adds what one lumisection brought, each of shape (bins,)."""
        self.sums[:, 1:-1] += (entries, sum_y, sum_y2)

    def to_root(self) -> Any:  # noqa: ANN401 (uproot is untyped)
        """The histogram as TProfile."""
        entries, sum_y, sum_y2 = self.sums
        x = self.axis.centres
        total = float(entries.sum())
        moments = (float(entries @ x), float(entries @ x**2), float(sum_y.sum()), float(sum_y2.sum()))
        return identify.to_TProfile(None, "", sum_y, total, total, total, *moments, sum_y2, entries, entries, self.axis.to_root("xaxis"))


RunHistogram = CountHistogram | ProfileHistogram


def write_root_file(path: Path, histograms: Iterable[RunHistogram], time_ns: int) -> None:
    """Replaces the file at once by one with these histograms; `time_ns` becomes its time of modification.

    A reader sees either the old file or the new one. It is not compressed: it is rewritten each lumisection.
    """
    temporary = path.with_name(f".{path.name}.new")
    with uproot.recreate(temporary, compression=None) as file:
        for histogram in histograms:
            file[histogram.path] = histogram.to_root()
    os.utime(temporary, ns=(time_ns, time_ns))
    temporary.replace(path)
