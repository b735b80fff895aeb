"""The notify stage: one is active. Each receiver is told once of each change that matters."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon import messages, metrics
from daemon.bus.bus import Bus, Record, TopicPartition
from daemon.messages import MessageError
from daemon.records import Incident
from daemon.store.store import Lease, Store

log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Somebody who is told of incidents."""

    name: str

    def tell(self, incident: Incident, reference: str) -> str:
        """Tells of a change; gets and returns the receiver's own name for the incident ("" before the first time)."""


class NotifyStage:
    """Reads incidents, tells receivers, and notes what each was told."""

    name = "notify"

    def __init__(self, bus: Bus, store: Store, receivers: Sequence[Receiver]) -> None:
        self._store = store
        self._receivers = receivers
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._lease: Lease | None = None
        self._subscription = bus.subscribe(["incidents"], "notify", on_assign=self._assigned, on_revoke=self._revoked)

    def step(self, timeout_s: float) -> int:
        """Tells of what has arrived; the number of records read."""
        records = self._subscription.poll(timeout_s)
        for record in records:
            incident = _incident(record)
            if incident is not None:
                self._tell(incident)
        if records:
            self._subscription.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        return len(records)

    def close(self) -> None:
        """Leaves."""
        self._subscription.close()

    def _tell(self, incident: Incident) -> None:
        for receiver in self._receivers:
            revision, told = self._store.delivered(incident.id, receiver.name)
            essence, _, reference = told.partition("\n")
            if incident.revision <= revision or _essence(incident) == essence or (incident.merged_into and not told):
                continue
            try:
                reference = receiver.tell(incident, reference)
                metrics.DELIVERIES.labels(receiver=receiver.name, outcome="told").inc()
            except OSError as error:
                metrics.DELIVERIES.labels(receiver=receiver.name, outcome="failed").inc()
                log.error("receiver failed receiver=%s incident=%s reason=%r", receiver.name, incident.id, str(error))
                continue
            if self._lease is not None:
                with self._store.transaction(self._lease) as connection:
                    told = f"{_essence(incident)}\n{reference}"
                    self._store.record_delivery(connection, incident, receiver.name, told, time.time_ns())

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        if partitions:
            self._lease = self._store.acquire(self.name, self._owner)
        return {}

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if partitions:
            self._lease = None


def _essence(incident: Incident) -> str:
    """What a reader must hear of: another state, severity, cause or owner. All else is detail on the incident's page."""
    return f"{incident.state}|{incident.severity}|{incident.condition}|{incident.cause_place}|{incident.owner}"


def _incident(record: Record) -> Incident | None:
    try:
        message = messages.decode(record.value)
    except MessageError as error:
        log.error("message refused topic=%s offset=%d reason=%r", record.topic, record.offset, str(error))
        return None
    return message if isinstance(message, Incident) else None
