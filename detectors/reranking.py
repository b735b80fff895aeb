"""Labels of people put findings into a better order: a re-ranker on top of the unsupervised scores.

A logistic regression learns from findings that were called real or not a problem. It is used only where it beats the order of the
tail probabilities on later labels that it has not seen, it never moves anything critical down, and it steps back where findings
are no longer like those that it learned from. What is kept of it is plain values and arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detectors.feature_shift import Shift, shifted
from detectors.finding import Certainty, Finding, Severity

Array = NDArray[np.float64]

FEATURES = ("surprise", "is_rule", "detectors", "duration", "channels", "unsure", "severity", "condition_rate", "place_rate")
RULE_SURPRISE = 15.0
"""Of a rule: it is broken or not, and nothing is rarer."""
CONTRIBUTES = 0.05
"""A channel of a smaller share of the evidence is not counted."""
HELD_BACK = 0.4
"""The later part of the labels, which the re-ranker must prove itself on."""
LABELS_LEAST = 30
EACH_LEAST = 5
"""Of either kind, among those learned from and among those held back."""
PRIOR_LABELS = 2.0
"""The rate of a condition or place starts at one half with the weight of so many labels."""
BOUND = 0.05
"""The gain must lie above 0 but for this probability."""
RESAMPLED = 2000
KEPT_ROWS = 500
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
    """What was learned. used: whether it orders anything; why: in words, either way.

    centre, spread, weights: shape (features,), of a feature matrix; rates: label counts (real, all) by condition and by place;
    seen: features that it learned from, shape (n, features), to tell whether later ones are like them.
    """

    used: bool
    why: str
    centre: Array
    spread: Array
    weights: Array
    offset: float
    rates: Mapping[str, Mapping[str, tuple[int, int]]]
    seen: Array
    shift: Shift | None = None

    def probabilities(self, cases: Sequence[Case]) -> Array:
        """Chance that each case is real, shape (n,)."""
        return self._of_matrix(_with_rates(cases, self.rates).to_numpy(dtype=np.float64))

    def order(self, cases: Sequence[Case]) -> list[int]:
        """Indices of the cases, what deserves attention first in front; where it is not used, by tail probability."""
        plain = unsupervised_order(cases)
        if not self.used or self.shift is not None:
            return plain
        chance = self.probabilities(cases)
        better = sorted(plain, key=lambda i: -chance[i])
        return none_critical_later(plain, better, [case.severity is Severity.CRITICAL for case in cases])

    def after(self, recent: Sequence[Case], seed: int = 0) -> Reranker:
        """The same, stepping back (`shift`, with the reason in `why`) where recent cases are not like those it learned from."""
        if not self.used:
            return self
        found = shifted(self.seen, _with_rates(recent, self.rates).to_numpy(dtype=np.float64), FEATURES, seed)
        why = self.why if found is None else f"not used now: {found.in_words()}; label recent findings and train again"
        return replace(self, shift=found, why=why)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        rates = {name: {key: list(counts) for key, counts in table.items()} for name, table in self.rates.items()}
        arrays = {"centre": self.centre, "spread": self.spread, "weights": self.weights, "seen": self.seen}
        return {
            "version": 1,
            "features": list(FEATURES),
            "used": self.used,
            "why": self.why,
            "offset": self.offset,
            "rates": rates,
            **arrays,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Reranker:
        """From a `state`. Raises ValueError where another version, or one of other features, wrote it."""
        if state.get("version") != 1 or tuple(state["features"]) != FEATURES:
            raise ValueError(f"re-ranker of version {state.get('version')}, this is version 1")
        centre, spread, weights, seen = (np.asarray(state[n], dtype=np.float64) for n in ("centre", "spread", "weights", "seen"))
        rates = {str(n): {str(k): (int(c[0]), int(c[1])) for k, c in table.items()} for n, table in state["rates"].items()}
        seen = seen.reshape(-1, len(FEATURES))
        return cls(bool(state["used"]), str(state["why"]), centre, spread, weights, float(state["offset"]), rates, seen)

    def _of_matrix(self, matrix: Array) -> Array:
        z = (matrix - self.centre) / self.spread
        chances: Array = 1.0 / (1.0 + np.exp(-np.clip(z @ self.weights + self.offset, -50.0, 50.0)))
        return chances


def train(labelled: Sequence[Labelled], seed: int = 0) -> Reranker:
    """Learns from the earlier labels, is proved on the later ones, and then learns from all where it won."""
    labelled = sorted(labelled, key=lambda one: (one.labelled_ns, one.case.key))
    real = np.array([one.is_real for one in labelled], dtype=np.bool_)
    first = len(labelled) - int(len(labelled) * HELD_BACK)
    parts = real[:first], real[first:]
    if len(labelled) < LABELS_LEAST or any(min(part.sum(), (~part).sum()) < EACH_LEAST for part in parts):
        return _unused(f"not used: {len(labelled)} labels, {int(real.sum())} of them real, are too few to prove it on")
    matrix = _as_known_then(labelled).to_numpy(dtype=np.float64)
    tried = _fitted(matrix[:first], real[:first])
    plain = _surprise([one.case for one in labelled[first:]])
    low, gain, before, after = paired_gain(real[first:], plain, tried._of_matrix(matrix[first:]), seed)
    count = len(parts[1])
    said = f"real ones before others in {100 * after:.0f} % of pairs, by tail probability in {100 * before:.0f} %, on {count} later labels"
    if low <= 0:
        bound = f"gain {100 * gain:+.0f} %, surely more than {100 * low:+.0f} %"
        return _unused(f"not used, no better than the tail probability: {said} ({bound})")
    final = _fitted(matrix, real)
    rates = {"condition": _counts(labelled, "condition"), "place": _counts(labelled, "place")}
    seen = _with_rates([one.case for one in labelled[-KEPT_ROWS:]], rates).to_numpy(dtype=np.float64)
    return replace(final, why=f"used: {said}", rates=rates, seen=seen)


def paired_gain(real: NDArray[np.bool_], plain: Array, better: Array, seed: int) -> tuple[float, float, float, float]:
    """Lower bound of the gain in area under the ROC curve, the gain, and both areas; the same cases resampled for both."""
    rng = np.random.default_rng(seed)
    yes, no = np.flatnonzero(real), np.flatnonzero(~real)
    wins = [(score[yes][:, None] > score[no]) + 0.5 * (score[yes][:, None] == score[no]) for score in (plain, better)]
    gains = np.empty(RESAMPLED)
    difference = wins[1] - wins[0]
    for i in range(RESAMPLED):
        gains[i] = difference[rng.integers(len(yes), size=len(yes))][:, rng.integers(len(no), size=len(no))].mean()
    before, after = float(wins[0].mean()), float(wins[1].mean())
    return float(np.quantile(gains, BOUND)), after - before, before, after


def unsupervised_order(cases: Sequence[Case]) -> list[int]:
    """Indices by severity of what broke a rule and by tail probability, the rarest first; of equal ones the earlier."""
    surprise = _surprise(cases)
    return sorted(range(len(cases)), key=lambda i: (-surprise[i], -SEVERITIES[cases[i].severity], cases[i].raised_ns, cases[i].key))


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


def _unused(why: str) -> Reranker:
    width = len(FEATURES)
    return Reranker(False, why, np.zeros(width), np.ones(width), np.zeros(width), 0.0, {}, np.empty((0, width)))


def _fitted(matrix: Array, real: NDArray[np.bool_]) -> Reranker:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import, and most processes never train

    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(max_iter=1000).fit((matrix - centre) / spread, real)
    return Reranker(True, "", centre, spread, model.coef_[0], float(model.intercept_[0]), {}, np.empty((0, len(FEATURES))))


def _surprise(cases: Sequence[Case]) -> Array:
    """Minus the common logarithm of the tail probability, shape (n,)."""
    p = np.array([nan if case.probability is None else max(case.probability, 10.0**-RULE_SURPRISE) for case in cases], dtype=np.float64)
    return np.where(np.isnan(p), RULE_SURPRISE, -np.log10(p))


def _plain_features(cases: Sequence[Case]) -> pd.DataFrame:
    """All features but the rates of labels."""
    return pd.DataFrame(
        {
            "surprise": _surprise(cases),
            "is_rule": [float(case.probability is None) for case in cases],
            "detectors": np.log1p([case.detectors for case in cases]),
            "duration": np.log1p([case.duration_s for case in cases]),
            "channels": np.log1p([case.channels for case in cases]),
            "unsure": [float(case.certainty is Certainty.UNSURE) for case in cases],
            "severity": [SEVERITIES[case.severity] for case in cases],
        },
    )


def _with_rates(cases: Sequence[Case], rates: Mapping[str, Mapping[str, tuple[int, int]]]) -> pd.DataFrame:
    """All features; the rates are those of all labels."""
    frame = _plain_features(cases)
    for name in ("condition", "place"):
        table = rates.get(name, {})
        counts = np.array([table.get(getattr(case, name), (0, 0)) for case in cases], dtype=np.float64).reshape(-1, 2)
        frame[f"{name}_rate"] = (counts[:, 0] + PRIOR_LABELS / 2) / (counts[:, 1] + PRIOR_LABELS)
    return frame[list(FEATURES)]


def _as_known_then(labelled: Sequence[Labelled]) -> pd.DataFrame:
    """All features; the rates are those of the labels before each one, for its own label must not tell of itself."""
    frame = _plain_features([one.case for one in labelled])
    real = pd.Series([float(one.is_real) for one in labelled])
    for name in ("condition", "place"):
        group = real.groupby(pd.Series([getattr(one.case, name) for one in labelled]))
        frame[f"{name}_rate"] = (group.cumsum() - real + PRIOR_LABELS / 2) / (group.cumcount() + PRIOR_LABELS)
    return frame[list(FEATURES)]


def _counts(labelled: Sequence[Labelled], name: str) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for one in labelled:
        key = getattr(one.case, name)
        before = counts.get(key, (0, 0))
        counts[key] = before[0] + one.is_real, before[1] + 1
    return counts
