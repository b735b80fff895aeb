"""What conditions account for in the reading of a gauge: pile-up in a current, load in a temperature, the hour in a rate.

Each gauge gets a ridge regression of its own on a piecewise-linear function of each condition, on a few harmonics of the day
and on time, with Huber's weights, so that incidents among the rows do not bend it (P. Huber, Ann. Math. Stat. 35 (1964) 73;
A. Hoerl, R. Kennard, Technometrics 12 (1970) 55). A term is used for a gauge only where it lowers the spread of the residual on
both halves of rows that were held back: what does not help is left out, and a gauge that depends on nothing stays as it is.

Nothing is extrapolated: a condition outside of the range in which it was learned is held at the edge of it, and so is time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.condition_terms import Terms, learn_terms, no_terms
from detectors.robust_ridge import held_back_ratio, huber_weights, solve

Array = NDArray[np.float64]

VERSION = 1
ROWS_LEAST = 100
"""Rows with a reading and all conditions known without which a gauge is not corrected."""
ROWS_MOST = 20_000
"""Rows that are learned from; of more, every second, third, and so on."""
HOLD_OUT = 0.3
"""Part of the rows, the end of them, on which a term must prove itself."""
GAIN_FIRST, GAIN_NEXT = 0.95, 0.98
"""Ratio of the spread with a term to that without it, below which the term is used: the first one, and each further one."""
TREND_AGREES = 0.5
"""The slope in time is stable where those of both halves of the rows differ by less than this part of their mean."""


@dataclass(frozen=True, eq=False)
class Learned:
    """Of each key: the usual value, the coefficient of each column of the design (0: not used), and the terms used.

    usual: shape (keys,); coefficient: (keys, columns), in the unit of the channel; used: (keys, terms), bool.
    """

    keys: tuple[str, ...]
    usual: Array
    coefficient: Array
    used: NDArray[np.bool_]


class ConditionModel:
    """What is expected of gauges under given conditions. It belongs to column keys, and is the same for the same rows.

    Cost: learning O(rows x gauges x columns^2), afterwards O(rows x gauges x columns); a condition has at most six columns.
    """

    def __init__(self, names: Sequence[str] = (), *, season: bool = False, trend: bool = False) -> None:
        """names: of the conditions, in the order of the columns of every matrix of conditions; season: the hour of the day counts."""
        self.names = tuple(names)
        self._season = season
        self._trend = trend
        self._terms = no_terms(len(self.names))
        self._learned = Learned((), np.empty(0), np.empty((0, 0)), np.empty((0, 0), dtype=np.bool_))
        self._position: dict[str, int] = {}

    def learn(self, keys: Sequence[str], readings: Array, time_ns: NDArray[np.int64], conditions: Array) -> Self:
        """Learns gauges anew. readings: (n, len(keys)), NaN where there is none; conditions: (n, c), NaN where not known.

        Raises ValueError where the shapes do not fit.
        """
        self._check(conditions)
        if readings.shape != (len(time_ns), len(keys)) or len(conditions) != len(time_ns):
            raise ValueError(f"readings of shape {readings.shape}, expected ({len(time_ns)}, {len(keys)})")
        step = max(1, -(-len(time_ns) // ROWS_MOST))
        readings, time_ns, conditions = readings[::step], time_ns[::step], conditions[::step]
        self._terms = learn_terms(time_ns, conditions, season=self._season, trend=self._trend)
        design, known = self._terms.design(time_ns, conditions)
        columns, terms = design.shape[1], len(self._terms.groups)
        usual = np.full(len(keys), np.nan)
        coefficient, used = np.zeros((len(keys), columns)), np.zeros((len(keys), terms), dtype=np.bool_)
        complete = known.all(axis=1)
        for i in range(len(keys)):
            there = complete & np.isfinite(readings[:, i])
            if there.sum() >= ROWS_LEAST and terms:
                used[i], coefficient[i] = self._fitted(design[there], readings[there, i])
            effect = design @ coefficient[i]
            seen = np.isfinite(readings[:, i]) & (complete | ~used[i].any())
            usual[i] = np.median(readings[seen, i] - effect[seen]) if seen.any() else np.nan
        self._learned = Learned(tuple(keys), usual, coefficient, used)
        self._position = {key: i for i, key in enumerate(self._learned.keys)}
        return self

    def corrected(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        """Which of the gauges depend on anything; shape (len(keys),)."""
        known, at = self._at(keys)
        return known & self._learned.used[at].any(axis=1) if len(self._learned.keys) else known

    def effect(self, keys: Sequence[str], time_ns: NDArray[np.int64], conditions: Array) -> Array:
        """What the conditions add to the usual value of each gauge, in its unit; shape (n, len(keys)).

        0 for gauges that depend on nothing or were not learned; NaN in rows in which a condition is not known that the gauge
        depends on. Raises ValueError for a matrix of other conditions.
        """
        self._check(conditions)
        result = np.zeros((len(time_ns), len(keys)))
        corrected = np.flatnonzero(self.corrected(keys))
        if not len(corrected) or not len(time_ns):
            return result
        _, at = self._at([keys[int(i)] for i in corrected])
        design, known = self._terms.design(time_ns, conditions)
        effect = np.einsum("nc,kc->nk", design, self._learned.coefficient[at])  # unlike a BLAS product the same for blocks of any size
        missing = (~known).astype(np.float64) @ self._learned.used[at].T.astype(np.float64)
        effect[missing > 0] = np.nan
        result[:, corrected] = effect
        return result

    def expected(self, keys: Sequence[str], time_ns: NDArray[np.int64], conditions: Array) -> Array:
        """The expected reading of each gauge; shape (n, len(keys)). NaN as for `effect`, and for gauges that were not learned."""
        known, at = self._at(keys)
        usual = np.where(known, self._learned.usual[at], np.nan) if len(self._learned.keys) else np.full(len(keys), np.nan)
        result: Array = usual + self.effect(keys, time_ns, conditions)
        return result

    def residual(self, keys: Sequence[str], readings: Array, time_ns: NDArray[np.int64], conditions: Array) -> Array:
        """Readings less what is expected, in the unit of each channel; shape (n, len(keys))."""
        result: Array = readings - self.expected(keys, time_ns, conditions)
        return result

    def outside(self, conditions: Array) -> Array:
        """How far each condition is outside of its learned range, in parts of that range; 0 within, NaN where not known. (n, c)."""
        self._check(conditions)
        return self._terms.outside(conditions)

    def out_of_range(self, conditions: Array) -> NDArray[np.bool_]:
        """Whether each condition is outside of its learned range, and thus held at the edge; shape (n, c)."""
        result: NDArray[np.bool_] = self.outside(conditions) > 0
        return result

    def range_of(self, name: str) -> tuple[float, float]:
        """Least and greatest value at which a condition was learned; NaN where it was not."""
        i = self.names.index(name)
        return float(self._terms.low[i]), float(self._terms.high[i])

    def depends_on(self, key: str) -> tuple[str, ...]:
        """The terms of a gauge, in words: names of conditions, "time of day", "trend"."""
        if key not in self._position:
            return ()
        used = self._learned.used[self._position[key]]
        return tuple(word for word, counts in zip(self._terms.words(self.names), used, strict=True) if counts)

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values and arrays."""
        learned = self._learned
        return {
            "version": VERSION,
            "names": list(self.names),
            "season": self._season,
            "terms": self._terms.state(),
            "keys": list(learned.keys),
            "usual": learned.usual,
            "coefficient": learned.coefficient,
            "used": learned.used,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it, or it is of other conditions."""
        if state.get("version") != VERSION:
            raise ValueError(f"model of conditions of version {state.get('version')}, this is version {VERSION}")
        there = ([str(name) for name in state["names"]], bool(state["season"]))
        if there != (list(self.names), self._season):
            raise ValueError(f"model of {_described(*there)}, not {_described(self.names, self._season)}")
        self._terms = Terms.of(state["terms"])
        self._learned = Learned(
            tuple(state["keys"]),
            np.asarray(state["usual"], dtype=np.float64),
            np.asarray(state["coefficient"], dtype=np.float64),
            np.asarray(state["used"], dtype=np.bool_),
        )
        self._position = {key: i for i, key in enumerate(self._learned.keys)}

    def _at(self, keys: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Whether each key was learned, and where it is; 0 where it was not."""
        found = np.array([self._position.get(key, -1) for key in keys], dtype=np.int64)
        return found >= 0, np.maximum(found, 0)

    def _check(self, conditions: Array) -> None:
        if conditions.ndim != 2 or conditions.shape[1] != len(self.names):
            raise ValueError(f"conditions of shape {conditions.shape}, expected (n, {len(self.names)})")

    def _fitted(self, design: Array, reading: Array) -> tuple[NDArray[np.bool_], Array]:
        """Terms of one gauge that prove themselves on the rows held back, and the coefficients learned from all rows."""
        held = int(len(reading) * HOLD_OUT)
        early, late = slice(0, len(reading) - held), slice(len(reading) - held, None)
        groups, coefficient = self._terms.groups, np.zeros(design.shape[1])
        weight = huber_weights(design[early], reading[early])
        used = np.zeros(len(groups), dtype=np.bool_)
        allowed = [t for t in range(len(groups)) if t != self._terms.trend or _stable(design[:, groups[t][0]], reading)]
        best = 1.0
        while True:
            tried = {}
            for t in allowed:
                if not used[t]:
                    columns = np.concatenate([groups[u] for u in range(len(groups)) if used[u] or u == t])
                    found = solve(design[early][:, columns], reading[early], weight)
                    tried[t] = held_back_ratio(reading[late], design[late][:, columns] @ found)
            ratio, t = min(((ratio, t) for t, ratio in tried.items()), default=(1.0, -1))
            if t < 0 or ratio > best * (GAIN_NEXT if used.any() else GAIN_FIRST):
                break
            used[t], best = True, ratio
        if used.any():
            columns = np.concatenate([groups[u] for u in np.flatnonzero(used)])
            coefficient[columns] = solve(design[:, columns], reading, huber_weights(design[:, columns], reading))
        return used, coefficient


def _described(names: Sequence[str], season: bool) -> str:
    return "the conditions " + (", ".join([*names, *["time of day"] * season]) or "none")


def _stable(time: Array, reading: Array) -> bool:
    """Whether the slope in time of both halves of the rows is much the same."""
    half = len(reading) // 2
    parts = ((time[:half], reading[:half]), (time[half:], reading[half:]))
    first, second = (float(solve(at[:, None], value, huber_weights(at[:, None], value))[0]) for at, value in parts)
    return first * second > 0 and abs(first - second) < TREND_AGREES * abs(first + second) / 2
