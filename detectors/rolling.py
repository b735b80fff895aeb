"""The highest scores of the recent past, block by block of time: what a threshold is calibrated on, in bounded memory.

The maxima of blocks carry all that matters for how often a threshold is passed, and leave out how long a score stays there
(E. Gumbel, Statistics of Extremes, 1958, chapter 5). A block is one row at first and grows as the past to be covered does, so
that short and long histories take the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled

Array = NDArray[np.float64]

BLOCKS_MOST = 1024
"""Blocks that are kept; neighbours are merged, two by two, where there would be more."""


class RecentMaxima:
    """The maxima of all units of a detector over a sliding window of event time. Belongs to unit keys."""

    def __init__(self, window_ns: int, blocks_most: int = BLOCKS_MOST) -> None:
        self._window_ns = window_ns
        self._blocks_most = blocks_most
        self._keys: list[str] = []
        self._all = np.empty((0, 0))
        self._column = np.empty(0, dtype=np.int64)
        self.block_ns = 0
        self.start_ns = np.empty(0, dtype=np.int64)

    def bind(self, keys: Sequence[str]) -> None:
        """The units of the next calls. Those that are not among them are kept for as long as the window reaches back."""
        at = {key: i for i, key in enumerate(self._keys)}
        new = [key for key in keys if key not in at]
        self._keys += new
        self._all = np.concatenate([self._all, np.full((len(self.start_ns), len(new)), np.nan)], axis=1)
        at = {key: i for i, key in enumerate(self._keys)}
        self._column = np.array([at[key] for key in keys], dtype=np.int64)

    @property
    def maxima(self) -> Array:
        """Of the blocks that begin at `start_ns`, shape (blocks, units); NaN where a unit was not judged in one."""
        return self._all[:, self._column]

    def add(self, time_ns: NDArray[np.int64], scores: Array, step_ns: int) -> None:
        """Takes in rows that are newer than all before; scores: shape (n, units), NaN where not judged; step_ns: of the rows."""
        if not len(time_ns):
            return
        self.block_ns = self.block_ns or max(1, step_ns)
        number = time_ns // self.block_ns
        first = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
        maxima = np.full((len(first), len(self._keys)), np.nan)
        maxima[:, self._column] = np.fmax.reduceat(scores, first, axis=0)
        start_ns = number[first] * self.block_ns
        if len(self.start_ns) and self.start_ns[-1] == start_ns[0]:
            maxima[0] = np.fmax(maxima[0], self._all[-1])
            self.start_ns, self._all = self.start_ns[:-1], self._all[:-1]
        self.start_ns = np.concatenate([self.start_ns, start_ns])
        self._all = np.concatenate([self._all, maxima])

    def settle(self) -> None:
        """Drops what the window does not reach and merges blocks where there are too many; to be called now and then.

        The window is of time with rows: after a long gap, what was before it is still all that is known.
        """
        first = max(0, len(self.start_ns) - -(-self._window_ns // max(1, self.block_ns)))
        self.start_ns, self._all = self.start_ns[first:], self._all[first:]
        while len(self.start_ns) > self._blocks_most:
            self.block_ns *= 2
            number = self.start_ns // self.block_ns
            begins = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
            self.start_ns, self._all = number[begins] * self.block_ns, np.fmax.reduceat(self._all, begins, axis=0)
        kept = np.logical_or.reduce(np.isfinite(self._all), axis=0)
        kept[self._column] = True
        if not kept.all():
            self._keys = [key for key, keep in zip(self._keys, kept, strict=True) if keep]
            self._all, self._column = self._all[:, kept], (np.cumsum(kept) - 1)[self._column]

    def shift(self, key: str, by: float) -> None:
        """Moves all that is kept of a unit."""
        if key in self._keys:
            self._all[:, self._keys.index(key)] += by

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"keys": list(self._keys), "block_ns": self.block_ns, "start_ns": self.start_ns, "maxima": self._all}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`; the units are to be bound again."""
        self._keys, self.block_ns = list(state["keys"]), int(state["block_ns"])
        self.start_ns = np.asarray(state["start_ns"], dtype=np.int64)
        self._all = np.asarray(state["maxima"], dtype=np.float64).reshape(len(self.start_ns), len(self._keys))
        self._column = np.empty(0, dtype=np.int64)


@compiled
def lasting_scores(scores: Array, before: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
    """The lowest of the last `rows` judged scores of each unit: what an episode that needs so many bad rows is raised by.

    scores: shape (n, units), NaN is left out as if it were not there; before: the judged scores before, newest last, shape
    (most rows - 1, units), -inf where there are none; rows: shape (units,). The result is NaN where the score is, and the
    scores to go on with.
    """
    n, units = scores.shape
    result = np.full((n, units), np.nan)
    kept = before.copy()
    depth = before.shape[0]
    for unit in range(units):
        needed = rows[unit] - 1
        for row in range(n):
            score = scores[row, unit]
            if np.isnan(score):
                continue
            lowest = score
            for back in range(needed):
                lowest = min(lowest, kept[depth - 1 - back, unit])
            result[row, unit] = lowest
            for at in range(depth - 1):
                kept[at, unit] = kept[at + 1, unit]
            if depth:
                kept[depth - 1, unit] = score
    return result, kept
