"""What is wrong now: the rows of incidents, what nobody is sure of, the tree of places, the last day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from daemon.messages import FindingReport
from daemon.ranking.attention import by_attention, real_percent, urgency
from daemon.ranking.standing import Standing
from daemon.records import Incident, PlanState
from daemon.settings import Settings
from daemon.web.live import HOUR_NS, Snapshot
from daemon.web.views import sources as health
from daemon.web.views.head import lasting
from daemon.web.views.marks import Mark, branch_of, certainty_of, mark_of
from daemon.web.views.places import Node, tree
from daemon.web.views.plans import PlanRow, plan_row
from daemon.web.words import Times, clean, lasted
from detectors.finding import Certainty
from detectors.reranking import Case

ROWS_MOST = 100
"""Incidents on the first page: nobody reads more; the others are one link away."""
UNSURE_SHOWN = 50


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """One incident in a list."""

    id: str
    mark: Mark
    sentence: str
    detail: str
    branch: str
    place: str
    moment: str
    age: str
    exact: str
    iso: str
    state: str
    owner: str
    silenced: str
    outcome: str

    @property
    def lasts(self) -> bool:
        """Whether something is still to be done about it."""
        return self.state != "resolved"


@dataclass(frozen=True, slots=True)
class UnsureRow:
    """A finding that opened no incident, because nobody can be sure of it."""

    key: str
    summary: str
    reason: str
    source: str
    place: str
    branch: str
    moment: str
    age: str
    detectors: str


@dataclass(frozen=True, slots=True)
class Hour:
    """Incidents opened in an hour; `critical` of them were critical. Heights are of a chart 100 high."""

    label: str
    count: int
    critical: int
    height: float
    critical_height: float


@dataclass(frozen=True, slots=True)
class Attention:
    """What the order by attention is made from: what was learned from labels, and the cases of incidents by their id."""

    standing: Standing
    cases: Mapping[str, Case]

    def likely(self, incident: Incident) -> str:
        """How likely it is real, "" where labels are not used."""
        case = self.cases.get(incident.id)
        percent = None if case is None else real_percent(self.standing, case)
        return "" if percent is None else f"{percent} % likely real, by labels"


@dataclass(frozen=True, slots=True)
class Home:
    """The first page. attention: whether labels are used and why, "" in the usual order."""

    rows: tuple[IncidentRow, ...]
    more: int
    unsure: tuple[UnsureRow, ...]
    unsure_more: int
    root: Node
    branches: tuple[Node, ...]
    hours: tuple[Hour, ...]
    opened: int
    plans: tuple[PlanRow, ...]
    attention: str = ""


def home(settings: Settings, snapshot: Snapshot, times: Times, wall_ns: int, attention: Attention | None = None) -> Home:
    """The first page, in the usual order or by attention."""
    open_now = _in_order(lasting(snapshot), times.now_ns, attention)
    unsure = sorted(snapshot.unsure, key=lambda report: -report.finding.since_ns)
    sources = health.source_rows(settings, snapshot, times, wall_ns)
    silent = [row.place for row in sources if not row.alive]
    watched = [row.place for row in sources if row.alive]
    places = {*snapshot.places, *(row.place for row in sources)}
    hours = by_hour(snapshot.incidents, times)
    proposed = sorted((p for p in snapshot.plans if p.state is not PlanState.ENDED), key=lambda p: -p.made_ns)
    return Home(
        tuple(_row(i, settings.experiment, times, attention) for i in open_now[:ROWS_MOST]),
        max(0, len(open_now) - ROWS_MOST),
        tuple(unsure_row(report, settings.experiment, times) for report in unsure[:UNSURE_SHOWN]),
        max(0, len(unsure) - UNSURE_SHOWN),
        *tree(settings.experiment, places, open_now, silent, watched),
        hours,
        sum(hour.count for hour in hours),
        tuple(plan_row(plan, times) for plan in proposed),
        "" if attention is None else clean(attention.standing.why),
    )


def _in_order(incidents: Iterable[Incident], now_ns: int, attention: Attention | None) -> list[Incident]:
    if attention is None:
        return sorted(incidents, key=lambda i: urgency(i, now_ns))
    return by_attention(list(incidents), attention.cases, attention.standing.reranker, now_ns)


def _row(incident: Incident, root: str, times: Times, attention: Attention | None) -> IncidentRow:
    row = incident_row(incident, root, times)
    likely = "" if attention is None else attention.likely(incident)
    return replace(row, detail=" ".join(part for part in (row.detail, f"{likely[:1].upper()}{likely[1:]}." if likely else "") if part))


def incident_row(incident: Incident, root: str, times: Times) -> IncidentRow:
    """The row of an incident."""
    silenced = incident.silenced_until_ns if incident.silenced(times.now_ns) else None
    return IncidentRow(
        incident.id,
        mark_of(incident),
        clean(incident.sentence),
        certainty_of(incident.certainty, incident.reason) if incident.certainty is Certainty.UNSURE else "",
        branch_of(incident.cause_place, root),
        clean(incident.cause_place),
        times.moment(incident.started_ns),
        times.age(incident.started_ns),
        times.exact(incident.started_ns),
        times.iso(incident.started_ns),
        str(incident.state),
        clean(incident.owner),
        times.moment(silenced) if silenced is not None else "",
        outcome(incident),
    )


def outcome(incident: Incident) -> str:
    """How it ended, "" while it lasts."""
    if incident.resolved_ns is None:
        return ""
    return f"resolved after {lasted(incident.resolved_ns - incident.started_ns)}"


def unsure_row(report: FindingReport, root: str, times: Times) -> UnsureRow:
    """The row of a finding."""
    finding = report.finding
    return UnsureRow(
        finding.key,
        clean(finding.evidence.summary),
        clean(finding.reason),
        clean(finding.source),
        clean(finding.unit.place),
        branch_of(finding.unit.place, root),
        times.moment(finding.since_ns),
        times.age(finding.since_ns),
        ", ".join(clean(name) for name in finding.detectors),
    )


def by_hour(incidents: Iterable[Incident], times: Times) -> tuple[Hour, ...]:
    """Incidents opened in each of the last 24 hours, the present one last."""
    this_hour = times.now_ns // HOUR_NS
    opened = [i for i in incidents if not i.merged_into and 0 <= this_hour - i.opened_ns // HOUR_NS < 24]
    counts = Counter(i.opened_ns // HOUR_NS for i in opened)
    critical = Counter(i.opened_ns // HOUR_NS for i in opened if i.severity == "critical")
    most = max([4, *counts.values()])
    return tuple(
        Hour(
            f"{times.local(hour * HOUR_NS):%H:%M}",
            counts[hour],
            critical[hour],
            100 * counts[hour] / most,
            100 * critical[hour] / most,
        )
        for hour in range(this_hour - 23, this_hour + 1)
    )
