"""What becomes of a plan to drain a node, given how the node is: a pure function, so that a restart decides the same.

    proposed ──(drained for it, by us or by somebody)──▶ active ──(back in service, or nothing to wait for)──▶ ended
        └──────────(risk is over, no gain any more, expired, node gone)──────────────────────────────────────────▶ ended

What the daemon does itself takes three steps: the intention is written to the plan, then it is done, then it is recorded. After a
crash in between, the node's reason (it has the key of the plan) and the intention tell what is left to do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from daemon.optimizer.cluster import ClusterNode
from daemon.records import Plan, PlanState

RESUMING = "being resumed: "
"""Begins the outcome of a plan that the daemon is about to undo."""
DRAINING = "being drained by shiftwatch"


class Deed(StrEnum):
    """What the daemon is to do to the node."""

    NOTHING = "nothing"
    DRAIN = "drain"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is decided from.

    node: as it is now, None where the cluster has it no more. over: why there is nothing to drain it for any more, "" while there is.
    pays: whether it is still expected to gain. may_act: acting is on. cap: why the cap forbids it, "" where it does not.
    resume_command: what a person would type to undo it.
    """

    node: ClusterNode | None
    over: str
    pays: bool
    may_act: bool
    cap: str
    resume_command: str
    now_ns: int


@dataclass(frozen=True, slots=True)
class Step:
    """The plan as it is now, and what is to be done once that is written. dismiss: a person has decided about the node."""

    plan: Plan
    deed: Deed = Deed.NOTHING
    dismiss: bool = False


def next_step(plan: Plan, at: Situation) -> Step:
    """What becomes of a plan that has not ended."""
    if at.node is None:
        return Step(_ended(plan, f"{plan.subject} is no longer in the cluster", at.now_ns))
    ours = at.node.plan_key == plan.key
    if plan.state is PlanState.PROPOSED:
        return _proposed(plan, at, at.node, ours)
    return _active_ours(plan, at, at.node, ours) if plan.acted else _active_theirs(plan, at, at.node)


def carried_out(plan: Plan, deed: Deed, now_ns: int) -> Plan:
    """The plan after what was intended has been done."""
    if deed is Deed.DRAIN:
        return _changed(plan, now_ns, state=PlanState.ACTIVE, acted=True, outcome="drained by shiftwatch")
    return _ended(plan, f"resumed by shiftwatch: {plan.outcome.removeprefix(RESUMING)}", now_ns)


def not_carried_out(plan: Plan, deed: Deed, reason: str, now_ns: int) -> Plan:
    """The plan after it could not be done; it is tried again."""
    if deed is Deed.DRAIN:
        return _changed(plan, now_ns, acted=False, outcome=f"could not be drained: {reason}")
    return _changed(plan, now_ns, outcome=f"{RESUMING}{plan.outcome.removeprefix(RESUMING).partition('; failed: ')[0]}; failed: {reason}")


def withdrawn(plan: Plan, why: str, now_ns: int) -> Plan:
    """The plan after it was ended for another reason than the state of its node."""
    return _ended(plan, why, now_ns)


def _proposed(plan: Plan, at: Situation, node: ClusterNode, ours: bool) -> Step:
    if ours:  # also after a crash between drain and record
        return Step(carried_out(plan, Deed.DRAIN, at.now_ns))
    if node.draining:
        said = node.reason or "no reason given"
        return Step(_changed(plan, at.now_ns, state=PlanState.ACTIVE, acted=False, outcome=f"drained by somebody: {said}"))
    why_not = _why_not(plan, at, node)
    if why_not:
        return Step(_ended(plan, why_not, at.now_ns))
    if not at.may_act or at.cap:
        return Step(_changed(plan, at.now_ns, acted=False, outcome=at.cap if at.may_act else ""))
    return Step(_changed(plan, at.now_ns, acted=True, outcome=DRAINING), Deed.DRAIN)


def _why_not(plan: Plan, at: Situation, node: ClusterNode) -> str:
    """Why a proposal ends; "" while it stands."""
    if at.over:
        return f"withdrawn: {at.over}"
    if not node.up:
        return f"withdrawn: {plan.subject} is down"
    if not at.pays:
        return "withdrawn: it would gain nothing any more"
    return "expired" if at.now_ns > plan.valid_until_ns else ""


def _active_ours(plan: Plan, at: Situation, node: ClusterNode, ours: bool) -> Step:
    resuming = plan.outcome.startswith(RESUMING)
    if not node.draining:
        if resuming:  # a crash between resume and record
            return Step(carried_out(plan, Deed.RESUME, at.now_ns))
        return Step(_ended(plan, f"{plan.subject} was resumed by somebody", at.now_ns), dismiss=True)
    if not ours:
        said = node.reason or "no reason given"
        return Step(_changed(plan, at.now_ns, acted=False, outcome=f"taken over by somebody: {said}"))
    if not at.over:
        return Step(_changed(plan, at.now_ns, outcome="drained by shiftwatch"))
    if at.may_act:
        return Step(_changed(plan, at.now_ns, outcome=f"{RESUMING}{at.over}"), Deed.RESUME)
    return Step(_changed(plan, at.now_ns, outcome=f"{at.over}; resume it: {at.resume_command}"))


def _active_theirs(plan: Plan, at: Situation, node: ClusterNode) -> Step:
    if not node.draining:
        return Step(_ended(plan, f"{plan.subject} was resumed by somebody", at.now_ns), dismiss=True)
    if at.over:
        return Step(_ended(plan, f"{at.over}; {plan.subject} stays drained until somebody resumes it", at.now_ns))
    return Step(plan)


def _ended(plan: Plan, outcome: str, now_ns: int) -> Plan:
    return _changed(plan, now_ns, state=PlanState.ENDED, outcome=outcome)


def _changed(plan: Plan, now_ns: int, **changes: object) -> Plan:
    """The plan with changes; the same plan where they change nothing."""
    changed = replace(plan, **changes)  # type: ignore[arg-type] # fields of a plan
    return plan if changed == plan else replace(changed, changed_ns=now_ns)
