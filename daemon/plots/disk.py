"""Attributes of a disk over time on the buckets of values with the failure rate that disks in each have had."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from daemon.plots import style
from daemon.plots.times import TimeAxis
from detectors.figure import Attribute, DiskFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

HEIGHTS = (2.4, 1.5, 1.1, 0.95, 0.8, 0.75)
HEADING, FOOT, RATES = 0.27, 0.5, 1.05
ATTRIBUTES_MOST = 6
RAISED_RATIO = 0.2
"""An attribute in a bucket with this failure rate is drawn as abnormal."""
SHADES = ("#fafafa", "#efefef", "#e3e3e3", "#d7d7d7", "#cbcbcb", "#bfbfbf")
DAY_S = 86400.0


def draw(shown: DiskFigure, zone: tzinfo) -> Figure:
    """The picture."""
    attributes = shown.attributes[:ATTRIBUTES_MOST]
    each = HEIGHTS[max(0, len(attributes) - 1)]
    figure, height = style.canvas(max(1, len(attributes)) * (each + HEADING) + FOOT, shown.title, shown.context)
    times = TimeAxis(shown.time_ns, zone)
    for i, attribute in enumerate(attributes):
        bottom = height - (i + 1) * (each + HEADING)
        axes = style.panel(figure, style.LEFT, bottom, style.WIDTH - style.LEFT - RATES, each)
        _attribute(axes, shown, attribute, times)
        times.draw(axes, labels=i == len(attributes) - 1)
    if not attributes:
        style.put_text(figure, style.WIDTH / 2, height / 2, "no attributes", ha="center", color=style.QUIET)
    return figure


def rate_of(attribute: Attribute, value: float) -> float:
    """Failure rate of the bucket that a value lies in; NaN where no rates are known."""
    edges, rates = np.asarray(attribute.bucket_edges), style.finite(attribute.annual_failure_ratio)
    if not np.isfinite(value) or not len(rates) or len(edges) != len(rates) + 1:
        return float("nan")
    return float(rates[int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(rates) - 1))])


def said_of(shown: DiskFigure, attribute: Attribute) -> str:
    """Such as "197 pending sectors: 12 · 68 % a year fail · ▲ up from 0 in 3 days"."""
    values = style.finite(attribute.values)
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return f"{style.clean(attribute.name, 40)}: no reading"
    last, first = float(values[known[-1]]), float(values[known[0]])
    text = f"{style.clean(attribute.name, 40)}: {style.quantity(last, attribute.unit)}"
    rate = rate_of(attribute, last)
    if np.isfinite(rate):
        text += f" · {_percent(rate)} a year fail"
    return text + _trend(first, last, float(shown.time_ns[known[-1]] - shown.time_ns[known[0]]) / 1e9)


def _trend(first: float, last: float, length_s: float) -> str:
    if last == first or length_s <= 0:
        return " · steady"
    days = length_s / DAY_S
    length = f"{days:.0f} days" if days >= 2 else (f"{length_s / 3600:.0f} h" if length_s >= 7200 else f"{length_s / 60:.0f} min")
    return f" · {'▲ up' if last > first else '▼ down'} from {style.number(first)} in {length}"


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %" if rate >= 0.095 else f"{100 * rate:.2g} %"


def _attribute(axes: Axes, shown: DiskFigure, attribute: Attribute, times: TimeAxis) -> None:
    values, seconds = style.finite(attribute.values), times.seconds(shown.time_ns)
    known = values[np.isfinite(values)]
    high = max(float(known.max(initial=0.0)) * 1.25, 1.0)
    low = min(0.0, float(known.min(initial=0.0)))
    edges = np.asarray(attribute.bucket_edges, dtype=np.float64)
    above = edges[np.isfinite(edges) & (edges > float(known.max(initial=0.0)))]
    if len(above) and above.min() < 4 * high:
        high = max(high, float(above.min()) * 1.3)  # the next bucket is seen too
    low -= 0.08 * (high - low)
    axes.set_ylim(low, high)
    _buckets(axes, attribute, low, high)
    raised = bool(len(known)) and np.nan_to_num(rate_of(attribute, float(known[-1]))) >= RAISED_RATIO
    color = style.ABNORMAL if raised else style.DATA
    few = len(values) <= 60
    axes.plot(seconds, values, color=color, linewidth=2.0 if raised else 1.3, drawstyle="steps-post", zorder=3)
    axes.plot(seconds, values, "." if few else ",", color=color, markersize=4, zorder=3)
    if len(known):
        last = int(np.flatnonzero(np.isfinite(values))[-1])
        axes.plot(
            seconds[last], values[last], "D" if raised else "o", color=color, markersize=7, markeredgecolor="white", zorder=4, clip_on=False
        )
    _line_of_trend(axes, seconds, values)
    style.ticks(axes.yaxis, 0.0, high, 4, whole=attribute.unit != "%")
    axes.set_ylabel("raw value" if attribute.unit in ("", "1") else f"[{style.clean(attribute.unit, 12)}]")
    axes.annotate(said_of(shown, attribute), (0.0, 1.0), xycoords="axes fraction", xytext=((style.MARGIN - style.LEFT) * 72, 4),
                  textcoords="offset points", fontsize=style.NORMAL, fontweight="bold" if raised else "normal",
                  color=style.ABNORMAL if raised else style.INK, annotation_clip=False)  # fmt: skip


def _buckets(axes: Axes, attribute: Attribute, low: float, high: float) -> None:
    """Shaded stripes, the darker the more disks fail, with the rates at the right."""
    rates, edges = style.finite(attribute.annual_failure_ratio), np.asarray(attribute.bucket_edges, dtype=np.float64)
    if not len(rates) or len(edges) != len(rates) + 1:
        return
    kept = [0, *(i for i in range(1, len(rates)) if rates[i] != rates[i - 1])]  # equal ones are shown as one
    rates, edges = rates[kept], edges[[*kept, len(edges) - 1]]
    labelled = -np.inf
    for i, rate in enumerate(rates):
        bottom, top = max(low, np.nan_to_num(edges[i], nan=low, neginf=low)), min(high, np.nan_to_num(edges[i + 1], nan=high, posinf=high))
        bottom = low if i == 0 else bottom
        if top <= bottom:
            continue
        shade = SHADES[int(np.clip(np.nan_to_num(rate) * len(SHADES) / 0.6, 0, len(SHADES) - 1))]
        axes.axhspan(bottom, top, color=shade, linewidth=0, zorder=0)
        axes.axhline(top, color="white", linewidth=0.8, zorder=1)
        middle = (bottom + top) / 2
        if (middle - labelled) / (high - low) * style.inches(axes)[1] > 0.14:
            axes.annotate(f"{_percent(float(rate))} a year", (1.0, middle), xycoords=("axes fraction", "data"), xytext=(9, 0), va="center",
                          textcoords="offset points", fontsize=style.SMALL, color=style.QUIET, annotation_clip=False)  # fmt: skip
            labelled = middle


def _line_of_trend(axes: Axes, seconds: Array, values: Array) -> None:
    """A straight line by least squares through a counter that changes."""
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0:
        return
    x, y = seconds[known], values[known]
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / max(float(((x - x.mean()) ** 2).sum()), 1e-300))
    ends = np.array([x[0], x[-1]])
    axes.plot(ends, y.mean() + slope * (ends - x.mean()), color=style.INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=2)
