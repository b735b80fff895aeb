"""Shares that add up over time, such as dead time by cause; the culprit lies at the bottom in colour, all others are grey."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daemon.plots import style
from daemon.plots.times import TimeAxis
from detectors.figure import Line, StackFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

HEIGHT, FOOT, MOMENTS, KEY = 2.7, 0.46, 0.3, 2.15
LAYERS_MOST = 8
GREYS = ("#8f8f8f", "#bdbdbd", "#dcdcdc", "#a5a5a5", "#cdcdcd", "#e8e8e8", "#7d7d7d")


def draw(shown: StackFigure, zone: tzinfo) -> Figure:
    """The picture."""
    figure, _ = style.canvas(HEIGHT + FOOT + MOMENTS, shown.title, shown.context)
    axes = style.panel(figure, style.LEFT, FOOT, style.WIDTH - style.LEFT - KEY, HEIGHT)
    times = TimeAxis(shown.time_ns, zone, shown.since_ns, shown.found_ns)
    layers = layers_of(shown)
    top = _layers(axes, shown, layers, times)
    limit = shown.limit_high if np.isfinite(shown.limit_high) else 0.0
    _, high = style.span_of(top, 0.0, limit)
    axes.set_ylim(0.0, high if high > 0 else 1.0)
    if limit:
        axes.axhline(limit, color=style.INK, linewidth=1.0, linestyle=(0, (6, 2, 1, 2)), zorder=5)
        axes.annotate(f"limit {style.number(limit)}", (0.0, limit), xycoords=("axes fraction", "data"), xytext=(4, 2),
                      textcoords="offset points", fontsize=style.SMALL, va="bottom", zorder=6)  # fmt: skip
    style.ticks(axes.yaxis, 0.0, float(axes.get_ylim()[1]))
    axes.set_ylabel(style.clean(shown.y_label, 34))
    times.draw(axes)
    times.mark([axes], shown.since_ns, shown.found_ns)
    _key(axes, shown, layers)
    return figure


def layers_of(shown: StackFigure) -> list[Line]:
    """The layers from the bottom, the culprit first; the last few as one where there are many."""
    layers = sorted(shown.layers, key=lambda layer: layer.name != shown.culprit)
    if len(layers) <= LAYERS_MOST:
        return layers
    rest = np.sum([_positive(layer) for layer in layers[LAYERS_MOST - 1 :]], axis=0)
    nowhere = np.full(len(rest), np.nan)
    return [*layers[: LAYERS_MOST - 1], Line(f"{len(layers) - LAYERS_MOST + 1} others", "", rest, nowhere, nowhere)]


def _positive(layer: Line) -> Array:
    return np.maximum(np.nan_to_num(style.finite(layer.values)), 0.0)


def _layers(axes: Axes, shown: StackFigure, layers: list[Line], times: TimeAxis) -> Array:
    """Draws them, and gives the sum of all; shape (n,)."""
    seconds = times.seconds(shown.time_ns)
    n = len(seconds)
    if not n or not layers:
        return np.zeros(1)
    read = np.isfinite(np.array([style.finite(layer.values) for layer in layers])).any(axis=0)
    if n == 1:
        seconds, read = np.array([0.0, times.length_s]), np.repeat(read, 2)
    below = np.zeros(len(seconds))
    for i, layer in enumerate(layers):
        above = below + np.broadcast_to(_positive(layer), seconds.shape)
        is_culprit = layer.name == shown.culprit
        color = style.ABNORMAL if is_culprit else GREYS[(i - 1) % len(GREYS)]
        axes.fill_between(seconds, below, above, where=read.tolist(), facecolor=color, edgecolor="white", linewidth=0.4,
                          hatch="///" if is_culprit else None, zorder=2)  # fmt: skip
        below = above
    return np.where(read, below, np.nan)


def _key(axes: Axes, shown: StackFigure, layers: list[Line]) -> None:
    """Names of the layers beside the picture from the top, with their size when it was found."""
    from matplotlib.patches import Patch  # noqa: PLC0415

    at = int(np.argmin(np.abs(shown.time_ns - shown.found_ns))) if len(shown.time_ns) else -1
    handles = []
    for i, layer in reversed(list(enumerate(layers))):
        is_culprit = layer.name == shown.culprit
        value = float(style.finite(layer.values)[at]) if at >= 0 else np.nan
        text = (
            f"{style.clean(layer.name, 22 if is_culprit else 19)}  {style.quantity(value, layer.unit, 0.1) if np.isfinite(value) else '–'}"
        )
        color = style.ABNORMAL if is_culprit else GREYS[(i - 1) % len(GREYS)]
        handles.append(Patch(facecolor=color, edgecolor="white", hatch="///" if is_culprit else None, label=text))
    if not handles:
        axes.text(0.5, 0.5, "no readings", transform=axes.transAxes, ha="center", va="center", color=style.QUIET)
        return
    key = axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(1.0, -0.02), frameon=False, fontsize=style.SMALL, labelspacing=0.7,
                      handlelength=1.3, handletextpad=0.5)  # fmt: skip
    for entry, layer in zip(key.get_texts(), reversed(layers), strict=True):
        if layer.name == shown.culprit:
            entry.set(fontweight="bold", color=style.ABNORMAL)
