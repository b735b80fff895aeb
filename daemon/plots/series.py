"""Channels over time: each with the band that was expected, the moment of the finding and since when it lasts."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daemon.plots import style
from daemon.plots.times import TimeAxis
from detectors.figure import Line, SeriesFigure, Span

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

HEIGHTS = (2.7, 1.55, 1.15, 0.95, 0.8, 0.7)
"""Height of each panel where there are so many."""
HEADING, FOOT, MOMENTS = 0.24, 0.46, 0.36
LINES_MOST = 6
DOTS_MOST = 60


def draw(shown: SeriesFigure, zone: tzinfo) -> Figure:
    """The picture."""
    panels = panels_of(shown)
    each = HEIGHTS[max(0, len(panels) - 1)]
    figure, height = style.canvas(len(panels) * (each + HEADING) + FOOT + MOMENTS, shown.title, shown.context)
    times = TimeAxis(shown.time_ns, zone, shown.since_ns, shown.found_ns)
    width, drawn = style.WIDTH - style.LEFT - style.RIGHT, []
    for i, lines in enumerate(panels):
        bottom = height - MOMENTS - (i + 1) * (each + HEADING)
        axes = style.panel(figure, style.LEFT, bottom, width, each)
        _panel(axes, shown, lines, times, is_first=i == 0)
        _heading(axes, shown, lines[0] if lines else None, i == 0)
        times.draw(axes, labels=i == len(panels) - 1)
        drawn.append(axes)
    _spans(drawn, shown.spans, times)
    times.mark(drawn, shown.since_ns, shown.found_ns)
    return figure


def panels_of(shown: SeriesFigure) -> list[list[Line]]:
    """Lines by panel, highest share first: each with a band has one of its own, one without joins the panel of its unit before it."""
    panels: list[list[Line]] = []
    for line in sorted(shown.lines, key=lambda line: -np.nan_to_num(line.share))[:LINES_MOST]:
        joins = bool(panels) and len(panels[0]) < 2 and line.unit == panels[0][0].unit and not line.share and panels[0][0].share > 0
        if joins and not (np.isfinite(line.low) | np.isfinite(line.high)).any():
            panels[0].append(line)
        else:
            panels.append([line])
    return panels or [[]]


def outside(line: Line) -> NDArray[np.bool_]:
    """Where a line is outside its band; shape (n,)."""
    values, low, high = (style.finite(array) for array in (line.values, line.low, line.high))
    result: NDArray[np.bool_] = (values < low) | (values > high)
    return result


def said_of(shown: SeriesFigure, line: Line) -> str:
    """A line at the moment of the finding: "IMon of ch03: 4.9 µA, expected 2.4 to 2.6 µA"."""
    at = int(np.argmin(np.abs(shown.time_ns - shown.found_ns))) if len(shown.time_ns) else -1
    name = style.clean(line.name, 48)
    if at < 0:
        return name
    value, low, high = (float(style.finite(array)[at]) for array in (line.values, line.low, line.high))
    is_banded = bool(np.isfinite(low) and np.isfinite(high) and high > low)
    step = 10.0 ** np.floor(np.log10((high - low) / 5)) if is_banded else 0.0
    text = f"{name}: {style.quantity(value, line.unit, step) if np.isfinite(value) else 'no reading'}"
    if is_banded:
        text += f", expected {style.number(low, step)} to {style.quantity(high, line.unit, step)}"
    broken = shown.limit_high if value > shown.limit_high else shown.limit_low
    if line is shown.lines[0] and np.isfinite(broken):
        text += f", limit {style.quantity(broken, line.unit)}"
    return text


def _panel(axes: Axes, shown: SeriesFigure, lines: list[Line], times: TimeAxis, *, is_first: bool) -> None:
    seconds = times.seconds(shown.time_ns)
    limits = [limit for limit in (shown.limit_low, shown.limit_high) if np.isfinite(limit)] if is_first else []
    low, high = style.span_of(*(a for line in lines for a in (line.values, line.low, line.high)), *limits)
    axes.set_ylim(low, high)
    for line in reversed(lines):
        is_main = line is lines[0]
        _line(axes, shown, line, seconds, limits, is_main=is_main)
    for limit, word in ((shown.limit_low, "low"), (shown.limit_high, "high")) if is_first else ():
        if np.isfinite(limit):
            axes.axhline(limit, color=style.INK, linewidth=1.0, linestyle=(0, (6, 2, 1, 2)), zorder=3)
            unit = lines[0].unit if lines else ""
            axes.annotate(f"{word} limit {style.quantity(limit, unit)}", (0.0, limit), xycoords=("axes fraction", "data"), xytext=(4, 2),
                          textcoords="offset points", fontsize=style.SMALL, va="bottom", zorder=6)  # fmt: skip
    style.ticks(axes.yaxis, low, high, 5 if axes.get_position().height > 0.2 else 3)
    unit = lines[0].unit if lines else ""
    label = shown.y_label if is_first and shown.y_label else (f"[{style.unit_of(unit)}]" if style.unit_of(unit) else "")
    axes.set_ylabel(style.clean(label, 26))
    axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.8)


def _line(axes: Axes, shown: SeriesFigure, line: Line, seconds: Array, limits: list[float], *, is_main: bool) -> None:
    values, low, high = (style.finite(array) for array in (line.values, line.low, line.high))
    banded = np.isfinite(low) & np.isfinite(high)
    if banded.any():
        axes.fill_between(seconds, low, high, where=banded.tolist(), color=style.BAND, linewidth=0, zorder=1)
    few = len(values) <= DOTS_MOST
    color = style.DATA if is_main else "#a6a6a6"
    axes.plot(seconds, values, color=color, linewidth=1.3 if is_main else 0.8, marker="." if few else "", markersize=4, zorder=2)
    alone = _alone(values)
    if not few and alone.any():
        axes.plot(seconds[alone], values[alone], ".", color=color, markersize=3.5, zorder=2)
    if not is_main:
        return
    bad = outside(line)
    if limits:
        bad |= (values < shown.limit_low) | (values > shown.limit_high)
    if bad.any():
        axes.plot(seconds, np.where(bad, values, np.nan), color=style.ABNORMAL, linewidth=2.4, zorder=3, marker="o", markersize=2.6)
    at = int(np.argmin(np.abs(shown.time_ns - shown.found_ns))) if len(values) else -1
    if at >= 0 and np.isfinite(values[at]):
        is_known = banded[at] or bool(limits) or line is not shown.lines[0]
        normal = is_known and not bad[at]
        color, size = (style.DATA, 4.5) if normal else (style.ABNORMAL, 6.5)
        axes.plot(
            seconds[at], values[at], "o" if normal else "D", color=color, markersize=size, markeredgecolor="white", zorder=5, clip_on=False
        )


def _alone(values: Array) -> NDArray[np.bool_]:
    """Readings with no neighbour, which a line does not show."""
    there = np.concatenate([[False], np.isfinite(values), [False]])
    result: NDArray[np.bool_] = there[1:-1] & ~there[:-2] & ~there[2:]
    return result


def _heading(axes: Axes, shown: SeriesFigure, line: Line | None, is_first: bool) -> None:
    if line is None:
        axes.text(0.5, 0.5, "no readings", transform=axes.transAxes, ha="center", va="center", color=style.QUIET)
        return
    share = f"  ({100 * line.share:.0f} % of the alarm)" if len(shown.lines) > 1 and 0 < line.share < 1 else ""
    up, left = 17 if is_first else 4, (style.MARGIN - style.LEFT) * 72
    axes.annotate(said_of(shown, line) + share, (0.0, 1.0), xycoords="axes fraction", xytext=(left, up), textcoords="offset points",
                  fontsize=style.NORMAL, fontweight="bold" if is_first else "normal", annotation_clip=False)  # fmt: skip


def _spans(panels: list[Axes], spans: tuple[Span, ...], times: TimeAxis) -> None:
    for i, span in enumerate(spans[:12]):
        start, end = times.place(span.start_ns), times.place(span.end_ns)
        if end <= start:
            continue
        for axes in panels:
            axes.axvspan(start, end, facecolor="#f1f1f1" if i % 2 else "#f8f8f8", edgecolor="#b5b5b5", linewidth=0.6, zorder=0)
        wide = (end - start) / times.length_s
        if wide > 0.04:
            label = style.clean(span.label, max(3, int(90 * wide)))
            panels[-1].annotate(label, (start, 0.0), xycoords=("data", "axes fraction"), xytext=(2, 3), textcoords="offset points",
                                fontsize=7.5, color=style.QUIET, zorder=1)  # fmt: skip
