"""What a stream of short windows has shown so far, and how rare it is that a new one lies so far from all of it.

A memory keeps windows that were unlike those it had: the vigilance of adaptive resonance theory (G. Carpenter, S. Grossberg,
Appl. Opt. 26 (1987) 4919), set such that one window in twenty is kept. It so reaches back much further than as many rows. The
distance to the nearest remembered window is turned into a conformal tail probability by the distances before it (V. Vovk et al.,
"Algorithmic Learning in a Random World", 2005; for streams and nearest neighbours: E. Burnaev, V. Ishimtsev, arXiv:1608.04585),
with an exponential tail beyond the highest ones. Everything is per channel, in one pass, of fixed size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

KEPT_RATIO = 0.05
"""Part of the windows that are unlike enough to be remembered."""
VIGILANCE_STEP = 0.2
"""Step of the stochastic approximation of the distance that KEPT_RATIO of all windows exceed, in its logarithm (H. Robbins, S. Monro,
Ann. Math. Statist. 22 (1951) 400)."""
BINS, BINS_PER_OCTAVE = 128, 4
"""Distances are counted in bins of equal ratio; the first is for all that are not more than DISTANCE_LEAST."""
DISTANCE_LEAST = 2.0**-22
"""In spreads of the channel: finer than readings of single precision differ."""
TAIL_COUNTS = 10.0
"""Highest distances whose mean excess describes the tail beyond them."""
BEYOND_MOST = 20.0
"""Decades by which the tail is followed at most."""
DECADE = 0.4342944819032518
"""An e-fold in decades."""
WARM_DISTANCES = 50.0
"""Distances without which nothing is said."""

COUNTED_MOST = 20_000.0
"""Distances that are counted before all counts are halved, so that a restless time is no measure for ever."""
MEMORY_ARRAYS = ("windows", "born", "used", "vigilance", "counts", "sums")
PLACED_ARRAYS = {"windows": 0, "born": 0, "used": -1}
"""Those that have a place for each remembered window, along their second axis, and what stands in a free one."""


def empty_memory(channels: int, windows: int, width: int) -> Arrays:
    """Of a part that remembers so many windows of `width` values for each channel, before it has seen anything."""
    return {
        "windows": np.zeros((channels, windows, width), dtype=np.float32),
        "born": np.zeros((channels, windows), dtype=np.int32),
        "used": np.full((channels, windows), -1, dtype=np.int32),  # -1: free
        "vigilance": np.full(channels, DISTANCE_LEAST),
        "counts": np.zeros((channels, BINS)),
        "sums": np.zeros((channels, BINS)),
    }


def with_room(memory: Arrays, rows: int, most: int) -> Arrays:
    """The memory with free places for so many rows, but not more than `most` places in all; itself where it has them.

    Of most channels few windows are worth remembering for long: thousands of channels need no memory for all that they might.
    """
    places = memory["used"].shape[1]
    wanted = min(most, int((memory["used"] >= 0).sum(axis=1).max(initial=0)) + rows)
    if places >= wanted:
        return memory
    while places < wanted:
        places *= 2
    return {**memory, **{name: widened(memory[name], min(places, most), free) for name, free in PLACED_ARRAYS.items()}}


def widened(array: NDArray[Any], places: int, free: int) -> NDArray[Any]:
    """The array with so many places along its second axis."""
    more = np.full((array.shape[0], places - array.shape[1], *array.shape[2:]), free, dtype=array.dtype)
    return np.concatenate([array, more], axis=1)


def running(extreme: np.ufunc, readings: Array, before: Array) -> tuple[Array, Array]:
    """Extreme of all readings before each row, shape (n, channels), and after the last; NaN is passed over."""
    reached = extreme.accumulate(np.concatenate([before[None], readings]), axis=0)
    return reached[:-1], reached[-1]


def replaced(arrays: Arrays, at: NDArray[np.int64], by: Arrays) -> Arrays:
    """The arrays with the rows at these positions replaced; those given are not changed."""
    if len(at) and len(at) == len(next(iter(arrays.values()))) and (np.diff(at) == 1).all():
        return by
    after = {name: array.copy() for name, array in arrays.items()}
    for name, array in by.items():
        if array.shape[1:] != after[name].shape[1:]:
            after[name] = widened(after[name], array.shape[1], PLACED_ARRAYS[name.split(":")[1]])
        after[name][at] = array
    return after


def novelty(windows: NDArray[np.float32], row: NDArray[np.int32], apart: int, memory: Arrays) -> tuple[Array, Array]:
    """-log10 tail probability of each window (0 while it warms up) and the position of its nearest in memory, both (n, channels).

    windows: shape (n, channels, width), in spreads, NaN where there is none: NaN then; row: shape (n, channels), number of the reading
    within its channel; apart: rows that a remembered window must be older. `memory` is changed.
    """
    learned = (memory[name] for name in ("windows", "born", "used", "vigilance"))
    distance, nearest = nearest_remembered(windows, row, apart, *learned)
    return tail_decades(distance, memory["counts"], memory["sums"]), nearest


@compiled
def recent_windows(
    values: NDArray[np.float32], before: NDArray[np.float32], broken: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The last readings of each channel in each row, the newest first, shape (n, channels, width); and those after the last row.

    values: shape (n, channels), NaN is passed over and gives NaN; before: the last readings before the block, shape (channels,
    width); broken: shape (n,), rows before which too long a gap lies: nothing before them counts.
    """
    n, channels = values.shape
    width = before.shape[1]
    last = before.copy()
    windows = np.full((n, channels, width), np.float32(np.nan))
    for i in range(n):
        if broken[i]:
            last[:] = np.nan
        for c in range(channels):
            if np.isnan(values[i, c]):
                continue
            for k in range(width - 1, 0, -1):
                last[c, k] = last[c, k - 1]
            last[c, 0] = values[i, c]
            windows[i, c] = last[c]
    return windows, last


