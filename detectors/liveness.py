"""Whether readings still come and still change: time without a reading and rows without a change, of many channels at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.blocks import Arrays
from detectors.compiled import compiled

Array = NDArray[np.float64]

CHANGES_LEAST = 10
"""Changes that a channel must have shown before it can be called stuck: one that is naturally constant never is."""
RUN_LEAST_ROWS = 5
"""A channel is usually unchanged for at least so many rows."""
LIVELY_RATIO = 0.2
"""It must never have been unchanged for more than this part of its history."""
GAP_LEAST_STEPS = 2.0
"""A channel is usually silent for at least so many steps between rows."""


@dataclass(frozen=True, eq=False)
class Liveness:
    """What is usual for each key: longest time without a reading, and longest run of rows without a change (NaN: never stuck)."""

    keys: tuple[str, ...]
    gap_ns: Array
    run_rows: Array

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"keys": list(self.keys), "gap_ns": self.gap_ns, "run_rows": self.run_rows}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Liveness:
        """From a `state`."""
        return cls(tuple(state["keys"]), np.asarray(state["gap_ns"]), np.asarray(state["run_rows"]))


def beginning(columns: int, time_ns: int) -> Arrays:
    """Nothing has been read yet, and the clock begins here."""
    return {
        "read_ns": np.full(columns, time_ns, dtype=np.int64),
        "value": np.full(columns, np.nan),
        "run": np.zeros(columns, dtype=np.int64),
    }


def learn_liveness(keys: tuple[str, ...], values: Array, excused: NDArray[np.bool_], time_ns: NDArray[np.int64]) -> tuple[Liveness, Arrays]:
    """Learns from normal rows; keys that never had a reading are left out. Also the running arrays at the end, for those keys.

    values: shape (n, keys), NaN where there is no reading; excused: rows and keys that count neither way (muted, ramping).
    """
    read = np.isfinite(values)
    kept = np.flatnonzero(read.any(axis=0))
    values, excused, read = values[:, kept], excused[:, kept], read[:, kept]
    gap, run, after = follow(values, excused, time_ns, beginning(len(kept), int(time_ns[0])))
    step_ns = float(np.median(np.diff(time_ns))) if len(time_ns) > 1 else 0.0
    longest = run.max(axis=0, initial=0).astype(np.float64)
    changes = (read & (run == 0)).sum(axis=0) - 1
    lively = (changes >= CHANGES_LEAST) & (longest <= LIVELY_RATIO * read.sum(axis=0))
    usual_run = np.where(lively, np.maximum(longest, RUN_LEAST_ROWS), np.nan)
    usual_gap = np.maximum(gap.max(axis=0, initial=0), GAP_LEAST_STEPS * step_ns)
    return Liveness(tuple(keys[i] for i in kept), usual_gap, usual_run), after


def follow(
    values: Array, excused: NDArray[np.bool_], time_ns: NDArray[np.int64], before: Arrays
) -> tuple[Array, NDArray[np.int64], Arrays]:
    """Time since the last reading in ns (0 where there is one) and good rows without a change, both (n, columns); arrays after."""
    after = {name: array.copy() for name, array in before.items()}
    gap, run = _follow(np.ascontiguousarray(values), excused, time_ns, after["read_ns"], after["value"], after["run"])
    return gap, run, after


@compiled
def _follow(
    values: Array,
    excused: NDArray[np.bool_],
    time_ns: NDArray[np.int64],
    read_ns: NDArray[np.int64],
    last: Array,
    run: NDArray[np.int64],
) -> tuple[Array, NDArray[np.int64]]:
    n, columns = values.shape
    gaps = np.zeros((n, columns))
    runs = np.zeros((n, columns), dtype=np.int64)
    for row in range(n):
        for column in range(columns):
            value = values[row, column]
            if excused[row, column]:
                read_ns[column] = time_ns[row]
            elif np.isnan(value):
                gaps[row, column] = time_ns[row] - read_ns[column]
            else:
                read_ns[column] = time_ns[row]
                run[column] = run[column] + 1 if value == last[column] else 0
                last[column] = value
            runs[row, column] = run[column]
    return gaps, runs
