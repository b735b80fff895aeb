"""One round over the proposal of another order of the queue: it is advice, which a person may follow."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from daemon.optimizer.advising import Adviser
from daemon.optimizer.announcing import Announcer, finding_key
from daemon.optimizer.cluster import Cluster, ClusterState
from daemon.optimizer.drains import Save
from daemon.optimizer.knowledge import ORDER
from daemon.optimizer.lifecycle import withdrawn
from daemon.optimizer.proposals import order_picture, order_plan
from daemon.optimizer.risks import IncidentBook
from daemon.optimizer.settings import OptimizerSettings
from daemon.records import Plan, PlanState

log = logging.getLogger(__name__)


class Orders:
    """Proposes an order, works it out anew as the queue changes, and rests after somebody did not want it."""

    kind = ORDER

    def __init__(self, settings: OptimizerSettings, cluster: Cluster, adviser: Adviser, place: str) -> None:
        self._settings, self._cluster, self._adviser, self._place = settings, cluster, adviser, place
        self._rests_until_ns = 0

    def state(self) -> dict[str, Any]:
        """Until when nothing is proposed."""
        return {"rests_until_ns": self._rests_until_ns}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state."""
        self._rests_until_ns = int(state["rests_until_ns"])

    def look(
        self, state: ClusterState, incidents: IncidentBook, plans: Sequence[Plan], announcer: Announcer, save: Save, now_ns: int
    ) -> list[Plan]:
        """The plans that have not ended after this round: one at most."""
        plan = self._ended_by_a_person(plans[-1], incidents, now_ns) if plans else None
        spare = [withdrawn(other, "withdrawn: there is a newer one", now_ns) for other in plans[:-1]]
        if plan is None or plan.state is not PlanState.ENDED:
            plan = self._worked_out(state, plan, announcer, now_ns)
        changed = [*spare, *([plan] if plan is not None and plan not in plans else [])]
        if changed:
            save(changed)
        return [plan] if plan is not None and plan.state is not PlanState.ENDED else []

    def expired(self, plan: Plan, now_ns: int) -> Plan:
        """A proposal that nobody could look at for too long."""
        return withdrawn(plan, "expired: the batch system could not be read", now_ns)

    def _ended_by_a_person(self, plan: Plan, incidents: IncidentBook, now_ns: int) -> Plan:
        said = incidents.ended_by([finding_key(plan.key)])
        if said is None:
            return plan
        self._rests_until_ns = now_ns + int(self._settings.order.rest_s * 1e9)
        return withdrawn(plan, f"withdrawn: {said.who} said {said.kind.replace('_', ' ')}", now_ns)

    def _worked_out(self, state: ClusterState, plan: Plan | None, announcer: Announcer, now_ns: int) -> Plan | None:
        order = self._settings.order
        if plan is not None and (not order.enabled or len(state.snapshot.queued) < order.queued_least):
            return withdrawn(plan, "withdrawn: few jobs wait", now_ns)
        if now_ns < self._rests_until_ns:
            return plan
        advice = self._adviser.order(state)
        if advice is None:
            return withdrawn(plan, "expired", now_ns) if plan is not None and now_ns > plan.valid_until_ns else plan
        if plan is not None and not advice.gain.expected > 0:
            return withdrawn(plan, "withdrawn: it would gain nothing any more", now_ns)
        if not advice.accepted:
            return plan
        fresh = order_plan(self._cluster, self._settings, state, self._place, advice, now_ns)
        if plan is not None:  # the same proposal, for the queue as it is now
            fresh = replace(fresh, key=plan.key, made_ns=plan.made_ns)
        else:
            log.info("order proposed policy=%s plan=%s why=%r", advice.policy, fresh.key, advice.reason)
        announcer.picture(fresh.key, order_picture(fresh, state, self._settings, advice.order))
        return fresh
