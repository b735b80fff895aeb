"""What the DAQ rule saw: dead time stacked by cause, TTS states of the culprit, or the readings that break a limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Kind, Layout
from detectors.daq_case import Case
from detectors.daq_evidence import DEAD_TIMES
from detectors.daq_readings import ACCEPTED, AS_IT_IS, EVENTS, READINGS, contributions
from detectors.figure import Figure, Lane, SeriesFigure, StackFigure, StatesFigure
from detectors.finding import Contribution, Unit
from detectors.picturing import LINES_MOST, Moment, line, plain, since_row, state_lane

Array = NDArray[np.float64]

NOTICEABLE_PERCENT = 5.0
"""Dead time of one cause from which on it is shown as going on. Averages over a lumisection lag behind: until they show it, something
else must, or ordinary dead time would look guilty."""
READY = "READY"
OF_LIMITS = frozenset(
    (
        "rate_too_high",
        "tcds_input_rate_high",
        "tcds_input_rate_very_high",
        "hlt_output_bandwidth_high",
        "hlt_output_bandwidth_extreme",
        "cloud_mode_wrong",
    )
)
"""Conditions that are readings above a limit, which dead time says nothing about."""
OF_STATES = frozenset(("soft_error_lengthy", "soft_error_continuous", "soft_error_stuck"))
"""Conditions of run control states."""
WORDS = (ACCEPTED, AS_IT_IS, EVENTS)
"""Expectations that are no limits."""
OWN_CAUSE = {"deadtime_from_retri": "retri", "fed_deadtime": "tts", "partition_deadtime": "tts"}


def picture_of(unit: Unit, case: Case, moment: Moment) -> Figure | None:
    """The picture for a unit that holds in the row of `case`, which is the row of `moment`."""
    title = f"{unit.name} ({unit.place})"
    if unit.condition in OF_LIMITS:
        return _readings(title, unit.condition, case, moment)
    stack = None if unit.condition in OF_STATES else _dead_time(title, unit, case, moment)
    states = None if unit.condition in OWN_CAUSE else _states(title, unit.condition, case, moment)
    return stack or states or _readings(title, unit.condition, case, moment)


def _dead_time(title: str, unit: Unit, case: Case, moment: Moment) -> StackFigure | None:
    """Dead time by cause, the culprit's at the bottom; None where it is not read or the culprit's is not noticeable.

    What FEDs and partitions do is dead time of the TTS; elsewhere it is the cause that has risen most.
    """
    causes = {cause: _series(f"deadTimesInstant.{cause}", f"deadTimes.{cause}", moment) for cause in DEAD_TIMES}
    known = {cause: values for cause, values in causes.items() if values is not None and np.nan_to_num(values).any()}
    now = {cause: float(np.nan_to_num(values[moment.at])) for cause, values in known.items()}
    risen = {cause: now[cause] - float(np.nanmedian(values)) for cause, values in known.items()}
    culprit = OWN_CAUSE.get(unit.condition, "tts" if case.feds or case.partitions else max(risen, key=lambda c: risen[c], default=""))
    if now.get(culprit, 0.0) < NOTICEABLE_PERCENT:
        return None
    leaf = unit.place.rpartition("/")[2]
    names = {cause: DEAD_TIMES[cause] for cause in known}
    if culprit == "tts" and leaf not in ("DAQ", ""):
        names[culprit] = f"{DEAD_TIMES[culprit]}: {leaf}"
    others = sorted((cause for cause in known if cause != culprit), key=lambda cause: -float(np.nan_to_num(known[cause]).sum()))
    kept, rest = others[: LINES_MOST - 2], others[LINES_MOST - 2 :]
    layers = [line(names[cause], "%", known[cause], share=float(cause == culprit)) for cause in (culprit, *kept)]
    if rest:
        layers.append(line("other causes", "%", np.nansum([known[cause] for cause in rest], axis=0)))
    since = since_row(np.nan_to_num(known[culprit]) >= NOTICEABLE_PERCENT, moment.at)
    time_ns = moment.time_ns
    return StackFigure(
        f"Dead time by cause: {title}",
        "dead time [%]",
        time_ns,
        tuple(layers),
        names[culprit],
        int(time_ns[since]),
        int(time_ns[moment.at]),
    )


def _states(title: str, condition: str, case: Case, moment: Moment) -> StatesFigure | None:
    """States of the objects that the condition rests on, the culprit first."""
    layout = moment.recent.layout
    lanes: list[Lane] = []
    for contribution in contributions(condition, case):
        channel = layout.column(contribution.name)
        if not isinstance(channel, Channel) or channel.kind is not Kind.STATE or len(lanes) >= LINES_MOST:
            continue
        codes = moment.readings(np.array([layout.position(channel.name)]))[:, 0]
        now = codes[moment.at]
        word = channel.states[int(now)] if 0 <= now < len(channel.states) else ""
        bad = tuple(s for s in channel.states if s != READY) if READY in channel.states else (word,)
        lanes.append(state_lane(_lane_name(channel), codes, channel.states, bad))
    if not lanes:
        return None
    first = lanes[0]
    is_bad = np.isin(first.codes, [float(i) for i, word in enumerate(first.states) if word in first.bad])
    time_ns = moment.time_ns
    return StatesFigure(title, time_ns, tuple(lanes), int(time_ns[since_row(is_bad, moment.at)]), int(time_ns[moment.at]))


def _readings(title: str, condition: str, case: Case, moment: Moment) -> SeriesFigure | None:
    """Readings that the condition rests on, with the limit of the first."""
    layout = moment.recent.layout
    about_dead_time = condition in OWN_CAUSE
    ranked = [c for c in contributions(condition, case) if _is_gauge(layout, c) and (about_dead_time or "deadTimes" not in c.name)]
    if not ranked:
        return None
    lines = []
    for contribution in ranked[:LINES_MOST]:
        values = moment.readings(np.array([layout.position(contribution.name)]))[:, 0]
        lines.append(line(contribution.name.rpartition("/")[2], contribution.unit, values, share=contribution.share))
    first = ranked[0]
    limit = first.expected if _has_limit(condition, first) else np.nan
    return moment.series(title, lines, lines[0].values > limit if np.isfinite(limit) else None, limit_high=limit)


def _has_limit(condition: str, contribution: Contribution) -> bool:
    field = contribution.name.partition("/")[2]
    return any(name == field and isinstance(expected, str) and expected not in WORDS for _, name, expected, _ in READINGS[condition])


def _is_gauge(layout: Layout, contribution: Contribution) -> bool:
    channel = layout.column(contribution.name)
    return isinstance(channel, Channel) and channel.kind is Kind.GAUGE


def _series(instant: str, averaged: str, moment: Moment) -> Array | None:
    """A reading of the whole over time: the instant value, else the averaged one; None where neither is read."""
    layout = moment.recent.layout
    names: Sequence[str] = [name for name in (f"global/{instant}", f"global/{averaged}") if name in layout]
    if not names:
        return None
    values = moment.readings(np.array([layout.position(name) for name in names]))
    return plain(np.where(np.isnan(values[:, 0]), values[:, -1], values[:, 0]))


def _lane_name(channel: Channel) -> str:
    """Such as "FED 101" or "TIBTID (trigger control)"."""
    leaf = channel.place.rpartition("/")[2] or channel.name
    if channel.name.endswith("tcds_pm_ttsState"):
        return f"{leaf} (trigger control)"
    return "level zero" if channel.name.endswith("levelZeroState") else leaf
