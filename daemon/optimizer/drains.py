"""One round over the plans to drain nodes: what became of those there are, and new ones for nodes at risk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from daemon.optimizer import metrics
from daemon.optimizer.advising import Adviser
from daemon.optimizer.announcing import Announcer, finding_key
from daemon.optimizer.cluster import Cluster, ClusterError, ClusterNode, ClusterState, drain_reason
from daemon.optimizer.drain import DrainAdvice
from daemon.optimizer.lifecycle import Deed, Situation, Step, carried_out, next_step, not_carried_out
from daemon.optimizer.places import NodeNames
from daemon.optimizer.proposals import drain_picture, drain_plan
from daemon.optimizer.retries import Retries
from daemon.optimizer.risks import Endangered, IncidentBook, RiskBook
from daemon.optimizer.settings import OptimizerSettings
from daemon.records import LabelKind, Plan, PlanState, iso

log = logging.getLogger(__name__)

Save = Callable[[Sequence[Plan]], None]
CLEARED = "what put it at risk is over"


class Drains:
    """The rounds; `save` writes plans together with what the risk book says, and raises Fenced where another one has taken over.

    `now_s` is wall time: what a batch system refuses is tried again after a while of it.
    """

    def __init__(
        self,
        settings: OptimizerSettings,
        cluster: Cluster,
        adviser: Adviser,
        risks: RiskBook,
        announcer: Announcer,
        save: Save,
        now_s: Callable[[], float],
    ) -> None:
        self._settings, self._cluster, self._adviser = settings, cluster, adviser
        self._risks, self._announcer, self._save, self._now_s = risks, announcer, save, now_s
        self._retries = Retries(settings.period_s)
        self._tried_now: set[str] = set()

    def look(self, state: ClusterState, incidents: IncidentBook, plans: Sequence[Plan], now_ns: int) -> list[Plan]:
        """The plans that have not ended after this round; of new ones those of the nodes at the highest risk come first."""
        self._tried_now.clear()
        self._risks.names = NodeNames([*state.nodes, *(plan.subject for plan in plans)])
        endangered = self._risks.endangered(incidents)
        metrics.ENDANGERED_NODES.set(len(endangered))
        lasting = [self._go_on(plan, state, endangered.get(plan.subject), incidents, now_ns) for plan in plans]
        planned = {plan.subject for plan in plans}
        new = [at for at in endangered.values() if at.node not in planned]
        for at in sorted(new, key=lambda at: (-at.failure_risk(self._settings.drain).hazard_per_s, at.node)):
            plan = self._propose(state, at, now_ns)
            lasting += [] if plan is None else [self._go_on(plan, state, at, incidents, now_ns)]
        return [plan for plan in lasting if plan.state is not PlanState.ENDED]

    def _propose(self, state: ClusterState, at: Endangered, now_ns: int) -> Plan | None:
        why_not = _not_in_service(state.nodes.get(at.node))
        if why_not:
            self._adviser.say(at.node, why_not)
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
            self._risks.dismiss(self._risks.lasting(plan.subject), self._rests_until_ns(now_ns))
        if step.plan.state is PlanState.ENDED:
            self._end(step.plan, incidents, now_ns)
        if step.plan != plan or step.dismiss:
            self._save([step.plan])
        return step.plan if step.deed is Deed.NOTHING else self._carry_out(step, incidents, now_ns)

    def _end(self, plan: Plan, incidents: IncidentBook, now_ns: int) -> None:
        """Forgets what was known of a plan, but not who took its node back."""
        self._wave_through(plan, incidents, now_ns)
        self._adviser.forget(plan.subject)
        self._retries.forget(plan.key)
        if plan.outcome == f"resumed by shiftwatch: {CLEARED}":
            self._risks.take_back(plan.subject, self._rests_until_ns(now_ns))

    def _rests_until_ns(self, now_ns: int) -> int:
        return now_ns + int(self._settings.drain.rest_s * 1e9)

    def _wave_through(self, plan: Plan, incidents: IncidentBook, now_ns: int) -> None:
        """Of a plan that somebody ended with a label, what lasts on its node is no reason for another one."""
        lasting = self._risks.lasting(plan.subject)
        whole = incidents.ended_by([finding_key(plan.key)]) is not None
        waved = [key for key in lasting if whole or incidents.ended_by([key]) is not None]
        self._risks.dismiss(waved, self._rests_until_ns(now_ns))

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
        over = self._why_over(plan, at, incidents)
        cleared = over == CLEARED
        before = cleared and self._risks.was_taken_back(plan.subject, now_ns)
        return Situation(
            node=state.nodes.get(plan.subject),
            over=over,
            pays=pays,
            may_act=self._settings.act,
            held=self._held(plan, state, at, now_ns),
            resume_command="; ".join(plan.undo),
            now_ns=now_ns,
            settles_s=self._settings.drain.resume_after_s if cleared else 0.0,
            left="it was before, and came back: left to people" if before else "",
            waits=self._retries.waits(plan.key, self._now_s()),
        )

    def _why_over(self, plan: Plan, at: Endangered | None, incidents: IncidentBook) -> str:
        """Somebody said so of the plan or of all that put its node at risk, or that has cleared; "" while it lasts."""
        said = incidents.ended_by([finding_key(plan.key)])
        if said is None and (at is not None or self._risks.uncertain(plan.subject, incidents)):
            return ""
        said = said or incidents.ended_by(self._risks.lasting(plan.subject))
        if said is None:
            return CLEARED
        comment = f" ({said.comment})" if said.comment else ""
        return f"{said.who} said {'not a problem' if said.kind is LabelKind.NOT_A_PROBLEM else 'resolved'}{comment}"

    def _held(self, plan: Plan, state: ClusterState, at: Endangered | None, now_ns: int) -> str:
        """Why it is only proposed; what was tried in this round counts as drained, whatever came of it."""
        cap = self._settings.max_drained_ratio
        out = state.out_ratio(plan.subject, *self._tried_now)
        if out > cap + 1e-9:
            return f"cap reached: {100 * out:.3g} % of the processors would be out of service, {100 * cap:.3g} % may be"
        partition = state.emptied_partition(plan.subject, *self._tried_now) if plan.subject in state.nodes else ""
        if partition:
            return f"left to people: no node of partition {partition} would be in service any more"
        if at is not None and all(risk.unsure for risk in at.risks):
            return "left to people: it is unsure whether it is at risk"
        rests_until_ns = self._risks.rests_until_ns(at, now_ns) if at is not None else 0
        return f"left to people until {_minute(rests_until_ns)}: somebody has taken the node back" if rests_until_ns else ""

    def _carry_out(self, step: Step, incidents: IncidentBook, now_ns: int) -> Plan:
        plan, deed = step.plan, step.deed
        try:
            if deed is Deed.DRAIN:
                self._tried_now.add(plan.subject)
                self._cluster.drain(plan.subject, drain_reason(plan.key, plan.why))
            else:
                self._cluster.resume(plan.subject, drain_reason(plan.key, plan.why))
        except ClusterError as error:
            metrics.ACTIONS.labels(action=deed, outcome="failed").inc()
            log.error("%s failed node=%s plan=%s reason=%r", deed, plan.subject, plan.key, str(error))
            self._retries.failed(plan.key, self._now_s())
            after = not_carried_out(plan, deed, str(error), now_ns)
        else:
            metrics.ACTIONS.labels(action=deed, outcome="done").inc()
            log.info("%s done node=%s plan=%s", deed, plan.subject, plan.key)
            self._retries.forget(plan.key)
            after = carried_out(plan, deed, now_ns)
        if after.state is PlanState.ENDED:
            self._end(after, incidents, now_ns)
        if after != plan:
            self._save([after])
        return after


def _not_in_service(node: ClusterNode | None) -> str:
    if node is None:
        return "the cluster has no node of this name"
    if not node.up:
        return "it is down"
    return f"it is drained already: {node.reason or 'no reason given'}" if node.draining else ""


def _minute(time_ns: int) -> str:
    """A time of the day for people ("2016-11-30 12:19 UTC")."""
    return f"{str(iso(time_ns))[:16].replace('T', ' ')} UTC"
