"""Stopping the optimizer: what it drained is resumed, its plans end, and it does nothing until somebody starts it again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from collectors.frame import digest_of
from daemon import messages
from daemon.optimizer import metrics
from daemon.optimizer.cluster import Cluster, ClusterError, ClusterNode, drain_reason
from daemon.optimizer.lifecycle import withdrawn
from daemon.records import Plan, PlanState, iso
from daemon.store.packing import pack, unpack
from daemon.store.store import Lease, Store

log = logging.getLogger(__name__)

STAGE = "optimize"
MARKER = "optimize/stopped"
OPEN_STATES = (PlanState.PROPOSED, PlanState.ACTIVE)
MANY = 100_000


@dataclass(frozen=True, slots=True)
class Stopped:
    """Who stopped the optimizer, and when."""

    who: str
    time_ns: int

    def __str__(self) -> str:
        return f"stopped by {self.who} at {iso(self.time_ns)}"


@dataclass(frozen=True, slots=True)
class Undone:
    """What was undone: nodes that were resumed, those that could not be with the reason, and plans that ended.

    left: nodes whose reason names a plan, but which people have drained or made theirs, with the reason for that.
    """

    resumed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    plans: tuple[Plan, ...]
    left: tuple[tuple[str, str], ...] = ()


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
    """Resumes every node that the daemon drained and ends its plans. Raises ClusterError where the cluster cannot be read.

    What people have drained stays so, even with the command of a plan; and what another daemon has drained for a plan of its own.
    """
    marked = [node for node in cluster.state().nodes.values() if node.plan_key]
    plans = {plan.key: plan for plan in store.plans(limit=MANY)} if marked else {}
    resumed, failed, left = [], [], []
    for node in marked:
        plan = plans.get(node.plan_key)
        theirs = not_ours(node, plan)
        if plan is None or theirs:
            left.append((node.name, theirs))
            continue
        try:
            cluster.resume(node.name, drain_reason(plan.key, plan.why))
            resumed.append(node.name)
            metrics.ACTIONS.labels(action="resume", outcome="done").inc()
        except ClusterError as error:
            failed.append((node.name, str(error)))
            metrics.ACTIONS.labels(action="resume", outcome="failed").inc()
            log.error("node not resumed node=%s reason=%r", node.name, str(error))
    unresumed = dict(failed)
    ended = [withdrawn(p, why, now_ns) for p in store.plans(OPEN_STATES) if p.cluster == cluster.name and p.subject not in unresumed]
    put_plans(store, lease, ended)
    return Undone(tuple(resumed), tuple(failed), tuple(ended), tuple(left))


def drained_by_us(store: Store, nodes: Iterable[ClusterNode]) -> set[str]:
    """Names of the nodes that the daemon has drained."""
    marked = [node for node in nodes if node.plan_key]
    plans = {plan.key: plan for plan in store.plans(limit=MANY)} if marked else {}
    return {node.name for node in marked if not not_ours(node, plans.get(node.plan_key))}


def not_ours(node: ClusterNode, plan: Plan | None) -> str:
    """Why a node whose reason names a plan is not for the daemon to resume; "" where it is."""
    if plan is None:
        return f"drained for plan {node.plan_key}, which this database does not have"
    if not node.drained_for(plan.key, plan.why):
        return f"its reason was changed by somebody: {node.reason}"
    return "" if plan.acted else "drained by somebody, as the plan says"


def put_plans(store: Store, lease: Lease, plans: Sequence[Plan], save: Callable[[Connection], None] | None = None) -> None:
    """Writes plans, what others must hear of them, and what `save` adds, in one transaction. Raises Fenced."""
    with store.transaction(lease) as connection:
        for plan in plans:
            store.put_plan(connection, plan)
            value = messages.encode(plan)
            store.enqueue(connection, "plans", plan.key, f"{plan.key}/{plan.changed_ns}/{plan.state}/{digest_of(value.decode())}", value)
        if save is not None:
            save(connection)
