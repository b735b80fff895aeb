"""Root cause: which channels of a group began it, ranked by how far each moved away from where it had just been.

A cause shows by what it does, not by where it is: a channel that has been high for days explains nothing, one that left its own recent
level does. The distance of a reading from an exponential mean of those before it is measured over several reaches, because
some faults jump and others creep, and is divided by what that distance usually is for this channel. Usual is its mean, its root mean
square and its 99th percentile on normal rows: channels that never spike, that sometimes do and that often do would each be
favoured by one of them. The score is the mean of the logarithms of all these ratios, so that no single one decides.

The metrics are those of Y. Su et al. (KDD 2019) for OmniAnomaly; that a deviation from a moving mean beats the reconstruction error
of learned models there is a finding of our own (docs/tutorial/evaluate.md tells how to measure it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout
from detectors.blocks import Carried
from detectors.figure import Line
from detectors.finding import Contribution
from detectors.gauge_groups import CONDITION
from detectors.picturing import Moment, line, top
from detectors.scaling import READING_MOST
from detectors.selection import Channels, PerLayout, SelectionOptions, group_by_place, select_channels, unit_key
from detectors.smoothing import moving_means
from detectors.usual_range import usual_limits

Array = NDArray[np.float64]

WEIGHTS: Final = (0.5, 0.15, 0.05)
"""Of the newest reading in each of the moving means: they reach back over about 3, 12 and 40 rows."""
ROWS_KEPT: Final = 4
"""Rows before a block that can be explained together with it: small blocks name the same cause as large ones."""
HIGH: Final = 0.99
"""Quantile of usual distances."""
FLOOR_RATIO: Final = 0.002
"""No distance counts as usual that is below this part of the range that channels of the same unit typically have, or below the
channel's own range where that is less."""
BEYOND: Final = 5.0
"""So many times the range that a channel usually has it may have moved beyond that, in what it learns from."""
NOTHING: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Bound:
    """The learned channels of a layout, their positions in what was learned, and the members of each unit."""

    channels: Channels
    position: NDArray[np.int64]
    members: Mapping[str, NDArray[np.int64]]


