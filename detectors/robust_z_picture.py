"""What the detector `robust_z` saw, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.blocks import Carried
from detectors.figure import Line, SeriesFigure
from detectors.picturing import BAND_SPREADS, LINES_MOST, Moment, line
from detectors.ranking import shares
from detectors.robust_z_model import PULL_MOST, Z_MOST, Bound, Model
from detectors.selection import Group
from detectors.smoothing import moving_means

Array = NDArray[np.float64]

VALUES_MOST = 500_000
"""Readings from which a common mode is worked out for a picture: of very many channels, some evenly chosen ones tell it."""
START_ROWS = 20
"""Rows whose median starts a moving mean of which nobody remembers where it was."""


@dataclass(frozen=True, eq=False)
class RobustZPictures:
    """Pictures of the three sorts of units. weights: of the slow and the fast moving mean; `carried` is only read."""

    bound: Bound
    model: Model
    carried: Carried
    weights: tuple[float, float]
    top: int

    def outlier(self, recent: Frame, row: int, i: int) -> SeriesFigure:
        """The readings of a channel in the band about the slow level before each."""
        moment = Moment.of(recent, row)
        z = self._scaled(recent, i)
        level = self._means(recent, z, "slow", i)[:-1][moment.rows]
        half_width = BAND_SPREADS * float(self.model.residual_spread[self.bound.position[i]])
        shown = self._line(i, z[moment.rows], level, half_width, 1.0)
        return moment.series(f"{shown.name} against its recent level", [shown])

    def drift(self, recent: Frame, row: int, i: int) -> SeriesFigure:
        """The fast level of a channel in the band where it usually is, and the readings behind it."""
        moment, at = Moment.of(recent, row), self.bound.position[i]
        z = self._alone(recent, np.arange(len(recent)), np.array([i]))[:, 0]
        means = self._means(recent, z, "fast", i)[1:][moment.rows]
        level = self._line(i, means, float(self.model.mean_centre[at]), BAND_SPREADS * float(self.model.mean_spread[at]), 1.0)
        readings = self._line(i, z[moment.rows], np.nan, np.nan, 0.0)
        name = level.name
        lines = [_renamed(level, f"{name}, moving mean"), _renamed(readings, f"{name}, readings")]
        return moment.series(f"{name} drifts from its usual level", lines)

    def group(self, recent: Frame, row: int, group: Group) -> SeriesFigure:
        """The channels of a group with the highest |z|, each in its usual band."""
        now = self._alone(recent, np.array([row]), group.members)[0] / self._spread_of_z(group.members)
        share = shares(np.minimum(np.abs(np.nan_to_num(now)), Z_MOST), self.top)
        order = [k for k in np.argsort(-share, kind="stable")[:LINES_MOST] if share[k] > 0] or [0]
        members = group.members[order]
        moment = Moment.of(recent, row)
        alone = self._alone(recent, moment.rows, members)
        z = self._standardised(recent, moment.rows, members)
        half_width = BAND_SPREADS * self._spread_of_z(members)
        lines = [
            self._line(int(i), z[:, k], np.nan_to_num(z[:, k] - alone[:, k]), float(half_width[k]), float(share[order[k]]))
            for k, i in enumerate(members)
        ]
        return moment.series(f"Channels of {group.name} that are furthest from usual", lines)

    def _line(self, i: int, z: Array, centre: Array | float, half_width: float, share: float) -> Line:
        """A line in the unit of the channel, from spreads."""
        at, channel = self.bound.position[i], self.bound.channels.channels[i]
        middle, spread = float(self.model.scaling.centre[at]), float(self.model.scaling.spread[at])
        values, around = middle + z * spread, middle + np.asarray(centre) * spread
        return line(self.bound.channels.names[i], channel.unit, values, around, half_width * spread, share)

    def _scaled(self, recent: Frame, i: int) -> Array:
        return self._standardised(recent, np.arange(len(recent)), np.array([i]))[:, 0]

    def _standardised(self, recent: Frame, rows: NDArray[np.int64], members: NDArray[np.int64]) -> Array:
        """Readings in spreads, shape (rows, members)."""
        columns = self.bound.channels.columns[members]
        return self.model.scaling.standardised(_some(recent, rows, columns), self.bound.position[members])

    def _alone(self, recent: Frame, rows: NDArray[np.int64], members: NDArray[np.int64]) -> Array:
        """The same without the common mode, for which other channels of the quantities are looked at where there is one."""
        quantity = self.model.common.quantity[self.bound.position]
        if (quantity[members] < 0).all():
            return self._standardised(recent, rows, members)
        alike = np.flatnonzero(np.isin(quantity, quantity[members]))
        looked_at = np.union1d(members, alike[:: -(-len(alike) * len(rows) // VALUES_MOST) or 1])
        alone = self.model.common.removed(self._standardised(recent, rows, looked_at), self.bound.position[looked_at])
        result: Array = alone[:, np.searchsorted(looked_at, members)]
        return result

    def _spread_of_z(self, members: NDArray[np.int64]) -> Array:
        return self.model.z_spread[self.bound.position[members]]

    def _means(self, recent: Frame, z: Array, which: str, i: int) -> Array:
        """The moving mean before the first and after each row, shape (n + 1,).

        It is the one of the detector from the block that was scored last on; before that, one that starts at the median.
        """
        joint, before = self.carried.latest_in(recent)
        weight = self.weights[0 if which == "slow" else 1]
        limit = np.array([PULL_MOST])
        begin = z[:START_ROWS][np.isfinite(z[:START_ROWS])]
        start = np.array([float(np.median(begin)) if len(begin) else 0.0])
        early = moving_means(np.ascontiguousarray(z[:joint, None]), start, weight, limit)[:, 0]
        if joint == len(z):
            return early
        known = before[which][self.bound.position[[i]]].astype(np.float64)
        late = moving_means(np.ascontiguousarray(z[joint:, None]), known, weight, limit)[:, 0]
        return np.concatenate([early[:joint], late])


def _some(recent: Frame, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
    """Good readings in some rows and columns; nothing else is copied."""
    whole = len(rows) == len(recent)
    part = recent.rows(slice(int(rows[0]), int(rows[-1]) + 1)) if len(rows) else recent.rows(slice(0, 0))
    values = (recent if whole else part).readings(columns)
    return values if whole or not len(rows) else values[rows - rows[0]]


def _renamed(shown: Line, name: str) -> Line:
    return Line(name, shown.unit, shown.values, shown.low, shown.high, shown.share)
