"""How an incident looks in Slack: one message that a tired person reads from the top, and stops as soon as it is clear.

Sentence, why, picture, what to do, buttons. Limits are those of "Blocks" on docs.slack.dev with a margin: the size of all blocks
together is not documented (about 13,000 characters were measured, slackapi/bolt-js issue 2509).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from daemon.notify.receiver import Surroundings
from daemon.notify.slack_text import address, ago, bold, clock, escaped, link, mrkdwn, plain
from daemon.notify.wording import ended_ns, lasted
from daemon.records import Incident, IncidentState, LabelKind, TimelineEntry
from detectors.finding import Certainty, Severity

Block = dict[str, Any]

MARKS = {Severity.CRITICAL: "■", Severity.WARNING: "◪", Severity.INFO: "□"}
RESOLVED_MARK, MERGED_MARK = "✓", "→"
MAX_SENTENCE, MAX_WHY, MAX_DECISION, MAX_LINE, MAX_NAME = 400, 1800, 1200, 500, 80
MAX_VALUE = 2000
ACTIONS = {
    "shiftwatch_acknowledge": LabelKind.ACKNOWLEDGE,
    "shiftwatch_silence": LabelKind.SILENCE,
    "shiftwatch_not_a_problem": LabelKind.NOT_A_PROBLEM,
}
OPEN_ACTION = "shiftwatch_open"


@dataclass(frozen=True, slots=True)
class View:
    """What a message depends on beside the incident. Times: of the event clock and of the wall, ns UTC.

    file: Slack's id of the picture, "" without one. answers: whether somebody listens to the buttons.
    """

    surroundings: Surroundings
    now_ns: int
    wall_ns: int
    answers: bool = False
    file: str = ""

    def clock(self, time_ns: int) -> str:
        """The time of day in the experiment's zone."""
        return clock(time_ns, self.surroundings.zone, self.now_ns)

    def ago(self, time_ns: int) -> str:
        """The age of a time."""
        return ago(time_ns, self.now_ns, self.wall_ns)


def mark(incident: Incident) -> str:
    """The one status mark; shape and fill say what colour would."""
    if incident.merged_into:
        return MERGED_MARK
    if incident.state is IncidentState.RESOLVED:
        return RESOLVED_MARK
    if incident.certainty is Certainty.UNSURE:
        return MARKS[Severity.WARNING]
    return MARKS[incident.severity]


def fallback(incident: Incident, view: View) -> str:
    """For notifications and screen readers: what, where and since when, in words alone."""
    what = escaped(incident.sentence or f"Incident {incident.id}", MAX_SENTENCE)
    if incident.merged_into:
        return f"Part of another incident: {what}"
    if incident.state is IncidentState.RESOLVED:
        return f"Resolved after {_lasted(incident)}: {what}"
    owner = f" On it: {name(incident.owner)}." if incident.owner else ""
    place = escaped(incident.cause_place, 200)
    return f"{incident.severity.capitalize()}: {what}. {place}, since {view.clock(incident.started_ns)}.{owner}"


def blocks(incident: Incident, view: View) -> list[Block]:
    """The message."""
    if incident.merged_into:
        return [_section(f"{_headline(incident)}\n{_successor(incident, view)}")]
    resolved = incident.state is IncidentState.RESOLVED
    found = [_section(f"{_headline(incident)}\n{_course(incident, view)}")]
    why = escaped(incident.why, MAX_WHY)
    if why:
        found.append(_section(why))
    found.append(_context(_facts(incident)))
    if view.file:
        found.append({"type": "image", "slack_file": {"id": view.file}, "alt_text": alt_text(incident)})
    decision = "" if resolved else _decision(incident, view)
    if decision:
        found.append(_section(f"*Do:* {decision}"))
    people = _people(incident, view)
    if people:
        found.append(_context(people))
    found.extend(_closing(incident, view, resolved=resolved))
    return found


def alt_text(incident: Incident) -> str:
    """What the picture shows, for those who do not see it."""
    return plain(f"Evidence: {incident.sentence}. {incident.reading}", MAX_LINE)


def name(who: str) -> str:
    """A person; Slack's own names are written as Slack writes them."""
    at = "@" if who and all(c.isascii() and (c.islower() or c.isdigit() or c in "._-") for c in who) else ""
    return at + escaped(who, MAX_NAME)


def said(entry: TimelineEntry, kind: LabelKind) -> bool:
    """Whether a line of the timeline is a person's label of this kind."""
    return entry.who != "shiftwatch" and entry.what.startswith(kind.replace("_", " "))


