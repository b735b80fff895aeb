"""Plans as findings: raised while a plan lasts, changed with it, cleared when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from collectors.frame import digest_of
from daemon import messages
from daemon.messages import FindingReport, Progress
from daemon.optimizer.knowledge import DRAIN, DRAIN_CONDITION, ORDER_CONDITION
from daemon.optimizer.proposals import amount, headline
from daemon.records import Plan, PlanState
from detectors.finding import Certainty, Contribution, Evidence, Finding, Severity, Unit

STREAM = "optimizer"


def finding_key(plan_key: str) -> str:
    """Key of a plan's finding."""
    return digest_of("finding", STREAM, plan_key)


class Announcer:
    """What was said of which plan, and the event time of the stream.

    Its event time is that which the other streams have reached: a stream of its own time would hold them up, or hurry them.
    """

    stream = STREAM

    def __init__(self) -> None:
        self._said: dict[str, Finding] = {}
        self._figures: dict[str, str] = {}
        self._others_ns = 0
        self._reached_ns = 0

    def state(self) -> dict[str, Any]:
        """What was said."""
        said = {key: messages.encode(FindingReport(STREAM, 0, finding)).decode() for key, finding in self._said.items()}
        return {"said": said, "reached_ns": self._reached_ns}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state. Raises MessageError."""
        self._said = {key: _finding(text) for key, text in state["said"].items()}
        self._reached_ns = max(self._reached_ns, int(state["reached_ns"]))

    def heard(self, stream: str, at_ns: int) -> None:
        """A stream has been judged up to a time; of its own that is what it said before it ended."""
        if stream == STREAM:
            self._reached_ns = max(self._reached_ns, at_ns)
        else:
            self._others_ns = max(self._others_ns, at_ns)

    def knows(self, findings: Iterable[str]) -> bool:
        """Whether one of these findings is that of a plan that was told of."""
        return not {finding.key for finding in self._said.values()}.isdisjoint(findings)

    def picture(self, plan_key: str, figure: str) -> None:
        """The picture that goes with the next report of a plan."""
        self._figures[plan_key] = figure

    def missing(self, plans: Iterable[Plan]) -> bool:
        """Whether a plan that was told of is not among these."""
        return not self._said.keys() <= {plan.key for plan in plans}

    def changes(self, plans: Iterable[Plan], now_ns: int) -> list[FindingReport]:
        """Reports of what is new, given all plans that have not ended, and others for how they ended."""
        known_plans = {plan.key: plan for plan in plans}
        lasting = {key: plan for key, plan in known_plans.items() if plan.state is not PlanState.ENDED}
        reports = []
        for key, plan in lasting.items():
            known = self._said.get(key)
            evidence = _evidence(plan)
            if known is None or known.evidence != evidence:
                at_ns = self._next_ns(now_ns)
                self._said[key] = _raised(plan, evidence, at_ns) if known is None else replace(known, evidence=evidence, last_ns=at_ns)
                reports.append(FindingReport(STREAM, at_ns, self._said[key], self._figures.get(key, "")))
        for key in self._said.keys() - lasting.keys():
            at_ns = self._next_ns(now_ns)
            ended = replace(self._said.pop(key), last_ns=at_ns - 1, cleared_ns=at_ns)
            if key in known_plans:
                ended = replace(ended, evidence=_evidence(known_plans[key]))
            self._figures.pop(key, None)
            reports.append(FindingReport(STREAM, at_ns, ended))
        return reports

    def progress(self) -> Progress | None:
        """How far the stream has come, where that is further than was said before."""
        if self._others_ns <= self._reached_ns:
            return None
        self._reached_ns = self._others_ns
        return Progress(STREAM, self._reached_ns)

    def after_reports(self) -> Progress:
        """The progress that lets reports be taken in."""
        return Progress(STREAM, self._reached_ns)

    def _next_ns(self, now_ns: int) -> int:
        self._reached_ns = max(self._others_ns or now_ns, self._reached_ns + 1)
        return self._reached_ns


def _raised(plan: Plan, evidence: Evidence, at_ns: int) -> Finding:
    condition = DRAIN_CONDITION if plan.kind == DRAIN else ORDER_CONDITION
    unit = Unit(digest_of(STREAM, plan.cluster, plan.kind, plan.place), f"plan for {plan.place.rpartition('/')[2]}", plan.place, condition)
    return Finding(
        key=finding_key(plan.key),
        source=STREAM,
        unit=unit,
        detectors=(STREAM,),
        severity=Severity.WARNING,
        certainty=Certainty.LIKELY,
        since_ns=at_ns,
        raised_ns=at_ns,
        last_ns=at_ns,
        cleared_ns=None,
        tail_probability=None,
        evidence=evidence,
    )


def _evidence(plan: Plan) -> Evidence:
    words = f"{amount(plan.expected_gain)} [{amount(plan.gain_low)}, {amount(plan.gain_high)}] {plan.gain_unit}"
    gain = Contribution("expected gain", plan.place, plan.expected_gain, 0.0, 1.0, plan.gain_unit, text=words)
    return Evidence(headline(plan), (gain,))


def _finding(text: str) -> Finding:
    message = messages.decode(text.encode())
    if not isinstance(message, FindingReport):
        raise messages.MessageError("state of the optimize stage holds something else than findings")
    return message.finding
