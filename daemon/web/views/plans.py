"""Plans of the optimizer: what to do, what it is worth, how to undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collectors.frame import digest_of
from daemon.records import Plan, PlanState
from daemon.web.words import Times, clean, number

STATE_WORDS = {PlanState.PROPOSED: "proposed", PlanState.ACTIVE: "carried out", PlanState.ENDED: "ended"}


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One plan."""

    key: str
    title: str
    kind: str
    cluster: str
    place: str
    state: str
    lasts: bool
    acted: bool
    why: str
    actions: tuple[str, ...]
    undo: tuple[str, ...]
    gain: str
    made: str
    made_exact: str
    valid: str
    incident: str
    outcome: str
    picture: str


def plan_row(plan: Plan, times: Times, picture: str = "") -> PlanRow:
    """The row of a plan; `picture` is the address of its Gantt picture, "" where there is none."""
    return PlanRow(
        plan.key,
        title(plan),
        clean(plan.kind),
        clean(plan.cluster),
        clean(plan.place),
        STATE_WORDS[plan.state],
        plan.state is not PlanState.ENDED,
        plan.acted,
        clean(plan.why),
        tuple(clean(action) for action in plan.actions),
        tuple(clean(action) for action in plan.undo),
        gain(plan),
        times.since(plan.made_ns),
        times.exact(plan.made_ns),
        f"{times.moment(plan.valid_until_ns)} ({times.age(plan.valid_until_ns)}{'' if plan.valid_until_ns > times.now_ns else ' ago'})",
        plan.incident,
        clean(plan.outcome),
        picture,
    )


def title(plan: Plan) -> str:
    """What is proposed, in a few words."""
    if plan.kind == "drain":
        return f"Drain {clean(plan.subject)}"
    if plan.kind == "order":
        return f"Order the queue by {clean(plan.subject)}"
    return f"{clean(plan.kind).capitalize()} {clean(plan.subject)}"


def gain(plan: Plan) -> str:
    """The gain expected, with its interval and unit: "2.3 [1.1–3.9] core hours"."""
    unit = clean(plan.gain_unit)
    text = f"{number(plan.expected_gain)} [{number(plan.gain_low)}–{number(plan.gain_high)}]"
    return f"{text} {unit}" if unit else text


def in_order(plans: Sequence[Plan]) -> list[Plan]:
    """Those that last first, the newest first among them."""
    return sorted(plans, key=lambda plan: (plan.state is PlanState.ENDED, -plan.made_ns))


def finding_key(plan_key: str) -> str:
    """Key of the finding by which the optimizer tells of a plan: its picture is kept under it."""
    return digest_of("finding", "optimizer", plan_key)
