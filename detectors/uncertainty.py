"""How far a tail probability can be trusted, part by part, and when that is so little that a finding is unsure, and why.

All parts but the last are standard deviations of the common logarithm of the tail probability, in decades: they add in
quadrature, and can be set beside how many decades the probability lies below the threshold.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, log, log10, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout
from detectors.calibration import SMALLEST, TAIL_LEAST, TAIL_MOST, TAIL_RATIO
from detectors.finding import Contribution, Uncertainty, Unit
from detectors.selection import PerLayout
from detectors.wording import amount, times

Array = NDArray[np.float64]

DECADES_LEAST = 0.5
"""Parts that are smaller never make a finding unsure: a factor of three in a probability decides nothing."""
SHARE_MOST = 0.5
"""The tail is no more than this part of the scores, however few there are."""
DISAGREEMENT = 1.0
"""Models that differ by more decades disagree."""
OUTSIDE_LEAST = 0.1
"""So far outside the learned range, in parts of it, a condition is new."""
RESTS_ON = 0.05
"""A channel of a smaller share is none that an alarm rests on."""
CONDITION_UNITS = frozenset({"degC", "°C", "C", "K", "degF", "°F", "%RH", "hPa", "mbar", "Pa", "bar"})
"""Channels in these units say under which conditions the others were read."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a unit was calibrated with.

    rows: normal rows that were seen; scores: independent scores among them that probabilities rest on; per_row: how many of those
    a row brings, at most 1; alpha: the probability below which a row is bad.
    """

    rows: int
    scores: float
    per_row: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Outside:
    """A channel beyond all that was learned: by how much in its own unit, and in parts of its learned range; above or below it."""

    channel: Channel
    by: float
    ratio: float
    above: bool

    def in_words(self) -> str:
        """Such as "temperature is 4 °C above anything learned"."""
        way = "above" if self.above else "below"
        return f"{self.channel.name} is {amount(self.by, self.channel.unit)} {way} anything learned"


@dataclass(frozen=True, eq=False)
class Ranges:
    """Lowest and highest normal reading of each channel, by column key. low, high: shape (keys,)."""

    keys: tuple[str, ...]
    low: Array
    high: Array

    @classmethod
    def learned(cls, history: Frame) -> Ranges:
        """From normal rows; channels without a reading are left out."""
        gauges = GAUGES.of(history.layout)
        readings = history.readings(gauges.columns)
        known = np.isfinite(readings)
        low = np.where(known, readings, np.inf).min(axis=0, initial=np.inf)
        high = np.where(known, readings, -np.inf).max(axis=0, initial=-np.inf)
        kept = np.flatnonzero(known.any(axis=0))
        return cls(tuple(gauges.keys[i] for i in kept), low[kept], high[kept])

    def outside(self, frame: Frame, row: int, gauges: NDArray[np.int64]) -> list[Outside]:
        """Those of some gauges (indices into `GAUGES` of the layout) whose reading in a row is beyond their range, the furthest first.

        A channel that never changed is judged in parts of its value.
        """
        table = GAUGES.of(frame.layout)
        values = frame.rows(slice(row, row + 1)).readings(table.columns[gauges])[0]
        low, high = self._aligned.of(frame.layout)[:, gauges]
        by = np.fmax(values - high, low - values)
        width = np.where(high > low, high - low, np.where(high != 0, np.abs(high), 1.0))
        found = []
        for i in np.flatnonzero(by > 0):
            channel = table.channels[gauges[i]]
            found.append(Outside(channel, float(by[i]), float(by[i] / width[i]), bool(values[i] > high[i])))
        return sorted(found, key=lambda outside: -outside.ratio)

    @cached_property
    def _aligned(self) -> PerLayout[Array]:
        """Lowest and highest of the gauges of a layout, shape (2, gauges), NaN where they were not learned."""
        position = {key: i for i, key in enumerate(self.keys)}
        known = np.column_stack([np.stack([self.low, self.high]), np.full(2, np.nan)])
        return PerLayout(lambda layout: known[:, [position.get(key, len(self.keys)) for key in GAUGES.of(layout).keys]])

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"keys": list(self.keys), "low": self.low, "high": self.high}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Ranges:
        """From a `state`."""
        return cls(tuple(state["keys"]), np.asarray(state["low"], dtype=np.float64), np.asarray(state["high"], dtype=np.float64))


def sampling_decades(probability: float, scores: float) -> float:
    """Standard deviation of log10 of a tail probability that was estimated from so many independent scores.

    Within what they show it is that of a binomial share. Beyond, a generalised Pareto tail goes on from the highest tenth: the
    delta method with the asymptotic covariance of its maximum-likelihood parameters, at shape 0 (R. Smith, Biometrika 72 (1985)
    67; S. Coles, An Introduction to Statistical Modeling of Extreme Values, 2001, 4.3). NaN without scores.
    """
    if not scores >= 1 or not probability > 0:
        return nan
    share = min(SHARE_MOST, max(TAIL_RATIO, TAIL_LEAST / scores), TAIL_MOST / scores)
    if probability >= share:
        return sqrt(max(0.0, 1.0 - min(probability, 1.0)) / (scores * min(probability, 1.0))) / log(10)
    tail = scores * share
    t = log(share / max(probability, SMALLEST))
    variance = (1.0 - share) / tail + (t**4 / 4 - t**3 + 2 * t**2) / tail
    return sqrt(variance) / log(10)


def reading_decades(probability: float, there: int, channels: int) -> float:
    """Standard deviation of log10 of a probability that rests on the channels that have a reading, for those that have none.

    The surprise of a group is a mean over its channels: that of a sample drawn without replacement (W. Cochran, Sampling
    Techniques, 1977, 2.6), taking the channels to differ as much as their mean. NaN where there are no channels.
    """
    if not there or not channels:
        return nan
    return abs(log10(max(probability, SMALLEST))) * sqrt((1.0 - there / channels) / there)


def measured(
    frame: Frame, row: int, unit: Unit, probability: float, sample: Sample, ranges: Ranges | None, own: Uncertainty | None
) -> Uncertainty:
    """The parts for a unit in a row; own: those that the detector itself knows, which count where they are not NaN.

    Of what the data at hand leave open, the larger part counts: a detector need not know of readings that are missing.
    """
    there, channels = with_reading(frame, row, unit.place)
    outside = None if ranges is None else ranges.outside(frame, row, GAUGES.of(frame.layout).within(unit.place))
    known = (
        nan,
        sampling_decades(probability / sample.per_row, sample.scores) if sample.per_row > 0 else nan,
        reading_decades(probability, there, channels),
        nan if outside is None else max((o.ratio for o in outside), default=0.0),
    )
    parts = known
    if own is not None:
        parts = (own.training_run, own.training_data, float(np.fmax(own.statistics, known[2])), own.out_of_range)
    return Uncertainty(*(part if isfinite(part) else other for part, other in zip(parts, known, strict=True)))


def decide(
    uncertainty: Uncertainty,
    probability: float,
    sample: Sample,
    readings: tuple[int, int] = (0, 0),
    outside: Sequence[Outside] = (),
) -> str:
    """Why a finding is unsure, in words; empty where it is not.

    It is where the doubt is as large as the decades by which the probability lies below the threshold, where models disagree, or
    where the conditions are new. readings: channels with a reading, and all; outside: see `new_conditions`. For the rows it
    counts how well the threshold is known, not the probability: a score that is higher is never less sure.
    """
    margin = log10(sample.alpha / max(probability, SMALLEST)) if sample.alpha > 0 and probability > 0 else 0.0
    if outside:
        return outside[0].in_words()
    if uncertainty.training_run > DISAGREEMENT:
        return f"models disagree by a factor of {times(10**uncertainty.training_run)}"
    if uncertainty.statistics > max(margin, DECADES_LEAST):
        missing = readings[0] < readings[1]
        return (
            f"only {readings[0]} of {readings[1]} channels have a reading" if missing else "the readings can be understood in several ways"
        )
    threshold = sampling_decades(sample.alpha / sample.per_row, sample.scores) if sample.per_row > 0 else nan
    if threshold > max(margin, DECADES_LEAST):
        return f"only {sample.rows:,} normal rows seen"
    return ""


def new_conditions(ranges: Ranges | None, frame: Frame, row: int, ranked: Sequence[Contribution]) -> list[Outside]:
    """Conditions (temperature, pressure, humidity) beyond what was learned that the alarm does not itself rest on.

    Those that it rests on are its evidence: nobody is to doubt that the temperature is too high because it was never so high.
    """
    if ranges is None:
        return []
    alarming = [contribution for contribution in ranked if contribution.share >= RESTS_ON]
    names, gauges = {c.name for c in alarming}, {(c.place, c.unit) for c in alarming}
    found = ranges.outside(frame, row, GAUGES.of(frame.layout).conditions)
    return [
        o for o in found if o.ratio >= OUTSIDE_LEAST and o.channel.name not in names and (o.channel.place, o.channel.unit) not in gauges
    ]


def with_reading(frame: Frame, row: int, place: str) -> tuple[int, int]:
    """Gauges at or below a place that have a reading in a row, and all of them."""
    gauges = GAUGES.of(frame.layout)
    readings = frame.rows(slice(row, row + 1)).readings(gauges.columns[gauges.within(place)])
    return int(np.isfinite(readings).sum()), readings.shape[1]


class Gauges:
    """The gauges of a layout, in order of their places, so that those below one are found without a look at all of them."""

    def __init__(self, layout: Layout) -> None:
        found = [
            (column, int(start), key)
            for column, start, key in zip(layout.columns, layout.starts[:-1], layout.keys, strict=True)
            if isinstance(column, Channel) and column.kind is Kind.GAUGE
        ]
        found.sort(key=lambda gauge: f"{gauge[0].place}/")
        self.channels = tuple(channel for channel, _, _ in found)
        self.columns = np.array([start for _, start, _ in found], dtype=np.int64)
        self.keys = tuple(key for _, _, key in found)
        self._places = [f"{channel.place}/" for channel in self.channels]
        self.conditions = np.array([i for i, channel in enumerate(self.channels) if channel.unit in CONDITION_UNITS], dtype=np.int64)
        """Which of them say under which conditions the others were read."""

    def within(self, place: str) -> NDArray[np.int64]:
        """Those at or below a place, all for ""."""
        if not place:
            return np.arange(len(self.channels))
        return np.arange(bisect_left(self._places, f"{place}/"), bisect_left(self._places, f"{place}0"))  # "0" follows "/"


GAUGES = PerLayout(Gauges)
