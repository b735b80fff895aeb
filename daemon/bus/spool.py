"""A bus for agents: what is published goes to a disk first and from there to the broker, whenever it is there.

`publish` waits for no broker, and `flush` returns when what was published is on the disk: that is what this bus
acknowledges. A thread delivers it, in the order of the lanes (see `spool_disk`) and, within a lane, in the order in which it
was published. That order is what readers need: a detect stage takes a block whose sequence is lower than one that it has
seen for a repeat, so new blocks of a stream can never overtake those that wait. After a crash the last second is sent again,
with the same identities, and is recognised as a repeat.

Records of the topic `state` (how a process is at present) are not worth keeping: the last one of each key waits in memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon import metrics
from daemon.bus.bus import MAX_RECORD_BYTES, Bus, BusError, OnAssign, OnRevoke, Subscription, TooLarge, Unacknowledged
from daemon.bus.spool_disk import CONDITIONS, FINDINGS, FRAMES, LAYOUTS, SUMMARIES, Batch, Spool
from daemon.bus.spool_options import SpoolOptions
from daemon.bus.topics import Topic, check_value, standard_topics, topic_named

log = logging.getLogger(__name__)

BATCH_RECORDS = 2000
BATCH_BYTES = 512 * 1024
FIRST_PAUSE_S = 0.5
SAVE_EVERY_S = 1.0
MEASURE_EVERY_S = 5.0
CLOSE_S = 5.0
"""How long a broker that is there gets to take the rest when the agent ends."""
SUMMARY_PART = "summary"
"""Part of the name of each stream of summaries ("node17#summary", "node17#rates.summary"); one key is always of one lane."""
_LANE_OF = {"layouts": LAYOUTS, "conditions": CONDITIONS}


def lane_of(topic: str, key: str) -> str:
    """The lane of a record."""
    if topic == "frames":
        return SUMMARIES if SUMMARY_PART in key.partition("#")[2] else FRAMES
    return _LANE_OF.get(topic, FINDINGS)


class SpoolBus:
    """See `bus.Bus` for the contract; who subscribes reads from the broker itself."""

    def __init__(
        self,
        options: SpoolOptions,
        connect: Callable[[], Bus],
        topics: Mapping[str, Topic] | None = None,
        *,
        max_record_bytes: int = MAX_RECORD_BYTES,
    ) -> None:
        """`connect` makes the bus to the broker and raises BusError while there is none.

        Raises BusError where the folder cannot be used.
        """
        self._options = options
        self._connect = connect
        self._topics = topics or standard_topics()
        self._max_record_bytes = max_record_bytes
        self._spool = Spool(options)
        self._bus: Bus | None = None
        self._states: dict[tuple[str, str], bytes | None] = {}
        self._changed = threading.Condition()
        self._in_flight = False
        self._stop = threading.Event()
        self._closed = False
        self._away_since_ns = time.time_ns()
        self._reason = "not connected yet"
        self._said = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    @property
    def away(self) -> bool:
        """Whether the broker takes nothing at present."""
        return self._away_since_ns > 0

    @property
    def problem(self) -> str:
        """Why it keeps what it has: the disk, or the broker; empty where it delivers."""
        return self._spool.problem or (self._reason if self.away else "")

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        """Keeps one record until the broker has it; see `bus.Bus`. Waits for the disk at most."""
        check_value(topic_named(self._topics, topic), key, value)
        self._require_open()
        size = len(key.encode()) + len(value or b"")
        if size > self._max_record_bytes:
            raise TooLarge(f"{topic}: a record of {size} bytes with key {key[:80]!r}, more than {self._max_record_bytes}")
        if topic == "state":
            with self._changed:
                self._states.pop((topic, key), None)
                self._states[topic, key] = value
        else:
            self._spool.put(lane_of(topic, key), topic, key, value)
        with self._changed:
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - the contract's
        """Returns when what was published is on the disk, as safe as `sync` says."""
        self._require_open()
        self._spool.sync(everything=False)

    def wait_until_delivered(self, timeout_s: float) -> bool:
        """Waits until the broker has all that was published; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._in_flight or self._states or self._spool.records), timeout_s)

    def subscribe(
        self, topics: Sequence[str], group: str | None, *, on_assign: OnAssign | None = None, on_revoke: OnRevoke | None = None
    ) -> Subscription:
        """Reads from the broker; see `bus.Bus`. Raises BusError while it is away."""
        self._require_open()
        with self._changed:
            self._changed.wait_for(lambda: self._bus is not None, self._options.flush_s)
            bus = self._bus
        if bus is None:
            raise BusError(f"the broker is away: {self._reason}")
        return bus.subscribe(topics, group, on_assign=on_assign, on_revoke=on_revoke)

    def status(self) -> dict[str, Any]:
        """How it is, for `shiftwatch status` and the page."""
        usage = self._spool.usage()
        return {
            "away": self.away,
            "problem": self.problem,
            "away_since_ns": self._away_since_ns,
            "lanes": {
                n: {"records": u.records, "bytes": u.bytes, "oldest_ns": u.oldest_ns, "dropped": u.dropped} for n, u in usage.items()
            },
        }

    def close(self) -> None:
        """Delivers what it can in a few seconds, if the broker is there, and keeps the rest for the next start. Idempotent."""
        if self._closed:
            return
        if not self.away:
            self.wait_until_delivered(CLOSE_S)
        self._closed = True
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()
        self._disconnect()
        left = self._spool.records
        self._spool.close()
        if left:
            log.info("spool keeps records=%d folder=%s", left, self._options.folder)

    def _require_open(self) -> None:
        if self._closed:
            raise BusError("the bus of the agent is closed")

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        saved_s = measured_s = 0.0
        while not self._stop.is_set():
            try:
                if self._bus is None and not self._reconnect():
                    self._stop.wait(pause_s)
                    pause_s = min(2 * pause_s, self._options.longest_pause_s)
                else:
                    pause_s = FIRST_PAUSE_S
                    self._wait_for_work()
                    self._deliver()
            except Exception:  # whatever it is, the collectors go on and the next attempt may succeed
                log.error("spool could not deliver", exc_info=True)
                self._disconnect()
                self._stop.wait(pause_s)
            if time.monotonic() - saved_s >= SAVE_EVERY_S:
                saved_s = time.monotonic()
                self._spool.sync(everything=True)
                self._spool.save()
            if time.monotonic() - measured_s >= MEASURE_EVERY_S:
                measured_s = time.monotonic()
                self._measure()

    def _wait_for_work(self) -> None:
        """Returns where there is something to send, after a moment in which more may come; or after a second."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._stop.is_set() or self._states or self._spool.records, SAVE_EVERY_S):
                return
        if self._spool.records < BATCH_RECORDS // 10:
            self._stop.wait(self._options.linger_s)

    def _deliver(self) -> None:
        """Sends one batch and waits until it is acknowledged, however long that takes."""
        bus = self._bus
        assert bus is not None
        with self._changed:
            states, self._states = self._states, {}
            self._in_flight = True
        batch = self._spool.next_batch(BATCH_RECORDS, BATCH_BYTES)
        try:
            for lane, record in batch:
                self._hand_over(bus, lane, record.topic, record.key, record.value)
            for (topic, key), value in states.items():
                self._hand_over(bus, "state", topic, key, value)
            if batch or states:
                self._await_acknowledgement(bus, batch)
        except BusError as error:
            self._note_away(str(error))
            self._disconnect()
        finally:
            with self._changed:
                self._in_flight = False
                self._changed.notify_all()

    def _hand_over(self, bus: Bus, lane: str, topic: str, key: str, value: bytes | None) -> None:
        """Publishes; what no attempt would get through is given up. Raises BusError."""
        try:
            bus.publish(topic, key, value)
        except (TooLarge, ValueError) as error:
            metrics.SPOOL_DROPPED.labels(lane=lane, reason="refused").inc()
            log.error("record refused by the broker topic=%s key=%r reason=%r", topic, key[:80], str(error))

    def _await_acknowledgement(self, bus: Bus, batch: Batch) -> None:
        """Raises BusError where the broker gave something up: then all of the batch is sent again."""
        while not self._stop.is_set():
            try:
                bus.flush(self._options.flush_s)
            except Unacknowledged as error:
                self._note_away(str(error))
                continue
            self._spool.delivered(batch)
            self._note_back()
            return

    def _reconnect(self) -> bool:
        try:
            bus = self._connect()
        except BusError as error:
            self._note_away(str(error))
            return False
        with self._changed:
            self._bus = bus
            self._changed.notify_all()
        self._note_back()
        return True

    def _disconnect(self) -> None:
        """Ends the connection; all that it had not acknowledged stays in the spool."""
        with self._changed:
            bus, self._bus = self._bus, None
        if bus is None:
            return
        try:
            end = getattr(bus, "abandon", bus.close)
            end()
        except BusError as error:
            log.debug("broker connection let go reason=%r", str(error))

    def _note_away(self, reason: str) -> None:
        self._reason = reason
        if self._away_since_ns and self._said:
            return
        self._away_since_ns = self._away_since_ns or time.time_ns()
        self._said = True
        metrics.SPOOL_CONNECTED.set(0)
        log.warning("broker away, records are kept folder=%s reason=%r", self._options.folder, reason)

    def _note_back(self) -> None:
        if not self._away_since_ns:
            return
        seconds = (time.time_ns() - self._away_since_ns) / 1e9
        self._away_since_ns, self._reason, self._said = 0, "", False
        metrics.SPOOL_CONNECTED.set(1)
        log.info("broker there away_s=%.0f records=%d", seconds, self._spool.records)

    def _measure(self) -> None:
        for lane, usage in self._spool.usage().items():
            metrics.SPOOL_BYTES.labels(lane=lane).set(usage.bytes)
            metrics.SPOOL_RECORDS.labels(lane=lane).set(usage.records)
            metrics.SPOOL_OLDEST.labels(lane=lane).set(usage.oldest_ns / 1e9)
