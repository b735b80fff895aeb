"""Which nodes are at risk: findings that last, with the failure rate that they come with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

from daemon.optimizer.drain import FailureRisk
from daemon.optimizer.places import NodeNames, NodePattern, NodePlace
from daemon.optimizer.settings import DrainSettings
from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.store.store import Store
from detectors.finding import Certainty, Finding

RATE = "annual_failure_ratio"
"""Name of the contribution in a finding's evidence that is a failure rate a year."""
LOOKED_AT = 1000
"""Newest incidents among which those of the findings are looked for, beside all that are not resolved."""
MANY = 100_000
ENDING = (LabelKind.NOT_A_PROBLEM, LabelKind.RESOLVE)


@dataclass(frozen=True, slots=True)
class Risk:
    """A finding that lasts and puts a node at risk. annual_ratio: failures a year, NaN where the finding does not say.

    node: as the place has it. thing: what of the node. unsure: too little was seen to do something on its account.
    """

    finding: str
    condition: str
    node: str
    node_place: str
    thing: str
    since_ns: int
    annual_ratio: float
    unsure: bool = False

    @property
    def place(self) -> str:
        """Place of the thing."""
        return f"{self.node_place}/{self.thing}"


@dataclass(frozen=True, slots=True)
class Endangered:
    """A node with what puts it at risk, the oldest first, and the open incident that says so."""

    node: str
    place: str
    incident: str
    risks: tuple[Risk, ...]

    @property
    def findings(self) -> frozenset[str]:
        """Keys of the findings."""
        return frozenset(risk.finding for risk in self.risks)

    @property
    def rates(self) -> dict[str, float]:
        """Failures a year of each thing, NaN where no finding says; several findings of one disk are one disk."""
        rates: dict[str, float] = {}
        for risk in self.risks:
            known = rates.get(risk.thing, math.nan)
            rates[risk.thing] = risk.annual_ratio if math.isnan(known) or risk.annual_ratio > known else known
        return rates

    def failure_risk(self, settings: DrainSettings) -> FailureRisk:
        """Hazards of parts that fail independently add up; each is at least what the configuration expects."""
        least = FailureRisk.from_probability(settings.failure_probability, settings.failure_within_s).hazard_per_s
        known = (0.0 if math.isnan(rate) else rate for rate in self.rates.values())
        total = sum(max(least, FailureRisk.from_annual_rate(rate).hazard_per_s) for rate in known)
        return FailureRisk(total, total, total)


