"""How much of a channel's movement is taken for granted, judged by the other channels of its unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OWN_LEAST = 0.2
"""The floor is at least this part of the ratio asked for of a channel's own range."""
FLOOR_LEAST = 1e-100
"""And never less than this, so that a reading in parts of it is a number."""


def spread_floors(z: Array, there: NDArray[np.bool_], one: Array, units: Sequence[str], ratio: float) -> Array:
    """What to add to the spread of each channel, in the numbers of z; shape (d,), never 0.

    A channel that hardly moved while it was learned would make an alarm of anything. How far channels of this sort move is
    known from the others: the floor is `ratio` times the median range of those of the same unit that moved at all, but not more
    than the channel's own range, for others may be of quite another size.

    z: scaled readings, shape (n, d); there: where there is one; one: size of 1 in z in the channel's unit, shape (d,).
    """
    low, high = np.where(there, z, np.inf).min(axis=0), np.where(there, z, -np.inf).max(axis=0)
    own = np.where(there.any(axis=0), high - low, 0.0)
    floor = np.full(len(own), ratio)
    for unit in set(units):
        members = np.array([i for i, of in enumerate(units) if of == unit])
        moved = members[own[members] > 0]
        if len(moved):
            shared = ratio * float(np.median(own[moved] / one[moved])) * one[members]
            floor[members] = np.where(own[members] > 0, np.minimum(shared, own[members]), shared)
    result: Array = np.maximum(np.maximum(floor, OWN_LEAST * ratio * own), FLOOR_LEAST)
    return result
