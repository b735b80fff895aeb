"""The terms of a regression on conditions: piecewise-linear functions of each condition, harmonics of the day, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DAY_NS = 86_400_000_000_000
DAYS_LEAST = 2
"""Days without which a daily rhythm cannot be told from a slow change."""
HARMONICS = 3
KNOTS = (0.2, 0.4, 0.6, 0.8)
"""Quantiles of a condition at which its function may bend."""
RANGE = (0.002, 0.998)
"""Quantiles of a condition that are its learned range: single readings that are wrong do not widen it."""
KNOWN_LEAST = 0.5
"""Part of the rows in which a condition must be known, or it is not learned."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Which terms there are and how rows become a design matrix whose columns are about 1 wide and 0 at usual conditions.

    low, high, centre: (conditions,), NaN for a condition that is not learned; knots: for each condition where its function bends;
    origin: mean of each column on the rows learned from. time_range_ns: of these rows.
    """

    low: Array
    high: Array
    centre: Array
    knots: tuple[Array, ...]
    season: bool
    time_range_ns: tuple[int, int] | None
    origin: Array

    @property
    def groups(self) -> tuple[NDArray[np.int64], ...]:
        """Columns of each term: of the conditions that are learned in their order, of the season, of the trend."""
        widths = [1 + len(self.knots[i]) for i in self._learned]
        widths += [2 * HARMONICS] * self.season + [1] * (self.time_range_ns is not None)
        ends = np.cumsum([0, *widths], dtype=np.int64)
        return tuple(np.arange(first, end) for first, end in pairwise(ends))

    @property
    def trend(self) -> int:
        """Which of the groups is the trend; -1 where there is none."""
        return len(self._learned) + self.season if self.time_range_ns is not None else -1

    def words(self, names: Sequence[str]) -> tuple[str, ...]:
        """What each term is called; names: of the conditions."""
        words = [names[i] for i in self._learned] + ["time of day"] * self.season
        return (*words, *["trend"] * (self.time_range_ns is not None))

    def design(self, time_ns: NDArray[np.int64], conditions: Array) -> tuple[Array, NDArray[np.bool_]]:
        """The design matrix, shape (n, columns), and whether each term is known in each row, (n, terms); 0 where it is not."""
        parts: list[Array] = []
        known = np.ones((len(time_ns), len(self.groups)), dtype=np.bool_)
        for t, i in enumerate(self._learned):
            known[:, t] = np.isfinite(conditions[:, i])
            width = self.high[i] - self.low[i]
            inside = np.clip(np.where(known[:, t], conditions[:, i], self.centre[i]), self.low[i], self.high[i])
            parts.append(((inside - self.centre[i]) / width)[:, None])
            parts.append(np.maximum(0.0, (inside[:, None] - self.knots[i]) / width))
        if self.season:
            angle = (time_ns % DAY_NS)[:, None] * (2 * np.pi / DAY_NS) * np.arange(1, HARMONICS + 1)
            parts += [np.sin(angle), np.cos(angle)]
        if self.time_range_ns is not None:
            first, last = self.time_range_ns
            parts.append(((np.clip(time_ns, first, last) - first) / max(1, last - first))[:, None])
        matrix = np.concatenate(parts, axis=1) if parts else np.empty((len(time_ns), 0))
        return matrix - self.origin, known

    def outside(self, conditions: Array) -> Array:
        """How far each condition is outside of its range, in parts of it; 0 within and for those not learned; NaN: not known."""
        with np.errstate(invalid="ignore"):
            beyond = np.maximum(np.maximum(self.low - conditions, conditions - self.high), 0.0) / (self.high - self.low)
        return np.where(np.isfinite(conditions) & np.isnan(self.low), 0.0, beyond)

    @property
    def _learned(self) -> tuple[int, ...]:
        return tuple(int(i) for i in np.flatnonzero(np.isfinite(self.low)))

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {
            "low": self.low,
            "high": self.high,
            "centre": self.centre,
            "knots": list(self.knots),
            "season": self.season,
            "time_range_ns": None if self.time_range_ns is None else list(self.time_range_ns),
            "origin": self.origin,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Terms:
        """From a `state`."""
        low, high, centre, origin = (np.asarray(state[name], dtype=np.float64) for name in ("low", "high", "centre", "origin"))
        knots = tuple(np.asarray(at, dtype=np.float64) for at in state["knots"])
        between = state["time_range_ns"]
        return cls(low, high, centre, knots, bool(state["season"]), None if between is None else (int(between[0]), int(between[1])), origin)


def no_terms(conditions: int) -> Terms:
    """Before anything was learned of so many conditions."""
    unknown = np.full(conditions, np.nan)
    return Terms(unknown, unknown, unknown, (np.empty(0),) * conditions, season=False, time_range_ns=None, origin=np.empty(0))


def learn_terms(time_ns: NDArray[np.int64], conditions: Array, *, season: bool, trend: bool) -> Terms:
    """Terms for these rows: of conditions that are known and change, of the day where there are days enough."""
    count = conditions.shape[1]
    low, high, centre = (np.full(count, np.nan) for _ in range(3))
    knots = [np.empty(0)] * count
    for i in range(count):
        values = conditions[np.isfinite(conditions[:, i]), i]
        if not len(values) or len(values) < KNOWN_LEAST * len(conditions):
            continue
        ends = np.quantile(values, RANGE)
        if ends[1] <= ends[0]:
            continue
        low[i], high[i], centre[i] = ends[0], ends[1], np.median(values)
        bends = np.unique(np.quantile(values, KNOTS))
        knots[i] = bends[(bends > low[i]) & (bends < high[i])]
    span_ns = int(time_ns.max() - time_ns.min()) if len(time_ns) else 0
    between = (int(time_ns.min()), int(time_ns.max())) if trend and span_ns > 0 else None
    bare = Terms(low, high, centre, tuple(knots), season and span_ns >= DAYS_LEAST * DAY_NS, between, np.zeros(()))
    matrix, known = bare.design(time_ns, conditions)
    complete = known.all(axis=1)
    origin = np.median(matrix[complete], axis=0) if complete.any() else np.zeros(matrix.shape[1])
    return Terms(low, high, centre, bare.knots, bare.season, between, origin)
