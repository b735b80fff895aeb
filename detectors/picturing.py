"""Figures of what detectors found, built from a few columns of a frame: what all detectors share.

A frame may have very many columns: whatever is shown is sliced out of it first. A figure has at most POINTS_MOST points in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Axis, Frame, Histogram
from detectors.bins import bin_name, region_name
from detectors.figure import HistogramFigure, Lane, Line, MapFigure, SeriesFigure
from detectors.finding import Contribution

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

POINTS_MOST = 240
LINES_MOST = 6
BAND_SPREADS = 3.0
"""Half the width of the band that is drawn as expected, in usual spreads."""
BINS_MOST = 400
"""Of a histogram with more bins, those around the most suspicious one are shown."""
CELLS_MOST = 66_000
"""Maps with more cells are merged: they could not travel."""
CELLS_EXACT = 15_000
"""Values of maps with more cells are rounded to ROUNDED_BITS, which is finer than a colour can show."""
ROUNDED_BITS = 5
LARGEST = 3e38
"""Figures travel as float32."""


def shown_rows(n: int, row: int) -> Indices:
    """Rows to show of n: all, or evenly spread ones with `row` and the last among them; rising."""
    if n <= POINTS_MOST:
        return np.arange(n)
    return np.union1d(np.linspace(0, n - 1, POINTS_MOST - 1).round().astype(np.int64), [row])


def since_row(bad: NDArray[np.bool_], row: int) -> int:
    """First row of the stretch of bad rows that ends at `row`; `row` itself where it is not bad."""
    good = np.flatnonzero(~bad[: row + 1])
    return min(row, int(good[-1]) + 1) if len(good) else 0


def plain(values: Array) -> Array:
    """The values as a figure can hold them: NaN for what is infinite, nothing beyond the range of float32."""
    result: Array = np.clip(np.where(np.isfinite(values), values, np.nan), -LARGEST, LARGEST)
    return result


def line(
    name: str, unit: str, values: Array, centre: Array | float = np.nan, half_width: Array | float = np.nan, share: float = 0.0
) -> Line:
    """A channel with the band around `centre` that was expected; all of shape (n,) or one number for all rows."""
    low, high = (np.broadcast_to(np.asarray(centre + sign * half_width, dtype=np.float64), values.shape) for sign in (-1.0, 1.0))
    return Line(name, "" if unit == "1" else unit, plain(values), plain(low), plain(high), float(share))


def out_of_band(shown: Line) -> NDArray[np.bool_]:
    """Where a line is outside its band; shape (n,)."""
    result: NDArray[np.bool_] = (shown.values < shown.low) | (shown.values > shown.high)
    return result


@dataclass(frozen=True, eq=False)
class Moment:
    """The rows of a frame that are shown, and the one that the finding is about."""

    recent: Frame
    rows: Indices
    row: int

    @classmethod
    def of(cls, recent: Frame, row: int) -> Moment:
        """With as many rows as are shown."""
        return cls(recent, shown_rows(len(recent), row), row)

    @property
    def at(self) -> int:
        """Position of the row among those shown."""
        return int(np.searchsorted(self.rows, self.row))

    @property
    def time_ns(self) -> NDArray[np.int64]:
        """Times of the rows shown, shape (n,)."""
        return self.recent.time_ns[self.rows]

    def readings(self, columns: Indices) -> Array:
        """Good readings of some columns in the rows shown, shape (n, columns); copies nothing else of the frame."""
        every = len(self.rows) == len(self.recent)
        part = self.recent if every else self.recent.rows(slice(int(self.rows[0]), int(self.rows[-1]) + 1))
        values = part.readings(columns)
        return values if every else values[self.rows - self.rows[0]]

    def series(
        self,
        title: str,
        lines: Sequence[Line],
        bad: NDArray[np.bool_] | None = None,
        y_label: str = "",
        limit_low: float = float("nan"),
        limit_high: float = float("nan"),
    ) -> SeriesFigure:
        """The lines over time, highest share first; since: the stretch of `bad` rows, by default of the first line out of its band."""
        ranked = tuple(sorted(lines, key=lambda shown: -shown.share)[:LINES_MOST])
        if bad is None:
            bad = out_of_band(ranked[0]) if ranked else np.zeros(len(self.rows), dtype=np.bool_)
        time_ns = self.time_ns
        since_ns = int(time_ns[since_row(bad, self.at)])
        low, high = (float(limit) if np.isfinite(limit) else np.nan for limit in (limit_low, limit_high))
        return SeriesFigure(title, y_label, time_ns, ranked, since_ns, int(time_ns[self.at]), low, high)


def state_lane(name: str, codes: Array, states: tuple[str, ...], bad: tuple[str, ...], *, nameless_bad: bool = False) -> Lane:
    """A channel of states; only states that occur are kept, those without a name are shown by their number."""
    whole = np.rint(codes)
    words, numbers, bad_words = [], np.full(len(codes), np.nan), []
    for number, code in enumerate(np.unique(whole[np.isfinite(whole)])):
        named = 0 <= code < len(states)
        words.append(states[int(code)] if named else f"{code:.0f}, which has no name")
        numbers[whole == code] = number
        if words[-1] in bad or (nameless_bad and not named):
            bad_words.append(words[-1])
    return Lane(name, numbers, tuple(words), tuple(bad_words))


def bit_lane(name: str, words: Array, bit: int) -> Lane:
    """One bit of a status word that must not be set."""
    judged = np.isfinite(words) & (np.abs(words) < 2**52)
    shown = (np.rint(np.where(judged, words, 0.0)).astype(np.int64) >> bit) & 1
    return Lane(name, np.where(judged, shown.astype(np.float64), np.nan), ("clear", "set"), ("set",))


def top(ranked: Sequence[Contribution]) -> list[Contribution]:
    """The contributions that a series shows: those with a share, at least the first."""
    return [c for i, c in enumerate(ranked[:LINES_MOST]) if c.share > 0 or i == 0]


def axis_label(axis: Axis) -> str:
    """The name of an axis with its unit in brackets."""
    return f"{axis.name} [{axis.unit}]" if axis.unit not in ("", "1") else axis.name


def histogram_figure(
    histogram: Histogram,
    y_label: str,
    observed: tuple[Array, Array],
    expected: tuple[Array, Array],
    pulls: Array,
    pull_limit: float,
    suspicious: NDArray[np.bool_],
) -> HistogramFigure:
    """A histogram against what was expected: values and errors of each bin, shape (bins,); of many bins a part (BINS_MOST)."""
    axis, bins = histogram.axes[0], len(pulls)
    flat = len(histogram.axes) > 1
    first, last = _section(pulls, suspicious)
    part = slice(first, last)
    edges = np.arange(bins + 1.0) if flat else axis.edges_array
    names = () if flat else axis.labels[part]
    title = histogram.path if last - first == bins else f"{histogram.path}, bins {first + 1} to {last} of {bins}"
    return HistogramFigure(
        title,
        "bin" if flat else axis_label(axis),
        y_label,
        edges[first : last + 1],
        plain(observed[0][part]),
        plain(observed[1][part]),
        plain(expected[0][part]),
        plain(expected[1][part]),
        plain(pulls[part]),
        float(pull_limit),
        tuple(sorted(np.flatnonzero(suspicious[part]).tolist(), key=lambda i: -abs(float(np.nan_to_num(pulls[part][i]))))),
        tuple(names),
    )


def map_figure(histogram: Histogram, z_label: str, observed: Array, expected: Array, cells: Indices, *, region: bool) -> MapFigure:
    """A map of two axes; observed, expected: shape (cells,), row-major.

    cells: the suspicious ones, worst first; together they are one `region`, or each is named for itself.
    """
    shape = (histogram.axes[0].bins, histogram.axes[1].bins)
    factors = _merging(shape)
    names = tuple(bin_name(histogram, int(cell)) for cell in cells[:LINES_MOST])
    if region and len(cells):
        names = (region_name(histogram, cells),)
    ix, iy = np.unravel_index(cells, shape)
    marked = tuple(dict.fromkeys(zip((ix // factors[0]).tolist(), (iy // factors[1]).tolist(), strict=True)))
    maps = [_rounded(_merged(plain(values).reshape(shape), factors)) for values in (observed, expected)]
    edges = [_kept_edges(axis.edges_array, factor) for axis, factor in zip(histogram.axes, factors, strict=True)]
    labels = [axis_label(axis) for axis in histogram.axes]
    return MapFigure(histogram.path, labels[0], labels[1], z_label, edges[0], edges[1], maps[0], maps[1], marked, names)


def _section(pulls: Array, suspicious: NDArray[np.bool_]) -> tuple[int, int]:
    """First bin and end of the part of a histogram that is shown."""
    bins = len(pulls)
    if bins <= BINS_MOST:
        return 0, bins
    strength = np.where(suspicious, np.abs(np.nan_to_num(pulls)) + 1.0, np.abs(np.nan_to_num(pulls)))
    first = int(np.clip(int(np.argmax(strength)) - BINS_MOST // 2, 0, bins - BINS_MOST))
    return first, first + BINS_MOST


def _merging(shape: tuple[int, int]) -> tuple[int, int]:
    """How many cells along each axis are merged into one."""
    factors = [1, 1]
    while (shape[0] // factors[0] + 1) * (shape[1] // factors[1] + 1) > CELLS_MOST:
        factors[0 if shape[0] / factors[0] >= shape[1] / factors[1] else 1] *= 2
    return factors[0], factors[1]


def _merged(cells: Array, factors: tuple[int, int]) -> Array:
    """Sums of neighbouring cells; the last along an axis may hold fewer. NaN only where all of them are."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, cells.shape[axis], factor)
            there = np.add.reduceat(np.isfinite(cells), starts, axis=axis)
            cells = np.where(there, np.add.reduceat(np.nan_to_num(cells), starts, axis=axis), np.nan)
    return cells


def _kept_edges(edges: Array, factor: int) -> Array:
    return np.append(edges[:-1:factor], edges[-1])


def _rounded(cells: Array) -> Array:
    """With fewer binary digits where there are many cells, so that the map can be compressed."""
    if cells.size <= CELLS_EXACT:
        return cells
    dropped = 23 - ROUNDED_BITS
    words = cells.astype(np.float32).view(np.uint32).astype(np.uint64) + np.uint64(1 << (dropped - 1))
    kept = (words & ~np.uint64((1 << dropped) - 1)).astype(np.uint32).view(np.float32).astype(np.float64)
    result: Array = np.where(np.isnan(cells), np.nan, plain(kept))
    return result
