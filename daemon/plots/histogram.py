"""A histogram against its reference: points with errors on a filled band, pulls below with their limits, suspicious bins named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daemon.plots import style
from detectors.figure import HistogramFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

MAIN, PULLS, GAP, FOOT, LEGEND = 2.35, 0.95, 0.1, 0.52, 0.42
NAMED_MOST = 3
NAME_ROW = 0.09
"""Height of a name in parts of the picture."""
LABELS_MOST = 24
LOGARITHMIC_RATIO = 500.0
"""Contents whose highest is so many times the median of those that are not empty are shown on a logarithmic axis."""


def draw(shown: HistogramFigure) -> Figure:
    """The picture."""
    foot = FOOT + (0.55 if _few_names(shown) else 0.0)
    figure, height = style.canvas(MAIN + PULLS + GAP + foot + LEGEND, shown.title, shown.context)
    width = style.WIDTH - style.LEFT - style.RIGHT
    lower = style.panel(figure, style.LEFT, foot, width, PULLS)
    upper = style.panel(figure, style.LEFT, foot + PULLS + GAP, width, MAIN)
    marked = _marked(shown)
    edges = _edges(shown)
    _contents(upper, shown, edges, marked)
    _pulls(lower, shown, edges, marked)
    for axes in (upper, lower):
        axes.set_xlim(edges[0], edges[-1])
        for first, end in style.stretches(marked):
            axes.axvspan(edges[first], edges[end], color=style.TINT, linewidth=0, zorder=0)
    upper.set_xticks([])
    _bins(lower, shown, edges)
    _names(upper, shown, edges, marked)
    _legend(figure, upper, height - 0.14, has_marked=bool(marked.any()))
    return figure


def suspicious_names(shown: HistogramFigure) -> list[str]:
    """What is said of suspicious bins that are neighbours, the furthest off first: "110 to 116 ADC: too low, pull −9.1"."""
    edges, pulls = _edges(shown), np.nan_to_num(style.finite(shown.pulls))
    runs = style.stretches(_marked(shown))
    runs.sort(key=lambda run: -float(np.abs(pulls[run[0] : run[1]]).max()))
    return [_name(shown, edges, first, end) for first, end in runs]


def _marked(shown: HistogramFigure) -> NDArray[np.bool_]:
    marked = np.zeros(len(shown.observed), dtype=np.bool_)
    marked[[i for i in shown.suspicious if 0 <= i < len(marked)]] = True
    return marked


def _edges(shown: HistogramFigure) -> Array:
    """The edges, numbers where bins have names; shape (bins+1,), two numbers where there is no bin."""
    bins = len(shown.observed)
    return np.arange(max(1, bins) + 1.0) if any(shown.bin_names) else style.edges_of(shown.edges, bins)


def _contents(axes: Axes, shown: HistogramFigure, edges: Array, marked: NDArray[np.bool_]) -> None:
    observed, error = style.finite(shown.observed), np.abs(np.nan_to_num(style.finite(shown.observed_error)))
    expected, half = style.finite(shown.expected), np.abs(np.nan_to_num(style.finite(shown.expected_error)))
    filled = np.concatenate([observed, expected])
    filled = filled[np.isfinite(filled) & (filled > 0)]
    is_log = len(filled) > 1 and bool(filled.max() > LOGARITHMIC_RATIO * np.median(filled)) and np.nanmin(observed) >= 0
    low, high = style.span_of(observed + error, observed - error, expected + half, expected - half)
    if is_log:
        low, high = 0.5 * float(filled.min()), 2.0 * float(filled.max())
        axes.set_yscale("log")
    elif not (np.nan_to_num(observed) < 0).any() and not (np.nan_to_num(expected) < 0).any():
        low = 0.0
    rows = min(NAMED_MOST, len(style.stretches(marked))) * NAME_ROW  # room for the names above the data
    high = high * (high / low) ** rows if is_log else high + rows * (high - low)
    axes.set_ylim(low, high)
    if len(observed):
        bottom, top = np.maximum(expected - half, low), expected + half
        axes.stairs(top, edges, baseline=bottom, fill=True, color=style.BAND, linewidth=0, zorder=1)
        axes.stairs(expected, edges, baseline=None, color="#9a9a9a", linewidth=1.1, zorder=2)
    centres, size = (edges[:-1] + edges[1:]) / 2, 4.2 if len(observed) <= 80 else (3.0 if len(observed) <= 160 else 1.8)
    for where, color, marker, factor in ((~marked, style.DATA, "o", 1.0), (marked, style.ABNORMAL, "D", 1.35)):
        chosen = where & np.isfinite(observed) if len(observed) else where
        if chosen.any():
            x, y, bars = centres[chosen], observed[chosen], error[chosen]
            if is_log:
                y, bars = np.maximum(y, low), np.minimum(bars, np.maximum(y, low) * 0.9)
            axes.errorbar(x, y, bars, fmt=marker, color=color, markersize=size * factor, elinewidth=0.9, capsize=0, zorder=3)
    style.power_ticks(axes.yaxis, low, high) if is_log else style.ticks(axes.yaxis, low, high)
    axes.set_ylabel(style.clean(shown.y_label, 34) + (" (log)" if is_log else ""))
    axes.grid(visible=True, axis="y", color=style.GRID, linewidth=0.8)


def _pulls(axes: Axes, shown: HistogramFigure, edges: Array, marked: NDArray[np.bool_]) -> None:
    pulls = style.finite(shown.pulls)
    limit = abs(shown.pull_limit) if np.isfinite(shown.pull_limit) else 0.0
    far = max(float(np.nanmax(np.abs(pulls), initial=0.0)) if np.isfinite(pulls).any() else 0.0, limit, 1.0) * 1.15
    axes.set_ylim(-far, far)
    if len(pulls):
        widths = np.diff(edges)
        for where, color, hatch in ((~marked, "#9a9a9a", ""), (marked, style.ABNORMAL, "////")):
            chosen = where & np.isfinite(pulls)
            if chosen.any():
                bars = axes.bar(edges[:-1][chosen], pulls[chosen], widths[chosen], align="edge", color=color, linewidth=0, zorder=2)
                if hatch and len(pulls) <= 100:
                    for bar in bars:
                        bar.set(hatch=hatch, edgecolor="white")
    axes.axhline(0.0, color=style.QUIET, linewidth=0.8)
    for sign in (-1.0, 1.0) if limit else ():
        axes.axhline(sign * limit, color=style.INK, linewidth=0.9, linestyle=(0, (5, 3)), zorder=3)
    if limit:
        axes.annotate(f"limit ±{style.number(round(limit, 1))}", (1.0, limit), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                      textcoords="offset points", ha="right", va="bottom", fontsize=7.5, color=style.INK)  # fmt: skip
    style.ticks(axes.yaxis, -far, far, 4)
    axes.set_ylabel("pull [σ]")


def _bins(axes: Axes, shown: HistogramFigure, edges: Array) -> None:
    """Names of the bins below them where they have names, else numbers."""
    label = style.clean(shown.x_label, 60)
    if any(shown.bin_names):
        step = max(1, -(-len(shown.bin_names) // LABELS_MOST))
        places = np.arange(0, len(shown.bin_names), step)
        texts = [style.clean(shown.bin_names[i] or str(i + 1), 14) for i in places]
        flat = len(texts) <= 8
        axes.set_xticks((places + 0.5).tolist(), labels=texts, rotation=0 if flat else 45, ha="center" if flat else "right", fontsize=7.5)
    else:
        style.ticks(axes.xaxis, float(edges[0]), float(edges[-1]), 8)
    axes.set_xlabel(label)


def _few_names(shown: HistogramFigure) -> bool:
    return any(shown.bin_names) and len(shown.bin_names) > 8


def _name(shown: HistogramFigure, edges: Array, first: int, end: int) -> str:
    pulls = style.finite(shown.pulls)[first:end]
    worst = float(pulls[int(np.argmax(np.abs(np.nan_to_num(pulls))))]) if len(pulls) else 0.0
    if any(shown.bin_names):
        names = [style.clean(shown.bin_names[i], 22) for i in (first, end - 1) if i < len(shown.bin_names)]
        where = " to ".join(dict.fromkeys(names))
    else:
        where = _range(shown, float(edges[first]), float(edges[end]), float(edges[1] - edges[0]))
    return f"{where}: too {'high' if worst > 0 else 'low'}, pull {style.number(round(worst, 1))}"


def _range(shown: HistogramFigure, low: float, high: float, step: float) -> str:
    """Bins between two edges; those of an index are called by it ("module 7"), with edges at whole or at half numbers."""
    unit = shown.x_label.partition("[")[2].partition("]")[0]
    if step == 1.0 and not unit:
        low, high = np.ceil(low), np.ceil(high) - 1
        label = f"{style.clean(shown.x_label, 20)} {style.number(low, 1.0)}"
        return label if low == high else f"{label} to {style.number(high, 1.0)}"
    words = f"{style.number(low, step / 10)} to {style.number(high, step / 10)}"
    return f"{words} {style.unit_of(unit)}" if unit else words


def _names(axes: Axes, shown: HistogramFigure, edges: Array, marked: NDArray[np.bool_]) -> None:
    """Suspicious bins by name above them, the worst few; the others are counted."""
    pulls = np.nan_to_num(style.finite(shown.pulls))
    runs = style.stretches(marked)
    runs.sort(key=lambda run: -float(np.abs(pulls[run[0] : run[1]]).max()))
    for i, (first, end) in enumerate(runs[:NAMED_MOST]):
        middle = float((edges[first] + edges[end]) / 2 - edges[0]) / float(edges[-1] - edges[0])
        text = ("▼ " if middle < 0.5 else "") + _name(shown, edges, first, end) + ("" if middle < 0.5 else " ▼")
        if i == NAMED_MOST - 1 and len(runs) > NAMED_MOST:
            text += f"; {len(runs) - NAMED_MOST} more"
        box = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8}
        axes.annotate(text, (middle, 1.0), xycoords="axes fraction", xytext=(-4 if middle < 0.5 else 4, -9 - 12 * i),
                      textcoords="offset points", ha="left" if middle < 0.5 else "right", fontsize=style.SMALL, fontweight="bold",
                      color=style.ABNORMAL, zorder=6, bbox=box)  # fmt: skip


def _legend(figure: Figure, axes: Axes, y: float, *, has_marked: bool) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415

    handles: list[Line2D | Patch] = [
        Line2D([], [], marker="o", color=style.DATA, linestyle="none", markersize=4.2, label="data"),
        Patch(facecolor=style.BAND, edgecolor="#9a9a9a", label="reference with its spread"),
    ]
    if has_marked:
        handles.append(Line2D([], [], marker="D", color=style.ABNORMAL, linestyle="none", markersize=5, label="suspicious"))
    figure.legend(handles=handles, loc="center left", ncol=3, frameon=False, fontsize=style.SMALL, handletextpad=0.5, columnspacing=1.6,
                  bbox_to_anchor=(axes.get_position().x0 - 0.01, y / float(figure.get_figheight())))  # fmt: skip
