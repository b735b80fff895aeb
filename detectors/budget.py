"""From a promise ("one false alarm a day") to the tail probability at which a single row is bad.

Model: exceedances of a high threshold come in clusters; the extremal index theta is one over their mean length (M. Leadbetter,
Z. Wahrscheinlichkeitstheorie 65 (1983) 291). A row that exceeds is followed by another one with probability
q = 1 - theta (1 - alpha), which is alpha where rows are independent. An alarm begins where `raise_rows` rows in a row exceed,
so a unit begins

    alpha (1 - q) q^(raise_rows - 1)

alarms a row; where `raise_rows` of the last `window_rows` suffice, (window_rows - 1 choose raise_rows - 1) times as many at
most. The sum over all units and rows of a day is set equal to the promise.

Assumptions: the length of a cluster does not depend on how high it is (theta is measured at a moderate threshold, where
clusters are longer: too careful rather than too bold), and alarms of different units are counted one by one although
correlation folds those that belong together (again too careful).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ALPHA_LOWEST = 1e-12
ALPHA_HIGHEST = 0.2
_BISECTIONS = 60


def alarms_per_row(alpha: float, theta: NDArray[np.float64], raise_rows: int, window_rows: int | None = None) -> NDArray[np.float64]:
    """Alarms that a unit begins in each row on normal data, by chance; theta: any shape, result: the same."""
    follows = 1.0 - theta * (1.0 - alpha)
    ways = math.comb((window_rows or raise_rows) - 1, raise_rows - 1)
    result: NDArray[np.float64] = ways * alpha * (1.0 - follows) * follows ** (raise_rows - 1)
    return result


def alpha_for(
    alarms: float, units: NDArray[np.int64], theta: NDArray[np.float64], raise_rows: int, window_rows: int | None = None
) -> float:
    """Tail probability of a row such that all units together begin `alarms` alarms a row.

    units, theta: number of units and extremal index of each pool. Raises ValueError where `raise_rows` is below 1 or above
    `window_rows`.
    """
    if raise_rows < 1 or raise_rows > (window_rows or raise_rows):
        raise ValueError(f"{raise_rows} bad rows of {window_rows} cannot be asked for")
    low, high = math.log(ALPHA_LOWEST), math.log(ALPHA_HIGHEST)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if float((units * alarms_per_row(math.exp(middle), theta, raise_rows, window_rows)).sum()) > alarms:
            high = middle
        else:
            low = middle
    return math.exp(low)


def extremal_index(exceeds: NDArray[np.bool_], follows: NDArray[np.bool_], alpha: float) -> float:
    """One over the mean length of clusters of exceedances, from those of a part `alpha` of all rows.

    exceeds: shape (n, units); follows: shape (n - 1,), whether a row comes directly after the one before it. Exceedances are
    in one cluster where rows follow directly (runs estimator).
    """
    pairs = exceeds[:-1] & follows[:, None]
    begun = int(pairs.sum())
    if not begun or alpha >= 1.0:
        return 1.0
    again = int((pairs & exceeds[1:]).sum()) / begun
    return float(np.clip((1.0 - again) / (1.0 - alpha), 0.01, 1.0))
