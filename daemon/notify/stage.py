"""The notify stage: one is active. Each receiver is told once of each change that matters."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from daemon import messages, metrics
from daemon.bus.bus import Bus, Record, TopicPartition
from daemon.messages import MessageError
from daemon.records import Incident, IncidentState
from daemon.store.store import Lease, Store

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""How long a receiver that failed is left alone; twice as long after each further failure, up to the second."""
LOOKED_AT = 1000
"""Newest incidents that are compared with what receivers were told when the stage becomes active."""


class ReceiverError(Exception):
    """A receiver could not be told; the message says why, in one line and without a secret."""


class Receiver(Protocol):
    """Somebody who is told of incidents."""

    name: str

    def tell(self, incident: Incident, reference: str) -> str:
        """Tells of a change; gets and returns the receiver's own name for the incident ("" before the first time).

        Raises ReceiverError. Whatever else it raises means the same, but only its type is logged.
        """


@dataclass(slots=True)
class Post:
    """One receiver with the incidents that it has still to be told of, by id, the oldest first."""

    receiver: Receiver
    owed: dict[str, Incident] = field(default_factory=dict)
    noted: set[str] = field(default_factory=set)  # of these the database knows that they are owed
    pause_s: float = 0.0
    due_s: float = 0.0


class NotifyStage:
    """Reads incidents, tells receivers, and notes what each was told.

    A receiver that fails holds up no other one. What it was not told is noted in the database before the message is
    committed, so that it is told after a restart too; of several changes meanwhile it is told the last one.
    """

    name = "notify"

    def __init__(self, bus: Bus, store: Store, receivers: Sequence[Receiver], *, now_s: Callable[[], float] = time.monotonic) -> None:
        """`now_s` is the clock by which a receiver that failed is tried again."""
        self._store = store
        self._posts = [Post(receiver) for receiver in receivers]
        self._now_s = now_s
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._lease: Lease | None = None
        self._subscription = bus.subscribe(["incidents"], "notify", on_assign=self._assigned, on_revoke=self._revoked)

    def step(self, timeout_s: float) -> int:
        """Tells of what has arrived, and again what a receiver could not be told; the number of records read."""
        records = self._subscription.poll(timeout_s)
        if self._lease is None:
            return 0
        for record in records:
            incident = _incident(record)
            if incident is not None:
                self._owe_all(incident)
        for post in self._posts:
            self._deliver(post, self._lease)
        if records:
            self._subscription.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        return len(records)

    def status(self) -> dict[str, Any]:
        """How many incidents each receiver has still to be told of, for `shiftwatch status`."""
        return {"active": self._lease is not None, "owed": {post.receiver.name: len(post.owed) for post in self._posts}}

    def close(self) -> None:
        """Leaves."""
        self._subscription.close()

    def _owe_all(self, incident: Incident) -> None:
        for post in self._posts:
            self._owe(post, incident)

    def _owe(self, post: Post, incident: Incident) -> None:
        """Puts an incident on the list of a receiver that has not been told of it as it is now."""
        waiting = post.owed.get(incident.id)
        if waiting is not None and waiting.revision >= incident.revision:
            return
        revision, told = self._store.delivered(incident.id, post.receiver.name)
        essence = told.partition("\n")[0]
        if incident.revision <= revision or _essence(incident) == essence or (incident.merged_into and not essence):
            post.owed.pop(incident.id, None)  # what was to be told of it meanwhile is over
            return
        post.owed[incident.id] = incident

    def _deliver(self, post: Post, lease: Lease) -> None:
        """Tells a receiver what it is owed, until it fails; the one that failed comes last the next time."""
        if self._now_s() >= post.due_s:
            for incident in list(post.owed.values()):
                if not self._tell(post, incident, lease):
                    break
        for incident in post.owed.values():
            if incident.id not in post.noted:
                self._note_owed(post, incident, lease)

    def _tell(self, post: Post, incident: Incident, lease: Lease) -> bool:
        name = post.receiver.name
        _, told = self._store.delivered(incident.id, name)
        del post.owed[incident.id]
        try:
            reference = post.receiver.tell(incident, told.partition("\n")[2])
        except Exception as error:  # noqa: BLE001 - whatever a receiver does wrong must not stop the others
            post.owed[incident.id] = incident
            post.pause_s = min(max(2 * post.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            post.due_s = self._now_s() + post.pause_s
            metrics.DELIVERIES.labels(receiver=name, outcome="failed").inc()
            reason = str(error) if isinstance(error, ReceiverError) else type(error).__name__
            log.error("receiver failed receiver=%s incident=%s retry_s=%.0f reason=%r", name, incident.id, post.pause_s, reason)
            return False
        post.pause_s, post.due_s = 0.0, 0.0
        post.noted.discard(incident.id)
        metrics.DELIVERIES.labels(receiver=name, outcome="told").inc()
        self._record(post.receiver, incident, f"{_essence(incident)}\n{reference}", lease)
        return True

    def _note_owed(self, post: Post, incident: Incident, lease: Lease) -> None:
        """Leaves a trace of what a receiver was never told at all: an empty essence."""
        if not self._store.delivered(incident.id, post.receiver.name)[1]:
            self._record(post.receiver, replace(incident, revision=0), "\n", lease)
        post.noted.add(incident.id)

    def _record(self, receiver: Receiver, incident: Incident, told: str, lease: Lease) -> None:
        with self._store.transaction(lease) as connection:
            self._store.record_delivery(connection, incident, receiver.name, told, time.time_ns())

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        if partitions:
            self._lease = self._store.acquire(self.name, self._owner)
            self._catch_up()
        return {}

    def _catch_up(self) -> None:
        """Finds out what the one before had not told any more; a receiver that is new hears of what is open."""
        for incident in self._store.incidents(limit=LOOKED_AT, merged=True):
            for post in self._posts:
                known = bool(self._store.delivered(incident.id, post.receiver.name)[1])
                if known or incident.state is not IncidentState.RESOLVED:
                    self._owe(post, incident)

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if partitions:
            self._lease = None
            for post in self._posts:
                post.owed.clear()
                post.noted.clear()


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
