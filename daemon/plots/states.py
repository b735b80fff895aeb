"""Lanes of states over time: grey while a channel is in a good state, hatched colour with the word while it is in a bad one."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

import numpy as np

from daemon.plots import style
from daemon.plots.times import TimeAxis
from detectors.figure import Lane, StatesFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANE, FOOT, MOMENTS, NOW = 0.42, 0.46, 0.3, 1.35
LANES_MOST = 12
LAST_LEAST = 0.04
"""Part of the picture that the last state takes at least."""
GOODS = ("#dedede", "#c6c6c6", "#ebebeb", "#b4b4b4")
CHARACTER = 0.078
"""Width of a character of a name."""


def draw(shown: StatesFigure, zone: tzinfo) -> Figure:
    """The picture."""
    lanes = shown.lanes[:LANES_MOST]
    height = LANE * max(2, len(lanes))
    figure, _ = style.canvas(height + FOOT + MOMENTS, shown.title, shown.context)
    left = min(2.4, max(0.7, CHARACTER * max((len(style.clean(lane.name, 30)) for lane in lanes), default=0) + 0.2))
    axes = style.panel(figure, left, FOOT, style.WIDTH - left - NOW, height)
    times = TimeAxis(shown.time_ns, zone, shown.since_ns, shown.found_ns, _end_ns(shown))
    axes.set_ylim(max(2, len(lanes)) - 0.5, -0.5)
    ends = _ends(shown, times)
    at = int(np.argmin(np.abs(shown.time_ns - shown.found_ns))) if len(shown.time_ns) else -1
    for i, lane in enumerate(lanes):
        _lane(axes, lane, i, ends, times.length_s)
        _now(axes, lane, i, at)
    names = [style.clean(lane.name, 30) for lane in lanes]
    axes.set_yticks(list(range(len(lanes))), labels=names, fontsize=style.NORMAL)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if len(shown.lanes) > LANES_MOST:
        axes.annotate(f"and {len(shown.lanes) - LANES_MOST} more", (0, 0), xycoords="axes fraction", xytext=(0, 3),
                      textcoords="offset points", fontsize=style.SMALL)  # fmt: skip
    times.draw(axes)
    times.mark([axes], shown.since_ns, shown.found_ns)
    return figure


def word_of(lane: Lane, code: float) -> str:
    """The state of a code, its number where it has no name."""
    if not np.isfinite(code):
        return "no reading"
    whole = round(float(np.clip(code, -1e15, 1e15)))
    return lane.states[whole] if 0 <= whole < len(lane.states) else f"code {whole}"


def _end_ns(shown: StatesFigure) -> int:
    """Where the last state ends: as long after it as one reading usually is after another, and so that it can be seen."""
    if len(shown.time_ns) < 2:
        return shown.found_ns
    usual = float(np.median(np.diff(shown.time_ns)))
    return int(shown.time_ns[-1]) + int(max(usual, LAST_LEAST * float(shown.time_ns[-1] - shown.time_ns[0])))


def _ends(shown: StatesFigure, times: TimeAxis) -> list[float]:
    """Start of each reading, and the end of the last."""
    return [*times.seconds(shown.time_ns).tolist(), times.place(_end_ns(shown)) if len(shown.time_ns) > 1 else times.length_s]


def _lane(axes: Axes, lane: Lane, i: int, ends: list[float], length_s: float) -> None:
    codes = style.finite(lane.codes)[: len(ends) - 1]
    axes.axhline(i, color=style.BAND, linewidth=0.8, linestyle=":", zorder=1)
    changes = [0, *(np.flatnonzero(~((codes[1:] == codes[:-1]) | (np.isnan(codes[1:]) & np.isnan(codes[:-1])))) + 1).tolist()]
    for first, end in zip(changes, [*changes[1:], len(codes)], strict=True):
        if first >= len(codes) or np.isnan(codes[first]):
            continue
        word = word_of(lane, float(codes[first]))
        is_bad = word in lane.bad
        start, width = ends[first], ends[end] - ends[first]
        color = style.ABNORMAL if is_bad else GOODS[round(float(codes[first])) % len(GOODS)]
        axes.barh(
            i, width, left=start, height=0.62, color=color, edgecolor="white", linewidth=0.5, hatch="////" if is_bad else None, zorder=2
        )
        shown = style.clean(word, 20)
        room = min(width, length_s - start) / length_s * (axes.get_position().width * style.WIDTH)
        if len(shown) * CHARACTER * 0.95 < room:
            box = {"boxstyle": "square,pad=0.15", "fc": style.ABNORMAL, "ec": "none"} if is_bad else None
            axes.text(start + min(width, length_s - start) / 2, i, shown, ha="center", va="center", fontsize=style.SMALL, zorder=5,
                      color="white" if is_bad else style.INK, fontweight="bold" if is_bad else "normal", bbox=box)  # fmt: skip


def _now(axes: Axes, lane: Lane, i: int, at: int) -> None:
    """The state at the moment of the finding, in words, at the right."""
    word = word_of(lane, float(style.finite(lane.codes)[at])) if 0 <= at < len(lane.codes) else "no reading"
    is_bad = word in lane.bad
    axes.annotate(("■ " if is_bad else "") + style.clean(word, 17), (1.0, i), xycoords=("axes fraction", "data"), xytext=(6, 0),
                  textcoords="offset points", va="center", fontsize=style.NORMAL, fontweight="bold" if is_bad else "normal",
                  color=style.ABNORMAL if is_bad else style.QUIET, annotation_clip=False)  # fmt: skip
