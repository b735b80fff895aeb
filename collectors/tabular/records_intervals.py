"""Adds up records in intervals of time, group by group, in memory that depends on open intervals and groups, not on records.

Sums are exact. Quantiles come from counts in bins of equal relative width (C. Masson, J. E. Rim, H. K. Lee, "DDSketch", PVLDB 12
(2019) 2195) and are within RELATIVE_ERROR of a value that was there. Numbers of distinct values are exact up to HASHES_KEPT and
within a few percent beyond (the k smallest hashes: Z. Bar-Yossef et al., "Counting distinct elements in a data stream", 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RELATIVE_ERROR = 0.01
HASHES_KEPT = 4096
MERGED_ROWS = 131_072
"""What is new is merged when it is more than this and more than what was there, so that each number is moved a few times only."""
_GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_ZERO_BIN = 8192
_LARGEST_POWER = 4000
"""Values from 2e-35 to 5e34 have bins of their own."""
_BINS = 2 * _ZERO_BIN


@dataclass(frozen=True, eq=False)
class Records:
    """Some records, each of k to be added up. Shapes (k,) and, of `sums`, (k, columns); NaN where a record does not say.

    weight: how many events a record stands for; failed: 1 or 0; distinct: 64-bit hashes, one array for each column that is counted.
    """

    interval: Integers
    group: Integers
    weight: Floats
    sums: Floats
    failed: Floats
    value: Floats
    distinct: tuple[NDArray[np.uint64], ...] = ()

    def some(self, kept: NDArray[np.bool_]) -> Records:
        """Those records alone."""
        return Records(
            self.interval[kept],
            self.group[kept],
            self.weight[kept],
            self.sums[kept],
            self.failed[kept],
            self.value[kept],
            tuple(hashes[kept] for hashes in self.distinct),
        )


class Closed(NamedTuple):
    """What intervals held. interval: shape (n,), rising without a gap; all others (n, groups), `sums` and `distinct` with columns last.

    Sums are NaN where there were records and none of them said; mean and quantiles are NaN where there was no value.
    """

    interval: Integers
    records: Floats
    sums: Floats
    failures: Floats
    judged: Floats
    mean: Floats
    quantiles: Floats
    distinct: Floats


class _Tallies:
    """Numbers that are added up under integer keys. What is new is merged in now and then, not each time.

    key: shape (k,), rising; numbers: shape (k, columns).
    """

    def __init__(self, columns: int) -> None:
        self.key = np.empty(0, dtype=np.int64)
        self.numbers = np.zeros((0, columns))
        self._new: list[tuple[Integers, Floats]] = []
        self._new_rows = 0

    @property
    def size(self) -> int:
        """Numbers that are kept."""
        return (len(self.key) + self._new_rows) * (1 + self.numbers.shape[1])

    def add(self, key: Integers, numbers: Floats) -> None:
        """Keys in any order; numbers: shape (n, columns)."""
        self._new.append(_summed(key, numbers))
        self._new_rows += len(self._new[-1][0])
        if self._new_rows > max(MERGED_ROWS, len(self.key)):
            self.merge()

    def merge(self) -> None:
        """Adds up everything that is new."""
        if self._new:
            keys, numbers = zip((self.key, self.numbers), *self._new, strict=True)
            self.key, self.numbers = _summed(np.concatenate(keys), np.concatenate(numbers))
            self._new, self._new_rows = [], 0

    def take(self, end: int) -> tuple[Integers, Floats]:
        """Takes out what has keys below `end`; everything must have been merged."""
        due = int(np.searchsorted(self.key, end))
        taken = self.key[:due], self.numbers[:due]
        self.key, self.numbers = self.key[due:].copy(), self.numbers[due:].copy()
        return taken


class _Hashes:
    """The HASHES_KEPT smallest different hashes of each key, by key and hash. key, hashes: shape (k,)."""

    def __init__(self) -> None:
        self.key = np.empty(0, dtype=np.int64)
        self.hashes = np.empty(0, dtype=np.uint64)
        self._new: list[tuple[Integers, NDArray[np.uint64]]] = []
        self._new_rows = 0

    @property
    def size(self) -> int:
        """Numbers that are kept."""
        return 2 * (len(self.key) + self._new_rows)

    def add(self, key: Integers, hashes: NDArray[np.uint64]) -> None:
        """0 stands for a missing cell and does not count."""
        there = hashes != 0
        self._new.append(_smallest(key[there], hashes[there]))
        self._new_rows += len(self._new[-1][0])
        if self._new_rows > max(MERGED_ROWS, len(self.key)):
            self.merge()

    def merge(self) -> None:
        """Takes in everything that is new."""
        if self._new:
            keys, hashes = zip((self.key, self.hashes), *self._new, strict=True)
            self.key, self.hashes = _smallest(np.concatenate(keys), np.concatenate(hashes))
            self._new, self._new_rows = [], 0

    def take(self, end: int) -> tuple[Integers, Floats]:
        """Takes out what has keys below `end`: each key, and how many different cells it had."""
        self.merge()
        due = int(np.searchsorted(self.key, end))
        keys, starts, count = np.unique(self.key[:due], return_index=True, return_counts=True)
        number = count.astype(np.float64)
        full = count >= HASHES_KEPT
        number[full] = (HASHES_KEPT - 1) / (self.hashes[(starts + count)[full] - 1].astype(np.float64) / 2.0**64)
        self.key, self.hashes = self.key[due:].copy(), self.hashes[due:].copy()
        return keys, np.round(number)


class OpenIntervals:
    """The intervals that may still get records."""

    def __init__(self, groups: int, sums: int, distinct: int, quantiles: tuple[float, ...]) -> None:
        self._groups = groups
        self._sums = sums
        self._quantiles = quantiles
        self._tally = _Tallies(5 + 2 * sums)
        self._bins = _Tallies(1)
        self._hashes = [_Hashes() for _ in range(distinct)]

    @property
    def cells(self) -> int:
        """Numbers that are kept: what memory depends on."""
        return self._tally.size + self._bins.size + sum(hashes.size for hashes in self._hashes)

    def span(self, end: int | None = None) -> tuple[int, int] | None:
        """The first and the last interval with records before `end`; None where there is none."""
        self._tally.merge()
        key = self._tally.key
        due = len(key) if end is None else int(np.searchsorted(key, end * self._groups))
        return (int(key[0]) // self._groups, int(key[due - 1]) // self._groups) if due else None

    def middle(self) -> int:
        """An interval before which lies about half of what is kept. There must be one."""
        self._tally.merge()
        return int(self._tally.key[len(self._tally.key) // 2]) // self._groups

    def add(self, records: Records) -> None:
        """Adds records up, in any order."""
        key = records.interval * self._groups + records.group
        says, there = np.isfinite(records.sums), np.isfinite(records.value)
        columns = [
            records.weight,
            np.isfinite(records.failed) * records.weight,
            np.nan_to_num(records.failed) * records.weight,
            there.astype(np.float64),
            np.nan_to_num(records.value),
            *np.where(says, records.sums, 0.0).T,
            *says.T.astype(np.float64),
        ]
        self._tally.add(key, np.stack(columns, axis=1))
        self._bins.add(key[there] * _BINS + _bin_of(records.value[there]), np.ones((int(there.sum()), 1)))
        for hashes, new in zip(self._hashes, records.distinct, strict=True):
            hashes.add(key, new)

    def close(self, first: int, end: int) -> Closed:
        """Takes out the intervals from `first` up to but without `end`; what is older must have been taken out before."""
        n, groups = end - first, self._groups
        self._tally.merge()
        key, tally = self._tally.take(end * groups)
        at = key - first * groups
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = tally[:, 4] / tally[:, 3]
        says = tally[:, 5 + self._sums :] > 0
        sums = np.where(says, tally[:, 5 : 5 + self._sums], np.nan)
        return Closed(
            np.arange(first, end),
            _spread(tally[:, 0], at, n, groups, 0.0),
            _spread(sums, at, n, groups, 0.0),
            _spread(tally[:, 2], at, n, groups, 0.0),
            _spread(tally[:, 1], at, n, groups, 0.0),
            _spread(mean, at, n, groups, np.nan),
            self._take_quantiles(first, end),
            self._take_distinct(first, end),
        )

    def _take_quantiles(self, first: int, end: int) -> Floats:
        """Shape (n, groups, quantiles)."""
        self._bins.merge()
        key, counts = self._bins.take(end * self._groups * _BINS)
        pair, number = np.divmod(key, _BINS)
        running = np.cumsum(counts[:, 0])
        starts = np.flatnonzero(np.diff(pair, prepend=-1))
        before = np.append(0.0, running)[starts]
        total = np.append(before[1:], running[-1:]) - before
        found = np.full((len(starts), len(self._quantiles)), np.nan)
        for i, quantile in enumerate(self._quantiles):
            rank = np.maximum(np.ceil(quantile * total), 1.0)  # of the smallest value that at least this part does not exceed
            found[:, i] = _value_of(number[np.searchsorted(running, before + rank)])
        return _spread(found, pair[starts] - first * self._groups, end - first, self._groups, np.nan)

    def _take_distinct(self, first: int, end: int) -> Floats:
        """Shape (n, groups, columns)."""
        n, groups = end - first, self._groups
        result = np.zeros((n, groups, len(self._hashes)))
        for i, hashes in enumerate(self._hashes):
            key, number = hashes.take(end * groups)
            result[:, :, i] = _spread(number, key - first * groups, n, groups, 0.0)
        return result


def _summed(key: Integers, numbers: Floats) -> tuple[Integers, Floats]:
    """Each key once, rising, with the sum of its numbers."""
    if not len(key):
        return key, numbers
    order = np.argsort(key, kind="stable")
    key = key[order]
    starts = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    return key[starts], np.add.reduceat(numbers[order], starts, axis=0)


def _bin_of(value: Floats) -> Integers:
    """The bin of each value, rising with it."""
    with np.errstate(divide="ignore"):
        power = np.ceil(np.log(np.abs(value)) / np.log(_GAMMA))
    size = (np.clip(power, -_LARGEST_POWER, _LARGEST_POWER) + _LARGEST_POWER + 1).astype(np.int64)
    return np.where(value == 0, _ZERO_BIN, np.where(value > 0, _ZERO_BIN + size, _ZERO_BIN - size))


def _value_of(number: Integers) -> Floats:
    """The middle of each bin."""
    size = np.abs(number - _ZERO_BIN)
    middle = 2.0 * _GAMMA ** (size - _LARGEST_POWER - 1.0) / (_GAMMA + 1.0)
    return np.where(size == 0, 0.0, np.sign(number - _ZERO_BIN) * middle)


def _smallest(key: Integers, hashes: NDArray[np.uint64]) -> tuple[Integers, NDArray[np.uint64]]:
    """The HASHES_KEPT smallest different hashes of each key, by key and hash."""
    order = np.lexsort((hashes, key))
    key, hashes = key[order], hashes[order]
    first = np.ones(len(key), dtype=np.bool_)
    first[1:] = (key[1:] != key[:-1]) | (hashes[1:] != hashes[:-1])
    key, hashes = key[first], hashes[first]
    starts = np.flatnonzero(np.diff(key, prepend=key[:1] - 1))
    rank = np.arange(len(key)) - np.repeat(starts, np.diff(np.append(starts, len(key))))
    return key[rank < HASHES_KEPT], hashes[rank < HASHES_KEPT]


def _spread(values: Floats, at: Integers, n: int, groups: int, missing: float) -> Floats:
    """The values at their places among n intervals with so many groups; what comes after the first axis stays."""
    result = np.full((n * groups, *values.shape[1:]), missing)
    result[at] = values
    return result.reshape(n, groups, *values.shape[1:])
