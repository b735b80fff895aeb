"""False-discovery control over many units judged at once, in two levels: first subsystems, then what lies in them.

With K calibration rows no tail probability is below 1 / (K + 1), so that one bad histogram among thousands could never pass
alone; within its own subsystem it can.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SMALLEST = 1e-300
_STEP = 1000.0
"""Distance put between the logarithms of successive groups; larger than that of any two tail probabilities."""


def adjusted(p: Array, groups: NDArray[np.int64]) -> Array:
    """Benjamini-Hochberg adjusted tail probabilities within each group; shape (n, units), NaN (not tested) stays NaN.

    groups: shape (units,), a number from 0 for each unit. At level q those units are discovered whose adjusted value is at
    most q (Y. Benjamini and Y. Hochberg, J. R. Statist. Soc. B 57 (1995) 289).
    """
    if not p.size:
        return p.copy()
    order = np.lexsort((p, np.broadcast_to(groups, p.shape)), axis=-1)  # by group, rising within, NaN last
    ordered = np.take_along_axis(p, order, axis=1)
    numbers = groups[order[0]]
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    sizes = np.diff(np.append(starts, len(groups)))
    tested = np.repeat(np.add.reduceat(np.isfinite(ordered).astype(np.int64), starts, axis=1), sizes, axis=1)
    rank = np.arange(len(groups)) - np.repeat(starts, sizes) + 1
    scaled = np.where(np.isfinite(ordered), np.maximum(ordered, _SMALLEST) * tested / rank, 1.0)
    # the smallest value from each rank to the end of its group: later groups are lifted out of the way
    lift = _STEP * np.repeat(np.arange(len(starts)), sizes)
    smallest = np.minimum.accumulate((np.log(scaled) + lift)[:, ::-1], axis=1)[:, ::-1] - lift
    result = np.empty_like(p)
    np.put_along_axis(result, order, np.exp(np.minimum(smallest, 0.0)), axis=1)
    result[~np.isfinite(p)] = np.nan
    return result


def discoveries(p: Array, groups: NDArray[np.int64], level: float) -> NDArray[np.bool_]:
    """Units that are discovered in each row, shape (n, units); `groups` as in `adjusted`.

    Groups are tested at `level` with Simes' combined probability; within the groups found, units are tested at `level` times
    the part of groups found, which controls the average false-discovery rate over them (Y. Benjamini and M. Bogomolov,
    J. R. Statist. Soc. B 76 (2014) 297). Raises ValueError where `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} of false discoveries must lie between 0 and 1")
    within = adjusted(p, groups)
    count = int(groups.max(initial=-1)) + 1
    simes = np.full((len(p), count), np.inf)
    np.minimum.at(simes, (np.arange(len(p))[:, None], groups), np.where(np.isnan(within), np.inf, within))
    simes[np.isinf(simes)] = np.nan
    between = adjusted(simes, np.zeros(count, dtype=np.int64))
    found = between <= level
    tested = np.maximum(np.isfinite(simes).sum(axis=1, keepdims=True), 1)
    allowed = np.where(found, level * found.sum(axis=1, keepdims=True) / tested, -1.0)
    result: NDArray[np.bool_] = within <= allowed[:, groups]
    return result
