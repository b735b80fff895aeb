"""A plan: what would happen by default above what is proposed, over the same lanes and time; what changes is dark and hatched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daemon.plots import style
from detectors.figure import Bar, PlanFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADING, FOOT, GAIN = 0.27, 0.42, 0.28
LANES_MOST = 16
BARS_MOST = 2000
CHARACTER = 0.073
SAME, CHANGED = "#cfcfcf", "#2b2b2b"
_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))


def draw(shown: PlanFigure) -> Figure:
    """The picture."""
    lanes = lanes_of(shown)
    lane = 0.3 if len(lanes) <= 6 else (0.22 if len(lanes) <= 10 else 0.17)
    each = max(0.5, lane * len(lanes))
    figure, height = style.canvas(2 * (each + HEADING) + FOOT + GAIN, shown.title, shown.context)
    gain = style.clean(shown.gain, 100)
    style.put_text(figure, style.MARGIN, height - 0.16, f"▶ {gain}" if gain else "", fontsize=style.NORMAL + 1, fontweight="bold")
    ends = [style.finite(np.array([bar.start_s, bar.end_s])) for bar in (*shown.default, *shown.proposed)]
    low, high = style.span_of(*ends, 0.0, pad=0.0)
    scale, unit = next((scale, unit) for least, scale, unit in _UNITS if high - low >= least)
    left = min(2.0, max(0.6, 0.078 * max((len(style.clean(name, 22)) for name in lanes), default=0) + 0.2))
    for i, (word, bars) in enumerate((("If nothing is done", shown.default), ("Proposed", shown.proposed))):
        bottom = FOOT + (1 - i) * (each + HEADING)
        axes = style.panel(figure, left, bottom, style.WIDTH - left - style.RIGHT, each)
        axes.set_xlim(low / scale, high / scale)
        axes.set_ylim(max(1, len(lanes)) - 0.5, -0.5)
        _bars(axes, bars[:BARS_MOST], lanes, scale)
        axes.set_yticks(
            range(len(lanes)), labels=[style.clean(name, 22) for name in lanes], fontsize=7.5 if len(lanes) > 10 else style.SMALL
        )
        axes.tick_params(axis="y", length=0)
        if low <= 0.0 <= high and low < 0:
            axes.axvline(0.0, color=style.INK, linewidth=1.0, zorder=4)
        style.ticks(axes.xaxis, low / scale, high / scale, 8)
        axes.grid(visible=True, axis="x", color=style.GRID, linewidth=0.8)
        end = max((bar.end_s for bar in bars if np.isfinite(bar.end_s)), default=0.0)
        text = f"{word}  (last job ends after {style.number(end / scale, 0.1)} {unit})" if bars else f"{word}  (no jobs)"
        axes.annotate(text, (0.0, 1.0), xycoords="axes fraction", xytext=((style.MARGIN - left) * 72, 4), textcoords="offset points",
                      fontsize=style.NORMAL, fontweight="bold", annotation_clip=False)  # fmt: skip
        if i == 0:
            axes.set_xticklabels([])
        else:
            axes.set_xlabel(f"{unit} from now" + ("" if not _has_changes(shown) else "; dark and hatched: changed by the plan"))
    return figure


def lanes_of(shown: PlanFigure) -> list[str]:
    """Lanes in order of their names, those with changes first where there are too many to show."""
    bars = (*shown.default, *shown.proposed)
    names = list(dict.fromkeys(bar.lane for bar in bars))
    if len(names) > LANES_MOST:
        changed = {bar.lane for bar in bars if bar.changed}
        names = sorted(names, key=lambda name: name not in changed)[:LANES_MOST]
    return sorted(names)


def _has_changes(shown: PlanFigure) -> bool:
    return any(bar.changed for bar in (*shown.default, *shown.proposed))


def _bars(axes: Axes, bars: tuple[Bar, ...], lanes: list[str], scale: float) -> None:
    number = {name: i for i, name in enumerate(lanes)}
    inches = axes.get_position().width * style.WIDTH / (axes.get_xlim()[1] - axes.get_xlim()[0])
    for bar in bars:
        start, end = bar.start_s / scale, bar.end_s / scale
        if bar.lane not in number or not np.isfinite([start, end]).all() or abs(end) > style.LARGEST or end < start:
            continue
        i = number[bar.lane]
        color = CHANGED if bar.changed else SAME
        axes.barh(
            i,
            end - start,
            left=start,
            height=0.72,
            color=color,
            edgecolor="white",
            linewidth=0.7,
            hatch="///" if bar.changed else None,
            zorder=2,
        )
        label = style.clean(bar.label, 24)
        if label and len(label) * CHARACTER < (end - start) * inches:
            box = {"boxstyle": "square,pad=0.12", "fc": CHANGED, "ec": "none"} if bar.changed else None
            axes.text((start + end) / 2, i, label, ha="center", va="center", fontsize=7.5, color="white" if bar.changed else style.INK,
                      fontweight="bold" if bar.changed else "normal", zorder=3, clip_on=True, bbox=box)  # fmt: skip
