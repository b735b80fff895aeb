"""Labels of people put findings into a better order: a re-ranker on top of the unsupervised scores.

A logistic regression (`detectors.reranker_training`) learns from findings that were called real or not a problem. It is used only
where it beat the order of the tail probabilities on later labels that it had not seen, it never moves anything critical down, and it
steps back where findings are no longer like those that it learned from. What is kept of it is plain values and arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.feature_shift import Shift, shifted
from detectors.finding import Certainty, Finding, Severity

Array = NDArray[np.float64]
Rates = Mapping[str, Mapping[str, tuple[int, int]]]
"""Label counts (real, all) by condition and by place: {"condition": {…}, "place": {…}}."""

PLAIN_FEATURES = ("surprise", "is_rule", "detectors", "duration", "channels", "unsure", "severity")
RATED = ("condition", "place")
FEATURES = (*PLAIN_FEATURES, *(f"{name}_rate" for name in RATED))
RULE_SURPRISE = 15.0
"""Of a rule: it is broken or not, and nothing is rarer."""
CONTRIBUTES = 0.05
"""A channel of a smaller share of the evidence is not counted."""
PRIOR_LABELS = 2.0
"""The rate of a condition or place starts at one half with the weight of so many labels."""
LOG_ODDS_MOST = 50.0
SEVERITIES = {Severity.INFO: 0.0, Severity.WARNING: 1.0, Severity.CRITICAL: 2.0}


@dataclass(frozen=True, slots=True)
class Case:
    """A finding as the re-ranker sees it. probability: on normal data, None for rules; channels: that the evidence rests on."""

    key: str
    raised_ns: int
    condition: str
    place: str
    severity: Severity
    certainty: Certainty
    probability: float | None
    detectors: int
    channels: int
    duration_s: float

    @classmethod
    def of(cls, finding: Finding, agreeing: int = 1) -> Case:
        """agreeing: detectors that found the same, it included."""
        channels = sum(contribution.share >= CONTRIBUTES for contribution in finding.evidence.ranked)
        seconds = max(0, finding.last_ns - finding.since_ns) / 1e9
        unit, count = finding.unit, max(agreeing, len(finding.detectors))
        return cls(
            finding.key, finding.raised_ns, unit.condition, unit.place, finding.severity, finding.certainty,
            finding.tail_probability, count, channels, seconds,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Labelled:
    """A case that somebody called real, or not a problem, at an event time."""

    case: Case
    is_real: bool
    labelled_ns: int


@dataclass(frozen=True, eq=False)
class Reranker:
    """What was learned. used: whether it was proved and may order anything; why: in words, either way.

    centre, spread, weights: shape (features,), of a feature matrix; seen: features that it learned from, shape (n, features), to tell
    whether later ones are like them.
    labels: that it was trained with.
    """

    used: bool
    why: str
    centre: Array
    spread: Array
    weights: Array
    offset: float
    rates: Rates
    seen: Array
    labels: int = 0
    shift: Shift | None = None

    @property
    def acts(self) -> bool:
        """Whether it orders now: it was proved, and has not stepped back."""
        return self.used and self.shift is None

    def probabilities(self, cases: Sequence[Case]) -> Array:
        """Chance that each case is real, shape (n,): of those with a chance of 0.7, seven in ten are."""
        chances: Array = 1.0 / (1.0 + np.exp(-self._log_odds(cases)))
        return chances

    def order(self, cases: Sequence[Case]) -> list[int]:
        """Indices of the cases, what deserves attention first in front; where it does not act, by tail probability."""
        plain = unsupervised_order(cases)
        if not self.acts:
            return plain
        odds = self._log_odds(cases)
        better = sorted(plain, key=lambda i: -odds[i])
        return none_critical_later(plain, better, [case.severity is Severity.CRITICAL for case in cases])

    def after(self, recent: Sequence[Case], seed: int = 0) -> Reranker:
        """The same, stepping back (`shift`, with the reason in `why`) where recent cases are not like those it learned from."""
        if not self.used:
            return self
        found = shifted(self.seen, for_likeness(recent, self.rates), FEATURES, seed)
        why = self.why if found is None else f"not used now: {found.in_words()}; label recent incidents and train again"
        return replace(self, shift=found, why=why)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        rates = {name: {key: list(counts) for key, counts in table.items()} for name, table in self.rates.items()}
        plain = {name: getattr(self, name) for name in ("used", "why", "offset", "labels")}
        arrays = {name: getattr(self, name) for name in ("centre", "spread", "weights", "seen")}
        return {"version": 1, "features": list(FEATURES), "rates": rates, **plain, **arrays}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Reranker:
        """From a `state`. Raises ValueError where another version, or one of other features, wrote it."""
        if state.get("version") != 1 or tuple(state["features"]) != FEATURES:
            raise ValueError(f"re-ranker of version {state.get('version')}, this is version 1")
        centre, spread, weights, seen = (np.asarray(state[n], dtype=np.float64) for n in ("centre", "spread", "weights", "seen"))
        rates = {str(n): {str(k): (int(c[0]), int(c[1])) for k, c in table.items()} for n, table in state["rates"].items()}
        return cls(
            bool(state["used"]),
            str(state["why"]),
            centre,
            spread,
            weights,
            float(state["offset"]),
            rates,
            seen.reshape(-1, len(FEATURES)),
            int(state["labels"]),
        )

    def log_odds(self, matrix: Array) -> Array:
        """Of features of shape (n, features); shape (n,)."""
        odds: Array = np.clip((matrix - self.centre) / self.spread @ self.weights + self.offset, -LOG_ODDS_MOST, LOG_ODDS_MOST)
        return odds

    def _log_odds(self, cases: Sequence[Case]) -> Array:
        return self.log_odds(with_rates(cases, self.rates))


def unused(why: str, labels: int = 0) -> Reranker:
    """One that orders nothing, and says why."""
    width = len(FEATURES)
    empty = np.zeros(width), np.ones(width), np.zeros(width)
    return Reranker(False, why, *empty, 0.0, {}, np.empty((0, width)), labels=labels)


def unsupervised_order(cases: Sequence[Case]) -> list[int]:
    """Indices by severity of what broke a rule and by tail probability, the rarest first; of equal ones the earlier."""
    rare = surprise(cases)
    return sorted(range(len(cases)), key=lambda i: (-rare[i], -SEVERITIES[cases[i].severity], cases[i].raised_ns, cases[i].key))


def none_critical_later(plain: Sequence[int], better: Sequence[int], critical: Sequence[bool]) -> list[int]:
    """The order of `better`, but nothing critical stands further behind than in `plain`."""
    placed: set[int] = set()
    result = []
    waiting = iter(better)
    for due in plain:
        chosen = due if critical[due] and due not in placed else next(i for i in waiting if i not in placed)
        placed.add(chosen)
        result.append(chosen)
    return result


def surprise(cases: Sequence[Case]) -> Array:
    """Minus the common logarithm of the tail probability, shape (n,)."""
    p = np.array([nan if case.probability is None else max(case.probability, 10.0**-RULE_SURPRISE) for case in cases], dtype=np.float64)
    return np.where(np.isnan(p), RULE_SURPRISE, -np.log10(p))


def plain_features(cases: Sequence[Case]) -> Array:
    """All features but the rates of labels, shape (n, len(PLAIN_FEATURES))."""
    columns = (
        surprise(cases),
        [case.probability is None for case in cases],
        np.log1p([case.detectors for case in cases]),
        np.log1p([case.duration_s for case in cases]),
        np.log1p([case.channels for case in cases]),
        [case.certainty is Certainty.UNSURE for case in cases],
        [SEVERITIES[case.severity] for case in cases],
    )
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def with_rates(cases: Sequence[Case], rates: Rates) -> Array:
    """All features with the rates of all labels, shape (n, features)."""
    columns = [plain_features(cases)]
    for name in RATED:
        table = rates.get(name, {})
        counts = np.array([table.get(getattr(case, name), (0, 0)) for case in cases], dtype=np.float64).reshape(-1, 2)
        columns.append(rate(counts[:, 0], counts[:, 1])[:, None])
    return np.hstack(columns)


def for_likeness(cases: Sequence[Case], rates: Rates) -> Array:
    """All features, to tell whether cases are like others, shape (n, features).

    A condition or place that a single label tells of has the rate of an unknown one: a labelled case is not to differ from a new one
    by its own label.
    """
    return with_rates(cases, {name: {key: n for key, n in table.items() if n[1] > 1} for name, table in rates.items()})


def rate(real: Array, count: Array) -> Array:
    """Log odds of the share of real ones among labels, drawn to 0 (one half) where there are few."""
    odds: Array = np.log((real + PRIOR_LABELS / 2) / (count - real + PRIOR_LABELS / 2))
    return odds
