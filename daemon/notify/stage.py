"""The notify stage: one is active. Each receiver is told once of each change that matters."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from daemon import messages, metrics
from daemon.bus.bus import Bus, Record, TopicPartition
from daemon.messages import MessageError
from daemon.notify.post import Note, Post, essence
from daemon.notify.quiet import Quiet
from daemon.notify.receiver import KeepsAlive, Listening, Receiver, ReceiverError, Silencing, Told
from daemon.records import Incident, IncidentState, Label
from daemon.store.search import untold
from daemon.store.store import Lease, Store

log = logging.getLogger(__name__)

TURN_S = 5.0
"""A receiver that has been told for this long lets the others have their turn: some take one message a second."""
LASTING_MOST = 20_000
"""Incidents that last which are looked at."""
LASTING = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)


class NotifyStage:
    """Reads incidents, tells receivers, and notes what each was told.

    A receiver that fails holds up no other one. What it was not told is noted in the database before the message is
    committed, so that it is told after a restart too; of several changes meanwhile it is told the last one. That it is
    being told is noted before, so that one who posts knows when to look whether it was posted already.
    """

    name = "notify"

    def __init__(
        self,
        bus: Bus,
        store: Store,
        receivers: Sequence[Receiver],
        *,
        now_ns: Callable[[], int] = time.time_ns,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_ns` is event time, for silences; `now_s` the clock by which a receiver that failed is tried again."""
        self._bus = bus
        self._store = store
        self._posts = [Post(receiver) for receiver in receivers]
        self._quiet = Quiet(receivers, now_ns, self._say, store.labels)
        self._now_s = now_s
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._lease: Lease | None = None
        self._listening = False
        self._subscription = bus.subscribe(["incidents"], "notify", on_assign=self._assigned, on_revoke=self._revoked)

    def step(self, timeout_s: float) -> int:
        """Tells of what has arrived, and again what a receiver could not be told; the number of records read."""
        records = self._subscription.poll(timeout_s)
        if self._lease is None:
            return 0
        self._listen()
        for record in records:
            incident = _incident(record)
            if incident is not None:
                self._owe_all(incident)
        self._look_for_silences()
        for post in self._posts:
            self._keep_alive(post)
            self._deliver(post, self._lease)
        if records:
            self._subscription.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        return len(records)

    def status(self) -> dict[str, Any]:
        """How many incidents each receiver has still to be told of, for `shiftwatch status`."""
        return {"active": self._lease is not None, "owed": {post.receiver.name: len(post.owed) for post in self._posts}}

    def close(self) -> None:
        """Leaves, and lets go of all receivers, also after one that fails."""
        with ExitStack() as closing:
            for post in self._posts:
                closing.callback(post.receiver.close)
            closing.callback(self._subscription.close)

    def _listen(self) -> None:
        """People's answers are taken once the stage is active."""
        if not self._listening:
            self._listening = True
            for post in self._posts:
                if isinstance(post.receiver, Listening):
                    post.receiver.listen()

    def _say(self, label: Label) -> None:
        self._bus.publish("feedback", label.incident, messages.encode(label))

    def _owe_all(self, incident: Incident) -> None:
        for post in self._posts:
            self._owe(post, incident)

    def _owe(self, post: Post, incident: Incident) -> None:
        """Puts an incident on the list of a receiver that has not been told of it as it is now."""
        waiting = post.owed.get(incident.id)
        if waiting is not None and waiting.revision >= incident.revision:
            return
        if post.is_news(incident, self._note(incident, post)):
            post.owed[incident.id] = incident
        else:
            post.settled(incident.id)  # what was to be told of it meanwhile is over

    def _note(self, incident: Incident, post: Post) -> Note:
        return Note.read(*self._store.delivered(incident.id, post.receiver.name))

    def _look_for_silences(self) -> None:
        owed = {incident.id: incident for post in self._posts for incident in post.owed.values()}
        fresh = any(incident_id not in post.noted for post in self._posts for incident_id in post.owed)
        self._quiet.look(list(owed.values()), self._now_s(), urgent=fresh)

    def _deliver(self, post: Post, lease: Lease) -> None:
        """Tells a receiver what it is owed, for its turn or until it fails; the one that failed comes last the next time."""
        began_s = now_s = self._now_s()
        if now_s >= post.due_s:
            for incident in list(post.owed.values()):
                note = self._note(incident, post)
                if self._is_held(post, incident, note):
                    self._leave_out(post, incident, note, lease)
                    continue
                if post.can_wait(incident, note, now_s):
                    continue
                if not self._tell(post, incident, note, lease):
                    break
                now_s = self._now_s()
                if now_s - began_s >= TURN_S:
                    break
        for incident in post.owed.values():
            if incident.id not in post.noted:
                self._note_owed(post, incident, lease)

    def _is_held(self, post: Post, incident: Incident, note: Note) -> bool:
        """Quiet: nobody is told of it anew. A message that is already there is kept up to date, and told of the end."""
        if isinstance(post.receiver, Silencing) or not self._quiet.about(incident):
            return False
        return not note.heard or not (post.receiver.details or incident.state is IncidentState.RESOLVED)

    def _leave_out(self, post: Post, incident: Incident, note: Note, lease: Lease) -> None:
        """What is over before the silence is: nobody needs to hear of it any more."""
        if incident.state is IncidentState.RESOLVED and not note.heard:
            post.settled(incident.id)
            self._record(post, incident, Note(incident.revision, essence(incident), left_out=True), lease)

    def _tell(self, post: Post, incident: Incident, note: Note, lease: Lease) -> bool:
        name = post.receiver.name
        del post.owed[incident.id]
        self._record(post, replace(incident, revision=note.revision), replace(note, in_doubt=True), lease)
        try:
            reference = post.receiver.tell(incident, Told(note.reference, note.in_doubt))
        except Exception as error:  # noqa: BLE001 - whatever a receiver does wrong must not stop the others
            post.owed[incident.id] = incident
            post.noted.add(incident.id)
            post.failed(self._now_s(), error.retry_after_s if isinstance(error, ReceiverError) else None)
            self._complain(post, f"incident={incident.id}", error)
            return False
        post.worked(incident, self._now_s())
        metrics.DELIVERIES.labels(receiver=name, outcome="told").inc()
        self._record(post, incident, Note(incident.revision, essence(incident), reference), lease)
        return True

    def _complain(self, post: Post, about: str, error: Exception) -> None:
        name = post.receiver.name
        metrics.DELIVERIES.labels(receiver=name, outcome="failed").inc()
        reason = str(error) if isinstance(error, ReceiverError) else type(error).__name__
        log.error("receiver failed receiver=%s %s retry_s=%.0f reason=%r", name, about, post.due_s - self._now_s(), reason)

    def _keep_alive(self, post: Post) -> None:
        """Tells a receiver that forgets of all that lasts."""
        receiver = post.receiver
        if not isinstance(receiver, KeepsAlive) or self._now_s() < max(post.alive_due_s, post.due_s):
            return
        began_s = self._now_s()
        lasting = self._store.incidents(LASTING, limit=LASTING_MOST)
        self._quiet.look(lasting, self._now_s(), urgent=False)
        try:
            receiver.keep_alive(lasting)
        except Exception as error:  # noqa: BLE001 - as above
            post.failed(self._now_s(), error.retry_after_s if isinstance(error, ReceiverError) else None)
            self._complain(post, "keep_alive", error)
        else:
            post.alive_due_s, post.pause_s = began_s + receiver.keep_alive_s, 0.0

    def _note_owed(self, post: Post, incident: Incident, lease: Lease) -> None:
        """Leaves a trace of what a receiver was never told at all: an empty essence."""
        if not self._store.delivered(incident.id, post.receiver.name)[1]:
            self._record(post, replace(incident, revision=0), Note(), lease)
        post.noted.add(incident.id)

    def _record(self, post: Post, incident: Incident, note: Note, lease: Lease) -> None:
        with self._store.transaction(lease) as connection:
            self._store.record_delivery(connection, incident, post.receiver.name, note.text(), time.time_ns())

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        if partitions:
            self._lease = self._store.acquire(self.name, self._owner)
            self._catch_up()
        return {}

    def _catch_up(self) -> None:
        """Finds out what the one before had not told any more; a receiver that is new hears of what is open."""
        behind = untold(self._store, [post.receiver.name for post in self._posts])
        lasting = self._store.incidents(LASTING, limit=LASTING_MOST)
        for incident in {incident.id: incident for incident in [*behind, *lasting]}.values():
            for post in self._posts:
                known = bool(self._store.delivered(incident.id, post.receiver.name)[1])
                if known or incident.state is not IncidentState.RESOLVED:
                    self._owe(post, incident)

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if partitions:
            self._lease = None
            self._quiet.forget()
            for post in self._posts:
                post.forget()


def _incident(record: Record) -> Incident | None:
    try:
        message = messages.decode(record.value)
    except MessageError as error:
        log.error("message refused topic=%s offset=%d reason=%r", record.topic, record.offset, str(error))
        return None
    return message if isinstance(message, Incident) else None
