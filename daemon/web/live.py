"""What is known at the moment, from the broadcast topics of the bus: what the pages show without asking the database."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collectors.conditions import ConditionHistory
from collectors.frame import Frame, Layout
from collectors.wire import UnknownLayout, WireError, decode, decode_layout
from daemon import messages
from daemon.bus.bus import Record
from daemon.conditions import in_words
from daemon.messages import FindingReport, Message, MessageError, StageStatus
from daemon.records import Incident, IncidentState, Plan, PlanState
from daemon.sections import ConditionNames
from daemon.web.tally import Tally
from detectors.finding import Certainty

log = logging.getLogger(__name__)

TOPICS = ("layouts", "conditions", "incidents", "plans", "state")
HOUR_NS = 3_600_000_000_000
KEPT_NS = 25 * HOUR_NS
"""What has ended is kept here for this long; earlier incidents are in the database."""
UNSURE_MOST = 500
PLACE_LEVELS = 3
PLACES_MOST = 5000
WAITING_MOST = 200
"""Blocks of conditions that wait for their layout."""
_PROGRESS = b'{"type":"Progress"'


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known when it was taken. Nothing in it changes afterwards.

    version grows with every change that a reader should see at once. incidents: those that last and those of the last day.
    unsure: findings that last and that nobody can be sure of. conditions: run, lumisection and beam in words, as of
    `conditions_ns` (0: never heard). heard_ns: event time of the newest reading of each source of conditions. trouble: why
    the page itself cannot hear the daemon.
    """

    version: int = 0
    ready: bool = False
    trouble: str = ""
    incidents: tuple[Incident, ...] = ()
    states: tuple[StageStatus, ...] = ()
    plans: tuple[Plan, ...] = ()
    unsure: tuple[FindingReport, ...] = ()
    places: frozenset[str] = frozenset()
    conditions: str = ""
    conditions_ns: int = 0
    heard_ns: Mapping[str, int] = field(default_factory=dict)


