"""Which nodes are at risk: findings that last, with the failure rate that they come with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from daemon.optimizer.drain import FailureRisk
from daemon.optimizer.places import NodePattern, NodePlace
from daemon.optimizer.settings import DrainSettings
from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.store.store import Store
from detectors.finding import Finding

RATE = "annual_failure_ratio"
"""Name of the contribution in a finding's evidence that is a failure rate a year."""
LOOKED_AT = 1000
"""Newest incidents among which those of the findings are looked for, beside all that are not resolved."""
MANY = 100_000
ENDING = (LabelKind.NOT_A_PROBLEM, LabelKind.RESOLVE)


@dataclass(frozen=True, slots=True)
class Risk:
    """A finding that lasts and puts a node at risk. annual_ratio: failures a year, NaN where the finding does not say."""

    finding: str
    condition: str
    node: str
    node_place: str
    thing: str
    since_ns: int
    annual_ratio: float


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
    """Remembers the findings of some conditions that last, and which of them somebody has waved through."""

    def __init__(self, pattern: NodePattern, conditions: Sequence[str]) -> None:
        self._pattern = pattern
        self._conditions = frozenset(conditions)
        self._lasting: dict[str, Risk] = {}
        self._dismissed: set[str] = set()

    def state(self) -> dict[str, Any]:
        """What it remembers."""
        fields = {key: [r.condition, r.node, r.node_place, r.thing, r.since_ns, r.annual_ratio] for key, r in self._lasting.items()}
        return {"lasting": fields, "dismissed": sorted(self._dismissed)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state; what is no longer configured is forgotten."""
        self._lasting = {key: Risk(key, *fields) for key, fields in state["lasting"].items() if fields[0] in self._conditions}
        self._dismissed = set(state["dismissed"])

    def take(self, finding: Finding) -> bool:
        """Takes in what became of a finding; whether it changed anything."""
        if finding.unit.condition not in self._conditions:
            return False
        if finding.cleared_ns is not None:
            self._dismissed.discard(finding.key)
            return self._lasting.pop(finding.key, None) is not None
        where = self._pattern.node_at(finding.unit.place)
        if where is None:
            return False
        risk = _risk(finding, where)
        changed = self._lasting.get(finding.key) != risk
        self._lasting[finding.key] = risk
        return changed

    def lasting(self, node: str) -> frozenset[str]:
        """Keys of the findings that last on a node, also of those that were waved through."""
        return frozenset(key for key, risk in self._lasting.items() if risk.node == node)

    def dismiss(self, findings: Iterable[str]) -> None:
        """These are no reason to drain a node any more; what begins anew is."""
        self._dismissed |= self._lasting.keys() & set(findings)

    def knows(self, findings: Iterable[str]) -> bool:
        """Whether one of these lasts."""
        return not self._lasting.keys().isdisjoint(findings)

    def uncertain(self, node: str, incidents: IncidentBook) -> bool:
        """Whether something lasts on a node whose incident is not known (yet): no reason to begin anything, nor to end it."""
        return any(key not in self._dismissed and incidents.of(key) is None for key in self.lasting(node))

    def endangered(self, incidents: IncidentBook) -> dict[str, Endangered]:
        """Nodes with findings that last, were not waved through, and belong to an incident that is not resolved; by name."""
        by_node: dict[str, list[tuple[Risk, str]]] = {}
        for risk in self._lasting.values():
            incident = incidents.of(risk.finding)
            if risk.finding not in self._dismissed and incident is not None and incident.state is not IncidentState.RESOLVED:
                by_node.setdefault(risk.node, []).append((risk, incident.id))
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
    return Risk(finding.key, finding.unit.condition, where.node, where.place, thing, finding.since_ns, max(rates) if rates else math.nan)
