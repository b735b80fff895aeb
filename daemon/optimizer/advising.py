"""Asks the simulator, and not more often than it is worth: an answer holds for a part of a plan's validity."""

from __future__ import annotations

from collections.abc import Callable

from daemon.optimizer.cluster import ClusterState
from daemon.optimizer.drain import DrainAdvice, DrainRules, advise_drain
from daemon.optimizer.order import OrderAdvice, OrderRules, advise_order
from daemon.optimizer.outlook import Outlook
from daemon.optimizer.risks import Endangered
from daemon.optimizer.settings import OptimizerSettings

ASKED_AGAIN_RATIO = 0.25
"""Of the validity of a plan: after this time the question is asked anew."""
ORDER = "order"


class Adviser:
    """Advice on draining and on the order of the queue, kept for a while."""

    def __init__(self, settings: OptimizerSettings, now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._now_s = now_s
        self._outlook = Outlook(horizon_s=settings.horizon_s, load_ratio=settings.load_ratio, samples=settings.samples)
        self._asked: dict[str, tuple[object, float]] = {}
        self.said: dict[str, str] = {}
        """What was last said of each node, for people."""

    def drain(self, state: ClusterState, at: Endangered) -> DrainAdvice | None:
        """Advice on a node; None while the last one, for the same findings, holds."""
        if not self._is_due(f"node {at.node}", (at.findings, str(at.rates))):
            return None
        settings = self._settings
        rules = DrainRules(
            repair_s=settings.drain.repair_s,
            unplanned_repair_s=settings.drain.unplanned_repair_s,
            gain_least_core_hours=settings.drain.gain_least_core_hours,
            backfill=settings.backfill,
            repair_is_due=settings.drain.repair_is_due,
        )
        advice = advise_drain(state.snapshot, at.node, at.failure_risk(settings.drain), self._outlook, rules)
        self.said[at.node] = advice.reason
        return advice

    def order(self, state: ClusterState) -> OrderAdvice | None:
        """Advice on the queue; None while the last one holds, or few jobs wait."""
        order = self._settings.order
        if not order.enabled or len(state.snapshot.queued) < order.queued_least or not self._is_due(ORDER, None):
            return None
        rules = OrderRules(order.policies, order.starvation_factor, order.gain_least, self._settings.backfill)
        return advise_order(state.snapshot, self._outlook, rules)

    def forget(self, node: str) -> None:
        """The next question about a node is answered anew."""
        self._asked.pop(f"node {node}", None)

    def forget_all(self) -> None:
        """All questions are answered anew."""
        self._asked.clear()

    def _is_due(self, question: str, about: object) -> bool:
        known = self._asked.get(question)
        if known is not None and known[0] == about and self._now_s() < known[1]:
            return False
        self._asked[question] = (about, self._now_s() + ASKED_AGAIN_RATIO * self._settings.valid_for_s)
        return True