class LiveView:
    """Takes records in (one thread) and gives snapshots (any thread)."""

    def __init__(self, names: ConditionNames, now_ns: Callable[[], int]) -> None:
        self._names = names
        self._now_ns = now_ns
        self._changed = threading.Condition()
        self._incidents: dict[str, Incident] = {}
        self._states: dict[str, StageStatus] = {}
        self._plans: dict[str, Plan] = {}
        self._unsure: dict[str, FindingReport] = {}
        self._places: set[str] = set()
        self._layouts: dict[str, Layout] = {}
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MOST)
        self._history = ConditionHistory()
        self._conditions, self._conditions_ns = "", 0
        self._heard_ns: dict[str, int] = {}
        self._ready, self._trouble = False, ""
        self._version = 0
        self._snapshot: Snapshot | None = None
        self.tally = Tally()

    def seed(self, incidents: Iterable[Incident], plans: Iterable[Plan]) -> None:
        """Begins with what the database holds: a memory bus knows nothing of what was before it."""
        with self._changed:
            for incident in incidents:
                self._take_incident(incident)
            for plan in plans:
                self._plans[plan.key] = plan
            self._touch(matters=True)

    def settle(self, *, ready: bool, trouble: str = "") -> None:
        """Whether what was on the bus has been read, and why nothing more can be."""
        with self._changed:
            if (ready, trouble) != (self._ready, self._trouble):
                self._ready, self._trouble = ready, trouble
                self._touch(matters=True)

    def take(self, records: Iterable[Record]) -> None:
        """Takes records in. What cannot be read is left out: other stages report it."""
        with self._changed:
            for record in records:
                try:
                    matters = self._take(record)
                except (MessageError, WireError) as error:
                    log.debug("record left out topic=%s offset=%d reason=%r", record.topic, record.offset, str(error))
                    continue
                self._touch(matters=matters)

    def snapshot(self) -> Snapshot:
        """What is known now."""
        with self._changed:
            if self._snapshot is None:
                self._forget()
                self._snapshot = Snapshot(
                    self._version,
                    self._ready,
                    self._trouble,
                    tuple(self._incidents.values()),
                    tuple(self._states.values()),
                    tuple(self._plans.values()),
                    tuple(self._unsure.values()),
                    frozenset(self._places),
                    self._conditions,
                    self._conditions_ns,
                    dict(self._heard_ns),
                )
            return self._snapshot

    @property
    def version(self) -> int:
        """Grows with every change that a reader should see at once."""
        return self._version

    def wait_for(self, incident_id: str, revision: int, timeout_s: float) -> bool:
        """Waits until an incident has come to a later revision than this one; False where it has not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._revision(incident_id) > revision, timeout_s)

    def _revision(self, incident_id: str) -> int:
        incident = self._incidents.get(incident_id)
        return 0 if incident is None else incident.revision

    def _touch(self, *, matters: bool) -> None:
        self._snapshot = None
        if matters:
            self._version += 1
            self._changed.notify_all()

    def _take(self, record: Record) -> bool:
        """Whether a reader should see the change at once."""
        if record.topic in ("layouts", "conditions"):
            return not record.is_tombstone and self._take_block(record)
        if record.is_tombstone:
            return self._drop(record)
        return not record.value.startswith(_PROGRESS) and self._take_message(record.key, messages.decode(record.value))

    def _take_block(self, record: Record) -> bool:
        if record.topic == "layouts":
            return self._take_layout(decode_layout(record.value))
        return self._take_condition(record.value)

    def _take_message(self, key: str, message: Message) -> bool:
        if isinstance(message, Incident):
            return self._take_incident(message)
        if isinstance(message, Plan):
            self._plans[message.key] = message
            return True
        if isinstance(message, StageStatus):
            return self._take_state(key, message)
        return isinstance(message, FindingReport) and self._take_finding(message)

    def _drop(self, record: Record) -> bool:
        held: dict[str, dict[str, Any]] = {"incidents": self._incidents, "plans": self._plans, "state": self._states}
        return held.get(record.topic, {}).pop(record.key, None) is not None

    def _take_incident(self, incident: Incident) -> bool:
        known = self._incidents.get(incident.id)
        if known is not None and known.revision >= incident.revision:
            return False
        self.tally.take(incident)
        if incident.merged_into:
            self._incidents.pop(incident.id, None)
        else:
            self._incidents[incident.id] = incident
        for key in incident.findings:
            self._unsure.pop(key, None)
        return True

    def _take_state(self, key: str, status: StageStatus) -> bool:
        before = self._states.get(key)
        if before is not None and before.time_ns > status.time_ns:
            return False
        self._states[key] = status
        return before is None or _essence(before) != _essence(status)

    def _take_finding(self, report: FindingReport) -> bool:
        finding = report.finding
        lasts = finding.cleared_ns is None and finding.certainty is Certainty.UNSURE
        if not lasts or any(finding.key in incident.findings for incident in self._incidents.values()):
            return self._unsure.pop(finding.key, None) is not None
        is_new = finding.key not in self._unsure
        self._unsure[finding.key] = report
        while len(self._unsure) > UNSURE_MOST:
            del self._unsure[next(iter(self._unsure))]
        return is_new

    def _take_layout(self, layout: Layout) -> bool:
        self._layouts[layout.digest] = layout
        named = [column.place for column in layout.channels] + [column.place for column in layout.histograms]
        places = {"/".join(place.split("/")[:PLACE_LEVELS]) for place in named if place}
        before = len(self._places)
        self._places.update(sorted(places - self._places)[: PLACES_MOST - before])
        waiting, count = self._waiting, len(self._waiting)
        for _ in range(count):
            self._take_condition(waiting.popleft())
        return len(self._places) > before

    def _take_condition(self, value: bytes) -> bool:
        try:
            block = decode(value, self._layouts)
        except UnknownLayout:
            self._waiting.append(value)
            return False
        if not isinstance(block.content, Frame) or not len(block.content):
            return False
        self._history.add(block.content)
        newest_ns = int(block.content.time_ns.max())
        source = block.identity.stream.split("#")[0]
        self._heard_ns[source] = max(newest_ns, self._heard_ns.get(source, 0))
        self._conditions_ns = max(self._conditions_ns, newest_ns)
        before, self._conditions = self._conditions, in_words(self._history, self._names, self._conditions_ns)
        return self._conditions != before

    def _forget(self) -> None:
        """Drops what ended more than a day ago."""
        limit_ns = self._now_ns() - KEPT_NS
        over = [i.id for i in self._incidents.values() if i.state is IncidentState.RESOLVED and (i.resolved_ns or i.updated_ns) < limit_ns]
        for incident_id in over:
            del self._incidents[incident_id]
        ended = [plan.key for plan in self._plans.values() if plan.state is PlanState.ENDED and plan.changed_ns < limit_ns]
        for key in ended:
            del self._plans[key]
        for key in [key for key, report in self._unsure.items() if report.at_ns < limit_ns]:
            del self._unsure[key]
        wall_limit_ns = time.time_ns() - KEPT_NS
        for key in [key for key, status in self._states.items() if status.time_ns < wall_limit_ns]:
            del self._states[key]


def _essence(status: StageStatus) -> tuple[object, ...]:
    """What of a stage's status a reader should see at once; counters can wait."""
    said = status.status
    sources = [(str(s.get("source", s.get("stream"))), bool(s.get("problem"))) for s in _listed(said, "sources") + _listed(said, "streams")]
    return said.get("state"), said.get("error"), tuple(sources)


def _listed(said: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = said.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
