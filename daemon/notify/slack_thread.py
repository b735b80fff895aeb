"""The thread of an incident: what joins, who did what, the resolution; and what was said of it so far."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Self

from collectors.frame import digest_of
from daemon.notify.slack_blocks import View, name, resolution
from daemon.notify.slack_text import escaped, link, plain
from daemon.records import Incident, TimelineEntry

SHIFTWATCH = "shiftwatch"
MAX_LINES = 12
MAX_LINE = 220
MAX_REPLIES_OF_ITS_OWN = 10
"""Replies without a person or an end in them; what comes later is told with the next one that has either."""
MAX_CLEARED = 4
SAID = {"acknowledge": "on it", "not a problem": "not a problem", "real": "it is real", "resolve": "it is over"}


@dataclass(frozen=True, slots=True)
class Reference:
    """What is in Slack of an incident.

    last, last_ns: which line of the timeline was told last, and its time; replies: how many there are in the thread. file: the
    picture's id, drawn: what is on it, shared: it is in the thread, because Slack would not have it in the message.
    """

    channel: str = ""
    ts: str = ""
    last: str = ""
    last_ns: int = 0
    replies: int = 0
    file: str = ""
    drawn: str = ""
    shared: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """From what the notify stage kept; nothing where that is no reference."""
        try:
            kept: dict[str, Any] = json.loads(text) if text else {}
            return cls(**{f.name: kept[f.name] for f in fields(cls) if type(kept.get(f.name)) is type(f.default)})
        except (ValueError, AttributeError):
            return cls()

    def text(self) -> str:
        """As the notify stage keeps it."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def message_metadata(self, incident: Incident) -> dict[str, Any]:
        """What the message carries, so that it is found again."""
        about = {"incident": incident.id, "revision": incident.revision, "drawn": self.drawn if self.file else ""}
        return {"event_type": "shiftwatch_incident", "event_payload": about}

    def reply_metadata(self, incident: Incident) -> dict[str, Any]:
        """What a reply carries, so that it is known from Slack alone which lines it told."""
        told = {"incident": incident.id, "last": self.last, "last_ns": str(self.last_ns), "replies": self.replies}
        return {"event_type": "shiftwatch_thread", "event_payload": told}


def line_key(entry: TimelineEntry) -> str:
    """Names a line of the timeline."""
    return digest_of(entry.time_ns, entry.who, entry.what)


def untold(timeline: Sequence[TimelineEntry], reference: Reference) -> Sequence[TimelineEntry]:
    """The lines after the last one that was told; the first one is the message itself.

    Lines are added at the end, whatever their time. Where the last one was since left out of a long timeline, time decides.
    """
    if not reference.last:
        return timeline[1:]
    for number in range(len(timeline) - 1, -1, -1):
        if line_key(timeline[number]) == reference.last:
            return timeline[number + 1 :]
    return [entry for entry in timeline if entry.time_ns > reference.last_ns]


def can_wait(entries: Sequence[TimelineEntry], reference: Reference) -> bool:
    """Whether there is only more of what the thread is full of already."""
    worth = any(e.who != SHIFTWATCH or not e.what.startswith(("joins", "cleared", "opened", "more of the same")) for e in entries)
    return not entries or (reference.replies >= MAX_REPLIES_OF_ITS_OWN and not worth)


def reply(entries: Sequence[TimelineEntry], incident: Incident, view: View) -> str:
    """One message for all of them: a line each, what cleared on one line, at most `MAX_LINES`."""
    cleared = [entry for entry in entries if _is_cleared(entry)]
    rest = [entry for entry in entries if not _is_cleared(entry)]
    shown, left_out = _chosen(rest)
    lines = [_line(entry, incident, view) for entry in shown]
    if left_out:
        more = link(view.surroundings.incident_url(incident), "the incident's page") if view.surroundings.page_url else "the timeline"
        lines.append(f"and {left_out} more, see {more}")
    if cleared:
        names = ", ".join(plain(entry.what.removeprefix("cleared: "), 60) for entry in cleared[:MAX_CLEARED])
        more = f" and {len(cleared) - MAX_CLEARED} more" if len(cleared) > MAX_CLEARED else ""
        lines.insert(len(lines) - bool(shown and shown[-1].what == "resolved"), f"cleared: {escaped(names, MAX_LINE)}{more}")
    return "\n".join(lines)


def _chosen(entries: Sequence[TimelineEntry]) -> tuple[list[TimelineEntry], int]:
    """What people did and the latest, in their order; how many are left out."""
    if len(entries) <= MAX_LINES:
        return list(entries), 0
    ranked = sorted(range(len(entries)), key=lambda i: (entries[i].who != SHIFTWATCH, i))[-MAX_LINES:]
    return [entries[i] for i in sorted(ranked)], len(entries) - MAX_LINES


def _is_cleared(entry: TimelineEntry) -> bool:
    return entry.who == SHIFTWATCH and entry.what.startswith("cleared: ")


def _line(entry: TimelineEntry, incident: Incident, view: View) -> str:
    at = view.clock(entry.time_ns)
    if entry.who != SHIFTWATCH:
        return f"{at}  *{name(entry.who)}*: {escaped(_words(entry.what, view), MAX_LINE)}"
    if entry.what == "resolved" and incident.resolved_ns is not None:
        return f"{at}  {resolution(incident)}"
    if incident.merged_into and entry.what.endswith(incident.merged_into):
        other = view.surroundings.incident(incident.merged_into)
        if other is not None:
            return f"{at}  is part of: {link(view.surroundings.incident_url(other), plain(other.sentence, 150))}"
    return f"{at}  {escaped(entry.what, MAX_LINE)}"


def _words(what: str, view: View) -> str:
    """What a person said, in a person's words and in the experiment's time."""
    said, colon, comment = what.partition(": ") if not what.startswith("silence until ") else ("", "", "")
    if what.startswith("silence until "):
        until, colon, comment = what.removeprefix("silence until ").partition(": ")
        try:
            ends_ns = int(datetime.fromisoformat(until).timestamp() * 1_000_000_000)
        except (ValueError, OverflowError):
            return what
        return f"silenced until {view.clock(ends_ns)}{colon}{comment}"
    return f"{SAID.get(said, said)}{colon}{comment}"
