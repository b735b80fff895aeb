"""The picture of a back-test: a lane of incidents for each budget over time, and the events that are known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daemon.backtest.events import Event
from daemon.backtest.trial import Trial
from daemon.plots import style
from daemon.plots.times import TimeAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANE, FOOT, HEAD, LEFT, RIGHT = 0.5, 0.46, 0.24, 1.25, 1.45
BAR = 0.5
"""Height of an incident in its lane."""
LEAST = 0.004
"""Part of the picture that an incident or event takes at least."""
FORMATS = ("png", "svg", "pdf")
DPI = 170


def save(trials: Sequence[Trial], zone: tzinfo, path: Path) -> None:
    """Writes the picture; the ending of the path says how. Raises ValueError for another ending, OSError."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"{path}: a picture ends in {', '.join(FORMATS)}")
    import matplotlib as mpl  # noqa: PLC0415 - loaded when a picture is drawn

    with mpl.rc_context(dict(style.PARAMETERS)):  # type: ignore[arg-type]  # newer versions list all names in the type
        draw(trials, zone).savefig(path, format=kind, dpi=DPI)


def draw(trials: Sequence[Trial], zone: tzinfo) -> Figure:
    """The picture of trials over the same rows."""
    first_ns, last_ns = min(t.first_ns for t in trials), max(t.last_ns for t in trials)
    height = LANE * max(2, len(trials))
    context = "incidents at each budget of false alarms" + (", events that are known in grey" if trials[0].met is not None else "")
    figure, _ = style.canvas(height + FOOT + HEAD, "How many incidents would there have been?", context)
    axes = style.panel(figure, LEFT, FOOT, style.WIDTH - LEFT - RIGHT, height)
    times = TimeAxis(np.array([first_ns, last_ns], dtype=np.int64), zone)
    axes.set_ylim(len(trials) - 0.5, -0.5)
    _learning(axes, times, max(t.watched_from_ns for t in trials), first_ns)
    for event in trials[0].events:
        _event(axes, times, event)
    for lane, trial in enumerate(trials):
        _lane(axes, times, trial, lane)
        axes.annotate(said(trial), (1.0, lane), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                      va="center", fontsize=style.SMALL)  # fmt: skip
    axes.set_yticks(list(range(len(trials))), labels=[f"{style.number(t.per_day)} a day" for t in trials], fontsize=style.NORMAL)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    times.draw(axes)
    return figure


def said(trial: Trial) -> str:
    """A lane in words: "12 incidents", with what was found of the events below."""
    count = len(trial.incidents)
    text = f"{count} {'incident' if count == 1 else 'incidents'}"
    if trial.met is not None:
        text += f"\nfound {sum(trial.met.found)} of {len(trial.events)},\n{len(trial.met.false_ids)} false"
    return text


def _learning(axes: Axes, times: TimeAxis, watched_from_ns: int, first_ns: int) -> None:
    if watched_from_ns <= first_ns:
        return
    axes.axvspan(0.0, times.place(watched_from_ns), facecolor=style.NOWHERE, hatch="////", edgecolor=style.GRID, linewidth=0, zorder=0)
    axes.annotate("learning", (0.0, 1.0), xycoords=("data", "axes fraction"), xytext=(2, 3), textcoords="offset points",
                  fontsize=style.SMALL, color=style.QUIET)  # fmt: skip


def _event(axes: Axes, times: TimeAxis, event: Event) -> None:
    start, end = times.place(event.start_ns), times.place(event.end_ns)
    axes.axvspan(start, max(end, start + LEAST * times.length_s), color=style.BAND, linewidth=0, zorder=0.5)


def _lane(axes: Axes, times: TimeAxis, trial: Trial, lane: int) -> None:
    bars = []
    for incident in trial.incidents:
        start = times.place(incident.opened_ns)
        end = times.length_s if incident.resolved_ns is None else times.place(incident.resolved_ns)
        bars.append((start, max(end - start, LEAST * times.length_s)))
    axes.axhline(lane, color=style.GRID, linewidth=0.8, zorder=0.6)
    axes.broken_barh(bars, (lane - BAR / 2, BAR), facecolors=style.ABNORMAL, linewidth=0, zorder=2)
