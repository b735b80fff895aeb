"""An incident, a Slack receiver and what it may use of the daemon, for tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.notify.receiver import Surroundings, Told
from daemon.notify.slack import SlackOptions, SlackReceiver
from daemon.records import Incident, IncidentState, Label, TimelineEntry
from detectors.finding import Certainty, Severity
from tests.slack_server import SlackServer
from tests.slack_workspace import APP_TOKEN, BOT_TOKEN, CHANNEL

S = 1_000_000_000
MIN = 60 * S
NOW_NS = time.time_ns()
STARTED_NS = NOW_NS - 6 * MIN
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PAGE = "https://shift.example.org"

INCIDENT = Incident(
    id="5f0c1a2b3c4d5e6f",
    revision=1,
    state=IncidentState.OPEN,
    severity=Severity.CRITICAL,
    certainty=Certainty.SURE,
    condition="fed_stuck",
    cause_place="CMS/Tracker/TIBTID",
    cause_channel="FED 101",
    sentence="No triggers: TIBTID FED 101 is stuck in WARNING",
    why="It went to warning 4 s before the rate fell; 648 front ends only wait for it. Sure (daq, states).",
    decision="Stop and start the run, recycle Tracker; if it comes back, call the Tracker on-call.",
    runbook="fed-stuck",
    places=("CMS/Tracker/TIBTID",),
    victims=tuple(f"CMS/DAQ/FED {n}" for n in range(648)),
    detectors=("daq", "states"),
    findings=("f1", "f2"),
    started_ns=STARTED_NS,
    opened_ns=STARTED_NS + 2 * S,
    updated_ns=STARTED_NS + 2 * S,
    timeline=(TimelineEntry(STARTED_NS + 2 * S, "shiftwatch", "opened: TIBTID FED 101 is stuck in WARNING"),),
    reading="dead-time 100 % instead of 2 %",
    cause_finding="f1",
)


def went_on(incident: Incident, *lines: tuple[str, str], **changes: Any) -> Incident:
    """The incident a revision later, with more lines (who, what) in its timeline, a minute apart."""
    last_ns = incident.timeline[-1].time_ns
    entries = tuple(TimelineEntry(last_ns + n * MIN, who, what) for n, (who, what) in enumerate(lines, 1))
    return replace(incident, revision=incident.revision + 1, timeline=incident.timeline + entries, **changes)


def resolved(incident: Incident) -> Incident:
    """The incident, over after 8 minutes."""
    end_ns = incident.started_ns + 8 * MIN
    changed = went_on(incident, ("shiftwatch", "resolved"), state=IncidentState.RESOLVED, resolved_ns=end_ns, updated_ns=end_ns)
    return replace(changed, reading="dead-time 2.1 % instead of 2 %")


@dataclass
class Desk:
    """What the receiver uses of the daemon, with what was said through it."""

    incidents: dict[str, Incident] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)
    picture: bytes | None = PNG
    page_url: str = PAGE
    saying_fails: bool = False

    def say(self, label: Label) -> None:
        """Takes a label, or fails as a bus that is down does."""
        if self.saying_fails:
            raise ConnectionError("xoxb-not-to-be-seen")
        self.labels.append(label)

    def surroundings(self) -> Surroundings:
        """For a receiver."""
        zone = ZoneInfo("Europe/Zurich")
        return Surroundings("CMS", zone, time.time_ns, self.page_url, lambda _: self.picture, self.say, self.incidents.get)


class Teller:
    """A receiver that remembers references as the notify stage does: in doubt after a failure, and when it began anew."""

    def __init__(self, folder: Path, server: SlackServer, desk: Desk | None = None, *, answers: bool = False, **options: Any) -> None:
        for name, token in (("bot", BOT_TOKEN), ("app", APP_TOKEN)):
            (folder / name).write_text(f"{token}\n")
        given: Mapping[str, Any] = {
            "token_file": folder / "bot",
            "channel": CHANNEL,
            "base_url": server.url,
            "timeout_s": 1,
            **({"app_token_file": folder / "app"} if answers else {}),
            **options,
        }
        self.desk = desk or Desk()
        self.options = SlackOptions.model_validate(given)
        self.receiver = SlackReceiver("slack", self.options, self.desk.surroundings())
        self.told: dict[str, Told] = {}

    def tell(self, incident: Incident) -> str:
        """Tells of it, and keeps what the stage would."""
        self.desk.incidents[incident.id] = incident
        before = self.told.get(incident.id, Told())
        self.told[incident.id] = replace(before, in_doubt=True)
        reference = self.receiver.tell(incident, before)
        self.told[incident.id] = Told(reference)
        return reference

    def restart(self) -> None:
        """Another process takes over."""
        self.receiver.close()
        self.receiver = SlackReceiver("slack", self.options, self.desk.surroundings())


def shown(message: Mapping[str, Any]) -> str:
    """A message as a reader sees it, roughly: the text of its blocks, a line each."""
    lines = []
    for block in message.get("blocks", []):
        if block["type"] == "section":
            lines.append(block["text"]["text"])
        elif block["type"] == "context":
            lines.append(" ".join(element["text"] for element in block["elements"]))
        elif block["type"] == "image":
            lines.append(f"[picture {block['slack_file']['id']}: {block['alt_text']}]")
        else:
            lines.append(" ".join(f"[{element['text']['text']}]" for element in block["elements"]))
    return "\n".join(lines)
