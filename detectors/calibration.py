"""Calibration: from raw scores of any detector to the probability of such a score on normal data.

Within what was seen on held-back normal rows the probability is conformal, (k + 1) / (K + 1) with k of K scores at least as
high (V. Vovk et al., Algorithmic Learning in a Random World, 2005). Beyond it a generalised Pareto tail goes on
(`detectors.tails`), and the probability never exceeds the smallest conformal one. It falls as the score rises, always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.budget import alpha_for, extremal_index
from detectors.compiled import compiled
from detectors.finding import Scores, Unit
from detectors.tails import COLUMNS, excess_at, fit_tails, survival

Array = NDArray[np.float64]

ROWS_ALONE = 50
"""Rows from which a unit is calibrated with its own scores; with fewer, with those of all units of its condition."""
ROWS_LEAST = 10
"""Rows of all units of a condition together without which nothing can be said: NaN."""
KEPT_EXACT, KEPT_COARSE = 256, 256
"""Scores kept of a unit: the highest ones, and of the rest some that are evenly spread in rank."""
TAIL_RATIO, TAIL_LEAST, TAIL_MOST = 0.1, 20, 250
"""Part of the highest scores to which the tail is fitted, at least and at most so many."""
BEYOND = -1.0
SMALLEST = 1e-15
"""No smaller probability is ever claimed."""
POOLED_MOST = 4096
"""Scores of a pool that stand in for those of its units with few rows; of more, each stands for the ones next below it."""
EXTRAPOLATION = 10.0
"""How far beyond what the rows have shown the fitted tail is believed."""


class Calibration:
    """Tail probabilities of the units of one detector; what it learned belongs to unit keys.

    The units of one condition form a pool: they share the shape of the tail and the dependence of successive rows.
    """

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._pool = np.empty(0, dtype=np.int64)
        self._rows = np.empty(0, dtype=np.int64)
        self._pool_rows = np.empty(0, dtype=np.int64)
        self._values = np.empty((0, 0))
        self._at_least = np.empty((0, 0), dtype=np.int64)
        self._tail = np.empty((0, 2 + len(COLUMNS)))
        self._theta = np.empty(0)
        self._step_ns = 0.0
        self._bound: tuple[Sequence[Unit], NDArray[np.int64]] = ((), np.empty(0, dtype=np.int64))

    def fit(self, scores: Scores, time_ns: NDArray[np.int64]) -> Self:
        """Learns from scores on normal rows that the detector has not been fitted on; time_ns: shape (n,), rising."""
        conditions = sorted({unit.condition for unit in scores.units})
        self._index = {unit.key: i for i, unit in enumerate(scores.units)}
        self._bound = ((), np.empty(0, dtype=np.int64))
        self._pool = np.array([conditions.index(unit.condition) for unit in scores.units], dtype=np.int64)
        steps = np.diff(time_ns)
        self._step_ns = float(np.median(steps)) if len(steps) else 0.0
        rising = _with_pooled(np.sort(scores.values, axis=0).T, self._pool)
        self._rows = np.isfinite(rising).sum(axis=1)
        self._values, self._at_least = _thinned(rising, self._rows)
        self._pool_rows = np.bincount(self._pool, np.isfinite(scores.values).sum(axis=0), len(conditions)).astype(np.int64)
        threshold, excesses, count = _excesses(rising, self._rows)
        self._theta = _extremal_indices(scores.values, threshold, self._pool, steps <= 1.5 * self._step_ns)
        tails = fit_tails(excesses, count, self._pool, self._theta)
        self._tail = np.column_stack([threshold, count, tails])
        return self

    def tail_probabilities(self, scores: Scores) -> Array:
        """Chance of a score as high as each on normal data, shape (n, units); NaN where the score is, and for unknown units."""
        where = self._where(scores.units)
        result = _conformal(np.ascontiguousarray(scores.values), where, self._values, self._at_least, self._rows)
        row, column = np.nonzero(result == BEYOND)
        if len(row):
            unit = where[column]
            threshold, count, tail = self._tail[unit, 0], self._tail[unit, 1], self._tail[unit, 2:]
            expected = count * survival(scores.values[row, column] - threshold, tail)
            result[row, column] = np.maximum(np.minimum(expected, 1.0) / (self._rows[unit] + 1.0), SMALLEST)
        return result

    def scores_at(self, alpha: Array, units: Sequence[Unit]) -> Array:
        """The score above which the tail probability of each unit lies below `alpha`, shape (units,); NaN for unknown units.

        Within what was seen it is one of the scores seen.
        """
        where = self._where(units)
        result = np.full(len(units), np.nan)
        known = (where >= 0) & np.isfinite(alpha)
        known[known] &= self._rows[where[known]] > 0
        unit, wanted = where[known], alpha[known]
        most = wanted * (self._rows[unit] + 1.0)
        position = (self._at_least[unit] > most[:, None]).sum(axis=1)  # of the lowest score that so few reach
        seen = self._values[unit, np.minimum(position, self._values.shape[1] - 1)]
        count = np.maximum(self._tail[unit, 1], 1.0)
        beyond = self._tail[unit, 0] + excess_at(most / count, self._tail[unit, 2:])
        highest = self._values[unit, -1]
        result[known] = np.where(most < 1.0, np.maximum(beyond, highest), seen)
        return result

    def alpha(self, per_day: float, raise_rows: int, window_rows: int | None = None) -> float:
        """Tail probability at which a row is bad such that all units together begin `per_day` false alarms a day.

        An alarm begins with `raise_rows` bad rows, in a row or within `window_rows`; see `detectors.budget` for the formula
        and what it assumes.
        """
        rows_per_day = 86_400e9 / self._step_ns if self._step_ns > 0 else 1.0
        units = np.bincount(self._pool[self._rows >= ROWS_LEAST], minlength=len(self._theta))
        return alpha_for(per_day / rows_per_day, units, self._theta, raise_rows, window_rows)

    def alphas(self, units: Sequence[Unit], per_day: float, raise_rows: int, window_rows: int | None = None) -> Array:
        """The same for each unit, shape (units,), where each condition gets an equal share of the promise.

        Conditions whose scores hang on for many rows then need a lower tail probability, and do not cost the others theirs.
        NaN for unknown units.
        """
        rows_per_day = 86_400e9 / self._step_ns if self._step_ns > 0 else 1.0
        share = per_day / rows_per_day / max(1, len(self._theta))
        count = np.bincount(self._pool[self._rows >= ROWS_LEAST], minlength=len(self._theta))
        alpha = [alpha_for(share, count[i : i + 1], self._theta[i : i + 1], raise_rows, window_rows) for i in range(len(count))]
        where = self._where(units)
        pools = np.append(self._pool, len(alpha))[where]
        return np.array([*alpha, np.nan])[np.where(where >= 0, pools, len(alpha))]

    def rows_of(self, units: Sequence[Unit]) -> NDArray[np.int64]:
        """Scores that each unit was calibrated with, shape (units,); 0 for unknown ones."""
        return np.append(self._rows, 0)[self._where(units)]

    def theta_of(self, units: Sequence[Unit]) -> Array:
        """Extremal index of each unit's condition, shape (units,); 1 for unknown units."""
        where = self._where(units)
        result: Array = np.where(where >= 0, np.append(self._theta[self._pool], 1.0)[where], 1.0)
        return result

    @property
    def effective_rows(self) -> Array:
        """Independent rows that the rows of each unit are worth, shape (units,): successive scores depend on each other."""
        result: Array = self._rows * self._theta[self._pool] if len(self._pool) else np.empty(0)
        return result

    def resolution(self, units: Sequence[Unit]) -> Array:
        """Smallest tail probability that the rows of each unit have shown themselves; shape (units,), NaN for unknown ones."""
        where = self._where(units)
        result: Array = np.where(where >= 0, 1.0 / (np.append(self.effective_rows, 0.0)[where] + 1.0), np.nan)
        return result

    def extrapolation(self, alpha: float, unit: Unit | None = None) -> float:
        """How many times rarer `alpha` is than anything that normal rows have shown; up to 1 it lies within what was seen.

        Counts the effective rows of all units of the unit's condition together; without a unit, of the condition that has
        the fewest.
        """
        together = self._pool_rows * self._theta
        index = -1 if unit is None else self._index.get(unit.key, -1)
        seen = float(together[self._pool[index]]) if index >= 0 else float(together.min(initial=np.inf) if len(together) else 0.0)
        return 1.0 / (seen + 1.0) / alpha

    def doubt(self, probability: float, alpha: float, unit: Unit | None = None) -> str:
        """Why it is not certain that a tail probability lies below `alpha`; empty where there is no doubt.

        A threshold far beyond what was seen rests on the fitted tail. Then only a score is believed that lies as far beyond
        the threshold as that lies beyond what was seen.
        """
        beyond = self.extrapolation(alpha, unit) / EXTRAPOLATION
        if beyond <= 1.0 or probability * beyond <= alpha:
            return ""
        rows = int(self._rows.max(initial=0))
        return f"the promise needs odds of 1 in {1 / alpha:,.0f} for a row, and only {rows:,} normal rows were kept to judge that"

    def state(self) -> dict[str, Any]:
        """All that was learned, as plain values and arrays."""
        return {
            "version": 1,
            "keys": list(self._index),
            "pool": self._pool,
            "rows": self._rows,
            "pool_rows": self._pool_rows,
            "values": self._values,
            "at_least": self._at_least,
            "tail": self._tail,
            "theta": self._theta,
            "step_ns": self._step_ns,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"calibration of version {state.get('version')}, this is version 1")
        self._index = {key: i for i, key in enumerate(state["keys"])}
        integers = ("pool", "rows", "pool_rows", "at_least")
        self._pool, self._rows, self._pool_rows, self._at_least = (np.asarray(state[name], dtype=np.int64) for name in integers)
        self._values, self._tail, self._theta = (np.asarray(state[name], dtype=np.float64) for name in ("values", "tail", "theta"))
        self._step_ns = float(state["step_ns"])
        self._bound = ((), np.empty(0, dtype=np.int64))

    def _where(self, units: Sequence[Unit]) -> NDArray[np.int64]:
        """Row of each unit in what was learned, -1 for one that is not known."""
        if self._bound[0] is not units:
            self._bound = (units, np.array([self._index.get(unit.key, -1) for unit in units], dtype=np.int64))
        return self._bound[1]


