"""What people know happened: intervals from a CSV file, and which incidents would have found them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from daemon.records import Incident

COLUMNS = ("start", "end")


class EventsError(ValueError):
    """A file of events that cannot be read; names the line."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something real that lasted from one event time to another, both included."""

    start_ns: int
    end_ns: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Met:
    """What incidents say of events.

    found: for each event, whether an incident opened in it; delay_s: how long after its start, None where it was not found;
    false_ids: incidents that belong to no event.
    """

    found: tuple[bool, ...]
    delay_s: tuple[float | None, ...]
    false_ids: frozenset[str]


def read_events(path: Path, zone: tzinfo) -> list[Event]:
    """Events of a CSV file with the columns start, end and, if there is one, name. Raises EventsError, OSError.

    Times are ISO 8601, in the zone given unless they say one, or seconds since 1970.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise EventsError(f"{path}: no column {missing[0]!r}; the first line is start,end or start,end,name")
        events = []
        for row in reader:
            try:
                start_ns, end_ns = (moment_ns(row[name] or "", zone) for name in COLUMNS)
            except ValueError as error:
                raise EventsError(f"{path}:{reader.line_num}: {error}") from None
            if end_ns < start_ns:
                raise EventsError(f"{path}:{reader.line_num}: it ends before it starts")
            events.append(Event(start_ns, end_ns, (row.get("name") or "").strip()))
    return sorted(events, key=lambda event: event.start_ns)


def moment_ns(text: str, zone: tzinfo) -> int:
    """A time in ns since 1970, UTC; what may be a date (20261130) is one. Raises ValueError."""
    text = text.strip()
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return int(moment.astimezone(UTC).timestamp() * 1_000_000) * 1_000
    except (ValueError, OverflowError):
        pass
    try:
        return int(float(text) * 1e9)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r}: a time is written like 2026-11-30 or 2026-11-30T12:00") from None


def meet(incidents: Sequence[Incident], events: Sequence[Event], early_ns: int) -> Met:
    """An incident belongs to the events in which, or up to `early_ns` before which, it opened.

    One that had been open for longer finds nothing: an incident that never ends would find everything.
    """
    delays: list[float | None] = [None] * len(events)
    false = set()
    for incident in sorted(incidents, key=lambda i: i.opened_ns):
        own = [i for i, event in enumerate(events) if _belongs(incident, event, early_ns)]
        if not own:
            false.add(incident.id)
        for i in own:
            if delays[i] is None:
                delays[i] = max(0.0, (incident.opened_ns - events[i].start_ns) / 1e9)
    return Met(tuple(delay is not None for delay in delays), tuple(delays), frozenset(false))


def _belongs(incident: Incident, event: Event, early_ns: int) -> bool:
    lasts_until_it = incident.resolved_ns is None or incident.resolved_ns >= event.start_ns
    return event.start_ns - early_ns <= incident.opened_ns <= event.end_ns and lasts_until_it
