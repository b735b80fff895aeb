"""Histograms of a frame as counts, and the names of their bins."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Axis, Frame, Histogram, Layout, Quality, Storage

Array = NDArray[np.float64]


def field_columns(layout: Layout, histogram: Histogram, field: str) -> NDArray[np.int64]:
    """Frame columns of one sum of a histogram without flow bins, row-major; shape (bins,)."""
    size = math.prod(histogram.shape)
    start = layout.position(histogram.path) + 1 + histogram.storage.fields.index(field) * size
    index = np.arange(start, start + size).reshape(histogram.shape)
    if histogram.flow:
        index = index[tuple(slice(1, -1) for _ in histogram.axes)]
    return index.ravel()


def good_rows(frame: Frame, histogram: Histogram) -> NDArray[np.bool_]:
    """Rows in which the number of entries is there and all of the histogram has good quality; shape (n,)."""
    start = frame.layout.position(histogram.path)
    good: NDArray[np.bool_] = np.isfinite(frame.values[:, start])
    if frame.quality is not None:
        good &= (frame.quality[:, start : start + histogram.width] == Quality.GOOD).all(axis=1)
    return good


def counts(frame: Frame, histogram: Histogram, columns: NDArray[np.int64], squares: NDArray[np.int64] | None) -> Array:
    """Counts of each bin, shape (n, bins); rows that are not good are NaN throughout.

    For weighted histograms (`squares`: columns of the sums of squared weights) they are the equivalent number of unweighted
    entries, with one factor for all bins: sum of weights over sum of squared weights. Negative sums count as 0.
    """
    values = np.maximum(frame.values[:, columns].astype(np.float64), 0.0)
    if squares is not None:
        squared = frame.values[:, squares].astype(np.float64).sum(axis=1)
        values *= np.divide(values.sum(axis=1), squared, out=np.zeros(len(values)), where=squared > 0)[:, None]
    values[~good_rows(frame, histogram) | ~np.isfinite(values).all(axis=1)] = np.nan
    return values


def count_columns(layout: Layout, histogram: Histogram) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """What `counts` needs of a histogram of counts or weights."""
    if histogram.storage is Storage.COUNT:
        return field_columns(layout, histogram, "count"), None
    return field_columns(layout, histogram, "sum_w"), field_columns(layout, histogram, "sum_w2")


def bin_name(histogram: Histogram, bin_number: int) -> str:
    """A bin as a reader knows it: its labels, or the range along each axis ("eta -3 to -2, phi 12.5 to 13.5")."""
    position = np.unravel_index(bin_number, tuple(axis.bins for axis in histogram.axes))
    return ", ".join(range_name(axis, int(i), int(i) + 1) for axis, i in zip(histogram.axes, position, strict=True))


def region_name(histogram: Histogram, cells: NDArray[np.int64]) -> str:
    """The range along each axis that holds all of these bins."""
    position = np.unravel_index(cells, tuple(axis.bins for axis in histogram.axes))
    ranges = zip(histogram.axes, position, strict=True)
    return ", ".join(range_name(axis, int(i.min()), int(i.max()) + 1) for axis, i in ranges)


def range_name(axis: Axis, start: int, stop: int) -> str:
    """Bins start..stop of an axis: their labels, or their edges with the unit."""
    if axis.labels and any(axis.labels[start:stop]):
        first, last = axis.labels[start] or str(start + 1), axis.labels[stop - 1] or str(stop)
        return f"{axis.name} {first}" if stop - start == 1 else f"{axis.name} {first} to {last}"
    edges = axis.edges_array
    low, high = float(edges[start]), float(edges[stop])
    if stop - start == 1 and high - low == 1.0 and not axis.unit:  # bins of an index are named by it
        return f"{axis.name} {_index(low)}"
    if high - low == stop - start and not axis.unit and not axis.edges:
        return f"{axis.name} {_index(low)} to {_index(high - 1)}"
    unit = f" {axis.unit}" if axis.unit not in ("", "1") else ""
    return f"{axis.name} {low:.4g} to {high:.4g}{unit}"


def _index(low: float) -> str:
    """The index that a bin of width 1 stands for: ROOT users put edges at whole or at half numbers."""
    return f"{low + 0.5:.10g}" if low % 1 == 0.5 else f"{low:.10g}"