def _with_pooled(rising: Array, pool: NDArray[np.int64]) -> Array:
    """The rising scores of each unit, NaN last; units with few rows get those of their whole pool. Shape (units, rows)."""
    rows = np.isfinite(rising).sum(axis=1)
    few = rows < ROWS_ALONE
    together: dict[int, Array] = {}
    for number in np.unique(pool[few]):
        values = rising[pool == number]
        together[int(number)] = _bounded(np.sort(values[np.isfinite(values)]))
    width = max([rising.shape[1], *(len(values) for values in together.values())])
    result = np.full((len(rising), width), np.nan)
    result[:, : rising.shape[1]] = rising
    for unit in np.flatnonzero(few):
        values = together[int(pool[unit])]
        result[unit] = np.nan
        if len(values) >= ROWS_LEAST:
            result[unit, : len(values)] = values
    return result


def _bounded(rising: Array) -> Array:
    """At most POOLED_MOST of the rising scores, evenly spread in rank: too high rather than too low, the highest among them."""
    if len(rising) <= POOLED_MOST:
        return rising
    rank = np.arange(1, POOLED_MOST + 1) * len(rising) // POOLED_MOST
    result: Array = rising[rank - 1]
    return result


def _thinned(rising: Array, rows: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """The scores that are kept of each unit, rising, and how many are at least as high; both of shape (units, kept)."""
    width = rising.shape[1]
    if width <= KEPT_EXACT + KEPT_COARSE:
        position = np.broadcast_to(np.arange(width), rising.shape)
        position = np.minimum(position, np.maximum(rows - 1, 0)[:, None])
    else:
        coarse = np.linspace(0.0, 1.0, KEPT_COARSE, endpoint=False) * np.maximum(rows - KEPT_EXACT, 0)[:, None]
        exact = np.maximum(rows[:, None] - KEPT_EXACT + np.arange(KEPT_EXACT), 0)
        position = np.concatenate([coarse.astype(np.int64), exact], axis=1)
    values = np.take_along_axis(rising, position, axis=1)
    return np.where(rows[:, None] > 0, values, np.inf), np.maximum(rows[:, None] - position, 0)


def _excesses(rising: Array, rows: NDArray[np.int64]) -> tuple[Array, Array, NDArray[np.int64]]:
    """Threshold above which the tail begins, excesses (falling, NaN after the last) and their number; (units,), (units, k), (units,)."""
    count = np.clip((TAIL_RATIO * rows).astype(np.int64), TAIL_LEAST, TAIL_MOST)
    count = np.minimum(count, np.maximum(rows // 2, 1))
    threshold = np.take_along_axis(rising, np.maximum(rows - count - 1, 0)[:, None], axis=1)
    position = rows[:, None] - 1 - np.arange(int(count.max(initial=0)))
    highest = np.take_along_axis(rising, np.maximum(position, 0), axis=1)
    excesses = np.where(np.arange(highest.shape[1]) < count[:, None], highest - threshold, np.nan)
    return np.nan_to_num(threshold[:, 0]), excesses, count


def _extremal_indices(scores: Array, threshold: Array, pool: NDArray[np.int64], follows: NDArray[np.bool_]) -> Array:
    """Extremal index of each pool, shape (pools,); scores: shape (n, units), in order of time; follows: see `extremal_index`."""
    exceeds = np.nan_to_num(scores, nan=-np.inf) > threshold
    own = np.isfinite(scores)
    theta = np.ones(int(pool.max(initial=-1)) + 1)
    for number in range(len(theta)):
        among = pool == number
        part = int(exceeds[:, among].sum()) / max(1, int(own[:, among].sum()))
        theta[number] = extremal_index(exceeds[:, among], follows, part)
    return theta


@compiled
def _conformal(scores: Array, where: NDArray[np.int64], values: Array, at_least: NDArray[np.int64], rows: NDArray[np.int64]) -> Array:
    """Conformal probabilities, and BEYOND for scores above everything that was seen."""
    result = np.full(scores.shape, np.nan)
    for column in range(scores.shape[1]):
        unit = where[column]
        if unit < 0 or rows[unit] == 0:
            continue
        kept = values[unit]
        for row in range(scores.shape[0]):
            score = scores[row, column]
            if np.isnan(score):
                continue
            position = np.searchsorted(kept, score)
            if position == 0:
                result[row, column] = 1.0
            elif position < len(kept):
                result[row, column] = at_least[unit, position - 1] / (rows[unit] + 1.0)
            else:
                result[row, column] = BEYOND
    return result
