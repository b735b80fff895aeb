"""The correlate stage: one is active, others stand by. Incidents, state, offsets and outbox change in one transaction."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any

from sqlalchemy import Connection

from daemon import messages, metrics
from daemon.bus.bus import Bus, BusError, Record, TopicPartition
from daemon.correlate import saved
from daemon.correlate.cases import keep_cases
from daemon.correlate.correlator import Correlator
from daemon.correlate.graph import CausalityGraph
from daemon.correlate.grouping import Grouping
from daemon.correlate.knowledge import Knowledge
from daemon.correlate.watermark import Watermark
from daemon.messages import Answer, FindingReport, MessageError, Progress
from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.settings import Settings
from daemon.store.packing import pack, unpack
from daemon.store.store import Lease, Store
from detectors.finding import Severity

log = logging.getLogger(__name__)

LAG_EVERY_S = 5.0
"""Wall seconds between looks at how far behind it is."""
SAVE_EVERY_S = 2.0
"""Progress without findings is saved this often (wall time); findings are saved at once."""


class CorrelateStage:
    """Reads findings and labels; writes incidents."""

    name = "correlate"

    def __init__(self, settings: Settings, bus: Bus, store: Store, knowledge: Knowledge, *, wait_for_all: bool = False) -> None:
        self._bus = bus
        self._store = store
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._bus_outlives_us = settings.bus.driver != "memory"
        tuning = settings.correlation
        self._correlator = _correlator(settings, knowledge)
        metrics.BUDGET.set(settings.false_alarms_per_day)
        self._watermark = Watermark(
            max_wait_ns=None if wait_for_all else int(tuning.max_wait_s * 1e9),
            idle_after_ns=None if wait_for_all else int(tuning.idle_after_s * 1e9),
        )
        self._pending: list[FindingReport] = []
        self._figures: dict[str, str] = {}
        self._offsets: dict[TopicPartition, int] = {}
        self._lease: Lease | None = None
        self._saved_s = 0.0
        self._dirty = False
        self._lag, self._lag_due_s = 0, 0.0
        self._shown: set[tuple[str, ...]] = set()
        self._subscription = bus.subscribe(["findings", "feedback"], "correlate", on_assign=self._assigned, on_revoke=self._revoked)

    @property
    def watermark_ns(self) -> int | None:
        """Event time up to which incidents are complete."""
        return self._watermark.now_ns(time.time_ns())

    def step(self, timeout_s: float) -> int:
        """Takes in what has arrived and relays the outbox; the number of records read."""
        records = self._subscription.poll(timeout_s)
        self._measure_lag()
        if self._lease is None:
            return 0
        changed: dict[str, Incident] = {}
        labels: list[Label] = []
        for record in records:
            self._take(record, changed, labels)
        self._apply_due(changed)
        if changed or labels or self._pending_dirty(records):
            self._save(changed, labels)
        self._relay()
        return len(records)

    def close(self) -> None:
        """Saves and leaves."""
        try:
            if self._lease is not None and self._dirty:
                self._save({}, [])
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leaves without saving: the next one goes on from what was saved before."""
        self._lease = None
        self._show(set())
        self._subscription.close()

    def status(self) -> dict[str, Any]:
        """Lag and open incidents, for `shiftwatch status`."""
        lasting = sum(o.incident.state is not IncidentState.RESOLVED for o in list(self._correlator.known.values()))
        return {"lag": self._lag, "active": self._lease is not None, "incidents": lasting}

    def _measure_lag(self) -> None:
        """Here and not where it is asked for: a subscription belongs to the thread that polls it."""
        if time.monotonic() < self._lag_due_s:
            return
        self._lag_due_s = time.monotonic() + LAG_EVERY_S
        with suppress(BusError):  # a broker that cannot be reached; polling goes on
            self._lag = sum(self._subscription.lag().values())
            metrics.STAGE_LAG.labels(stage=self.name).set(self._lag)

    def _pending_dirty(self, records: list[Record]) -> bool:
        self._dirty = self._dirty or bool(records)
        return self._dirty and time.monotonic() - self._saved_s > SAVE_EVERY_S

    def _take(self, record: Record, changed: dict[str, Incident], labels: list[Label]) -> None:
        self._offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        try:
            message = messages.decode(record.value)
        except MessageError as error:
            log.error("message refused topic=%s offset=%d reason=%r", record.topic, record.offset, str(error))
            letter = messages.DeadLetter.of(
                time.time_ns(), "correlate", f"{record.topic} {record.partition}/{record.offset}", str(error), record.value
            )
            self._bus.publish("dead-letters", "correlate", messages.encode(letter))
            self._bus.flush(30.0)
            return
        if isinstance(message, FindingReport):
            if not self._watermark.is_repeat(message.stream, message.at_ns):
                self._pending.append(message)
        elif isinstance(message, Progress):
            self._watermark.advance(message.stream, message.at_ns, time.time_ns())
        elif isinstance(message, Label):
            self._take_label(message, changed, labels)

    def _take_label(self, label: Label, changed: dict[str, Incident], labels: list[Label]) -> None:
        """A label on an incident that has become part of another one is one on that other one."""
        if any(said.key == label.key for said in labels) or self._store.has_label(label.key):
            return  # it has arrived twice
        known = changed.get(label.incident) or self._store.incident(label.incident)
        while known is not None and known.merged_into:
            label = replace(label, incident=known.merged_into)
            known = changed.get(label.incident) or self._store.incident(label.incident)
        if known is None:
            log.warning("label for an unknown incident refused incident=%s who=%s", label.incident, label.who)
            return
        labels.append(label)
        changed.update((incident.id, incident) for incident in self._correlator.label(label, known))

    def _apply_due(self, changed: dict[str, Incident]) -> None:
        watermark_ns = self._watermark.now_ns(time.time_ns())
        if watermark_ns is None or not self._pending:
            return
        due = sorted((r for r in self._pending if r.at_ns <= watermark_ns), key=_order)
        self._pending = [r for r in self._pending if r.at_ns > watermark_ns]
        for report in due:
            if report.figure:
                self._figures[report.finding.key] = report.figure
            for incident in self._correlator.apply(report):
                changed[incident.id] = incident
                if incident.revision == 1:
                    metrics.INCIDENTS_OPENED.labels(severity=incident.severity).inc()

    def _save(self, changed: Mapping[str, Incident], labels: list[Label]) -> None:
        """One transaction: what changed, why it need not be read again, and what the others must hear of it."""
        assert self._lease is not None
        state = pack(
            {
                "pending": [saved.text_of(report) for report in self._pending],
                "watermark": self._watermark.state(),
                **saved.state_of(self._correlator),
            }
        )
        offsets = {f"{tp.topic}/{tp.partition}": offset for tp, offset in self._offsets.items()}
        with self._store.transaction(self._lease) as connection:
            for incident in changed.values():
                self._store.put_incident(connection, incident)
                dedup = f"{incident.id}/{incident.revision}"
                self._store.enqueue(connection, "incidents", incident.id, dedup, messages.encode(incident))
                if incident.merged_into:
                    whole = _whole_of(incident, changed)
                    self._store.move_figures(connection, incident.id, whole.id, whole.cause_finding)
            self._keep_figures(connection, changed)
            keep_cases(connection, changed.values(), self._correlator.known)
            new = [label for label in labels if self._store.put_label(connection, label)]
            self._pass_on(connection, new, changed)
            self._store.save_state(connection, self.name, state, offsets, time.time_ns())
        self._subscription.commit(self._offsets)
        for label in new:
            metrics.LABELS.labels(kind=label.kind).inc()
        self._saved_s, self._dirty = time.monotonic(), False
        self._count()

    def _pass_on(self, connection: Connection, labels: list[Label], changed: Mapping[str, Incident]) -> None:
        """Tells the detectors what a person calls no problem: they may have asked whether it is the new normal."""
        for label in labels:
            incident = changed.get(label.incident) or self._store.incident(label.incident)
            if label.kind is LabelKind.NOT_A_PROBLEM and incident is not None:
                answer = Answer(incident.id, incident.findings, label.who, label.time_ns)
                self._store.enqueue(connection, "feedback", incident.id, f"answer/{label.key}", messages.encode(answer))

    def _keep_figures(self, connection: Connection, changed: Mapping[str, Incident]) -> None:
        """The pictures of what has become part of an incident; of what opened none there is none to show."""
        for incident in changed.values():
            if incident.merged_into:
                continue
            keys = sorted(self._figures.keys() & set(incident.findings), key=lambda key: key != incident.cause_finding)
            for key in keys:
                is_cause = key == incident.cause_finding
                self._store.put_figure(connection, incident.id, key, self._figures[key], incident.updated_ns, is_cause=is_cause)
        self._figures.clear()

    def _relay(self) -> None:
        """Sends what the outbox holds; a message is forgotten once the bus has acknowledged it."""
        assert self._lease is not None
        while rows := self._store.pending():
            for _, topic, key, value in rows:
                self._bus.publish(topic, key, value)
            self._bus.flush(30.0)
            self._store.sent([number for number, *_ in rows], self._lease)

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Becomes the active one: shuts the former one out and goes on from its state."""
        if not any(tp.topic == "findings" for tp in partitions):
            return {}
        self._lease = self._store.acquire(self.name, self._owner)
        found = self._store.load_state(self.name)
        log.info("correlate active generation=%d restored=%s", self._lease.generation, found is not None)
        if found is None:
            return {}
        state = unpack(found.state)
        self._pending = [saved.as_report(text) for text in state["pending"]]
        self._watermark.restore(state["watermark"], time.time_ns())
        saved.restore(self._correlator, state)
        self._count()
        self._offsets = {}
        if not self._bus_outlives_us:  # offsets of another process's bus mean nothing; what is read again is recognised
            return {}
        for name, offset in found.offsets.items():
            topic, partition = name.rsplit("/", 1)
            self._offsets[TopicPartition(topic, int(partition))] = offset
        return {tp: offset for tp, offset in self._offsets.items() if tp in partitions}

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if any(tp.topic == "findings" for tp in partitions):
            self._lease = None
            self._show(set())
            log.info("correlate stands by")

    def _count(self) -> None:
        """Series change one by one and are never all gone for a moment: an alert rule would see its incident end and begin."""
        lasting = [o.incident for o in self._correlator.known.values() if o.incident.state is not IncidentState.RESOLVED]
        numbers = Counter((incident.severity, incident.state) for incident in lasting)
        for severity, state in product(Severity, (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)):
            metrics.INCIDENTS.labels(severity=severity, state=state).set(numbers[severity, state])
        self._show({(i.id, i.severity, i.condition, i.cause_place) for i in lasting})

    def _show(self, shown: set[tuple[str, ...]]) -> None:
        for labels in self._shown - shown:
            metrics.INCIDENT.remove(*labels)
        for labels in shown - self._shown:
            metrics.INCIDENT.labels(*labels).set(1)
        self._shown = shown


def _whole_of(incident: Incident, changed: Mapping[str, Incident]) -> Incident:
    """The incident that one has just become part of; that other one may have become part of a third at once."""
    while incident.merged_into:
        incident = changed[incident.merged_into]
    return incident


def _order(report: FindingReport) -> tuple[int, int, int, str]:
    """Event time; at the same time what began first, critical before the rest, then the key."""
    finding = report.finding
    return (report.at_ns, finding.since_ns, -list(Severity).index(finding.severity), finding.key)


def _correlator(settings: Settings, knowledge: Knowledge) -> Correlator:
    tuning = settings.correlation
    graph = CausalityGraph([*settings.causality, *knowledge.edges()], int(tuning.join_window_s * 1e9))
    grouping = Grouping(graph, settings.experiment, int(tuning.join_window_s * 1e9))
    reopen_window_ns = int(tuning.reopen_window_s * 1e9)
    return Correlator(grouping, reopen_window_ns=reopen_window_ns, decisions=settings.decisions, suggested=knowledge.decisions)