class RootCause:
    """Ranks the channels of a group of gauges. It follows all rows; what it learned belongs to column keys. Cost: O(rows x channels)."""

    def __init__(self, options: SelectionOptions, group_depth: int) -> None:
        self._options = options
        self._depth = group_depth
        self._keys: tuple[str, ...] = ()
        self._usual = np.empty((len(WEIGHTS), 3, 0))
        self._carried = _beginning(np.empty(0))
        self._bound = PerLayout(self._bind)

    def fit(self, history: Frame) -> Self:
        """Learns the usual distances of each gauge that has a reading."""
        gauges = select_channels(history.layout, self._options, Kind.GAUGE)
        readings = _readings(history, gauges.columns)
        seen = np.isfinite(readings).any(axis=0)
        kept = np.flatnonzero(seen)
        self._keys = tuple(gauges.keys[i] for i in kept)
        there = np.isfinite(readings[:, kept])
        low, high = usual_limits(readings[:, kept], there)  # one wild reading must not blind it to its channel
        readings = np.where(there, np.clip(readings[:, kept], low - BEYOND * (high - low), high + BEYOND * (high - low)), np.nan)
        floor = _floor(readings, [gauges.channels[i] for i in kept])
        first = _first_readings(readings)
        self._usual = np.empty((len(WEIGHTS), 3, len(kept)))
        means = np.empty((len(WEIGHTS), len(kept)))
        for i, weight in enumerate(WEIGHTS):
            distance, means[i] = _distances(readings, first, weight)
            known = np.isfinite(distance)
            count = np.maximum(known.sum(axis=0), 1)
            distance = np.where(known, distance, 0.0)
            high = np.quantile(distance, HIGH, axis=0) if len(distance) else np.zeros(len(kept))
            self._usual[i] = [distance.sum(axis=0) / count, np.sqrt((distance**2).sum(axis=0) / count), high]
        self._usual += floor
        self._carried = _beginning(first)
        if len(history):
            self._carried.after(history, self._carried.before(history) | {"means": means, "start": means})
        self._bound.forget()
        return self

    def follow(self, frame: Frame) -> None:
        """Takes in a block: it must see every row, for the levels that later ones are compared with."""
        if not len(frame) or not self._keys:
            return
        bound = self._bound.of(frame.layout)
        before = self._carried.before(frame)
        readings = np.full((len(frame), len(self._keys)), np.nan)
        readings[:, bound.position] = _readings(frame, bound.channels.columns)
        kept = np.concatenate([before["rows"], readings[-ROWS_KEPT:]])[-ROWS_KEPT:]
        earlier = readings[: max(0, len(frame) - ROWS_KEPT)]
        none = np.full(len(self._keys), np.inf)
        means, start = np.empty_like(before["means"]), np.empty_like(before["means"])
        for i, weight in enumerate(WEIGHTS):
            if len(earlier):
                start[i] = moving_means(earlier, before["means"][i], weight, none)[-1]
                means[i] = moving_means(kept, start[i], weight, none)[-1]
            else:  # some of the rows that are kept are those that were kept before
                start[i] = moving_means(before["rows"], before["start"][i], weight, none)[len(frame)]
                means[i] = moving_means(readings, before["means"][i], weight, none)[-1]
        self._carried.after(frame, {"means": means, "rows": kept, "start": start})

    def ranked(self, frame: Frame, first: int, last: int, unit: str) -> tuple[Contribution, ...]:
        """All channels of the unit with this key, the likeliest cause first; rows first to last, both included.

        frame: the block followed last; a negative first row means rows before it, of which ROWS_KEPT are known. Channels without a
        reading come last. Observed and expected are those of the row in which the channel was furthest from its level over the
        middle reach.
        """
        bound = self._bound.of(frame.layout)
        members = bound.members.get(unit, np.empty(0, dtype=np.int64))
        if not len(members):
            return ()
        position, before = bound.position[members], self._carried.before(frame)
        readings, start = _readings(frame, bound.channels.columns[members])[: last + 1], before["means"][:, position]
        if first < 0:
            readings, start = np.concatenate([before["rows"][:, position], readings]), before["start"][:, position]
            first = max(0, first + ROWS_KEPT)
        log_ratio = np.zeros(len(members))
        for i, weight in enumerate(WEIGHTS):
            distance = _distances(readings, start[i], weight)[0][first:]
            size = np.sqrt(np.nan_to_num(distance**2).mean(axis=0))
            log_ratio += np.log(size / self._usual[i][:, position] + NOTHING).mean(axis=0) / len(WEIGHTS)
        log_ratio[~np.isfinite(readings[first:]).any(axis=0)] = -np.inf
        middle = moving_means(readings, start[1], WEIGHTS[1], np.full(len(members), np.inf))[:-1][first:]
        return self._contributions(bound, members, log_ratio, readings[first:], middle)

    def picture(self, recent: Frame, row: int, unit: str) -> tuple[Moment, list[Line]]:
        """The likeliest causes over time, each in the band about its level (over the middle reach) that it usually keeps to.

        recent: rows that end with the block followed last; the ranking is that of the last rows up to this one. It changes nothing.
        """
        first = self._carried.latest_in(recent)[0]
        first = first if first <= row else 0  # a row before that block: ranked by what is in the frame
        ranked = self.ranked(recent.rows(slice(first, None)), row - first - ROWS_KEPT, row - first, unit)
        bound, moment, lines = self._bound.of(recent.layout), Moment.of(recent, row), []
        position = {name: i for i, name in enumerate(bound.channels.names)}
        for one in top(ranked):
            at = position[one.name]
            readings = _readings(recent, bound.channels.columns[at : at + 1])
            level = moving_means(readings, _first_readings(readings), WEIGHTS[1], np.full(1, np.inf))[:-1, 0][moment.rows]
            usual = float(self._usual[1, 2, bound.position[at]])
            lines.append(line(one.name, one.unit, readings[moment.rows, 0], level, usual, one.share))
        return moment, lines

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"keys": list(self._keys), "usual": self._usual, "carried": self._carried.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`."""
        self._keys = tuple(state["keys"])
        self._usual = np.asarray(state["usual"])
        self._carried = Carried.of(state["carried"])
        self._bound.forget()

    def _contributions(
        self, bound: Bound, members: NDArray[np.int64], log_ratio: Array, readings: Array, level: Array
    ) -> tuple[Contribution, ...]:
        size = np.exp(log_ratio - log_ratio.max(initial=-np.inf)) if np.isfinite(log_ratio).any() else np.zeros(len(members))
        share = size / max(float(size.sum()), NOTHING)
        furthest = np.argmax(np.nan_to_num(np.abs(readings - level), nan=-1.0), axis=0)
        ranked = []
        for i in np.argsort(-log_ratio, kind="stable"):
            channel, name = bound.channels.channels[members[i]], bound.channels.names[members[i]]
            observed, expected = float(readings[furthest[i], i]), float(level[furthest[i], i])
            ranked.append(Contribution(name, channel.place, observed, expected, float(share[i]), channel.unit))
        return tuple(ranked)

    def _bind(self, layout: Layout) -> Bound:
        channels, position = select_channels(layout, self._options, Kind.GAUGE).among(self._keys)
        groups = group_by_place(layout, channels.channels, self._depth) if len(channels) else []
        return Bound(channels, position, {unit_key(group.key, CONDITION): group.members for group in groups})


def _readings(frame: Frame, columns: NDArray[np.int64]) -> Array:
    """Readings of some columns, NaN where there is none, such that their squares are numbers."""
    clipped: Array = np.clip(frame.readings(columns), -READING_MOST, READING_MOST)
    return clipped


def _beginning(first: Array) -> Carried:
    """What is carried before any row; first: the first reading of each channel, shape (channels,)."""
    means = np.tile(first, (len(WEIGHTS), 1))
    return Carried({"means": means, "rows": np.full((ROWS_KEPT, len(first)), np.nan), "start": means})


def _distances(readings: Array, start: Array, weight: float) -> tuple[Array, Array]:
    """How far each reading is from the mean of those before it, shape (n, channels), NaN without one; and the mean at the end."""
    means = moving_means(readings, start, weight, np.full(readings.shape[1], np.inf))
    return np.abs(readings - means[:-1]), means[-1]


def _first_readings(readings: Array) -> Array:
    """The first reading of each channel, shape (channels,)."""
    there = np.isfinite(readings)
    found: Array = readings[there.argmax(axis=0), np.arange(readings.shape[1])] if len(readings) else np.zeros(readings.shape[1])
    return found


def _floor(readings: Array, channels: list[Channel]) -> Array:
    """The least distance that counts as usual, shape (channels,), above 0."""
    there = np.isfinite(readings)
    high, low = (
        np.where(there, readings, -np.inf).max(axis=0, initial=-np.inf),
        np.where(there, readings, np.inf).min(axis=0, initial=np.inf),
    )
    own = np.where(there.any(axis=0), high - low, 0.0)
    typical = np.where(np.abs(high) > 0, np.abs(high), 1.0)  # where no channel of its unit has moved
    units = np.array([channel.unit for channel in channels])
    for unit in set(units):
        moved = own[(units == unit) & (own > 0)]
        if len(moved):
            typical[units == unit] = np.median(moved)
    floor = FLOOR_RATIO * typical
    return np.where(own > 0, np.minimum(floor, own), floor)
