"""False-discovery control over many units judged at once, in two levels: first subsystems, then what lies in them.

With K calibration rows no tail probability is below 1 / (K + 1), so that one bad histogram among thousands could never pass
alone; within its own subsystem it can. Of units that are followed in time the judge does not use it: `benchmarks.discoveries`
measures why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import compiled

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_SMALLEST = 1e-300


def adjusted(p: Array, groups: Numbers) -> Array:
    """Benjamini-Hochberg adjusted tail probabilities within each group; shape (n, units), NaN (not tested) stays NaN.

    groups: shape (units,), a number from 0 for each unit. At level q those units are discovered whose adjusted value is at
    most q (Y. Benjamini and Y. Hochberg, J. R. Statist. Soc. B 57 (1995) 289).
    """
    row, unit = np.nonzero(np.isfinite(p))
    result = np.full(p.shape, np.nan)
    family = row * (int(groups.max(initial=-1)) + 1) + groups[unit]
    result[row, unit] = _adjusted(p[row, unit], family, np.bincount(family))
    return result


def discoveries(p: Array, groups: Numbers, level: float) -> NDArray[np.bool_]:
    """Units that are discovered in each row, shape (n, units); `groups` as in `adjusted`.

    Groups are tested at `level` with Simes' combined probability; within the groups found, units are tested at `level` times
    the part of groups found, which controls the average false-discovery rate over them (Y. Benjamini and M. Bogomolov,
    J. R. Statist. Soc. B 76 (2014) 297). Raises ValueError where `level` is not between 0 and 1.
    """
    low = _Low.of(p, groups, level)
    among = np.count_nonzero(low.tested, axis=1)
    found = _adjusted(low.simes, low.row_of_family, among) <= level
    allowed = level * np.bincount(low.row_of_family[found], minlength=len(p)) / np.maximum(among, 1)
    passed = found[low.family] & (low.within <= allowed[low.row])
    result = np.zeros(p.shape, dtype=np.bool_)
    result[low.row[passed], low.unit[passed]] = True
    return result


def simes(p: Array, groups: Numbers, most: float) -> Array:
    """Simes' combined probability of each group in each row, shape (n, groups); NaN for groups without a tested unit.

    `groups` as in `adjusted`; what is above `most` is given as 1 (R. Simes, Biometrika 73 (1986) 751). Raises ValueError where
    `most` is not between 0 and 1.
    """
    low = _Low.of(p, groups, most)
    result = np.where(low.tested > 0, 1.0, np.nan)
    below = low.simes <= most
    result.reshape(-1)[low.number[below]] = low.simes[below]
    return result


@dataclass(frozen=True, eq=False)
class _Low:
    """The units of each row with a probability of at most a level, and the groups that have any (families: a group in a row).

    An adjusted value is never below a unit's own probability, so that no other one can be discovered. row, unit, family, within:
    shape (k,), `within` adjusted; number, simes, row_of_family: shape (families,); tested: units, shape (n, groups).
    """

    row: Numbers
    unit: Numbers
    family: Numbers
    within: Array
    number: Numbers
    simes: Array
    row_of_family: Numbers
    tested: Numbers

    @classmethod
    def of(cls, p: Array, groups: Numbers, level: float) -> _Low:
        if not 0 < level < 1:
            raise ValueError(f"level {level} of false discoveries must lie between 0 and 1")
        count = int(groups.max(initial=-1)) + 1
        known = np.isfinite(p)
        tested = np.broadcast_to(np.bincount(groups, minlength=count), (len(p), count))
        if not known.all():
            tested = np.rint(known.astype(np.float64) @ np.eye(count)[groups]).astype(np.int64)
        row, unit = np.nonzero(p <= level)
        number, family = np.unique(row * count + groups[unit], return_inverse=True)
        within = _adjusted(p[row, unit], family, tested.reshape(-1)[number])
        combined = np.ones(len(number))
        np.minimum.at(combined, family, within)
        return cls(row, unit, family, within, number, combined, number // max(1, count), tested)


def _adjusted(p: Array, family: Numbers, sizes: Numbers) -> Array:
    """Adjusted tail probabilities, shape (k,); family: which one each belongs to; sizes: of families, with those not among `p`.

    Those left out must be larger than all that are there.
    """
    order = np.lexsort((p, family))
    ordered, of_family = np.maximum(p[order], _SMALLEST), family[order]
    starts = np.flatnonzero(np.diff(of_family, prepend=-1))
    rank = np.arange(len(p)) - np.repeat(starts, np.diff(np.append(starts, len(p)))) + 1
    result = np.empty(len(p))
    result[order] = np.minimum(_smallest_after(ordered * sizes[of_family] / rank, of_family), 1.0)
    return result


@compiled
def _smallest_after(values: Array, family: Numbers) -> Array:
    """The smallest value from each place to the end of its family; those of a family follow each other."""
    result = values.copy()
    for i in range(len(values) - 2, -1, -1):
        if family[i] == family[i + 1]:
            result[i] = min(result[i], result[i + 1])
    return result
