"""Plans and their pictures, made of advice."""

from __future__ import annotations

import math

from collectors.frame import digest_of
from daemon.optimizer.cluster import Cluster, ClusterState, drain_reason
from daemon.optimizer.drain import DrainAdvice
from daemon.optimizer.gantt import drain_figure, order_figure
from daemon.optimizer.knowledge import DRAIN, ORDER
from daemon.optimizer.order import OrderAdvice
from daemon.optimizer.risks import Endangered
from daemon.optimizer.settings import OptimizerSettings
from daemon.optimizer.snapshot import Snapshot
from daemon.records import Plan, PlanState
from detectors.figure import FigureError, PlanFigure, encode

CORE_HOURS = "core-hours"
SLOWDOWN = "bounded slowdown"
NAMED_RISKS = 3


def drain_plan(
    cluster: Cluster, settings: OptimizerSettings, state: ClusterState, at: Endangered, advice: DrainAdvice, now_ns: int
) -> Plan:
    """The proposal to drain a node."""
    key = digest_of("plan", cluster.name, DRAIN, at.node, now_ns)
    chance = f"counted as {100 * advice.failure_probability:.2g} % within {settings.horizon_s / 3600:.3g} h"
    why = f"{_risk_words(at)} ({chance}) puts {_work_words(state.snapshot, at.node)} at risk"
    return Plan(
        key=key,
        kind=DRAIN,
        cluster=cluster.name,
        subject=at.node,
        place=at.place,
        state=PlanState.PROPOSED,
        actions=cluster.drain_commands(at.node, drain_reason(key, why)),
        undo=cluster.resume_commands(at.node),
        why=why,
        expected_gain=advice.gain.expected,
        gain_low=advice.gain.low,
        gain_high=advice.gain.high,
        gain_unit=CORE_HOURS,
        made_ns=now_ns,
        valid_until_ns=now_ns + int(settings.valid_for_s * 1e9),
        changed_ns=now_ns,
        incident=at.incident,
    )


def order_plan(cluster: Cluster, settings: OptimizerSettings, state: ClusterState, place: str, advice: OrderAdvice, now_ns: int) -> Plan:
    """The proposal to start the waiting jobs in another order."""
    actions, undo = cluster.order_commands(state, advice.order)
    longest = f"longest wait {_hours(advice.proposed.longest_wait_s)} instead of {_hours(advice.default.longest_wait_s)}"
    return Plan(
        key=digest_of("plan", cluster.name, ORDER, advice.policy, now_ns),
        kind=ORDER,
        cluster=cluster.name,
        subject=advice.policy,
        place=place,
        state=PlanState.PROPOSED,
        actions=actions,
        undo=undo,
        why=f"{len(state.snapshot.queued)} jobs wait; {longest}",
        expected_gain=advice.gain.expected,
        gain_low=advice.gain.low,
        gain_high=advice.gain.high,
        gain_unit=SLOWDOWN,
        made_ns=now_ns,
        valid_until_ns=now_ns + int(settings.valid_for_s * 1e9),
        changed_ns=now_ns,
    )


def drain_picture(plan: Plan, state: ClusterState, settings: OptimizerSettings) -> str:
    """The node's jobs, with and without the drain, as `encode` gives it; "" where it is too large."""
    return _encoded(drain_figure(plan, state.snapshot, gain_words(plan), settings.horizon_s, settings.drain.repair_s))


def order_picture(plan: Plan, state: ClusterState, settings: OptimizerSettings, order: tuple[str, ...]) -> str:
    """When the waiting jobs would start, in both orders."""
    return _encoded(order_figure(plan, state.snapshot, gain_words(plan), order, backfill=settings.backfill))


def gain_words(plan: Plan) -> str:
    """The gain with its interval."""
    if plan.gain_low == plan.gain_high == 0:
        return "it costs no work"
    return f"expected gain {amount(plan.expected_gain)} [{amount(plan.gain_low)}, {amount(plan.gain_high)}] {plan.gain_unit}"


def headline(plan: Plan) -> str:
    """The plan in a sentence, as the incident shows it."""
    what = f"Drain {plan.subject}" if plan.kind == DRAIN else f"Start waiting jobs in the order {plan.subject}"
    if plan.state is PlanState.ACTIVE:
        what = f"{plan.subject} is drained"
    elif plan.state is PlanState.ENDED and plan.acted:
        what = f"{plan.subject} was drained"
    outcome = f" ({plan.outcome})" if plan.outcome else ""
    return f"{what}: {plan.why}; {gain_words(plan)}{outcome}"


def amount(value: float) -> str:
    """Enough digits, and no more."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"


def _risk_words(at: Endangered) -> str:
    """A failure rate with what has it ("36 % a year failure rate of sdb"), or the condition where no rate is known."""
    rates = at.rates
    things = list(rates)
    named = ", ".join(things[:NAMED_RISKS]) + (f" and {len(things) - NAMED_RISKS} more" if len(things) > NAMED_RISKS else "")
    rate = sum(rates.values())
    if not math.isnan(rate):
        return f"{100 * rate:.0f} % a year failure rate of {named}" if rate <= 1 else f"{rate:.3g} failures a year expected of {named}"
    return f"{at.risks[0].condition.replace('_', ' ')} of {named}"


def _work_words(snapshot: Snapshot, node: str) -> str:
    jobs = snapshot.on_node(node)
    if not jobs:
        return "the jobs that would start there"
    done = sum((snapshot.time_ns - job.started_ns) / 3.6e12 * job.total_processors for job in jobs)
    return f"{len(jobs)} running job{'s' if len(jobs) > 1 else ''} ({amount(done) if done >= 0.1 else 'under 0.1'} core-hours)"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"


def _encoded(figure: PlanFigure) -> str:
    try:
        return encode(figure)
    except FigureError:
        return ""
