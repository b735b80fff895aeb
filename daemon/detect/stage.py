"""The detect stage: reads frames and conditions, keeps a watch for every stream, publishes findings and progress.

At-least-once: a snapshot of a partition's watches carries the offset that it reflects. After a crash or a rebalance it
is restored and reading goes on from there; what is then said a second time has the same keys and times.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from collectors.conditions import ConditionHistory
from collectors.frame import Frame, Layout
from collectors.wire import Block, UnknownLayout, WireError, decode, decode_layout
from daemon import messages, metrics
from daemon.bus.bus import Bus, BusError, NotAssigned, Record, TopicPartition, read_existing
from daemon.detect.answers import Answers
from daemon.detect.watch import StreamWatch
from daemon.messages import DeadLetter, FindingReport, Progress
from daemon.settings import Settings
from daemon.store.packing import pack, unpack
from daemon.store.state import Fenced, Lease, StateStore

log = logging.getLogger(__name__)

SAVE_EVERY_S, SAVE_EVERY_BLOCKS = 10.0, 2000
"""Wall seconds between snapshots of state, and blocks after which it is saved anyway: a crash costs a fast replay little."""
READ_EXISTING_S = 30.0
"""How long it may take to read the layouts and conditions that are there, before the first block is judged."""
LAG_EVERY_S = 5.0  # wall seconds between looks at how far behind it is
HOLD_S = 5.0
"""How long a block waits for its layout, or for conditions up to its time (wall time; a replay waits for ever)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A record that waits, since when (monotonic)."""

    record: Record
    since_s: float


class DetectStage:
    """Any number of them share the partitions of the frames out among themselves."""

    name = "detect"

    def __init__(self, settings: Settings, bus: Bus, store: StateStore, *, wait_for_conditions: bool = False) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        self._agent = settings.agent.enabled
        self._save_every_s = settings.agent.save_every_s if self._agent else SAVE_EVERY_S
        self._bus_outlives_us = settings.bus.driver != "memory" and not self._agent  # an agent reads what it collects itself
        self._hold_s = float("inf") if wait_for_conditions else HOLD_S
        self._layouts: dict[str, Layout] = {}
        self._streams: dict[str, set[str]] = defaultdict(set)
        self._conditions = ConditionHistory()
        self._condition_progress: dict[str, int] = {}
        self._early: deque[Held] = deque()
        self._expected = {name for name, source in settings.source.items() if source.role == "conditions"}
        self._watches: dict[int, dict[str, StreamWatch]] = defaultdict(dict)
        self._held: dict[int, deque[Held]] = defaultdict(deque)
        self._offsets: dict[int, int] = {}
        self._answered: set[int] = set()  # partitions that have changed without a block
        self._leases: dict[int, Lease] = {}
        self._saved_s = time.monotonic()
        self._unsaved = 0
        self._lag, self._lag_due_s = 0, 0.0
        self._begun = False
        self._answers = Answers()
        self._reference = bus.subscribe(["layouts", "conditions", "feedback"], None)
        self._frames = bus.subscribe(["frames"], "detect", on_assign=self._assigned, on_revoke=self._revoked)

    def step(self, timeout_s: float) -> int:
        """Takes in what has arrived; the number of records read."""
        references = self._reference.poll(0.0) if self._begun else read_existing(self._reference, READ_EXISTING_S)
        self._begun = True
        for record in references:
            self._take_reference(record)
        self._take_conditions()
        self._apply_answers()
        holding = any(self._held.values())
        records = self._frames.poll(0.0 if references or (holding and self._expected) else timeout_s)
        for record in records:
            self._held[record.partition].append(Held(record, time.monotonic()))
        self._measure_lag()
        judged = sum(self._judge_due(partition) for partition in list(self._held))
        if not records and not references and not judged and holding:
            time.sleep(min(timeout_s, 0.01))  # what is held waits for another topic
        self._unsaved += judged
        if time.monotonic() - self._saved_s > self._save_every_s or self._unsaved >= SAVE_EVERY_BLOCKS:
            self.save()
        return len(records) + len(references) + judged

    def save(self) -> None:
        """Saves the state of all partitions with their offsets; findings must have reached the bus before."""
        self._saved_s = time.monotonic()
        changed = [partition for partition in self._leases if partition in self._offsets or partition in self._answered]
        if changed:
            self._bus.flush(30.0)
        for partition in changed:
            self._save_partition(partition)
        self._unsaved = 0

    def close(self) -> None:
        """Saves and leaves."""
        try:
            self.save()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leaves without saving: the next one goes on from what was saved before."""
        self._leases.clear()
        self._frames.close()
        self._reference.close()

    def _take_reference(self, record: Record) -> None:
        if record.topic == "conditions":
            self._early.append(Held(record, time.monotonic()))
            return
        if record.topic == "feedback":
            self._answers.take(record.value)
            return
        try:
            layout = decode_layout(record.value)
        except WireError as error:
            self._refuse(record, error)
            return
        self._layouts[layout.digest] = layout
        self._streams[layout.source].add(layout.stream)

    def _apply_answers(self) -> None:
        """Tells the watches what people have said; also those that were restored from before it was said."""
        if not self._answers.due:
            return
        for partition, watches in self._watches.items():
            for stream, watch in watches.items():
                if reports := watch.answer(self._answers.findings):
                    self._tell(stream, watch, reports)
                    self._answered.add(partition)
        self._answers.due = False

    def _take_conditions(self) -> None:
        """In order, as far as their layouts are known: they come on a topic of their own and may be later."""
        while self._early:
            held = self._early[0]
            try:
                block = decode(held.record.value, self._layouts)
                if isinstance(block.content, Frame):
                    self._conditions.add(block.content)
                source = block.identity.stream.split("#")[0]
                self._condition_progress[source] = max(block.complete_ns, self._condition_progress.get(source, 0))
            except UnknownLayout as error:
                if time.monotonic() - held.since_s <= self._hold_s:
                    return
                self._refuse(held.record, error)
            except WireError as error:
                self._refuse(held.record, error)
            self._early.popleft()

    def _judge_due(self, partition: int) -> int:
        """Judges held records of a partition in order, until one has to wait."""
        queue = self._held[partition]
        judged = 0
        while queue:
            held = queue[0]
            waited = time.monotonic() - held.since_s > self._hold_s
            try:
                block = decode(held.record.value, self._layouts)
                if not waited and not self._conditions_reach(block):
                    break
                self._judge(partition, block)
            except UnknownLayout as error:
                if not waited:
                    break
                self._refuse(held.record, error)
            except WireError as error:
                self._refuse(held.record, error)
            queue.popleft()
            self._offsets[partition] = held.record.offset + 1
            judged += 1
        return judged

    def _conditions_reach(self, block: Block) -> bool:
        """Whether the conditions are known up to the end of a block."""
        if not self._expected or block.content is None or not len(block.content):
            return True
        newest_ns = int(block.content.time_ns.max())
        return all(self._condition_progress.get(source, 0) >= newest_ns for source in self._expected)

    def _judge(self, partition: int, block: Block) -> None:
        """Raises WireError where a detector fails on the block: it is set aside, and the stream goes on with the next one."""
        stream = block.identity.stream
        watch = self._watches[partition].get(stream)
        if watch is None:
            watch = self._watches[partition][stream] = self._new_watch(stream)
        try:
            reports = watch.judge(block, self._conditions)
        except Exception as error:
            log.error("block could not be judged stream=%s", stream, exc_info=True)
            metrics.STAGE_ERRORS.labels(stage=self.name).inc()
            raise WireError(f"could not be judged: {type(error).__name__}: {error}") from error
        self._tell(stream, watch, reports)

    def _tell(self, stream: str, watch: StreamWatch, reports: list[FindingReport]) -> None:
        if reports and not self._bus_outlives_us:
            self._unsaved = SAVE_EVERY_BLOCKS  # a new process could not read again what led to them
        for report in reports:
            self._bus.publish("findings", stream, messages.encode(report))
        self._bus.publish("findings", stream, messages.encode(Progress(watch.reported_as, watch.progress_ns)))

    def _new_watch(self, stream: str) -> StreamWatch:
        siblings = self._streams[stream.split("#", maxsplit=1)[0]]
        return StreamWatch(stream, self._settings, "agent" if self._agent else "", siblings=lambda: len(siblings))

    def _refuse(self, record: Record, error: WireError) -> None:
        subject = f"{record.topic} {record.partition}/{record.offset} key {record.key!r}"
        log.warning("block refused subject=%r reason=%r", subject, str(error))
        metrics.DEAD_LETTERS.labels(origin="detect").inc()
        letter = DeadLetter.of(time.time_ns(), "detect", subject, str(error), record.value)
        self._bus.publish("dead-letters", "detect", messages.encode(letter))

    def _save_partition(self, partition: int) -> None:
        state = pack({stream: watch.state() for stream, watch in self._watches[partition].items()})
        silent = [finding for watch in self._watches[partition].values() for finding in watch.take_silent()]
        lease, offset = self._leases[partition], self._offsets.get(partition)
        try:
            with self._store.transaction(lease) as connection:
                if silent:
                    from daemon.store.shadow import put_shadow_findings  # noqa: PLC0415 - an agent has nothing in shadow

                    put_shadow_findings(connection, silent)
                self._store.save_state(connection, lease.name, state, {"frames": offset} if offset else {}, time.time_ns())
            if offset:
                self._frames.commit({TopicPartition("frames", partition): offset})
            self._answered.discard(partition)
        except (Fenced, NotAssigned) as error:
            log.warning("partition lost partition=%d reason=%r", partition, str(error))
            self._drop(partition)

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        offsets: dict[TopicPartition, int] = {}
        for tp in partitions:
            lease = self._store.acquire(f"detect/{tp.partition}", self._owner)
            self._leases[tp.partition] = lease
            self._held[tp.partition].clear()
            self._watches[tp.partition].clear()
            saved = self._store.load_state(lease.name)
            if saved is None:
                continue
            for stream, state in unpack(saved.state).items():
                watch = self._new_watch(stream)
                watch.restore(state)
                self._watches[tp.partition][stream] = watch
            if self._bus_outlives_us:  # else they are of another process's bus; what is read again is recognised
                offsets[tp] = self._offsets[tp.partition] = saved.offsets["frames"]
        self._answers.due = True
        restored = sum(len(self._watches[tp.partition]) for tp in partitions)
        log.info("detect assigned partitions=%s streams_restored=%d", sorted(tp.partition for tp in partitions), restored)
        return offsets

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Saves what is given up, as far as it still may; another one goes on from there."""
        self._bus.flush(30.0)
        for tp in partitions:
            if tp.partition in self._leases and tp.partition in self._offsets:
                self._save_partition(tp.partition)
            self._drop(tp.partition)
        log.info("detect gave up partitions=%s", sorted(tp.partition for tp in partitions))

    def _drop(self, partition: int) -> None:
        """Another process has this partition now."""
        self._leases.pop(partition, None)
        self._offsets.pop(partition, None)
        self._watches.pop(partition, None)
        self._held.pop(partition, None)

    def status(self) -> dict[str, Any]:
        """Lag and what each stream is at, for `shiftwatch status`."""
        streams = [watch.status() for watches in list(self._watches.values()) for watch in list(watches.values())]
        return {"lag": self._lag, "held": sum(len(queue) for queue in list(self._held.values())), "streams": streams}

    def _measure_lag(self) -> None:
        """Here and not where it is asked for: a subscription belongs to the thread that polls it."""
        if time.monotonic() < self._lag_due_s:
            return
        self._lag_due_s = time.monotonic() + LAG_EVERY_S
        with suppress(BusError):  # a broker that cannot be reached; polling goes on
            self._lag = sum(self._frames.lag().values())
            metrics.STAGE_LAG.labels(stage=self.name).set(self._lag)
