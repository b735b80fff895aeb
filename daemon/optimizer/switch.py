"""Stopping the optimizer: what it drained is resumed, its plans end, and it does nothing until somebody starts it again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from collectors.frame import digest_of
from daemon import messages
from daemon.optimizer import metrics
from daemon.optimizer.cluster import Cluster, ClusterError
from daemon.optimizer.lifecycle import withdrawn
from daemon.records import Plan, PlanState, iso
from daemon.store.packing import pack, unpack
from daemon.store.store import Lease, Store

log = logging.getLogger(__name__)

STAGE = "optimize"
MARKER = "optimize/stopped"
OPEN_STATES = (PlanState.PROPOSED, PlanState.ACTIVE)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Who stopped the optimizer, and when."""

    who: str
    time_ns: int

    def __str__(self) -> str:
        return f"stopped by {self.who} at {iso(self.time_ns)}"


@dataclass(frozen=True, slots=True)
class Undone:
    """What was undone: nodes that were resumed, those that could not be with the reason, and plans that ended."""

    resumed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    plans: tuple[Plan, ...]


def stopped(store: Store) -> Stopped | None:
    """Who has stopped the optimizer; None while it works."""
    saved = store.load_state(MARKER)
    if saved is None:
        return None
    marker = unpack(saved.state)
    return Stopped(marker["who"], marker["time_ns"]) if marker else None


def stop(store: Store, cluster: Cluster, who: str, now_ns: int) -> Undone:
    """Stops the optimizer and undoes what it did, in the cluster itself: works also where no daemon runs.

    The lease is taken, so that a running daemon that is about to act cannot record it, and finds out. Raises ClusterError where
    the cluster cannot be read; then the optimizer is stopped and nothing is undone yet.
    """
    lease = store.acquire(STAGE, f"stopped by {who}")
    with store.transaction(lease) as connection:
        store.save_state(connection, MARKER, pack({"who": who, "time_ns": now_ns}), {}, now_ns)
    return undo_all(store, cluster, lease, f"stopped by {who}", now_ns)


def start(store: Store, who: str, now_ns: int) -> None:
    """Lets the optimizer work again."""
    lease = store.acquire(STAGE, f"started by {who}")
    with store.transaction(lease) as connection:
        store.save_state(connection, MARKER, pack({}), {}, now_ns)


def undo_all(store: Store, cluster: Cluster, lease: Lease, why: str, now_ns: int) -> Undone:
    """Resumes every node that the daemon drained and ends its plans. Raises ClusterError where the cluster cannot be read."""
    resumed, failed = [], []
    for node in cluster.state().nodes.values():
        if node.plan_key:
            try:
                cluster.resume(node.name)
                resumed.append(node.name)
            except ClusterError as error:
                failed.append((node.name, str(error)))
                log.error("node not resumed node=%s reason=%r", node.name, str(error))
            metrics.ACTIONS.labels(action="resume", outcome="failed" if node.name in dict(failed) else "done").inc()
    unresumed = dict(failed)
    ended = [withdrawn(p, why, now_ns) for p in store.plans(OPEN_STATES) if p.cluster == cluster.name and p.subject not in unresumed]
    put_plans(store, lease, ended)
    return Undone(tuple(resumed), tuple(failed), tuple(ended))


def put_plans(store: Store, lease: Lease, plans: Sequence[Plan], save: Callable[[Connection], None] | None = None) -> None:
    """Writes plans, what others must hear of them, and what `save` adds, in one transaction. Raises Fenced."""
    with store.transaction(lease) as connection:
        for plan in plans:
            store.put_plan(connection, plan)
            value = messages.encode(plan)
            store.enqueue(connection, "plans", plan.key, f"{plan.key}/{plan.changed_ns}/{plan.state}/{digest_of(value.decode())}", value)
        if save is not None:
            save(connection)
