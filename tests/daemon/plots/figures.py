"""Figures of every kind as detectors give them, and odd ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.figure import (
    Attribute,
    Bar,
    DiskFigure,
    Figure,
    HistogramFigure,
    Lane,
    Line,
    MapFigure,
    PlanFigure,
    SeriesFigure,
    Span,
    StackFigure,
    StatesFigure,
)

Array = NDArray[np.float64]

CONTEXT = "run 382711, LS 214 · stable beams"
START_NS = 1_480_158_000_000_000_000
SECOND = 1_000_000_000
NAN = float("nan")
HOSTILE = (
    "",
    "cost $x_1$ and $\\frac{",
    "<script>alert(\"1\")</script> & 'more'",
    "x" * 5000,
    "\x00\x1b[31mred\ud800\u202e\n\ttab \ufffe",
    "温度 of %s {}",
)


def times(n: int, step_s: int = 10) -> NDArray[np.int64]:
    return START_NS + step_s * SECOND * np.arange(n, dtype=np.int64)


def nowhere(n: int) -> Array:
    return np.full(n, NAN)


def histogram(bins: int = 50, names: tuple[str, ...] = ()) -> HistogramFigure:
    """With a hole in bins 20 and 21."""
    expected = 1000.0 * np.exp(-0.5 * ((np.arange(bins) - 22) / 8.0) ** 2) + 20
    observed = expected.copy()
    observed[20:22] = 60.0
    pulls = (observed - expected) / np.sqrt(expected)
    error, spread = np.sqrt(observed), 0.03 * expected
    edges = np.linspace(0.0, 100.0, bins + 1)
    return HistogramFigure(
        "charge", "charge [ke]", "clusters", edges, observed, error, expected, spread, pulls, 3.8, (20, 21), names, CONTEXT
    )


def cells(nx: int = 12, ny: int = 8) -> MapFigure:
    """With a dead region and a hot cell."""
    expected = np.full((nx, ny), 50.0)
    observed = expected.copy()
    observed[2:4, 3] = 0.0
    observed[9, 6] = 400.0
    edges = np.linspace(-3, 3, nx + 1), np.arange(ny + 1.0)
    names = ("eta -2, phi 3", "eta -1.5, phi 3", "eta 1.5, phi 6")
    suspicious = ((2, 3), (3, 3), (9, 6))
    return MapFigure("occupancy", "eta", "phi", "hits", edges[0], edges[1], observed, expected, suspicious, names, CONTEXT)


def series() -> SeriesFigure:
    """A current that doubles and a voltage that stays."""
    n = 100
    current = np.full(n, 2.0)
    current[80:] = 4.0
    lines = (
        Line("IMon of ch03", "uA", current, np.full(n, 1.9), np.full(n, 2.1), 0.8),
        Line("VMon of ch03", "V", np.full(n, 400.0), np.full(n, 399.0), np.full(n, 401.0), 0.2),
    )
    span = Span(START_NS, START_NS + 300 * SECOND, "run 382711")
    since, found = START_NS + 800 * SECOND, START_NS + 820 * SECOND
    return SeriesFigure("Currents", "", times(n), lines, since, found, limit_high=3.0, spans=(span,), context=CONTEXT)


def stack() -> StackFigure:
    """Dead time that a FED takes."""
    n = 60
    tts = np.where(np.arange(n) < 40, 1.0, 98.0)
    layers = tuple(
        Line(name, "%", values, nowhere(n), nowhere(n)) for name, values in (("trigger rules", np.full(n, 1.5)), ("TTS: FED 101", tts))
    )
    since, found = START_NS + 400 * SECOND, START_NS + 420 * SECOND
    return StackFigure("Dead time", "dead time [%]", times(n), layers, "TTS: FED 101", since, found, 5.0, CONTEXT)


def states() -> StatesFigure:
    """A FED that goes to WARNING."""
    n = 60
    codes = np.where(np.arange(n) < 40, 0.0, 1.0)
    codes[10:12] = NAN
    lane = Lane("FED 101", codes, ("READY", "WARNING"), ("WARNING",))
    since, found = START_NS + 400 * SECOND, START_NS + 420 * SECOND
    return StatesFigure("FED 101 stuck", times(n), (lane,), since, found, CONTEXT)


def disk() -> DiskFigure:
    """Pending sectors that grow."""
    values = np.array([0.0, 0.0, 1.0, 2.0, 5.0])
    attribute = Attribute("197 pending sectors", "", values, np.array([-0.5, 0.5, 2.5, np.inf]), np.array([0.025, 0.34, 0.68]))
    return DiskFigure("disk Z1", times(5, 86400), (attribute,), CONTEXT)


def plan() -> PlanFigure:
    """A node that is drained."""
    default = (Bar("node01", "job 1", 0, 7200), Bar("node02", "job 2", 0, 3600))
    proposed = (Bar("node01", "job 1", 0, 7200), Bar("node02", "drained", 0, 7200, changed=True))
    return PlanFigure("Drain node02", default, proposed, "mean wait 41 min instead of 44 min", CONTEXT)


KINDS: dict[str, Callable[[], Any]] = {
    "histogram": histogram,
    "map": cells,
    "series": series,
    "stack": stack,
    "states": states,
    "disk": disk,
    "plan": plan,
}

ODD = {
    "none": np.empty(0),
    "one NaN": nowhere(1),
    "one": np.array([5.0]),
    "all zero": np.zeros(5),
    "all NaN": nowhere(7),
    "infinite": np.array([np.inf, -np.inf, NAN, 1.0]),
    "huge": np.array([1e-300, 1e300, 0.0, -1e300]),
    "very many": np.arange(500.0),
}


def odd(values: Array, number: int) -> list[Figure]:
    """A figure of every kind, made of these values, with hostile names."""
    n, nan = len(values), nowhere(len(values))
    a, b, c = (HOSTILE[(number + i) % len(HOSTILE)] for i in range(3))
    lines = tuple(
        Line(HOSTILE[k % 6], HOSTILE[(k + 2) % 6], values, values - 1 if k % 2 else nan, values + 1 if k % 2 else nan, k / 8)
        for k in range(8)
    )
    lanes = tuple(Lane(name, values, ("A", name), (name,)) for name in HOSTILE)
    attributes = tuple(
        Attribute(name, "%", values, np.array([-0.5, 0.5, np.inf]), np.array([0.02, rate]))
        for name, rate in zip(HOSTILE, (0.3, NAN) * 3, strict=True)
    )
    grid = np.outer(values[:12], np.ones(3))
    some = tuple((i, i % 3) for i in range(min(n, 12)))
    moments = (0, START_NS) if number % 2 else (START_NS + 1, START_NS)
    bars = tuple(Bar(HOSTILE[i % 6], b, float(value), float(value) + 100.0, i % 2 == 0) for i, value in enumerate(values[:30]))
    marked = tuple(range(-1, n + 2, 2))
    names = tuple(HOSTILE[i % 6] for i in range(n))
    return [
        HistogramFigure(a, b, c, np.arange(n + 1.0), values, values, values, values, values, 3.0, marked, (), b),
        HistogramFigure(c, b, a, nowhere(n + 1), values, nan, values, nan, values, NAN, marked, names, b),
        MapFigure(a, b, c, a, np.arange(len(grid) + 1.0), nowhere(4), grid, grid[::-1], (*some, (99, 99)), HOSTILE[:2], b),
        SeriesFigure(a, b, times(n), lines[: number % 8], *moments, limit_low=-5.0, spans=(Span(0, 2**62, a), Span(9, 3, b)), context=c),
        StackFigure(a, b, times(n), lines, HOSTILE[1], *moments, limit_high=3.0, context=c),
        StatesFigure(a, times(n), lanes, *moments, context=c),
        DiskFigure(a, times(n), attributes, c),
        PlanFigure(a, bars, bars[::-1], b, c),
    ]