class RiskBook:
    """Remembers the findings of some conditions that last, which of them somebody has waved through, and what was given back when.

    `names` are those of the cluster's nodes; all nodes that it is asked for, or tells of, go by them.
    """

    def __init__(self, pattern: NodePattern, conditions: Sequence[str]) -> None:
        self._pattern = pattern
        self._conditions = frozenset(conditions)
        self._lasting: dict[str, Risk] = {}
        self._dismissed: set[str] = set()
        self._rests: dict[str, int] = {}
        self._taken_back: dict[str, int] = {}
        self.names = NodeNames()

    def state(self) -> dict[str, Any]:
        """What it remembers."""
        fields = {key: list(astuple(risk))[1:] for key, risk in self._lasting.items()}
        given_back = {"rests": dict(self._rests), "taken_back": dict(self._taken_back)}
        return {"lasting": fields, "dismissed": sorted(self._dismissed), **given_back}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state, also from one of a version that remembered less."""
        self._lasting = {key: Risk(key, *fields) for key, fields in state["lasting"].items()}
        self._dismissed = set(state["dismissed"])
        self._rests, self._taken_back = dict(state.get("rests", {})), dict(state.get("taken_back", {}))

    def take(self, finding: Finding) -> bool:
        """Takes in what became of a finding; whether it changed anything."""
        if finding.cleared_ns is not None:
            self._dismissed.discard(finding.key)
            return self._lasting.pop(finding.key, None) is not None
        if finding.unit.condition not in self._conditions:
            return False
        where = self._pattern.node_at(finding.unit.place)
        if where is None:
            return False
        risk = _risk(finding, where)
        changed = self._lasting.get(finding.key) != risk
        self._lasting[finding.key] = risk
        return changed

    def lasting(self, node: str) -> frozenset[str]:
        """Keys of the findings that last on a node, also of those that were waved through."""
        return frozenset(key for key, risk in self._lasting.items() if self.names.of(risk.node) == node)

    def dismiss(self, findings: Iterable[str], rests_until_ns: int) -> None:
        """These are no reason to drain a node any more; what begins anew of the same thing is one only for people until then."""
        dismissed = self._lasting.keys() & set(findings)
        self._dismissed |= dismissed
        self._rests |= {self._lasting[key].place: rests_until_ns for key in dismissed}

    def rests_until_ns(self, at: Endangered, now_ns: int) -> int:
        """Until when people have the say of all that puts a node at risk, because somebody gave it back; 0 where they have not."""
        self._rests = {place: until_ns for place, until_ns in self._rests.items() if until_ns > now_ns}
        return min((self._rests.get(risk.place, 0) for risk in at.risks), default=0)

    def take_back(self, node: str, until_ns: int) -> None:
        """The daemon itself takes a node back: should that have been too early, the next time is left to people until then."""
        self._taken_back[node] = until_ns

    def was_taken_back(self, node: str, now_ns: int) -> bool:
        """Whether the daemon took it back a while ago."""
        self._taken_back = {name: until_ns for name, until_ns in self._taken_back.items() if until_ns > now_ns}
        return node in self._taken_back

    def knows(self, findings: Iterable[str]) -> bool:
        """Whether one of these lasts."""
        return not self._lasting.keys().isdisjoint(findings)

    def uncertain(self, node: str, incidents: IncidentBook) -> bool:
        """Whether something lasts on a node whose incident is not known (yet), or that is no longer configured.

        That is no reason to begin anything, nor to end it.
        """
        undecided = self.lasting(node) - self._dismissed
        return any(incidents.of(key) is None or self._lasting[key].condition not in self._conditions for key in undecided)

    def endangered(self, incidents: IncidentBook) -> dict[str, Endangered]:
        """Nodes with findings that last, were not waved through, and belong to an incident that is not resolved; by name."""
        by_node: dict[str, list[tuple[Risk, str]]] = {}
        for risk in self._lasting.values():
            if risk.finding in self._dismissed or risk.condition not in self._conditions:
                continue
            incident = incidents.of(risk.finding)
            if incident is not None and incident.state is not IncidentState.RESOLVED:
                by_node.setdefault(self.names.of(risk.node), []).append((risk, incident.id))
        found = {}
        for node, risks in by_node.items():
            ordered = sorted(risks, key=lambda entry: (entry[0].since_ns, entry[0].finding))
            found[node] = Endangered(node, ordered[0][0].node_place, ordered[0][1], tuple(risk for risk, _ in ordered))
        return found


class IncidentBook:
    """Incidents by the findings in them, as the database has them when first asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _holders(self) -> dict[str, Incident]:
        lasting = self._store.incidents([IncidentState.OPEN, IncidentState.ACKNOWLEDGED], limit=MANY)
        return {key: incident for incident in [*self._store.incidents(limit=LOOKED_AT), *lasting] for key in incident.findings}

    def of(self, finding: str) -> Incident | None:
        """The incident that a finding belongs to."""
        return self._holders.get(finding)

    def ended_by(self, findings: Iterable[str]) -> Label | None:
        """What a person said that ended the incident of one of these findings; None where it lasts or ended by itself."""
        for finding in findings:
            incident = self.of(finding)
            if incident is None or incident.state is not IncidentState.RESOLVED:
                continue
            said = [label for label in self._store.labels(incident.id) if label.kind in ENDING]
            if said:
                return said[-1]
        return None


def _risk(finding: Finding, where: NodePlace) -> Risk:
    rates = [c.observed for c in finding.evidence.ranked if c.name == RATE and math.isfinite(c.observed) and c.observed >= 0]
    thing = finding.unit.place.removeprefix(where.place).strip("/") or where.node
    ratio = max(rates) if rates else math.nan
    unsure = finding.certainty is Certainty.UNSURE
    return Risk(finding.key, finding.unit.condition, where.node, where.place, thing, finding.since_ns, ratio, unsure)