def resolution(incident: Incident) -> str:
    """How long it lasted and what it showed last, or who said that it is nothing."""
    for entry in reversed(incident.timeline):
        if said(entry, LabelKind.NOT_A_PROBLEM) and max(entry.time_ns, incident.opened_ns) == incident.resolved_ns:
            return f"Not a problem, says {name(entry.who)}, after {_lasted(incident)}"
    last = f"; last: {escaped(incident.reading, MAX_LINE)}" if incident.reading else ""
    return f"Resolved after {_lasted(incident)}{last}"


def _headline(incident: Incident) -> str:
    return f"{mark(incident)} {bold(incident.sentence or f'Incident {incident.id}', MAX_SENTENCE)}"


def _course(incident: Incident, view: View) -> str:
    place = escaped(incident.cause_place, 200)
    since = f"since {view.clock(incident.started_ns)}"
    if incident.state is IncidentState.RESOLVED:
        return f"{resolution(incident)}\n{place} · {since}"
    return f"{place} · {since}, {view.ago(incident.started_ns)}"


def _successor(incident: Incident, view: View) -> str:
    other = view.surroundings.incident(incident.merged_into)
    if other is None:
        return f"Is part of incident {escaped(incident.merged_into, 100)}"
    return f"Is part of: {link(view.surroundings.incident_url(other), plain(other.sentence or other.id, 190))}"


def _facts(incident: Incident) -> str:
    certainty = str(incident.certainty)
    if incident.certainty is Certainty.UNSURE and incident.reason:
        certainty = f"unsure because {escaped(incident.reason, 200)}"
    facts = [str(incident.severity), certainty]
    if incident.detectors:
        shown = escaped(", ".join(incident.detectors[:6]), 200) + (" and others" if len(incident.detectors) > 6 else "")
        facts.append(f"{shown} agree" if len(incident.detectors) > 1 else f"seen by {shown}")
    if incident.victims:
        facts.append(f"{len(incident.victims)} {'place suffers' if len(incident.victims) == 1 else 'places suffer'} from it")
    if incident.conditions:
        facts.append(escaped(incident.conditions, 200))
    return " · ".join(facts)


def _decision(incident: Incident, view: View) -> str:
    runbook = link(view.surroundings.runbook_url(incident), f"Runbook: {plain(incident.runbook, 100)}") if incident.runbook else ""
    return " ".join(part for part in (escaped(incident.decision, MAX_DECISION), runbook) if part)


def _people(incident: Incident, view: View) -> str:
    """Who is on it, and until when it is quiet on whose word."""
    parts = []
    if incident.owner:
        taken = [e for e in incident.timeline if said(e, LabelKind.ACKNOWLEDGE) and e.who == incident.owner]
        parts.append(f"On it: {name(incident.owner)}" + (f", {view.ago(taken[-1].time_ns)}" if taken else ""))
    if incident.silenced_until_ns is not None and incident.silenced(view.now_ns) and incident.state is not IncidentState.RESOLVED:
        asked = [e.who for e in incident.timeline if said(e, LabelKind.SILENCE)]
        by = f" by {name(asked[-1])}" if asked else ""
        parts.append(f"Silenced until {view.clock(incident.silenced_until_ns)}{by}")
    return " · ".join(parts)


def _closing(incident: Incident, view: View, *, resolved: bool) -> list[Block]:
    url = address(view.surroundings.incident_url(incident))
    if resolved:
        return [_context(link(url, "Open"))] if url else []
    buttons = _buttons(incident) if view.answers and 0 < len(incident.id) <= MAX_VALUE else []
    if url:
        buttons.append({"type": "button", "text": _label("Open"), "action_id": OPEN_ACTION, "url": url})
    return [{"type": "actions", "elements": buttons}] if buttons else []


def _buttons(incident: Incident) -> list[Block]:
    words = ("Take over" if incident.owner else "On it", "Silence 1 h", "Not a problem")
    buttons: list[Block] = [
        {"type": "button", "text": _label(word), "action_id": action, "value": incident.id}
        for word, action in zip(words, ACTIONS, strict=True)
    ]
    buttons[-1]["confirm"] = {  # the one that ends something, next to two that do not
        "title": _label("Not a problem?"),
        "text": _label("The incident ends. What lasts of it opens no other one; what begins anew does."),
        "confirm": _label("Not a problem"),
        "deny": _label("Back"),
    }
    return buttons


def _lasted(incident: Incident) -> str:
    return lasted(ended_ns(incident) - incident.started_ns)


def _section(text: str) -> Block:
    return {"type": "section", "text": mrkdwn(text)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text)]}


def _label(text: str) -> Block:
    return {"type": "plain_text", "text": text}
