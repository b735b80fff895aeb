"""What a label of a person makes of an incident."""

from __future__ import annotations

from dataclasses import replace

from daemon.correlate.bounds import shortened
from daemon.records import Incident, IncidentState, Label, LabelKind, TimelineEntry, iso

ENDING = (LabelKind.NOT_A_PROBLEM, LabelKind.RESOLVE)
"""Labels that end an incident."""


def ends(incident: Incident, label: Label) -> bool:
    """Whether the label ends the incident."""
    return label.kind in ENDING and incident.state is not IncidentState.RESOLVED


def labelled(incident: Incident, label: Label) -> Incident:
    """The incident once this was said of it; the incident itself where it was said before."""
    said = TimelineEntry(label.time_ns, label.who, _said(label))
    if said in incident.timeline:
        return incident
    changed = replace(incident, revision=incident.revision + 1, timeline=shortened([*incident.timeline, said]))
    if label.kind is LabelKind.ACKNOWLEDGE:
        lasts = incident.state is not IncidentState.RESOLVED
        return replace(changed, state=IncidentState.ACKNOWLEDGED if lasts else incident.state, owner=label.who)
    if label.kind is LabelKind.SILENCE and label.until_ns is not None:
        return replace(changed, silenced_until_ns=label.until_ns if label.until_ns > label.time_ns else None)
    if not ends(incident, label):
        return changed
    ended_ns = max(label.time_ns, incident.opened_ns)
    return replace(
        changed,
        state=IncidentState.RESOLVED,
        resolved_ns=ended_ns,
        updated_ns=max(ended_ns, incident.updated_ns),
        silenced_until_ns=None,  # whoever said that it is over wants to hear of it when it is not
    )


def _said(label: Label) -> str:
    """A label as a line of the timeline."""
    until = f" until {iso(label.until_ns)}" if label.until_ns is not None and label.until_ns > label.time_ns else ""
    return f"{label.kind.replace('_', ' ')}{until}{': ' + label.comment if label.comment else ''}"
