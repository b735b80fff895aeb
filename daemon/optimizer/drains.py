"""One round over the plans to drain nodes: what became of those there are, and new ones for nodes at risk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from daemon.optimizer import metrics
from daemon.optimizer.advising import Adviser
from daemon.optimizer.announcing import Announcer, finding_key
from daemon.optimizer.cluster import Cluster, ClusterError, ClusterState
from daemon.optimizer.drain import DrainAdvice
from daemon.optimizer.lifecycle import Deed, Situation, Step, carried_out, next_step, not_carried_out
from daemon.optimizer.proposals import drain_picture, drain_plan, drain_reason
from daemon.optimizer.risks import Endangered, IncidentBook, RiskBook
from daemon.optimizer.settings import OptimizerSettings
from daemon.records import LabelKind, Plan, PlanState

log = logging.getLogger(__name__)

Save = Callable[[Sequence[Plan]], None]


class Drains:
    """The round; `save` writes plans together with what the risk book says, and raises Fenced where another one has taken over."""

    def __init__(
        self, settings: OptimizerSettings, cluster: Cluster, adviser: Adviser, risks: RiskBook, announcer: Announcer, save: Save
    ) -> None:
        self._settings, self._cluster, self._adviser = settings, cluster, adviser
        self._risks, self._announcer, self._save = risks, announcer, save
        self._drained_now: set[str] = set()

    def look(self, state: ClusterState, incidents: IncidentBook, plans: Sequence[Plan], now_ns: int) -> list[Plan]:
        """The plans that have not ended after this round."""
        endangered = self._risks.endangered(incidents)
        metrics.ENDANGERED_NODES.set(len(endangered))
        lasting = [self._go_on(plan, state, endangered.get(plan.subject), incidents, now_ns) for plan in plans]
        planned = {plan.subject for plan in plans}
        for node, at in sorted(endangered.items()):
            if node not in planned and (plan := self._propose(state, at, now_ns)) is not None:
                lasting.append(self._go_on(plan, state, at, incidents, now_ns))
        return [plan for plan in lasting if plan.state is not PlanState.ENDED]

    def _propose(self, state: ClusterState, at: Endangered, now_ns: int) -> Plan | None:
        node = state.nodes.get(at.node)
        if node is None or not node.in_service:
            return None
        advice = self._adviser.drain(state, at)
        if advice is None:
            return None
        if not advice.accepted:
            log.info("no drain proposed node=%s reason=%r", at.node, advice.reason)
            return None
        plan = drain_plan(self._cluster, self._settings, state, at, advice, now_ns)
        self._announcer.picture(plan.key, drain_picture(plan, state, self._settings))
        self._save([plan])
        log.info("drain proposed node=%s plan=%s why=%r", at.node, plan.key, plan.why)
        return plan

    def _go_on(self, plan: Plan, state: ClusterState, at: Endangered | None, incidents: IncidentBook, now_ns: int) -> Plan:
        """What becomes of a plan; written before and after what is done for it."""
        refreshed, pays = self._refreshed(plan, state, at, now_ns)
        step = next_step(refreshed, self._situation(refreshed, state, at, incidents, pays, now_ns))
        if step.dismiss:
            self._risks.dismiss(self._risks.lasting(plan.subject))
        if step.plan.state is PlanState.ENDED:
            self._wave_through(plan, incidents)
            self._adviser.forget(plan.subject)
        if step.plan != plan or step.dismiss:
            self._save([step.plan])
        return step.plan if step.deed is Deed.NOTHING else self._carry_out(step, now_ns)

    def _wave_through(self, plan: Plan, incidents: IncidentBook) -> None:
        """Of a plan that somebody ended with a label, what lasts on its node is no reason for another one."""
        lasting = self._risks.lasting(plan.subject)
        whole = incidents.ended_by([finding_key(plan.key)]) is not None
        self._risks.dismiss(key for key in lasting if whole or incidents.ended_by([key]) is not None)

    def _refreshed(self, plan: Plan, state: ClusterState, at: Endangered | None, now_ns: int) -> tuple[Plan, bool]:
        """A proposal with its gain worked out anew where it is time to, and whether it is still expected to gain."""
        node = state.nodes.get(plan.subject)
        if plan.state is not PlanState.PROPOSED or at is None or node is None or not node.in_service:
            return plan, True
        advice = self._adviser.drain(state, at)
        if advice is None:
            return replace(plan, incident=at.incident), True
        return self._worked_out(plan, at, advice, now_ns), advice.gain.expected >= 0

    def _worked_out(self, plan: Plan, at: Endangered, advice: DrainAdvice, now_ns: int) -> Plan:
        gain = advice.gain
        return replace(
            plan,
            expected_gain=gain.expected,
            gain_low=gain.low,
            gain_high=gain.high,
            incident=at.incident,
            valid_until_ns=now_ns + int(self._settings.valid_for_s * 1e9),
        )

    def _situation(
        self, plan: Plan, state: ClusterState, at: Endangered | None, incidents: IncidentBook, pays: bool, now_ns: int
    ) -> Situation:
        return Situation(
            node=state.nodes.get(plan.subject),
            over=self._why_over(plan, at, incidents),
            pays=pays,
            may_act=self._settings.act,
            cap=self._cap(plan, state),
            resume_command="; ".join(plan.undo),
            now_ns=now_ns,
        )

    def _why_over(self, plan: Plan, at: Endangered | None, incidents: IncidentBook) -> str:
        """Somebody said so of the plan or of all that put its node at risk, or that has cleared; "" while it lasts."""
        said = incidents.ended_by([finding_key(plan.key)])
        if said is None and (at is not None or self._risks.uncertain(plan.subject, incidents)):
            return ""
        said = said or incidents.ended_by(self._risks.lasting(plan.subject))
        if said is None:
            return "what put it at risk is over"
        comment = f" ({said.comment})" if said.comment else ""
        return f"{said.who} said {'not a problem' if said.kind is LabelKind.NOT_A_PROBLEM else 'resolved'}{comment}"

    def _cap(self, plan: Plan, state: ClusterState) -> str:
        """Why the share that is out of service forbids to drain one more; what was drained in this round counts."""
        cap = self._settings.max_drained_ratio
        out = state.out_ratio(plan.subject, *self._drained_now)
        if out <= cap + 1e-9:
            return ""
        return f"cap reached: {100 * out:.0f} % of the processors would be out of service, {100 * cap:.0f} % may be"

    def _carry_out(self, step: Step, now_ns: int) -> Plan:
        plan, deed = step.plan, step.deed
        try:
            if deed is Deed.DRAIN:
                self._cluster.drain(plan.subject, drain_reason(plan.key, plan.why))
                self._drained_now.add(plan.subject)
            else:
                self._cluster.resume(plan.subject)
        except ClusterError as error:
            metrics.ACTIONS.labels(action=deed, outcome="failed").inc()
            log.error("%s failed node=%s plan=%s reason=%r", deed, plan.subject, plan.key, str(error))
            after = not_carried_out(plan, deed, str(error), now_ns)
        else:
            metrics.ACTIONS.labels(action=deed, outcome="done").inc()
            log.info("%s done node=%s plan=%s", deed, plan.subject, plan.key)
            after = carried_out(plan, deed, now_ns)
        self._save([after])
        return after
