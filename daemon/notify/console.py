"""The console receiver: one line an event on standard output, for people or as JSON."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TextIO
from zoneinfo import ZoneInfo

from daemon.records import Incident, IncidentState


class ConsoleReceiver:
    """Writes incidents to a stream."""

    name = "console"

    def __init__(self, zone: ZoneInfo, *, as_json: bool = False, stream: TextIO | None = None) -> None:
        self._zone = zone
        self._as_json = as_json
        self._stream = stream or sys.stdout

    def tell(self, incident: Incident, reference: str) -> str:
        """Writes the incident; the reference at this receiver stays empty."""
        text = json.dumps(incident.as_json(), ensure_ascii=False) if self._as_json else lines(incident, self._zone)
        self._stream.write(text + "\n")
        self._stream.flush()
        return reference


def lines(incident: Incident, zone: ZoneInfo) -> str:
    """The incident in one line, and what to do in a second one while it is open."""
    told_ns = incident.updated_ns
    clock = datetime.fromtimestamp(told_ns / 1e9, zone).strftime("%H:%M:%S")
    minutes = (told_ns - incident.started_ns) / 6e10
    age = f"{minutes:.0f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"
    since = datetime.fromtimestamp(incident.started_ns / 1e9, zone).strftime("%H:%M:%S")
    if incident.state is IncidentState.RESOLVED:
        return f"{clock}  resolved  after {age}: {incident.sentence}  [{incident.id[:8]}]"
    owner = f"  on it: {incident.owner}" if incident.owner else ""
    head = (
        f"{clock}  {incident.severity:<8}  {incident.sentence} · {incident.cause_place} · since {since} ({age}){owner}  [{incident.id[:8]}]"
    )
    return f"{head}\n          {incident.why}\n          Do: {incident.decision}"
