"""How often a foreign check has gone bad before: what tells a verdict that means something from one that always comes.

Of each check and level (not good; bad) it keeps the rows and the time in which the check was not so, and how many episodes it had, by
their length in powers of two; all are forgotten exponentially. An episode is worth a look unless earlier ones that were not much shorter
have been shown to come too often: k of them in n good rows and T days of good time are too many where the lower 5 % bound of their
chance in a row, the quantile of Beta(k + 1/2, n + 1/2), exceeds `most_ratio`, or that of their number a day, the quantile of
Gamma(k + 1/2, T), exceeds `most_per_day` (posteriors with Jeffreys' prior: L. Brown, T. Cai, A. DasGupta, "Interval estimation for a
binomial proportion", Statistical Science 16 (2001) 101). So an expert's check is believed until it has itself shown that it should not
be. As an episode goes on, fewer of the earlier ones were nearly as long: one that always flickers and now stays bad, for some four to
eight times as long as it usually does, is worth a look again.

Only the time that a check was good, and only episodes whose beginning was seen, count: a real fault of a week counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaincinv

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
Times = NDArray[np.int64]

LEVELS = 2
"""0: medium or bad; 1: bad."""
LENGTHS = 32
"""Bins of the length of an episode: below 1 s, below 2 s, below 4 s …"""
ALIKE = 2
"""Episodes that are shorter by up to so many bins are alike."""
LOWER_TAIL, UPPER_TAIL = 0.05, 0.95
SAID_ROWS = 20
"""Rows for which it is said that a check is not worth a look: long enough to be raised, and then it is said."""
LONGEST_STEP_S = 86_400.0
"""Of a longer gap between two rows only this much counts as time watched."""
CHECKS_MOST = 200_000
DAY_S = 86_400.0
NEVER = 0.5
"""Fewer earlier episodes than this (they are forgotten bit by bit) are none."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What became of the checks in each row; shapes (n, checks, levels), `unreliable` (n, checks).

    worth: in an episode of that level that is worth a look; unreliable: it is said here that the check's verdict is not.
    earlier: episodes before that were not much shorter; watched_s: in how much time; from_start: whether the episode had begun
    when the check was first seen.
    """

    worth: Bools
    unreliable: Bools
    earlier: Array
    watched_s: Array
    from_start: Bools


@dataclass(eq=False)
class _Checks:
    """What is known of some checks. seen_ns, noisy, say_rows: shape (checks,); episodes (checks, levels, lengths); others (checks, levels).

    seen_ns: last row with a verdict, 0 for none; since_ns: of the episode that lasts, 0 for none; noisy: the last bad episode was not
    worth a look.
    """

    seen_ns: Times
    since_ns: Times
    from_start: Bools
    watched_s: Array
    watched_rows: Array
    episodes: Array
    noisy: Bools
    say_rows: Times

    @classmethod
    def new(cls, checks: int) -> _Checks:
        """Checks of which nothing is known."""
        levels = (checks, LEVELS)
        return cls(
            np.zeros(checks, dtype=np.int64),
            np.zeros(levels, dtype=np.int64),
            np.zeros(levels, dtype=np.bool_),
            np.zeros(levels),
            np.zeros(levels),
            np.zeros((*levels, LENGTHS)),
            np.zeros(checks, dtype=np.bool_),
            np.zeros(checks, dtype=np.int64),
        )

    def some(self, at: NDArray[np.int64]) -> _Checks:
        """A copy of some of them."""
        return _Checks(**{name: array[at] for name, array in vars(self).items()})

    def with_new(self, checks: int) -> _Checks:
        """All of them and some more of which nothing is known."""
        added = vars(_Checks.new(checks))
        return _Checks(**{name: np.concatenate([array, added[name]]) for name, array in vars(self).items()})

    def take(self, at: NDArray[np.int64], some: _Checks) -> None:
        """Puts some of them back."""
        for name, array in vars(some).items():
            vars(self)[name][at] = array

    def pass_time(self, judged: Bools, time_ns: int, memory_s: float) -> tuple[Bools, Array]:
        """Forgets; which checks are seen for the first time, and the seconds since each was seen last (0 then). Both (checks,)."""
        first = judged & (self.seen_ns == 0)
        step_s = np.where(judged & ~first, np.maximum(time_ns - self.seen_ns, 0) / 1e9, 0.0)
        self.seen_ns[judged] = time_ns
        kept = np.exp(-step_s / memory_s)
        self.watched_s *= kept[:, None]
        self.watched_rows *= kept[:, None]
        self.episodes *= kept[:, None, None]
        return first, step_s

    def go_on(self, bad: Bools, good: Bools, first: Bools, step_s: Array, time_ns: int) -> None:
        """Begins, prolongs and ends episodes; bad, good: shape (checks, levels), neither where there is no verdict."""
        lasting = self.since_ns != 0
        begins, ends = bad & ~lasting, good & lasting
        self.watched_s += np.where(good & ~lasting, np.minimum(step_s, LONGEST_STEP_S)[:, None], 0.0)
        self.watched_rows += good
        counted = np.nonzero(ends & ~self.from_start)
        length_s = (time_ns - self.since_ns[counted]) / 1e9
        self.episodes[(*counted, length_bin(length_s))] += 1.0
        self.since_ns[ends], self.from_start[ends] = 0, False
        self.since_ns[begins] = time_ns
        self.from_start |= begins & first[:, None]

    def earlier(self, bad: Bools, time_ns: int) -> Array:
        """Episodes before that were not much shorter than that which lasts, 0 where none does; shape (checks, levels)."""
        result = np.zeros(bad.shape)
        some = np.nonzero(bad)
        alike = np.arange(LENGTHS) >= length_bin((time_ns - self.since_ns[some]) / 1e9)[:, None] - ALIKE
        result[some] = (self.episodes[some] * alike).sum(axis=1)
        return result


class VerdictHistory:
    """Of all checks of a stream, by their keys. Cost: O(rows x checks), a loop over the rows."""

    def __init__(self, most_per_day: float, most_ratio: float, memory_days: float) -> None:
        self._most_ratio = most_ratio
        self._per_s = most_per_day / DAY_S
        self._memory_s = memory_days * DAY_S
        self._index: dict[str, int] = {}
        self._all = _Checks.new(0)
        self._last_ns = 0

    def follow(self, keys: Sequence[str], codes: NDArray[np.int8], time_ns: Times) -> Followed:
        """Takes in rows in order; codes: shape (n, checks), 1 good, 2 medium, 3 bad, below 1 no verdict.

        Rows that are not newer than those before are looked at and not remembered.
        """
        at = self._places_of(keys)
        checks = self._all.some(at)
        shape = (*codes.shape, LEVELS)
        found = Followed(
            np.zeros(shape, np.bool_), np.zeros(codes.shape, np.bool_), np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
        )
        for row in range(len(codes)):
            self._row(checks, codes[row], int(time_ns[row]), found, row)
        if len(codes) and int(time_ns[0]) > self._last_ns:
            self._last_ns = int(time_ns[-1])
            self._all.take(at, checks)
        return found

    def state(self) -> dict[str, Any]:
        """What is remembered, as plain values and arrays."""
        return {"version": 1, "keys": list(self._index), "last_ns": self._last_ns, "checks": dict(vars(self._all))}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"history of verdicts of version {state.get('version')}, this is version 1")
        self._index = {str(key): i for i, key in enumerate(state["keys"])}
        kept = state["checks"]
        self._all = _Checks(**{name: np.array(kept[name], dtype=like.dtype) for name, like in vars(_Checks.new(0)).items()})
        self._last_ns = int(state["last_ns"])

    def _row(self, checks: _Checks, codes: NDArray[np.int8], time_ns: int, found: Followed, row: int) -> None:
        """Goes on with one row of verdicts and writes down what became of the checks; codes: shape (checks,)."""
        judged = codes >= 1
        bad = codes[:, None] >= 2 + np.arange(LEVELS)
        first, step_s = checks.pass_time(judged, time_ns, self._memory_s)
        checks.go_on(bad, judged[:, None] & ~bad, first, step_s, time_ns)
        found.watched_s[row] = checks.watched_s
        if bad.any():
            earlier = found.earlier[row] = checks.earlier(bad, time_ns)
            often = gammaincinv(earlier + 0.5, LOWER_TAIL) > self._per_s * checks.watched_s
            often |= betaincinv(earlier + 0.5, checks.watched_rows + 0.5, LOWER_TAIL) > self._most_ratio
            found.worth[row] = bad & ((earlier < NEVER) | ~often) & ~checks.from_start
            found.from_start[row] = checks.from_start
        worthless = bad[:, 1] & ~found.worth[row, :, 1]
        checks.say_rows[worthless & ~checks.noisy] = SAID_ROWS
        checks.noisy = np.where(bad[:, 1], worthless, checks.noisy)
        found.unreliable[row] = judged & (checks.say_rows > 0)
        checks.say_rows -= found.unreliable[row]

    def _places_of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Where the checks are among all; those that are new are added."""
        new = [key for key in keys if key not in self._index]
        if new:
            if len(self._index) + len(new) > CHECKS_MOST:
                self._forget_oldest({*keys})
            known = len(self._index)
            self._index.update((key, known + i) for i, key in enumerate(new))
            self._all = self._all.with_new(len(new))
        return np.array([self._index[key] for key in keys], dtype=np.int64)

    def _forget_oldest(self, needed: set[str]) -> None:
        """Drops the half of the checks that was seen the longest ago: names that come and go are not kept for ever."""
        newest = np.argsort(-self._all.seen_ns, kind="stable")[: len(self._index) // 2]
        recent = set(newest.tolist())
        kept = {key: i for key, i in self._index.items() if i in recent or key in needed}
        self._all = self._all.some(np.array(list(kept.values()), dtype=np.int64))
        self._index = {key: i for i, key in enumerate(kept)}


def at_most_per_day(earlier: float, watched_s: float) -> float:
    """Upper 95 % bound of how many such episodes there are a day, after so many in so much time."""
    return float(gammaincinv(earlier + 0.5, UPPER_TAIL)) * DAY_S / max(watched_s, 1.0)


def worth_most(watched_s: float, most_per_day: float) -> int:
    """Episodes of a check that can become worth a look at one age (a bin of LENGTHS) in so much good time, whatever it does."""
    earlier = 1
    while gammaincinv(earlier + 0.5, LOWER_TAIL) <= most_per_day * watched_s / DAY_S:
        earlier += 1
    return earlier


def length_bin(length_s: Array) -> NDArray[np.int64]:
    """The bin of each length."""
    with np.errstate(divide="ignore"):
        power = np.where(length_s < 1.0, 0.0, 1.0 + np.floor(np.log2(np.maximum(length_s, 1.0))))
    return np.minimum(power, LENGTHS - 1).astype(np.int64)
