"""What the detector `robust_z` has learned, what of a layout it judges, and what it makes of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.common_mode import CommonMode
from detectors.finding import Unit
from detectors.scaling import Scaling
from detectors.selection import Channels, Group

Array = NDArray[np.float64]

PULL_MOST = 3.0
"""A reading pulls a moving mean as if it were at most this many spreads away."""
Z_MOST = 50.0
"""Largest |z| that counts in a group: one channel alone does not decide."""


@dataclass(frozen=True, eq=False)
class Bound:
    """Channels of a layout that were learned, their positions in the model, their groups and the units of all."""

    channels: Channels
    position: NDArray[np.int64]
    groups: list[Group]
    units: tuple[Unit, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """Of each row and channel, in spreads of the channel: slow level and fast level, and how unusual the reading is to each.

    level: what the reading is compared with; outlier, drift: unsigned scores; mean: the fast level; z: what groups are made
    of, signed. All of shape (n, channels), NaN where there is no good reading.
    """

    level: Array
    outlier: Array
    mean: Array
    drift: Array
    z: Array
    group: Array


@dataclass(frozen=True, eq=False)
class Model:
    """What was learned, by position of the key in `scaling`; all spreads are in spreads of the channel."""

    scaling: Scaling
    common: CommonMode
    residual_spread: Array
    z_spread: Array
    mean_centre: Array
    mean_spread: Array

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        arrays = {name: getattr(self, name) for name in ("residual_spread", "z_spread", "mean_centre", "mean_spread")}
        return {"scaling": self.scaling.state(), "common": self.common.state(), **arrays}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Model:
        """From a `state`."""
        arrays = (np.asarray(state[name]) for name in ("residual_spread", "z_spread", "mean_centre", "mean_spread"))
        return cls(Scaling.of(state["scaling"]), CommonMode.of(state["common"]), *arrays)
