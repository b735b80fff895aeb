"""What becomes of a plan to drain a node, for each way in which its node and its reasons can be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.optimizer.cluster import ClusterNode
from daemon.optimizer.lifecycle import Deed, Situation, next_step
from daemon.records import Plan, PlanState
from tests.daemon.reports import S

PLAN = Plan(
    key="3fa4b0c1d2e3f405",
    kind="drain",
    cluster="slurm",
    subject="n1",
    place="T2_X/n1",
    state=PlanState.PROPOSED,
    actions=("drain n1",),
    undo=("resume n1",),
    why="36 % a year",
    expected_gain=3.1,
    gain_low=1.2,
    gain_high=5.4,
    gain_unit="core-hours",
    made_ns=0,
    valid_until_ns=100,
    changed_ns=0,
)
IN_SERVICE = ClusterNode("n1", 4)
OURS = ClusterNode("n1", 4, draining=True, reason="shiftwatch:3fa4b0c1d2e3f405 36 % a year")
CHANGED = replace(OURS, reason="shiftwatch:3fa4b0c1d2e3f405 36 % a year; and bad memory (Bob)")
THEIRS = ClusterNode("n1", 4, draining=True, reason="new memory")
CALM = Situation(IN_SERVICE, over="", pays=True, may_act=True, held="", resume_command="resume n1", now_ns=50)
MEANT = replace(PLAN, acted=True, outcome="being drained by shiftwatch")
REFUSED = replace(PLAN, acted=True, outcome="could not be drained: no")
ACTIVE = replace(PLAN, state=PlanState.ACTIVE, acted=True)
NOT_BACK = replace(ACTIVE, outcome="being resumed: it is over; failed: no")
SETTLING = "it is over; resumed by shiftwatch if it stays so for 1.5 min"


@pytest.mark.parametrize(
    ("plan", "changes", "state", "deed", "outcome"),
    [
        (PLAN, {}, "proposed", Deed.DRAIN, "being drained by shiftwatch"),
        (PLAN, {"may_act": False}, "proposed", Deed.NOTHING, ""),
        (PLAN, {"held": "cap reached: 2 of 4"}, "proposed", Deed.NOTHING, "cap reached: 2 of 4"),
        (MEANT, {"node": OURS}, "active", Deed.NOTHING, "drained by shiftwatch"),
        (PLAN, {"node": OURS}, "active", Deed.NOTHING, "drained by somebody, as the plan says"),
        (PLAN, {"node": CHANGED}, "active", Deed.NOTHING, "drained by somebody: and bad memory (Bob)"),
        (REFUSED, {}, "proposed", Deed.DRAIN, "could not be drained: no"),
        (REFUSED, {"waits": True}, "proposed", Deed.NOTHING, "could not be drained: no"),
        (REFUSED, {"waits": True, "held": "cap reached"}, "proposed", Deed.NOTHING, "cap reached"),
        (MEANT, {"node": None}, "proposed", Deed.NOTHING, "n1 is not in the cluster at present"),
        (PLAN, {"node": THEIRS}, "active", Deed.NOTHING, "drained by somebody: new memory"),
        (PLAN, {"node": None}, "ended", Deed.NOTHING, "n1 is no longer in the cluster"),
        (PLAN, {"node": replace(IN_SERVICE, up=False)}, "ended", Deed.NOTHING, "withdrawn: n1 is down"),
        (PLAN, {"over": "sdb was replaced"}, "ended", Deed.NOTHING, "withdrawn: sdb was replaced"),
        (PLAN, {"pays": False}, "ended", Deed.NOTHING, "withdrawn: it would gain nothing any more"),
        (PLAN, {"now_ns": 101}, "ended", Deed.NOTHING, "expired"),
        (ACTIVE, {"node": OURS}, "active", Deed.NOTHING, "drained by shiftwatch"),
        (ACTIVE, {"node": OURS, "over": "it is over"}, "active", Deed.RESUME, "being resumed: it is over"),
        (ACTIVE, {"node": OURS, "over": "it is over", "settles_s": 90}, "active", Deed.NOTHING, SETTLING),
        (replace(ACTIVE, outcome=SETTLING), {"node": OURS, "over": "it is over", "settles_s": 90}, "active", Deed.NOTHING, SETTLING),
        (replace(ACTIVE, outcome=SETTLING), {"node": OURS}, "active", Deed.NOTHING, "drained by shiftwatch"),
        (
            replace(ACTIVE, outcome=SETTLING),
            {"node": OURS, "over": "it is over", "settles_s": 90, "now_ns": 90 * S},
            "active",
            Deed.RESUME,
            "being resumed: it is over",
        ),
        (
            ACTIVE,
            {"node": OURS, "over": "it is over", "left": "not again"},
            "active",
            Deed.NOTHING,
            "it is over (not again); resume it: resume n1",
        ),
        (ACTIVE, {"node": CHANGED}, "active", Deed.NOTHING, "taken over by somebody: and bad memory (Bob)"),
        (ACTIVE, {"node": None}, "active", Deed.NOTHING, "n1 is not in the cluster at present"),
        (ACTIVE, {"node": None, "over": "it is over"}, "ended", Deed.NOTHING, "n1 is no longer in the cluster"),
        (NOT_BACK, {"node": OURS, "over": "it is over"}, "active", Deed.RESUME, NOT_BACK.outcome),
        (NOT_BACK, {"node": OURS, "over": "it is over", "waits": True}, "active", Deed.NOTHING, NOT_BACK.outcome),
        (NOT_BACK, {"node": IN_SERVICE}, "ended", Deed.NOTHING, "resumed by shiftwatch: it is over"),
        (ACTIVE, {"node": OURS, "over": "it is over", "may_act": False}, "active", Deed.NOTHING, "it is over; resume it: resume n1"),
        (ACTIVE, {"node": THEIRS, "over": "it is over"}, "active", Deed.NOTHING, "taken over by somebody: new memory"),
        (replace(ACTIVE, outcome="being resumed: it is over"), {}, "ended", Deed.NOTHING, "resumed by shiftwatch: it is over"),
        (ACTIVE, {}, "ended", Deed.NOTHING, "n1 was resumed by somebody"),
        (replace(ACTIVE, acted=False), {"node": THEIRS}, "active", Deed.NOTHING, ""),
        (
            replace(ACTIVE, acted=False),
            {"node": THEIRS, "over": "gone"},
            "ended",
            Deed.NOTHING,
            "gone; n1 stays drained until somebody resumes it",
        ),
    ],
)
def test_what_becomes_of_a_plan(plan: Plan, changes: dict[str, Any], state: str, deed: Deed, outcome: str) -> None:
    step = next_step(plan, replace(CALM, **changes))
    assert (step.plan.state, step.deed, step.plan.outcome) == (PlanState(state), deed, outcome)


def test_a_plan_that_does_not_change_is_not_written() -> None:
    settled = replace(ACTIVE, outcome="drained by shiftwatch")
    assert next_step(settled, replace(CALM, node=OURS)).plan is settled
