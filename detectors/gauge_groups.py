"""Groups of gauges as matrices for models of many channels at once: scaled, with what is missing put to its usual value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout
from detectors.finding import Unit
from detectors.scaling import READINGS_LEAST, Scaling, learn_scaling
from detectors.selection import PerLayout, SelectionOptions, group_by_place, select_channels, unit_key
from detectors.usual_range import within_limits

Array = NDArray[np.float64]

CONDITION = "group_outlier"
PRESENT_LEAST = 0.5
"""Part of the channels of a group that must have a reading, or the group cannot be judged."""


@dataclass(frozen=True, slots=True)
class LearnedGroup:
    """A group as it was when it was learned; `features` are positions of its channels in the scaling."""

    key: str
    name: str
    place: str
    features: tuple[int, ...]

    @property
    def unit(self) -> Unit:
        """The group as what is judged."""
        return Unit(unit_key(self.key, CONDITION), self.name, self.place, CONDITION)


@dataclass(frozen=True, eq=False)
class GroupView:
    """A learned group in a layout. Its channels that are still there: place among the features, frame column, channel, name."""

    number: int
    group: LearnedGroup
    present: NDArray[np.int64]
    columns: NDArray[np.int64]
    channels: tuple[Channel, ...]
    names: tuple[str, ...]


class GaugeGroups:
    """The groups that a detector has learned, with the scaling of their channels; both belong to column keys."""

    def __init__(self, options: SelectionOptions, depth: int) -> None:
        self._options = options
        self._depth = depth
        self.scaling = learn_scaling((), np.empty((0, 0)))
        self.groups: tuple[LearnedGroup, ...] = ()
        self.views = PerLayout(self._bind)

    def applies(self, layout: Layout) -> bool:
        """Whether there are at least two gauges."""
        return len(select_channels(layout, self._options, Kind.GAUGE)) > 1

    def learn(self, history: Frame) -> Self:
        """Scales the gauges that have readings enough and groups them; groups of one or without rows enough are left out."""
        gauges = select_channels(history.layout, self._options, Kind.GAUGE)
        self.scaling = learn_scaling(gauges.keys, history.readings(gauges.columns))
        known, _ = gauges.among(self.scaling.keys)
        found = group_by_place(history.layout, known.channels, self._depth) if len(known) else []
        there = np.isfinite(history.readings(known.columns))
        found = [g for g in found if len(g.members) > 1 and judged(there[:, g.members]).sum() >= READINGS_LEAST]
        self.groups = tuple(LearnedGroup(g.key, g.name, g.place, tuple(map(int, g.members))) for g in found)
        self.views.forget()
        return self

    def matrix(self, frame: Frame, view: GroupView, limit: float = np.inf) -> tuple[Array, NDArray[np.bool_]]:
        """Scaled readings of all features within +-limit, 0 where there is none; and where there is one. Both (n, features).

        Without a limit: what is far for a channel that hardly moves may be little in the units of the others (`windowed.floors`).
        """
        features = np.array(view.group.features, dtype=np.int64)
        z = np.full((len(frame), len(features)), np.nan)
        z[:, view.present] = self.scaling.standardised(frame.readings(view.columns), features[view.present])
        there = np.isfinite(z)
        return np.clip(np.where(there, z, 0.0), -limit, limit), there

    def history(self, history: Frame, view: GroupView, limit: float = np.inf) -> tuple[Array, NDArray[np.bool_]]:
        """The `matrix` of rows to learn from: what no channel has shown again and again is put to the limit of what it has."""
        z, there = self.matrix(history, view, limit)
        return within_limits(z, there), there

    def units(self, layout: Layout) -> tuple[Unit, ...]:
        """One for each group that is still there."""
        return tuple(view.group.unit for view in self.views.of(layout))

    def reading(self, view: GroupView, feature: int, z: float) -> float:
        """A value in the unit of the channel."""
        at = view.group.features[feature]
        return float(self.scaling.centre[at] + z * self.scaling.spread[at])

    def in_units(self, number: int, z: Array) -> Array:
        """Scaled readings of all channels of a group in their units; both of shape (n, features)."""
        at = np.array(self.groups[number].features, dtype=np.int64)
        result: Array = self.scaling.centre[at] + z * self.scaling.spread[at]
        return result

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        groups = [[group.key, group.name, group.place, list(group.features)] for group in self.groups]
        return {"scaling": self.scaling.state(), "groups": groups}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self.scaling = Scaling.of(state["scaling"])
        self.groups = tuple(LearnedGroup(key, name, place, tuple(features)) for key, name, place, features in state["groups"])
        self.views.forget()

    def _bind(self, layout: Layout) -> list[GroupView]:
        known, position = select_channels(layout, self._options, Kind.GAUGE).among(self.scaling.keys)
        at = {int(where): i for i, where in enumerate(position)}
        views = []
        for number, group in enumerate(self.groups):
            present = [i for i, feature in enumerate(group.features) if feature in at]
            if len(present) < PRESENT_LEAST * len(group.features):
                continue
            found = [at[group.features[i]] for i in present]
            views.append(
                GroupView(
                    number,
                    group,
                    np.array(present, dtype=np.int64),
                    known.columns[np.array(found, dtype=np.int64)],
                    tuple(known.channels[i] for i in found),
                    tuple(known.names[i] for i in found),
                )
            )
        return views


def judged(there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows with readings enough; shape (n,)."""
    result: NDArray[np.bool_] = there.mean(axis=1) >= PRESENT_LEAST
    return result
