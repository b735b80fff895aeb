"""What the members of an ensemble earn on rows held back, without labels.

Two things count. A score of anomalies does not know the time of day: the part of its variance that the hour explains, again on
another day, is a condition that the member takes for an anomaly (load that comes and goes), and it is the main reason for which
a method that is good elsewhere is useless on a source. And faults put into the rows must be told from the rows without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.finding import Detector
from detectors.gauge_groups import CONDITION
from detectors.synthetic_faults import injected

Array = NDArray[np.float64]

SCORE_LEAST = 1e-9
"""Scores are not taken to be smaller: they go through a logarithm."""
REFERENCE = 0.99
"""Quantile of the scores on the rows held back that scores are compared with."""
ROWS_MOST = 6_000
"""Rows held back that faults are put into, the newest ones."""
NEGLIGIBLE = 0.05
"""A member of less weight is left out."""
INDEPENDENCE_POWER = 4.0
"""Power of the part of the variance that the hour does not explain."""
HOURS = 24
DAY_NS = 86_400_000_000_000
DAYS_LEAST = 2
"""Days held back without which nothing is known of the hours."""
HOUR_ROWS_LEAST = 3
"""Rows in an hour of the day without which it does not count."""
SEPARATION_LEAST = 0.02
"""Faults are always told apart a little better than this, or the member is left out."""


@dataclass(frozen=True, eq=False)
class Earned:
    """Of one group, by member: weight, the score that it is compared with, and what the weight is made of.

    separation: of rows with faults from those without, 1 is complete and 0 is chance (twice the area under the ROC curve, less
    one); hour: part of the variance that the hour of the day explains.
    """

    weights: dict[str, float]
    references: dict[str, float]
    separation: dict[str, float]
    hour: dict[str, float]

    def summary(self) -> str:
        """What each member counts and why, in a line."""
        said = [
            f"{n} {w:.2f}" + (f" (tells {self.separation[n]:.2f}, hour {self.hour[n]:.2f})" if n in self.hour else "")
            for n, w in self.weights.items()
        ]
        return ", ".join(said)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {part: dict(getattr(self, part)) for part in _PARTS}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Earned:
        """From a `state`."""
        return cls(*({str(name): float(v) for name, v in state[part].items()} for part in _PARTS))


_PARTS = ("weights", "references", "separation", "hour")


def earn(
    members: Mapping[str, Detector], held_back: Frame, names: Sequence[str], groups: Sequence[NDArray[np.int64]] | None = None
) -> dict[str, Earned]:
    """Weights by key of the group.

    members: fitted on the rows before those held back; names: all that were asked for; groups: frame columns of the gauges of each
    group, which faults are put into (channels that no member looks at would only blur what each of them sees). Without them all
    gauges are one.
    """
    clean = {name: _by_group(member, held_back) for name, member in members.items()}
    newest = held_back.rows(slice(-ROWS_MOST, None))
    told = {name: _separation(member, newest, groups) for name, member in members.items()}
    found: dict[str, Earned] = {}
    for key in dict.fromkeys(key for scores in clean.values() for key in scores):
        usable = {name: scores[key] for name, scores in clean.items() if np.isfinite(scores.get(key, np.array([]))).any()}
        if not usable:
            continue
        separation = {name: told[name].get(key, 0.0) for name in usable}
        hour = {name: hour_dependence(scores, held_back.time_ns) for name, scores in usable.items()}
        references = {name: max(float(np.nanquantile(scores, REFERENCE)), SCORE_LEAST) for name, scores in usable.items()}
        weight = _weights(separation, hour)
        found[key] = Earned({name: weight.get(name, 0.0) for name in names}, references, separation, hour)
    return found


def hour_dependence(scores: Array, time_ns: NDArray[np.int64]) -> float:
    """Part of the variance of the logarithm of a score that the hour of the day explains, alike in both halves of the rows.

    scores, time_ns: shape (n,). The covariance of the two halves' means by hour, over the variance; 0 where too few days are
    there, between 0 and 1.
    """
    known = np.isfinite(scores)
    value, at_ns = np.log(np.maximum(scores[known], SCORE_LEAST)), time_ns[known]
    if len(value) < 2 or at_ns[-1] - at_ns[0] < DAYS_LEAST * DAY_NS or value.var() <= 0:
        return 0.0
    hour = (at_ns % DAY_NS) * HOURS // DAY_NS
    days = (at_ns - at_ns[0]) // DAY_NS
    first = days < (int(days[-1]) + 1) // 2
    count = [np.bincount(hour[half], minlength=HOURS) for half in (first, ~first)]
    total = [np.bincount(hour[half], value[half], HOURS) for half in (first, ~first)]
    there = (count[0] >= HOUR_ROWS_LEAST) & (count[1] >= HOUR_ROWS_LEAST)
    if there.sum() < 2:
        return 0.0
    one, other = (t[there] / c[there] for t, c in zip(total, count, strict=True))
    return float(np.clip(np.cov(one, other)[0, 1] / value.var(), 0.0, 1.0))


def _weights(separation: Mapping[str, float], hour: Mapping[str, float]) -> dict[str, float]:
    """Weights that add up to 1, with what is negligible left out; equal ones where nobody earned any."""
    earned = {
        name: (told if told >= SEPARATION_LEAST else 0.0) * (1.0 - hour[name]) ** INDEPENDENCE_POWER for name, told in separation.items()
    }
    total = sum(earned.values())
    if total <= 0:
        return {name: 1.0 / len(earned) for name in earned}
    kept = {name: part for name, part in earned.items() if part / total >= NEGLIGIBLE}
    return {name: kept.get(name, 0.0) / sum(kept.values()) for name in earned}


def _by_group(member: Detector, frame: Frame) -> dict[str, Array]:
    scores = member.score(frame)
    return {unit.key: scores.values[:, i] for i, unit in enumerate(scores.units) if unit.condition == CONDITION}


def _separation(member: Detector, rows: Frame, groups: Sequence[NDArray[np.int64]] | None) -> dict[str, float]:
    """How well rows with faults are told from those without, as a mean over the kinds of faults; by group. Equal scores count half."""
    clean = {key: np.sort(values[np.isfinite(values)]) for key, values in _by_group(member, rows).items()}
    areas: dict[str, list[float]] = {key: [] for key, values in clean.items() if len(values)}
    for fault in injected(rows, groups=groups):
        found = _by_group(member, fault.frame)
        for key, area in areas.items():
            faulty = found[key][fault.faulty]
            faulty = faulty[np.isfinite(faulty)]
            below = (np.searchsorted(clean[key], faulty) + np.searchsorted(clean[key], faulty, side="right")) / (2 * len(clean[key]))
            area.append(float(below.mean()) if len(below) else 0.5)
    return {key: max(0.0, 2.0 * float(np.mean(area)) - 1.0) if area else 0.0 for key, area in areas.items()}
