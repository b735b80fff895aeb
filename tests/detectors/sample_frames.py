"""Small frames of an invented detector: a crate of high voltage, hit maps, a spectrum, a profile and a check."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Axis, Channel, Frame, Histogram, Kind, Layout, Quality, Storage

STEP_NS = 10_000_000_000
START_NS = 1_700_000_000_000_000_000
STATES = ("OFF", "ON", "TRIPPED")
ON, TRIPPED = 1.0, 2.0
CRATE_CHANNELS = 6
MAP = Histogram("ECAL/occupancy", (Axis("eta", "", 12, -6, 6), Axis("phi", "", 8, 0.5, 8.5)), place="X/ECAL")
LINE = Histogram("TRACKER/occupancy", (Axis("module", "", 32, 0.5, 32.5),), place="X/TRACKER")
SPECTRUM = Histogram("ECAL/mass", (Axis("mass", "GeV", 60, 60, 120),), place="X/ECAL")
TIMING = Histogram("ECAL/timing", (Axis("eta", "", 12, -6, 6),), Storage.PROFILE, "X/ECAL")
HISTOGRAMS = (MAP, LINE, SPECTRUM, TIMING)
CHECK = Channel("TRACKER/noise", "TRACKER/noise", "", Kind.STATE, "X/TRACKER", ("unknown", "good", "medium", "bad"))
"""The verdict of somebody else's check."""
GOOD, BAD = 1.0, 3.0


def gauge(name: str, quantity: str = "", unit: str = "V", place: str = "X") -> Channel:
    return Channel(name, quantity or name, unit, Kind.GAUGE, place)


def gauges(values: NDArray[np.float64], source: str = "table") -> Frame:
    """A frame of gauges c0, c1, … with these values, shape (n, channels)."""
    return frame(Layout(source, tuple(gauge(f"c{i}") for i in range(values.shape[1]))), values)


def frame(layout: Layout, values: NDArray[np.float64], first_row: int = 0) -> Frame:
    """Rows ten seconds apart."""
    return Frame(layout, START_NS + STEP_NS * np.arange(first_row, first_row + len(values), dtype=np.int64), values)


def experiment_layout() -> Layout:
    """Six channels with voltage, current and state, the histograms, and a check."""
    columns: list[Channel | Histogram] = []
    for i in range(CRATE_CHANNELS):
        place = f"X/HV/ch{i:02d}"
        columns.append(gauge(f"crate:ch{i:02d}:VMon", "VMon", "V", place))
        columns.append(gauge(f"crate:ch{i:02d}:IMon", "IMon", "uA", place))
        columns.append(Channel(f"crate:ch{i:02d}:Status", "Status", "", Kind.STATE, place, STATES))
    return Layout("experiment", (*columns, *HISTOGRAMS, CHECK))


def experiment(rows: int, seed: int = 1, first_row: int = 0, *, constant: bool = False) -> Frame:
    """Normal rows; with `constant` all rows are the same."""
    rng = np.random.default_rng([seed, first_row])
    parts: list[NDArray[np.float64]] = []
    drawn = 1 if constant else rows
    for i in range(CRATE_CHANNELS):
        load = rng.standard_normal((drawn, 1))
        parts += [400.0 + 0.05 * rng.standard_normal((drawn, 1)), 2.0 + 0.3 * i + 0.02 * load, np.full((drawn, 1), ON)]
    parts += [*(filled(histogram, rng, drawn) for histogram in HISTOGRAMS), np.full((drawn, 1), GOOD)]
    values = np.concatenate(parts, axis=1)
    return frame(experiment_layout(), np.repeat(values, rows // drawn, axis=0), first_row)


def mean_counts(histogram: Histogram) -> NDArray[np.float64]:
    """Expected counts of an interval, shape (*bins)."""
    if histogram is MAP:
        return 60.0 * (1 + 0.3 * np.add.outer(np.abs(np.linspace(-1, 1, 12)), np.linspace(0, 0.5, 8)))
    if histogram is LINE:
        return np.linspace(80.0, 160.0, 32)
    if histogram is TIMING:
        return np.full(12, 150.0)
    mass = np.linspace(60.5, 119.5, 60)
    return 20.0 + 300.0 * np.exp(-0.5 * ((mass - 91.0) / 3.0) ** 2)


def filled(histogram: Histogram, rng: np.random.Generator, rows: int, mean: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Columns of a histogram with Poisson fluctuations about `mean` (its usual one by default); shape (rows, width)."""
    usual = mean_counts(histogram) if mean is None else mean
    counts = rng.poisson(usual, (rows, *usual.shape)).astype(np.float64)
    if histogram.storage is not Storage.PROFILE:
        return columns_of(histogram, [counts])
    y = counts * 0.5 + np.sqrt(counts) * rng.standard_normal(counts.shape)
    return columns_of(histogram, [counts, counts, y, counts * 1.25])


def columns_of(histogram: Histogram, sums: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Columns from the sums of each field, shape (rows, *bins) each; flow bins are empty."""
    rows = len(sums[0])
    flow = [(0, 0), *((1, 1) for _ in histogram.axes)]
    padded = [np.pad(array, flow).reshape(rows, -1) for array in sums]
    return np.concatenate([sums[0].reshape(rows, -1).sum(axis=1, keepdims=True), *padded], axis=1)


def histogram_frame(histogram: Histogram, counts: NDArray[np.float64], first_row: int = 0) -> Frame:
    """A frame of one histogram of counts, shape (rows, *bins)."""
    return frame(Layout("dqm", (histogram,)), columns_of(histogram, [counts]), first_row)


def with_values(of: Frame, values: NDArray[np.float64]) -> Frame:
    """The frame with other values."""
    return replace(of, values=values)


def with_quality(of: Frame, row: int, quality: Quality) -> Frame:
    """The frame with one row of this quality throughout, all others good."""
    qualities = np.zeros(of.values.shape, dtype=np.uint8)
    qualities[row] = quality
    return replace(of, quality=qualities)


def selected(of: Frame, layout: Layout, missing: float = np.nan) -> Frame:
    """The frame in another layout of the same source: columns by key, `missing` where they are not known."""
    values = np.full((len(of), layout.width), missing)
    starts = dict(zip(of.layout.keys, of.layout.starts[:-1], strict=True))
    for key, start, column in zip(layout.keys, layout.starts[:-1], layout.columns, strict=True):
        if key in starts:
            values[:, start : start + column.width] = of.values[:, starts[key] : starts[key] + column.width]
    return Frame(layout, of.time_ns, values)
