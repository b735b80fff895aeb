"""The head line of every page: run, time, budget, and how many things are wrong."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.records import Incident, IncidentState
from daemon.settings import Settings
from daemon.web.live import Snapshot
from daemon.web.tally import FalseAlarms
from daemon.web.views import sources as health
from daemon.web.views.marks import QUIET, Mark, mark_of
from daemon.web.words import Times, clean, number, plural, rate
from detectors.finding import Certainty

CONDITIONS_OLD_NS = 120_000_000_000
"""Run and beam that are older than this are shown with their age."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head line of every page. stale: why what is shown may be out of date; budget_note: how it was measured."""

    experiment: str
    conditions: str
    clock: str
    zone: str
    exact: str
    counts: str
    incidents: int
    unsure: int
    sources: str
    sources_alive: bool
    budget: str
    budget_note: str
    stale: tuple[str, ...]
    mark: Mark
    version: int


def lasting(snapshot: Snapshot) -> list[Incident]:
    """Incidents that are not over, the one to look at first on top: not silenced, nobody on it, critical, newest."""
    return [i for i in snapshot.incidents if i.state is not IncidentState.RESOLVED and not i.merged_into]


def head(settings: Settings, snapshot: Snapshot, alarms: FalseAlarms, times: Times, wall_ns: int) -> Head:
    """The head line."""
    open_now = lasting(snapshot)
    unsure = [i for i in open_now if i.certainty is Certainty.UNSURE]
    sure = len(open_now) - len(unsure)
    unsure_count = len(unsure) + len(snapshot.unsure)
    rows = health.source_rows(settings, snapshot, times, wall_ns)
    return Head(
        clean(settings.experiment),
        _conditions(snapshot, times),
        times.clock(),
        times.zone_name(),
        times.exact(times.now_ns),
        f"{plural(sure, 'incident') if sure else 'no incident'} · {number(unsure_count)} unsure",
        sure,
        unsure_count,
        health.summary(rows),
        all(row.alive for row in rows),
        _budget(settings.false_alarms_per_day, alarms),
        _budget_note(alarms),
        health.staleness(snapshot, wall_ns),
        max((mark_of(i) for i in open_now), key=lambda mark: mark.rank, default=QUIET),
        snapshot.version,
    )


def _conditions(snapshot: Snapshot, times: Times) -> str:
    text = clean(snapshot.conditions)
    if text and times.now_ns - snapshot.conditions_ns > CONDITIONS_OLD_NS:
        return f"{text} (as of {times.age(snapshot.conditions_ns)} ago)"
    return text


def _budget(promised: float, alarms: FalseAlarms) -> str:
    text = f"budget {number(promised)} a day"
    if alarms.rate is None or alarms.low is None or alarms.high is None:
        return f"{text}, not measured yet"
    return f"{text}, measured {rate(alarms.rate)} [{rate(alarms.low)}–{rate(alarms.high)}]"


def _budget_note(alarms: FalseAlarms) -> str:
    """How the figure came about, for whoever asks."""
    if alarms.rate is None:
        return f"It is measured from labels once a day has been watched; {alarms.unlabelled} incidents have none so far."
    labelled = alarms.opened - alarms.unlabelled
    return (
        f"Incidents that people called not a problem: {alarms.false} of {labelled} labelled ones in {number(alarms.days, 2)} days, "
        f"with the 90 % interval of a rate. {alarms.unlabelled} more were not labelled."
    )
