"""How receivers put text: without what breaks a protocol, in one line where there is one, and cut where there is a limit."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from daemon.records import Incident, IncidentState

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What XML, JSON parsers in C and terminals stumble over; of the control characters only tab and line feed stay."""
S_NS = 1_000_000_000


def clean(text: str, limit: int) -> str:
    """Text without control characters, of at most `limit` characters: what is cut ends with an ellipsis."""
    kept = _CONTROL.sub("", text.replace("\r\n", "\n"))
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def one_line(text: str, limit: int) -> str:
    """The same in one line."""
    return clean(" ".join(clean(text, len(text) + 1).split()), limit)


def lasted(duration_ns: int) -> str:
    """A duration as people say it: "40 s", "6 min", "2 h 5 min", "3 d 4 h"."""
    seconds = max(duration_ns, 0) // S_NS
    if seconds < 60:
        return f"{seconds} s"
    minutes = (seconds + 30) // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def clock(time_ns: int, zone: ZoneInfo) -> str:
    """Date and time in the experiment's zone: "2016-11-30 13:19:48"."""
    return datetime.fromtimestamp(time_ns // S_NS, zone).strftime("%Y-%m-%d %H:%M:%S")


def is_over(incident: Incident) -> bool:
    """Whether there is nothing left to do about it under its own name."""
    return incident.state is IncidentState.RESOLVED or bool(incident.merged_into)


def ended_ns(incident: Incident) -> int:
    """When it was over, event time."""
    return incident.resolved_ns if incident.resolved_ns is not None else incident.updated_ns


def outcome(incident: Incident) -> str:
    """How it ended, in a sentence."""
    duration = lasted(ended_ns(incident) - incident.started_ns)
    if incident.merged_into:
        return f"Became part of incident {incident.merged_into} after {duration}."
    reading = f", {one_line(incident.reading, 300)}" if incident.reading else ""
    return f"Resolved after {duration}{reading}."
