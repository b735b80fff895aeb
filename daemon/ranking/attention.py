"""What deserves attention first, and how likely an incident is real, by what people called those like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.ranking.standing import Standing
from daemon.records import Incident, IncidentState
from daemon.store.cases import Likeness
from detectors.finding import Certainty, Severity
from detectors.reranking import SEVERITIES, Case, Reranker, none_critical_later

STATES = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED)
"""What nobody is on yet comes first."""
NEVER_SURE = 99
"""Percent: what labels say is never said to be certain."""


def urgency(incident: Incident, now_ns: int) -> tuple[object, ...]:
    """The usual order: what needs somebody comes first, what is sure before what is not, the newest first among equals."""
    rank = 2 if incident.certainty is Certainty.UNSURE else 0 if incident.severity is Severity.CRITICAL else 1
    return (*_class(incident, now_ns), rank, -incident.opened_ns)


def by_attention(incidents: Sequence[Incident], cases: Mapping[str, Case], reranker: Reranker, now_ns: int) -> list[Incident]:
    """Incidents in the order of what labels say, or of the tail probabilities where the re-ranker does not act.

    Those that nobody is on stay before those that somebody is on, and the severe before the less severe; nothing critical stands
    further down than in the usual order. Those without a case are ahead of their like: nothing is known that speaks against them.
    """
    usual = sorted(incidents, key=lambda incident: urgency(incident, now_ns))
    known = [incident for incident in usual if incident.id in cases]
    rank = {known[i].id: position for position, i in enumerate(reranker.order([cases[incident.id] for incident in known]))}

    def attention(i: int) -> tuple[object, ...]:
        incident = usual[i]
        return (*_class(incident, now_ns), -SEVERITIES[incident.severity], rank.get(incident.id, -1), i)

    better = sorted(range(len(usual)), key=attention)
    critical = [incident.severity is Severity.CRITICAL for incident in usual]
    return [usual[i] for i in none_critical_later(range(len(usual)), better, critical)]


def real_percent(standing: Standing, case: Case) -> int | None:
    """How likely an incident of this case is real, in percent, by the labels; None where labels are not used now."""
    if not standing.acts:
        return None
    return min(max(round(100 * float(standing.reranker.probabilities([case])[0])), 100 - NEVER_SURE), NEVER_SURE)


def chance_words(standing: Standing, case: Case, likeness: Likeness) -> str:
    """How likely an incident of this case is real, in a sentence; "" where labels are not used now."""
    percent = real_percent(standing, case)
    if percent is None:
        return ""
    condition, likely = case.condition.replace("_", " "), f"{percent} % likely real"
    if likeness.labelled_here:
        return f"Of {likeness.labelled_here} labelled like it ({condition}, {case.place}), {_were(likeness.real_here)} real: {likely}."
    if likeness.labelled:
        return f"None was labelled at {case.place}; of {likeness.labelled} elsewhere ({condition}), {_were(likeness.real)} real: {likely}."
    return f"None of its kind ({condition}) was labelled; by the labels of others: {likely}."


def _were(count: int) -> str:
    return f"{count} {'was' if count == 1 else 'were'}"


def _class(incident: Incident, now_ns: int) -> tuple[bool, int]:
    """What no order by attention mixes: silenced or not, and whether somebody is on it."""
    return incident.silenced(now_ns), STATES.index(incident.state)