@compiled
def nearest_remembered(  # noqa: C901 - compiled functions cannot call each other
    windows: NDArray[np.float32],
    row: NDArray[np.int32],
    apart: int,
    remembered: NDArray[np.float32],
    born: NDArray[np.int32],
    used: NDArray[np.int32],
    vigilance: Array,
) -> tuple[Array, NDArray[np.float64]]:
    """Root mean square distance to the nearest remembered window, and its values' position; NaN without a window or a neighbour.

    A window further off than the vigilance takes the place of the one that was nearest to none for the longest time.
    """
    n, channels, width = windows.shape
    distance, nearest = np.full((n, channels), np.nan), np.full((n, channels), np.nan)
    for i in range(n):
        for c in range(channels):
            window = windows[i, c]
            if np.isnan(window.sum()):
                continue
            least, at, oldest, novel = np.inf, -1, 0, True
            for j in range(used.shape[1]):
                if used[c, j] < used[c, oldest]:
                    oldest = j
                if used[c, j] < 0:
                    break  # places fill in order: all further ones are free
                square = 0.0
                for k in range(width):
                    square += (window[k] - remembered[c, j, k]) ** 2
                if square < least and born[c, j] + apart < row[i, c]:
                    least, at = square, j
            if at >= 0:
                used[c, at] = row[i, c]
                distance[i, c], nearest[i, c] = np.sqrt(least / width), remembered[c, at, 0]
                novel = distance[i, c] > vigilance[c]
                rate = (1.0 if novel else 0.0) - KEPT_RATIO
                vigilance[c] = max(vigilance[c] * np.exp(VIGILANCE_STEP * rate), DISTANCE_LEAST)
            if novel:
                remembered[c, oldest] = window
                born[c, oldest] = used[c, oldest] = row[i, c]
    return distance, nearest


@compiled
def tail_decades(distance: Array, counts: Array, sums: Array) -> Array:
    """-log10 of the chance of a distance at least as high, by those before it; shape (n, channels), NaN where there is none.

    counts, sums: distances before the block by bin, and their sums, shape (channels, BINS); changed.
    """
    n, channels = distance.shape
    bins = counts.shape[1]
    decades = np.full((n, channels), np.nan)
    total = np.array([counts[c].sum() for c in range(channels)])
    for i in range(n):
        for c in range(channels):
            d = distance[i, c]
            if np.isnan(d):
                continue
            own = 0
            if d > DISTANCE_LEAST:
                own = min(int(np.log2(d / DISTANCE_LEAST) * BINS_PER_OCTAVE) + 1, bins - 1)
            needed = min(TAIL_COUNTS, max(0.1 * total[c], 2.0))
            far, excess, j = 0.0, 0.0, bins - 1
            while j > 0 and far + counts[c, j] < needed:
                far += counts[c, j]
                excess += sums[c, j]
                j -= 1
            edge = DISTANCE_LEAST * 2.0 ** (j / BINS_PER_OCTAVE)  # the upper one of bin j
            if total[c] < WARM_DISTANCES:
                decades[i, c] = 0.0
            elif own > j and far > 0.0:
                mean = max(excess / far - edge, 1e-3 * edge)
                decades[i, c] = np.log10((total[c] + 1.0) / (far + 1.0)) + min((d - edge) / mean * DECADE, BEYOND_MOST)
            else:
                above = counts[c, own + 1 :].sum() + counts[c, own] * (0.5 if own > 0 else 1.0)
                decades[i, c] = np.log10((total[c] + 1.0) / (above + 1.0))
            counts[c, own] += 1.0
            sums[c, own] += d
            total[c] += 1.0
            if total[c] > COUNTED_MOST:
                counts[c] *= 0.5
                sums[c] *= 0.5
                total[c] *= 0.5
    return decades


@compiled
def first_highest(decades: Array, before: NDArray[np.float32]) -> tuple[Array, NDArray[np.float32]]:
    """The score where it is higher than in each of the readings before that are remembered, 0 elsewhere; and these after the block.

    decades: shape (n, channels), NaN is passed over; before: shape (channels, readings), the newest first.
    """
    n, channels = decades.shape
    readings = before.shape[1]
    first = np.full((n, channels), np.nan)
    last = np.empty((channels, readings + n), dtype=np.float32)
    last[:, :readings] = before[:, ::-1]
    kept = np.empty((channels, readings), dtype=np.float32)
    for c in range(channels):
        end = readings
        for i in range(n):
            if np.isnan(decades[i, c]):
                continue
            highest = last[c, end - readings : end].max()
            score = np.float32(decades[i, c])
            first[i, c] = score if score > highest else 0.0
            last[c, end] = score
            end += 1
        kept[c] = last[c, end - readings : end][::-1]
    return first, kept
