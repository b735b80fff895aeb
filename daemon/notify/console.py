"""The console receiver: one line an event on standard output, for people or as JSON."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import ClassVar, Self, TextIO
from zoneinfo import ZoneInfo

from collectors.collector import Options
from daemon.notify.receiver import ReceiverError, Surroundings, Told
from daemon.notify.wording import one_line
from daemon.records import Incident, IncidentState

LINE_CHARACTERS = 2000


class ConsoleOptions(Options):
    """How incidents are printed."""

    as_json: bool = False
    """One JSON object an event instead of lines for people."""


class ConsoleReceiver:
    """Writes incidents to standard output.

    Example:
        [receiver.console]
        as_json = true

    """

    options_model: ClassVar[type[Options]] = ConsoleOptions
    details: ClassVar[bool] = False

    def __init__(self, name: str, options: ConsoleOptions, surroundings: Surroundings) -> None:
        self.name = name
        self._zone = surroundings.zone
        self._as_json = options.as_json
        self._stream: TextIO = sys.stdout

    @classmethod
    def of(cls, zone: ZoneInfo, *, as_json: bool = False, stream: TextIO | None = None) -> Self:
        """One without a daemon around it, for commands that print incidents themselves."""
        alone = Surroundings("", zone, lambda: 0, "", lambda _: None, lambda _: None, lambda _: None)
        receiver = cls("console", ConsoleOptions(as_json=as_json), alone)
        receiver._stream = stream or sys.stdout
        return receiver

    def tell(self, incident: Incident, told: Told) -> str:
        """Writes the incident. A line that was written cannot be looked for: one that is in doubt is written again."""
        text = json.dumps(incident.as_json(), ensure_ascii=False) if self._as_json else lines(incident, self._zone)
        try:
            self._stream.write(text.encode("utf-8", "replace").decode() + "\n")
            self._stream.flush()
        except OSError as error:
            raise ReceiverError(f"standard output: {error.strerror}") from None
        return told.reference

    def close(self) -> None:
        """Standard output stays open: it is not ours."""


def lines(incident: Incident, zone: ZoneInfo) -> str:
    """The incident in one line, and what to do in a second one while it is open."""
    told_ns = incident.updated_ns
    clock = datetime.fromtimestamp(told_ns / 1e9, zone).strftime("%H:%M:%S")
    minutes = (told_ns - incident.started_ns) / 6e10
    age = f"{minutes:.0f} min" if minutes >= 1 else f"{minutes * 60:.0f} s"
    since = datetime.fromtimestamp(incident.started_ns / 1e9, zone).strftime("%H:%M:%S")
    sentence = one_line(incident.sentence, LINE_CHARACTERS)
    if incident.state is IncidentState.RESOLVED:
        return f"{clock}  resolved  after {age}: {sentence}  [{incident.id[:8]}]"
    owner = f"  on it: {one_line(incident.owner, 100)}" if incident.owner else ""
    place = one_line(incident.cause_place, 300)
    head = f"{clock}  {incident.severity:<8}  {sentence} · {place} · since {since} ({age}){owner}  [{incident.id[:8]}]"
    return f"{head}\n          {one_line(incident.why, LINE_CHARACTERS)}\n          Do: {one_line(incident.decision, LINE_CHARACTERS)}"
