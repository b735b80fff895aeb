"""What to do about a plan, and that it follows from what puts its node at risk."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.optimizer.settings import NODE, OptimizerSettings
from daemon.sections import CausalitySettings, CausePattern

DRAIN, ORDER = "drain", "order"
DRAIN_CONDITION, ORDER_CONDITION = "plan_drain", "plan_order"
EVER_S = 10 * 365.25 * 86400.0
"""A node may be drained long after its disk began to fail: when the cap allows it, or somebody switched acting on."""

DECISIONS: Mapping[str, tuple[str, str]] = {
    DRAIN_CONDITION: ("Drain the node as the plan says, or say that it is not a problem; repair it, then resume it.", "plan-drain"),
    ORDER_CONDITION: ("Look at the order that is proposed; give it to the batch system, or say that it is not a problem.", "plan-order"),
}
"""What to do about the optimizer's own conditions: sentence and runbook."""


def edges(settings: OptimizerSettings) -> list[CausalitySettings]:
    """What puts a node at risk explains the plan for this node, and for no other one."""
    head = settings.node_pattern.partition(NODE)[0]
    cause = CausePattern(condition=settings.conditions, place=settings.node_pattern)
    effect = CausePattern(condition=(DRAIN_CONDITION,), place=f"{head}{NODE}")
    return [CausalitySettings(cause=cause, effect=effect, within="same_branch", max_delay_s=EVER_S)] if settings.cluster else []
