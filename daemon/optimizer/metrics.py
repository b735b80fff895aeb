"""The optimizer's own metrics."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from daemon.records import Plan, PlanState

KINDS = {"drain": "core_hours", "order": "bounded_slowdown"}
"""Kinds of plans with the unit of their gain."""

PLANS = Gauge("shiftwatch_optimizer_plans", "Plans that have not ended", ["kind", "state"])
GAIN = Gauge("shiftwatch_optimizer_expected_gain", "Expected gain of the plans that have not ended", ["kind", "unit"])
DRAINED_NODES = Gauge("shiftwatch_optimizer_drained_nodes", "Nodes that are drained", ["by"])
OUT_RATIO = Gauge("shiftwatch_optimizer_out_of_service_ratio", "Share of the processors that is drained or down")
ENDANGERED_NODES = Gauge("shiftwatch_optimizer_endangered_nodes", "Nodes that an open incident puts at risk")
ACTIONS = Counter("shiftwatch_optimizer_actions", "Drains and resumes that were tried", ["action", "outcome"])
READ_FAILURES = Counter("shiftwatch_optimizer_read_failures", "Reads of the batch system that failed")
LAST_READ = Gauge("shiftwatch_optimizer_last_read_timestamp_seconds", "Wall time at which the batch system was last read")
STOPPED = Gauge("shiftwatch_optimizer_stopped", "1 while somebody has stopped the optimizer")


def show_plans(plans: Iterable[Plan]) -> None:
    """The gauges of the plans that have not ended."""
    listed = list(plans)
    numbers = Counted((plan.kind, str(plan.state)) for plan in listed)
    for kind, unit in KINDS.items():
        for state in (PlanState.PROPOSED, PlanState.ACTIVE):
            PLANS.labels(kind=kind, state=state).set(numbers[kind, str(state)])
        GAIN.labels(kind=kind, unit=unit).set(sum(plan.expected_gain for plan in listed if plan.kind == kind))
