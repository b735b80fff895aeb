"""How many episodes were raised beside how many were promised, over all units and for single ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.episodes import Episode
from detectors.finding import Unit

DAY_NS = 86_400_000_000_000
MEASURED_DAYS = 28
"""Days that the measured rate looks back over."""
EXCESS_DAYS = 2
"""Days over which more episodes than promised show that what is normal has moved."""
EXCESS_LEAST = 2
"""So many episodes of a unit in that time never show it: incidents are why one watches."""
EXCESS_MOST = 30.0
QUANTILE = 1.645
"""Of the normal distribution: intervals hold 90 %."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Episodes raised over `days` judged, and the interval (90 %, Poisson) in which their rate a day lies."""

    episodes: int
    days: float
    per_day: float
    low: float
    high: float


class AlarmRate:
    """Counts the episodes that were raised. Belongs to unit keys; event time throughout."""

    def __init__(self) -> None:
        self._raised: dict[str, list[int]] = {}
        self._begun_ns = 0
        self._now_ns = 0

    def take(self, raised: Sequence[Episode], now_ns: int) -> None:
        """Episodes of the rows up to a time; those that are cleared are passed over."""
        self._begun_ns = self._begun_ns or now_ns
        self._now_ns = now_ns
        for episode in raised:
            if episode.cleared_ns is None:
                self._raised.setdefault(episode.unit.key, []).append(episode.raised_ns)

    @property
    def begun_ns(self) -> int:
        """Event time of the first rows that were judged, 0 where there were none."""
        return self._begun_ns

    def forget(self) -> None:
        """Drops what is too old to count."""
        since_ns = self._now_ns - MEASURED_DAYS * DAY_NS
        kept = {key: [at for at in times if at > since_ns] for key, times in self._raised.items()}
        self._raised = {key: times for key, times in kept.items() if times}

    def measured(self) -> Measured:
        """The rate of all units together over the last weeks."""
        since_ns = max(self._begun_ns, self._now_ns - MEASURED_DAYS * DAY_NS)
        count = sum(at > since_ns for times in self._raised.values() for at in times)
        days = (self._now_ns - since_ns) / DAY_NS
        low, high = poisson_interval(count)
        each = 1.0 / days if days > 0 else float("inf")
        return Measured(count, days, count * each if count else 0.0, low * each if low else 0.0, high * each)

    def excess(self, units: Sequence[Unit], per_day: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many times more episodes than promised each unit has surely had of late: from 1 to EXCESS_MOST, shape (units,).

        per_day: promised for each unit.
        """
        result = np.ones(len(units))
        if not self._raised:
            return result
        since_ns = self._now_ns - EXCESS_DAYS * DAY_NS
        for index, unit in enumerate(units):
            count = sum(at > since_ns for at in self._raised.get(unit.key, ())) - EXCESS_LEAST
            if count > 0:
                result[index] = poisson_interval(count)[0] / max(EXCESS_DAYS * float(per_day[index]), 1e-12)
        return np.clip(result, 1.0, EXCESS_MOST)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {"raised": {key: list(times) for key, times in self._raised.items()}, "begun_ns": self._begun_ns, "now_ns": self._now_ns}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self._raised = {key: [int(at) for at in times] for key, times in state["raised"].items()}
        self._begun_ns, self._now_ns = int(state["begun_ns"]), int(state["now_ns"])


def poisson_interval(count: int) -> tuple[float, float]:
    """Where the mean of a Poisson count lies with 90 %, by the cube-root approximation of its exact limits.

    E. Wilson and M. Hilferty, PNAS 17 (1931) 684; F. Garwood, Biometrika 28 (1936) 437.
    """
    high = count + 1
    upper = high * (1.0 - 1.0 / (9.0 * high) + QUANTILE / (3.0 * sqrt(high))) ** 3
    lower = count * max(0.0, 1.0 - 1.0 / (9.0 * count) - QUANTILE / (3.0 * sqrt(count))) ** 3 if count else 0.0
    return lower, upper
