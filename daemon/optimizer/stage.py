"""The optimize stage: one is active, others stand by. Reads the batch system, proposes plans, and carries them out where it may."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

from daemon import messages, plugins
from daemon.bus.bus import Bus, Record, TopicPartition
from daemon.clock import Clock
from daemon.messages import FindingReport, MessageError, Progress
from daemon.optimizer import metrics
from daemon.optimizer.advising import Adviser
from daemon.optimizer.announcing import Announcer
from daemon.optimizer.cluster import Cluster, ClusterError, ClusterState
from daemon.optimizer.drains import Drains
from daemon.optimizer.earlier import lasting_findings
from daemon.optimizer.orders import Orders
from daemon.optimizer.places import NodePattern
from daemon.optimizer.risks import IncidentBook, RiskBook
from daemon.optimizer.settings import OptimizerSettings
from daemon.optimizer.switch import MARKER, OPEN_STATES, STAGE, Stopped, put_plans, stopped, undo_all
from daemon.records import Incident, Plan, PlanState
from daemon.settings import Settings
from daemon.store.packing import pack, unpack
from daemon.store.store import Fenced, Lease, SavedState, Store

log = logging.getLogger(__name__)

SAVE_EVERY_S = 2.0
"""What was read is saved this often (wall time), and whenever a plan changes."""
SOON_S = 1.0
"""Between two looks at the batch system because something has changed."""


def open_cluster(settings: OptimizerSettings) -> Cluster:
    """The adapter that is configured. Raises PluginError."""
    adapter: Callable[[object], Cluster] = plugins.load("clusters", settings.cluster)
    return adapter(settings.adapter_options)


class OptimizeStage:
    """Reads findings and incidents; writes plans, and findings of its own that show them as incidents."""

    name = STAGE

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        store: Store,
        clock: Clock,
        *,
        cluster: Cluster | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """The cluster is that of the configuration; `now_s` paces the reading of it. Raises PluginError."""
        self._settings = settings.optimizer
        self._bus, self._store, self._clock = bus, store, clock
        self._cluster = cluster or open_cluster(self._settings)
        self._bus_outlives_us = settings.bus.driver != "memory"
        self._now_s = now_s
        self._owner = f"{socket.gethostname()}/{os.getpid()}"
        pattern = NodePattern(self._settings.node_pattern)
        self._adviser = Adviser(self._settings, lambda: clock.now_ns() / 1e9, now_s)
        self._risks = RiskBook(pattern, self._settings.conditions)
        self._announcer = Announcer()
        self._drains = Drains(self._settings, self._cluster, self._adviser, self._risks, self._announcer, self._save, now_s)
        self._orders = Orders(self._settings, self._cluster, self._adviser, pattern.queue_place)
        self._watched = [self._settings.node_pattern, *self._settings.conditions]
        self._offsets: dict[TopicPartition, int] = {}
        self._lease: Lease | None = None
        self._due_s, self._saved_s, self._looked_s = now_s(), now_s(), -inf
        self._marker: SavedState | None = None
        self._dirty = False
        self._problem = ""
        self._shown: dict[str, Any] = {}
        self._subscription = bus.subscribe(["findings", "incidents"], STAGE, on_assign=self._assigned, on_revoke=self._revoked)

    def step(self, timeout_s: float) -> int:
        """Takes in what has arrived, looks at the batch system when it is time to, and says what has changed."""
        records = self._subscription.poll(timeout_s)
        if self._lease is None:
            return 0
        for record in records:
            self._take(record)
        try:
            if self._now_s() >= self._due_s:
                self._due_s = self._now_s() + self._settings.period_s
                self._look(self._lease)
            elif self._dirty and self._now_s() - self._saved_s >= SAVE_EVERY_S:
                self._save([])
        except Fenced:
            self._fenced()
        self._say_progress()
        return len(records)

    def close(self) -> None:
        """Saves and leaves. What is drained stays drained."""
        try:
            if self._lease is not None and self._dirty:
                self._save([])
        except Fenced as error:
            log.info("not saved reason=%r", str(error))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leaves without saving."""
        self._lease = None
        self._subscription.close()

    def status(self) -> dict[str, Any]:
        """What `shiftwatch status` shows."""
        return {
            "active": self._lease is not None,
            "cluster": self._cluster.name,
            "act": self._settings.act,
            "problem": self._problem,
            **self._shown,
        }

    def _take(self, record: Record) -> None:
        self._offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        self._dirty = True
        if record.is_tombstone:
            return
        try:
            message = messages.decode(record.value)
        except MessageError as error:  # the correlate stage puts it with the dead letters
            log.error("message refused topic=%s offset=%d reason=%r", record.topic, record.offset, str(error))
            return
        if isinstance(message, FindingReport | Progress):
            self._announcer.heard(message.stream, message.at_ns)
        if isinstance(message, FindingReport):
            concerned = self._risks.take(message.finding)
        else:
            concerned = isinstance(message, Incident) and (self._risks.knows(message.findings) or self._announcer.knows(message.findings))
        if concerned:
            self._hurry()

    def _hurry(self) -> None:
        """What has changed is looked at soon, but a storm of changes not one by one."""
        self._due_s = min(self._due_s, max(self._now_s(), self._looked_s + SOON_S))

    def _look(self, lease: Lease) -> None:
        """One round. What cannot be read now is read in the next one; a proposal that nobody could look at expires meanwhile."""
        self._looked_s = self._now_s()
        halted = stopped(self._store)
        metrics.STOPPED.set(halted is not None)
        try:
            state = self._cluster.state()
            self._problem = ""
            metrics.LAST_READ.set(time.time())
            self._show(state, halted)
            if halted is not None:
                self._undo(lease, halted)
            else:
                self._plan(state)
        except ClusterError as error:
            self._failed(error)

    def _fenced(self) -> None:
        """Whoever stops or starts the optimizer by hand takes the lease for a moment; any other one has taken over."""
        if self._store.load_state(MARKER) == self._marker:
            raise Fenced(f"{self.name}: another process has taken over")
        log.info("optimizer switched by a person: taking the lease again")
        self._adviser.forget_all()
        self._acquire()

    def _acquire(self) -> Lease:
        self._marker = self._store.load_state(MARKER)
        self._lease = self._store.acquire(self.name, self._owner)
        self._due_s = self._now_s()
        return self._lease

    def _plan(self, state: ClusterState) -> None:
        incidents = IncidentBook(self._store)
        plans = [plan for plan in self._store.plans(OPEN_STATES) if plan.cluster == self._cluster.name]
        now_ns = self._clock.now_ns()
        self._adviser.begin_round()
        lasting = self._drains.look(state, incidents, [plan for plan in plans if plan.kind != self._orders.kind], now_ns)
        lasting += self._orders.look(
            state, incidents, [plan for plan in plans if plan.kind == self._orders.kind], self._announcer, self._save, now_ns
        )
        self._shown |= {"endangered": {node: self._adviser.said.get(node, "") for node in self._risks.endangered(incidents)}}
        self._say(lasting)
        if self._adviser.busy:
            self._hurry()

    def _undo(self, lease: Lease, halted: Stopped) -> None:
        self._adviser.forget_all()
        undo_all(self._store, self._cluster, lease, str(halted), self._clock.now_ns())
        self._say([])

    def _failed(self, error: ClusterError) -> None:
        metrics.READ_FAILURES.inc()
        if str(error) != self._problem:
            log.error("batch system not read cluster=%s reason=%r", self._cluster.name, str(error))
        self._problem = str(error)
        now_ns = self._clock.now_ns()
        plans = [plan for plan in self._store.plans(OPEN_STATES) if plan.cluster == self._cluster.name]
        lasting = [plan for plan in plans if not (plan.state is PlanState.PROPOSED and not plan.acted and now_ns > plan.valid_until_ns)]
        expired = [self._orders.expired(plan, now_ns) for plan in plans if plan not in lasting]
        if expired:
            self._save(expired)
            self._say(lasting)

    def _save(self, plans: Sequence[Plan]) -> None:
        """One transaction: plans, the state, and why what was read need not be read again."""
        if self._lease is None:
            raise Fenced(f"{self.name}: stands by")
        state = pack(
            {
                "risks": self._risks.state(),
                "said": self._announcer.state(),
                "orders": self._orders.state(),
                "watched": self._watched,
            }
        )
        offsets = {f"{tp.topic}/{tp.partition}": offset for tp, offset in self._offsets.items()}
        put_plans(self._store, self._lease, plans, lambda c: self._store.save_state(c, self.name, state, offsets, time.time_ns()))
        if self._offsets:
            self._subscription.commit(self._offsets)
        self._saved_s, self._dirty = self._now_s(), False

    def _say(self, lasting: Sequence[Plan]) -> None:
        """Tells of plans as findings. What was said is saved afterwards: said twice, it is the same thing once."""
        metrics.show_plans(lasting)
        self._shown["plans"] = len(lasting)
        ended = [plan for plan in self._store.plans() if plan.state is PlanState.ENDED] if self._announcer.missing(lasting) else []
        reports = self._announcer.changes([*lasting, *ended], self._clock.now_ns())
        for report in reports:
            self._bus.publish("findings", report.finding.source, messages.encode(report))
        if reports:
            self._bus.publish("findings", self._announcer.stream, messages.encode(self._announcer.after_reports()))
            self._bus.flush(30.0)
            self._save([])

    def _say_progress(self) -> None:
        progress = self._announcer.progress()
        if progress is not None:
            self._bus.publish("findings", progress.stream, messages.encode(progress))
            self._bus.flush(30.0)

    def _show(self, state: ClusterState, halted: Stopped | None) -> None:
        nodes = state.nodes.values()
        ours = sum(bool(node.plan_key) for node in nodes)
        drained = sum(node.draining for node in nodes)
        metrics.DRAINED_NODES.labels(by="shiftwatch").set(ours)
        metrics.DRAINED_NODES.labels(by="others").set(drained - ours)
        metrics.OUT_RATIO.set(state.out_ratio())
        snapshot = state.snapshot
        self._shown = {
            "stopped": "" if halted is None else str(halted),
            "nodes": len(state.nodes),
            "drained": drained,
            "drained_by_us": ours,
            "out_of_service_ratio": round(state.out_ratio(), 4),
            "running": len(snapshot.running),
            "queued": len(snapshot.queued),
        }

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Becomes the active one and goes on from what the one before had saved."""
        if not any(tp.topic == "findings" for tp in partitions):
            return {}
        lease = self._acquire()
        self._offsets = {}
        saved = self._store.load_state(self.name)
        log.info("optimize active generation=%d restored=%s cluster=%s", lease.generation, saved is not None, self._cluster.name)
        state = {} if saved is None else unpack(saved.state)
        if state:
            self._risks.restore(state["risks"])
            self._announcer.restore(state["said"])
            self._orders.restore(state["orders"])
        if not self._bus_outlives_us or state.get("watched") != self._watched:
            for finding in lasting_findings(self._store):
                self._risks.take(finding)
        if saved is None or not self._bus_outlives_us:
            return {}
        for name, offset in saved.offsets.items():
            topic, partition = name.rsplit("/", 1)
            self._offsets[TopicPartition(topic, int(partition))] = offset
        return {tp: offset for tp, offset in self._offsets.items() if tp in partitions}

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        if any(tp.topic == "findings" for tp in partitions):
            self._lease = None
            metrics.show_plans([])
            log.info("optimize stands by")
