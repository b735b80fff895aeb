"""Thresholds for the first day, when there are too few rows to count how often episodes occur.

They rest on single rows and on a model of how rows follow each other (`detectors.budget`), which needs far fewer of them than
counting does: two bad rows in a row are as rare as the promise where each is only as rare as its root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.calibration import EXTRAPOLATION, Calibration
from detectors.finding import Scores, Unit

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Limits:
    """When the units of a detector are bad, all of shape (units,), NaN where one cannot be judged.

    alpha: the chance on normal data below which a row is bad; threshold: the score above which that is so; sure_threshold:
    the same, beyond doubt: higher where the promise asks for odds far beyond what was seen.
    """

    alpha: Array
    threshold: Array
    sure_threshold: Array


class ColdStart:
    """Thresholds and tail probabilities from the held-back rows alone; they stay as they are."""

    def __init__(self, per_day: float, raise_rows: int) -> None:
        """per_day: promised episodes of all units together."""
        self._per_day = per_day
        self._raise_rows = raise_rows
        self._calibration = Calibration()
        self._limits: tuple[Sequence[Unit], Limits] | None = None

    def learn(self, scores: Scores, time_ns: NDArray[np.int64]) -> Self:
        """Calibrates with scores of normal rows, in order; time_ns: shape (n,)."""
        self._calibration.fit(scores, time_ns)
        return self

    def limits(self, units: Sequence[Unit]) -> Limits:
        """Of these units."""
        if self._limits is not None and self._limits[0] is units:
            return self._limits[1]
        calibration = self._calibration
        alpha = calibration.alphas(units, self._per_day, self._raise_rows)
        sure = alpha / doubt_factor(calibration, alpha, units)
        self._limits = units, Limits(alpha, calibration.scores_at(alpha, units), calibration.scores_at(sure, units))
        return self._limits[1]

    def tail_probabilities(self, scores: Scores) -> Array:
        """Chance of a score as high as each in a row of normal data, shape (n, units); NaN where not judged."""
        return self._calibration.tail_probabilities(scores)

    def sample(self, units: Sequence[Unit]) -> tuple[int, float]:
        """Rows that the first of these units was calibrated with, and the independent ones that they are worth."""
        rows = int(self._calibration.rows_of(units)[0])
        return rows, rows * float(self._calibration.theta_of(units)[0])

    def reason(self, alpha: float, unit: Unit) -> str:
        """Why a unit that passes its threshold is doubtful; empty where it is not."""
        return self._calibration.doubt(alpha, alpha, unit)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return self._calibration.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self._calibration.restore(state)


def doubt_factor(calibration: Calibration, alpha: Array, units: Sequence[Unit]) -> Array:
    """How many times rarer than `alpha` a score must be to be believed, shape (units,), at least 1."""
    beyond = [calibration.extrapolation(float(a), unit) / EXTRAPOLATION if a > 0 else 1.0 for a, unit in zip(alpha, units, strict=True)]
    result: Array = np.maximum(1.0, np.array(beyond, dtype=np.float64))
    return result
