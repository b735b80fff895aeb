"""Asks the simulator, and not more often than it is worth: an answer holds for a part of a plan's validity."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from daemon.optimizer.cluster import ClusterState
from daemon.optimizer.drain import DrainAdvice, DrainRules, advising_drain
from daemon.optimizer.order import OrderAdvice, OrderRules, advising_order
from daemon.optimizer.outlook import Outlook
from daemon.optimizer.risks import Endangered
from daemon.optimizer.settings import OptimizerSettings
from daemon.optimizer.slices import Sliced, advanced

log = logging.getLogger(__name__)

T = TypeVar("T")

ASKED_AGAIN_RATIO = 0.25
"""Of the validity of a plan: after this time the question is asked anew."""
ROUND_S = 10.0
"""Wall time that is simulated in one round. A cluster of a thousand nodes takes minutes, and a stage that is away for one is taken for
dead: what is not finished goes on in the next round."""
ORDER = "order"
WORKING = "whether to drain it is being simulated"


@dataclass(slots=True)
class _Question:
    """What was asked about, the calculation while it is not finished, and until when (of the clock) its answer holds."""

    about: object
    work: Sliced[Any] | None
    holds_until_s: float = 0.0


class Adviser:
    """Advice on draining and on the order of the queue, kept for a while. `clock_s` is the plans' clock, `now_s` wall time."""

    def __init__(self, settings: OptimizerSettings, clock_s: Callable[[], float], now_s: Callable[[], float]) -> None:
        self._settings = settings
        self._clock_s, self._now_s = clock_s, now_s
        self._outlook = Outlook(horizon_s=settings.horizon_s, load_ratio=settings.load_ratio, samples=settings.samples)
        self._asked: dict[str, _Question] = {}
        self._round_ends_s = 0.0
        self.busy = False
        """Whether an answer was not finished in this round."""
        self.said: dict[str, str] = {}
        """What was last said of each node, for people."""

    def begin_round(self) -> None:
        """There is time again."""
        self._round_ends_s, self.busy = self._now_s() + ROUND_S, False

    def drain(self, state: ClusterState, at: Endangered) -> DrainAdvice | None:
        """Advice on a node; None while it is being worked out, or the last one, for the same findings, holds."""
        settings = self._settings
        rules = DrainRules(
            repair_s=settings.drain.repair_s,
            unplanned_repair_s=settings.drain.unplanned_repair_s,
            gain_least_core_hours=settings.drain.gain_least_core_hours,
            backfill=settings.backfill,
            repair_is_due=settings.drain.repair_is_due,
        )
        risk = at.failure_risk(settings.drain)
        about = (at.findings, str(at.rates))
        advice = self._answer(f"node {at.node}", about, lambda: advising_drain(state.snapshot, at.node, risk, self._outlook, rules))
        if advice is not None:
            self.said[at.node] = advice.reason
        elif self.busy:
            self.said.setdefault(at.node, WORKING)
        return advice

    def order(self, state: ClusterState) -> OrderAdvice | None:
        """Advice on the queue; None while it is being worked out, the last one holds, or few jobs wait."""
        order = self._settings.order
        if not order.enabled or len(state.snapshot.queued) < order.queued_least:
            return None
        rules = OrderRules(order.policies, order.starvation_factor, order.gain_least, self._settings.backfill)
        return self._answer(ORDER, None, lambda: advising_order(state.snapshot, self._outlook, rules))

    def say(self, node: str, why_not: str) -> None:
        """Why nothing is proposed for a node that is at risk."""
        if self.said.get(node) != why_not:
            log.warning("no drain proposed node=%s reason=%r", node, why_not)
        self.said[node] = why_not

    def forget(self, node: str) -> None:
        """The next question about a node is answered anew."""
        self._asked.pop(f"node {node}", None)

    def forget_all(self) -> None:
        """All questions are answered anew."""
        self._asked.clear()

    def _may_go_on(self) -> bool:
        return self._now_s() < self._round_ends_s

    def _answer(self, name: str, about: object, ask: Callable[[], Sliced[T]]) -> T | None:
        question = self._asked.get(name)
        if question is not None and question.about == about and question.work is None and self._clock_s() < question.holds_until_s:
            return None
        if not self._may_go_on():
            self.busy = True
            return None
        if question is None or question.about != about or question.work is None:
            question = self._asked[name] = _Question(about, ask())
        assert question.work is not None
        answer: T | None = advanced(question.work, self._may_go_on)
        if answer is None:
            self.busy = True
        else:
            question.work, question.holds_until_s = None, self._clock_s() + ASKED_AGAIN_RATIO * self._settings.valid_for_s
        return answer
