"""What becomes of a plan to drain a node, given how the node is: a pure function, so that a restart decides the same.

    proposed ──(drained for it, by us or by somebody)──▶ active ──(back in service, or nothing to wait for)──▶ ended
        └──────────(risk is over, no gain any more, expired, node gone)──────────────────────────────────────────▶ ended

What the daemon does itself takes three steps: the intention is written to the plan, then it is done, then it is recorded. After a
crash in between, the node's reason (it is made of the plan) and the intention tell what is left to do. `acted` says that the daemon
meant to drain it or did: only then it takes the node back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from daemon.optimizer.cluster import ClusterNode, drain_reason
from daemon.records import Plan, PlanState

RESUMING = "being resumed: "
"""Begins the outcome of a plan that the daemon is about to undo."""
DRAINING = "being drained by shiftwatch"
NOT_DRAINED = "could not be drained: "
FAILED = "; failed: "


class Deed(StrEnum):
    """What the daemon is to do to the node."""

    NOTHING = "nothing"
    DRAIN = "drain"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is decided from.

    node: as it is now, None where the cluster does not show it. over: why there is nothing to drain it for any more, "" while there is.
    settles_s: for how long that must have been so before the daemon takes the node back. left: why that is left to people, "" where it
    is not. pays: whether it is still expected to gain. may_act: acting is on. held: why it is only proposed (the cap, a person), ""
    where it may be done. waits: it failed a while ago and is not tried again yet. resume_command: what a person would type to undo it.
    """

    node: ClusterNode | None
    over: str
    pays: bool
    may_act: bool
    held: str
    resume_command: str
    now_ns: int
    settles_s: float = 0.0
    left: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The plan as it is now, and what is to be done once that is written. dismiss: a person has decided about the node."""

    plan: Plan
    deed: Deed = Deed.NOTHING
    dismiss: bool = False


def next_step(plan: Plan, at: Situation) -> Step:
    """What becomes of a plan that has not ended."""
    if at.node is None:
        return _gone(plan, at)
    if plan.state is PlanState.PROPOSED:
        return _proposed(plan, at, at.node)
    return _active_ours(plan, at, at.node) if plan.acted else _active_theirs(plan, at, at.node)


def carried_out(plan: Plan, deed: Deed, now_ns: int) -> Plan:
    """The plan after what was intended has been done."""
    if deed is Deed.DRAIN:
        return _changed(plan, now_ns, state=PlanState.ACTIVE, acted=True, outcome="drained by shiftwatch")
    return _ended(plan, f"resumed by shiftwatch: {plan.outcome.removeprefix(RESUMING).partition(FAILED)[0]}", now_ns)


def not_carried_out(plan: Plan, deed: Deed, reason: str, now_ns: int) -> Plan:
    """The plan after it could not be done; it is tried again. It still counts as meant: what timed out may be done all the same."""
    if deed is Deed.DRAIN:
        return _changed(plan, now_ns, outcome=f"{NOT_DRAINED}{reason}")
    return _changed(plan, now_ns, outcome=f"{RESUMING}{plan.outcome.removeprefix(RESUMING).partition(FAILED)[0]}{FAILED}{reason}")


def withdrawn(plan: Plan, why: str, now_ns: int) -> Plan:
    """The plan after it was ended for another reason than the state of its node."""
    return _ended(plan, why, now_ns)


def _gone(plan: Plan, at: Situation) -> Step:
    """A node that is not shown may be left out by half an answer: what was drained is remembered until there is no reason to."""
    if plan.acted and not at.over:
        return Step(_changed(plan, at.now_ns, outcome=f"{plan.subject} is not in the cluster at present"))
    return Step(_ended(plan, f"{plan.subject} is no longer in the cluster", at.now_ns))


def _proposed(plan: Plan, at: Situation, node: ClusterNode) -> Step:
    if node.draining:
        return Step(_drained(plan, node, at.now_ns))
    why_not = _why_not(plan, at, node)
    if why_not:
        return Step(_ended(plan, why_not, at.now_ns))
    if not at.may_act or at.held:
        return Step(_changed(plan, at.now_ns, acted=False, outcome=at.held if at.may_act else ""))
    if plan.acted and plan.outcome.startswith(NOT_DRAINED):  # the intention is written; the same refusal again is no news
        return Step(plan, Deed.NOTHING if at.waits else Deed.DRAIN)
    return Step(_changed(plan, at.now_ns, acted=True, outcome=DRAINING), Deed.DRAIN)


def _drained(plan: Plan, node: ClusterNode, now_ns: int) -> Plan:
    """A proposal whose node is drained by now."""
    as_planned = node.drained_for(plan.key, plan.why)
    if as_planned and plan.acted:  # also after a crash between drain and record
        return carried_out(plan, Deed.DRAIN, now_ns)
    by = "drained by somebody, as the plan says" if as_planned else f"drained by somebody: {_said(plan, node)}"
    return _changed(plan, now_ns, state=PlanState.ACTIVE, acted=False, outcome=by)


def _said(plan: Plan, node: ClusterNode) -> str:
    """What somebody wrote to a node, or added to what was written there for the plan."""
    added = node.reason.removeprefix(drain_reason(plan.key, plan.why)).lstrip(" ;,-")
    return added or node.reason or "no reason given"


def _why_not(plan: Plan, at: Situation, node: ClusterNode) -> str:
    """Why a proposal ends; "" while it stands."""
    if at.over:
        return f"withdrawn: {at.over}"
    if not node.up:
        return f"withdrawn: {plan.subject} is down"
    if not at.pays:
        return "withdrawn: it would gain nothing any more"
    return "expired" if at.now_ns > plan.valid_until_ns else ""


def _active_ours(plan: Plan, at: Situation, node: ClusterNode) -> Step:
    if not node.draining:
        if plan.outcome.startswith(RESUMING):  # a crash between resume and record
            return Step(carried_out(plan, Deed.RESUME, at.now_ns))
        return Step(_ended(plan, f"{plan.subject} was resumed by somebody", at.now_ns), dismiss=True)
    if not node.drained_for(plan.key, plan.why):
        return Step(_changed(plan, at.now_ns, acted=False, outcome=f"taken over by somebody: {_said(plan, node)}"))
    if not at.over:
        return Step(_changed(plan, at.now_ns, outcome="drained by shiftwatch"))
    if not at.may_act or at.left:
        left = f" ({at.left})" if at.may_act else ""
        return Step(_changed(plan, at.now_ns, outcome=f"{at.over}{left}; resume it: {at.resume_command}"))
    return _resume(plan, at)


def _resume(plan: Plan, at: Situation) -> Step:
    """Taken back once it is not only good for a moment."""
    meant = f"{RESUMING}{at.over}"
    if plan.outcome.partition(FAILED)[0] == meant and FAILED in plan.outcome:
        return Step(plan, Deed.NOTHING if at.waits else Deed.RESUME)
    settling = f"{at.over}; resumed by shiftwatch if it stays so for {at.settles_s / 60:.3g} min"
    if at.settles_s > 0 and not plan.outcome.startswith(RESUMING):
        if plan.outcome != settling:
            return Step(_changed(plan, at.now_ns, outcome=settling))
        if at.now_ns < plan.changed_ns + int(at.settles_s * 1e9):
            return Step(plan)
    return Step(_changed(plan, at.now_ns, outcome=meant), Deed.RESUME)


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
