"""EWMA control chart of every channel: the cheapest detector that adapts, for very many channels or very little machine.

For each channel a moving mean and a moving mean deviation; the score of a reading is its distance from the mean before it,
in mean deviations. One pass over the block in machine code.
Source: S. Roberts, Technometrics 1 (1959) 239; the deviation as in V. Jacobson's estimator of round-trip times (1988).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Float, Frame, Kind, Layout, Quality
from detectors.blocks import Carried
from detectors.compiled import compiled
from detectors.figure import SeriesFigure
from detectors.finding import Contribution, Evidence, Scores, Unit
from detectors.picturing import BAND_SPREADS, Moment, line
from detectors.scaling import learn_scaling
from detectors.selection import Channels, PerLayout, SelectionOptions, select_channels, unit_key
from detectors.smoothing import weight_of
from detectors.wording import amount

PULL_MOST = 3.0
"""A reading pulls mean and deviation as if it were at most this many deviations away: a spike widens nothing."""
START_ROWS = 20
"""Rows whose median starts the mean in a picture, where it goes back further than what is remembered."""


class EwmaOptions(SelectionOptions):
    """Options of the detector `ewma`."""

    rows: float = Field(default=200.0, gt=1)
    """Rows over which mean and deviation reach back."""


class EwmaDetector:
    """EWMA control chart of each gauge; see the module. Cost: O(rows x channels), about a nanosecond a reading.

    Example::

        [detector.ewma]
        rows = 500
    """

    options_model: ClassVar[type[Options]] = EwmaOptions
    rows_needed: ClassVar[int] = 30

    def __init__(self, name: str, options: EwmaOptions) -> None:
        self.name = name
        self._options = options
        self._keys: tuple[str, ...] = ()
        self._floor = np.empty(0)
        self._carried = Carried({"mean": np.empty(0), "deviation": np.empty(0)})
        self._bound = PerLayout(self._bind)

    def applies(self, layout: Layout) -> bool:
        """Whether there are gauges to judge."""
        return len(select_channels(layout, self._options, Kind.GAUGE)) > 0

    def fit(self, history: Frame) -> Self:
        """Learns where each gauge starts from, and the least deviation that its resolution allows."""
        gauges = select_channels(history.layout, self._options, Kind.GAUGE)
        scaling = learn_scaling(gauges.keys, history.readings(gauges.columns))
        self._keys = tuple(scaling.keys)
        self._floor = np.maximum(scaling.floor, np.finfo(np.float32).tiny)
        self._carried = Carried({"mean": scaling.centre.copy(), "deviation": np.maximum(scaling.spread * MEAN_PER_STANDARD, self._floor)})
        self._bound.forget()
        return self

    def score(self, frame: Frame) -> Scores:
        """Distance of each reading from the mean before it, in standard deviations of a Gaussian; NaN without a good reading."""
        channels, position, units = self._bound.of(frame.layout)
        if not len(frame):
            return Scores(units, np.empty((0, len(units))))
        before = self._carried.before(frame)
        mean, deviation = before["mean"].copy(), before["deviation"].copy()
        readings = _readings(frame, channels.columns)
        values, means, deviations = chart(
            readings, mean[position], deviation[position], self._floor[position], weight_of(self._options.rows)
        )
        mean[position], deviation[position] = means, deviations
        self._carried.after(frame, {"mean": mean, "deviation": deviation})
        return Scores(units, values)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The reading beside the mean before it."""
        channels, position, units = self._bound.of(frame.layout)
        before = self._carried.before(frame)
        part = frame.rows(slice(0, row))
        start = before["mean"][position], before["deviation"][position]
        _, mean, _ = chart(_readings(part, channels.columns), *start, self._floor[position], weight_of(self._options.rows))
        channel = channels.channels[unit]
        observed = float(frame.values[row, channels.columns[unit]])
        expected = float(mean[unit])
        summary = f"{units[unit].name} is {amount(observed, channel.unit)}, usually {amount(expected, channel.unit)}"
        return Evidence(summary, (Contribution(channel.name, channel.place, observed, expected, 1.0, channel.unit),))

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channel in the band of its moving mean and deviation before each reading."""
        channels, position, units = self._bound.of(recent.layout)
        values = recent.readings(channels.columns[unit : unit + 1])
        joint, before = self._carried.latest_in(recent)
        at, weight = position[unit : unit + 1], weight_of(self._options.rows)
        begin = values[:START_ROWS][np.isfinite(values[:START_ROWS])]
        mean, deviation = before["mean"][at].astype(np.float64), before["deviation"][at].astype(np.float64)
        if len(begin) and joint:
            mean = np.array([np.median(begin)])
        centre, spread = np.empty(len(recent)), np.empty(len(recent))
        for row_number in range(len(recent)):  # of one channel; `chart` keeps only where it ends
            if row_number == joint:
                mean, deviation = before["mean"][at].astype(np.float64), before["deviation"][at].astype(np.float64)
            centre[row_number], spread[row_number] = mean[0], deviation[0] / MEAN_PER_STANDARD
            _, mean, deviation = chart(values[row_number : row_number + 1], mean, deviation, self._floor[at], weight)
        moment = Moment.of(recent, row)
        channel, rows = channels.channels[unit], moment.rows
        shown = line(units[unit].name, channel.unit, values[rows, 0], centre[rows], BAND_SPREADS * spread[rows], 1.0)
        return moment.series(f"{units[unit].name} against its recent mean", [shown])

    def state(self) -> dict[str, Any]:
        """What was learned and what runs on from block to block."""
        return {"version": 1, "keys": list(self._keys), "floor": self._floor, "carried": self._carried.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version 1")
        self._keys, self._floor = tuple(state["keys"]), np.asarray(state["floor"])
        self._carried = Carried.of(state["carried"])
        self._bound.forget()

    def _bind(self, layout: Layout) -> tuple[Channels, NDArray[np.int64], tuple[Unit, ...]]:
        channels, position = select_channels(layout, self._options, Kind.GAUGE).among(self._keys)
        described = zip(channels.keys, channels.names, channels.channels, strict=True)
        return channels, position, tuple(Unit(unit_key(key, "outlier"), name, c.place, "outlier") for key, name, c in described)


MEAN_PER_STANDARD = 0.7978845608028654
"""Mean deviation of a Gaussian in standard deviations, sqrt(2 / pi)."""


def _readings(frame: Frame, columns: NDArray[np.int64]) -> NDArray[Float]:
    """Readings of the columns, NaN where they are not good; without a copy where all columns are wanted and all are good."""
    everything = len(columns) == frame.layout.width
    values = frame.values if everything else frame.values[:, columns]
    if frame.quality is None:
        return values
    quality = frame.quality if everything else frame.quality[:, columns]
    return np.where(quality == Quality.GOOD, values, np.nan).astype(frame.values.dtype)


@compiled
def chart(
    values: NDArray[Any], mean: NDArray[np.float64], deviation: NDArray[np.float64], floor: NDArray[np.float64], weight: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Scores of a block, and mean and deviation after it. values: shape (n, columns); the others: shape (columns,).

    Branches are selections here, so that the loop over columns becomes vector instructions.
    """
    n, columns = values.shape
    scores = np.empty((n, columns))
    mean, deviation = mean.copy(), deviation.copy()
    for row in range(n):
        for column in range(columns):
            step = values[row, column] - mean[column]
            size = abs(step)
            scores[row, column] = size * MEAN_PER_STANDARD / deviation[column]
            limit = PULL_MOST * deviation[column]
            present = size == size  # noqa: PLR0124 - not NaN
            pull = min(max(step, -limit), limit) if present else 0.0
            spread = min(size, limit) if present else deviation[column]
            mean[column] += weight * pull
            deviation[column] = max(deviation[column] + weight * (spread - deviation[column]), floor[column])
    return scores, mean, deviation
