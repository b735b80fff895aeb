"""What is said of a histogram that differs from its reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Histogram
from detectors.bins import bin_name, range_name
from detectors.finding import Contribution, Evidence
from detectors.shapes import Windows
from detectors.wording import amount

Array = NDArray[np.float64]

RANKED_MOST = 10
MOVED_EXPLAINS = 0.3
"""A move is named where it leaves at most this part of the difference."""
MOVED_MOST = 0.25
"""Moves of up to this part of the axis are tried."""
STEPS_PER_BIN = 4


def count_evidence(histogram: Histogram, counts: Array, expected: Array, pull: Array, windows: Windows) -> Evidence:
    """counts: shape (bins,); expected and pull: of all features, shape (features,)."""
    bins = windows.bins
    ranked = _ranked(histogram, counts, expected[:bins], pull[:bins], "entries")
    moved = moved_by(counts, expected[:bins]) if len(histogram.axes) == 1 else 0.0
    if moved:
        return Evidence(f"{histogram.path} has moved {_move(histogram, moved)}", ranked)
    strongest = int(np.argmax(np.abs(pull)))
    if strongest < bins:
        where = bin_name(histogram, strongest)
    else:
        where = range_name(histogram.axes[0], int(windows.start[strongest]), int(windows.stop[strongest]))
    observed = float(windows.sums(counts)[strongest])
    more = "Too many" if observed > expected[strongest] else "Too few"
    summary = f"{more} entries in {histogram.path} at {where}: {observed:.0f}, {expected[strongest]:.0f} expected"
    return Evidence(summary, ranked)


def profile_evidence(histogram: Histogram, mean: Array, usual: Array, pull: Array) -> Evidence:
    """mean, usual, pull: shape (bins,)."""
    ranked = _ranked(histogram, mean, usual, pull, "")
    strongest = int(np.argmax(np.abs(pull)))
    higher = "high" if pull[strongest] > 0 else "low"
    summary = f"Mean in {histogram.path} is too {higher} at {bin_name(histogram, strongest)}: {amount(float(mean[strongest]))}"
    return Evidence(f"{summary}, {amount(float(usual[strongest]))} expected", ranked)


def moved_by(counts: Array, expected: Array) -> float:
    """By how many bins the expected shape must be moved to fit the counts; 0 where no move explains the difference."""
    bins = len(counts)
    most = max(1, int(MOVED_MOST * bins))
    moves = np.arange(-most * STEPS_PER_BIN, most * STEPS_PER_BIN + 1) / STEPS_PER_BIN
    position = np.arange(bins) - moves[:, None]
    shapes = np.interp(position, np.arange(bins), expected)
    shapes *= expected.sum() / np.maximum(shapes.sum(axis=1, keepdims=True), 1e-300)
    distance = ((counts - shapes) ** 2 / (shapes + 1.0)).sum(axis=1)
    best = int(np.argmin(distance))
    unmoved = float(distance[most * STEPS_PER_BIN])
    return float(moves[best]) if distance[best] <= MOVED_EXPLAINS * unmoved else 0.0


def _move(histogram: Histogram, moved: float) -> str:
    axis = histogram.axes[0]
    direction = "up" if moved > 0 else "down"
    size = f"{abs(moved):.3g} bin{'' if abs(moved) == 1 else 's'}"
    if axis.edges or axis.labels:
        return f"{direction} by {size}"
    distance = abs(moved) * (axis.high - axis.low) / axis.bins
    return f"{direction} by {amount(distance, axis.unit)} ({size})"


def _ranked(histogram: Histogram, observed: Array, expected: Array, pull: Array, unit: str) -> tuple[Contribution, ...]:
    squares = pull**2
    order = np.argsort(-squares, kind="stable")[:RANKED_MOST]
    total = max(float(squares.sum()), 1e-300)
    return tuple(
        Contribution(bin_name(histogram, int(i)), histogram.place, float(observed[i]), float(expected[i]), float(squares[i]) / total, unit)
        for i in order
        if squares[i] > 0
    )
