"""Novelty of single channels: a value, a short sequence of values or a level such as the channel has not shown so far.

Of each gauge four things are compared with all that was seen of it: its last reading, its last two and three readings, and its
recent level. How far each is from the nearest that is remembered, compared with how far such were before, is a conformal tail
probability (see `novelty_memory`), told in decades: 2 is one in a hundred. The score is the quadratic mean of the decades of the
readings, or those of the level where they are more: agreement counts, and so does one sequence that is far off. It so finds new
extremes, but also values in gaps of the range, wrong orders of usual values, and slow shifts; loops, counts and bursts need no
model of their own.

Memory goes on learning while it judges. What was alarming once is known from then on: the first occurrence is the news, and nothing
has to be forgotten after an incident. A stretch of many new readings is one alarm: after a score only higher ones count for a while.
Because what is new is measured by what was new before, news in plenty makes news cheap: a channel that never settles is quiet.

Sources of the idea: nearest neighbours and conformal probabilities on streams (E. Burnaev, V. Ishimtsev, arXiv:1608.04585), adaptive
resonance on streams (M. Hampton, ARTime, 2021), and the rest after an alarm (M. Smirnov, CAD OSE, 2016). What it does not see: a
usual event that does not happen, since no reading is new then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, Kind, Layout
from detectors.blocks import Carried, Latest
from detectors.figure import SeriesFigure
from detectors.finding import Evidence, Scores, Unit
from detectors.novelty_evidence import News
from detectors.novelty_memory import (
    MEMORY_ARRAYS,
    Arrays,
    empty_memory,
    first_highest,
    novelty,
    recent_windows,
    replaced,
    running,
    with_room,
)
from detectors.picturing import Moment, line
from detectors.scaling import Scaling, learn_scaling
from detectors.selection import Channels, PerLayout, SelectionOptions, select_channels, unit_key
from detectors.smoothing import moving_means, weight_of

Array = NDArray[np.float64]

WIDTHS = (1, 2, 3)
"""Readings in the windows that are compared. Longer ones add little: what is new for long is new in its parts."""
LEVEL = len(WIDTHS)
"""Number of the part that compares the level."""
SPREADS_MOST = 1e6
"""Readings are cut off at so many spreads, far beyond any use, so that their squares are numbers."""
PULL_MOST = 50.0
"""A reading pulls the level as if it were at most so many spreads away from it."""
OPERATING_POINT = 2.0
"""Score from which on a reading of a single series is worth a look without any calibration: one in a hundred is as unlike the rest. The
rest after a score makes it far fewer alarms than one in a hundred readings."""
BLOCK_READINGS = 500_000
"""Readings of the history that are looked at together: what is worked out for each takes some 200 bytes."""
CHUNK_ROWS = 64
"""Rows that are looked at before the memory is given more room."""
GAP_STEPS = 20
"""Typical steps in time without a row after which sequences begin anew."""


class NoveltyOptions(SelectionOptions):
    """Options of the detector `novelty`."""

    memory: int = Field(default=1024, ge=32)
    """Windows that are remembered of each channel and length: those that were unlike the others, about one in twenty."""
    level_rows: float = Field(default=24.0, gt=1)
    """Readings over which the recent level reaches back."""
    rest_rows: int = Field(default=150, ge=1)
    """Readings for which, after a score, only higher ones count."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was worked out for a frame.

    scores: shape (n, channels); decades, nearest: shape (n, channels, parts); level: shape (n, channels), in spreads as `nearest`;
    lowest, highest: of all readings before each row, the same shape, in the unit of the channel; first_ns: the first reading,
    shape (channels,).
    """

    scores: Array
    decades: Array
    nearest: Array
    level: Array
    lowest: Array
    highest: Array
    first_ns: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bound:
    """The learned channels of a layout, their positions among all that were learned, and their units."""

    channels: Channels
    position: NDArray[np.int64]
    units: tuple[Unit, ...]


class NoveltyDetector:
    """Novelty of each gauge by itself; see the module. Cost: O(rows x channels x memory), a few microseconds a reading.

    A unit has the condition `novel`. Its scores stand alone, so single rows raise it. Scores that are
    `rest_rows` apart or rise further are all there are; every other row has 0. It needs the compiler: interpreted, a reading takes
    milliseconds.

    Example::

        [detector.novelty]
        include = ["*:IMon"]
        rest_rows = 150
    """

    options_model: ClassVar[type[Options]] = NoveltyOptions
    rows_needed: ClassVar[int] = 100
    raise_rows: ClassVar[int] = 1
    clear_rows: ClassVar[int] = 3
    quiet_hours: ClassVar[float] = 0.0

    def __init__(self, name: str, options: NoveltyOptions) -> None:
        self.name = name
        self._options = options
        self._scaling = learn_scaling((), np.empty((0, 0)))
        self._step_ns = 0
        self._carried = Carried(self._nothing())
        self._bound = PerLayout(self._bind)
        self._latest: Latest[Judged] = Latest()

    def applies(self, layout: Layout) -> bool:
        """Whether there are gauges to judge."""
        return len(select_channels(layout, self._options, Kind.GAUGE)) > 0

    def fit(self, history: Frame) -> Self:
        """Learns the scale of each gauge and remembers the history; gauges with few readings are left out."""
        gauges = select_channels(history.layout, self._options, Kind.GAUGE)
        self._scaling = learn_scaling(gauges.keys, history.readings(gauges.columns))
        steps = np.diff(history.time_ns)
        self._step_ns = int(np.median(steps)) if len(steps) else 0
        self._carried = Carried(self._nothing())
        self._bound.forget()
        self._latest = Latest()
        rows = max(1, BLOCK_READINGS // max(1, history.layout.width))
        for first in range(0, len(history), rows):
            self._judge(history.rows(slice(first, first + rows)))
        learned = self._carried.state()["after"]
        self._carried = Carried(learned)
        return self

    def score(self, frame: Frame) -> Scores:
        """Novelty of each learned gauge in decades; 0 where a row is less than what was seen a short while ago."""
        bound = self._bound.of(frame.layout)
        if not len(frame):
            return Scores(bound.units, np.empty((0, len(bound.units))))
        return Scores(bound.units, self._judge(frame).scores)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """What is new: a value beyond all so far or in a gap of them, a sequence, or the level."""
        bound = self._bound.of(frame.layout)
        judged = self._latest.of(frame) or self._judge(frame)
        at, channel = bound.position[unit], bound.channels.channels[unit]
        known_s = (int(frame.time_ns[row]) - int(judged.first_ns[unit])) / 1e9
        part = int(np.argmax(np.nan_to_num(judged.decades[row, unit], nan=-1.0)))
        centre, spread = self._scaling.centre[at], self._scaling.spread[at]
        news = News(
            channel,
            bound.channels.names[unit],
            value=float(frame.values[row, bound.channels.columns[unit]]),
            level=float(centre + spread * judged.level[row, unit]),
            nearest=float(centre + spread * judged.nearest[row, unit, part]),
            lowest=float(judged.lowest[row, unit]),
            highest=float(judged.highest[row, unit]),
            known_s=known_s,
            readings=0 if part == LEVEL else WIDTHS[part],
        )
        return news.evidence()

    def picture(self, recent: Frame, row: int, unit: int) -> SeriesFigure | None:
        """The channel within the range that it had before those rows that were scored last."""
        bound = self._bound.of(recent.layout)
        column, at = bound.channels.columns[unit : unit + 1], bound.position[unit]
        moment = Moment.of(recent, row)
        joint, before = self._carried.latest_in(recent)
        low, high = float(before["lowest"][at]), float(before["highest"][at])
        earlier = recent.readings(column)[:joint, 0]
        if not np.isfinite(high - low) and np.isfinite(earlier).any():
            low, high = float(np.nanmin(earlier)), float(np.nanmax(earlier))
        channel, name = bound.channels.channels[unit], bound.channels.names[unit]
        shown = line(name, channel.unit, moment.readings(column)[:, 0], (low + high) / 2, (high - low) / 2, 1.0)
        bad = np.arange(len(moment.rows)) == moment.at
        return moment.series(f"{name} in the range that it had before", [shown], bad)

    def state(self) -> dict[str, Any]:
        """What was learned and what runs on from block to block."""
        carried = self._carried.state()
        del carried["initial"]  # as large as what runs on; it is only for rows from before
        return {"version": 1, "scaling": self._scaling.state(), "step_ns": self._step_ns, "carried": carried}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version 1")
        self._scaling, self._step_ns = Scaling.of(state["scaling"]), int(state["step_ns"])
        self._carried = Carried.of({**state["carried"], "initial": state["carried"]["after"]})
        self._bound.forget()
        self._latest = Latest()

    def _judge(self, frame: Frame) -> Judged:
        """Scores of a frame and what they were made of; the memories go on."""
        bound, before = self._bound.of(frame.layout), self._carried.before(frame)
        at = bound.position
        carried = {name: array[at] for name, array in before.items()}  # copies: the block may be scored again
        readings = frame.readings(bound.channels.columns)
        z = np.clip(self._scaling.standardised(readings, at), -SPREADS_MOST, SPREADS_MOST)
        good = np.isfinite(z)
        row = carried["row"] + np.cumsum(good, axis=0, dtype=np.int32)
        broken = self._after_gap(frame.time_ns, carried["last_ns"])
        windows, carried["last"] = recent_windows(z.astype(np.float32), carried["last"], broken)
        level = moving_means(z, carried["level"], weight_of(self._options.level_rows), np.full(len(at), PULL_MOST))
        decades, nearest = self._compared(windows, np.where(good, level[1:], np.nan), row, carried)
        scores, carried["scores"] = first_highest(combined(decades), carried["scores"])
        lowest, carried["lowest"] = running(np.fmin, readings, carried["lowest"])
        highest, carried["highest"] = running(np.fmax, readings, carried["highest"])
        seen = good.any(axis=0)
        first_ns = np.where((carried["row"] == 0) & seen, frame.time_ns[np.argmax(good, axis=0)], carried["first_ns"])
        carried["row"], carried["level"], carried["first_ns"] = row[-1], level[-1], first_ns
        carried["last_ns"] = np.full(len(at), frame.time_ns[-1])
        self._carried.after(frame, replaced(before, at, carried))
        return self._latest.keep(frame, Judged(scores, decades, nearest, level[1:], lowest, highest, first_ns))

    def _compared(self, windows: NDArray[np.float32], level: Array, row: NDArray[np.int32], carried: Arrays) -> tuple[Array, Array]:
        """Decades and nearest values of all parts, shape (n, channels, parts); the memories in `carried` learn."""
        found = []
        for part in range(LEVEL + 1):
            memory = {name: carried[f"{part}:{name}"] for name in MEMORY_ARRAYS}
            width, apart = (1, int(self._options.level_rows)) if part == LEVEL else (WIDTHS[part], WIDTHS[part])
            seen = level[:, :, None].astype(np.float32) if part == LEVEL else np.ascontiguousarray(windows[:, :, :width])
            pieces = []
            for start in range(0, len(seen), CHUNK_ROWS):
                rows = slice(start, start + CHUNK_ROWS)
                memory = with_room(memory, CHUNK_ROWS, self._options.memory)
                pieces.append(novelty(seen[rows], row[rows], apart, memory))
            carried.update({f"{part}:{name}": array for name, array in memory.items()})
            found.append(tuple(np.concatenate(parts) for parts in zip(*pieces, strict=True)))
        decades, nearest = (np.stack(parts, axis=-1) for parts in zip(*found, strict=True))
        return decades, nearest

    def _after_gap(self, time_ns: NDArray[np.int64], last_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Rows before which there was nothing for long, shape (n,)."""
        latest = int(last_ns.max(initial=0))
        steps = np.diff(time_ns, prepend=latest or time_ns[0])
        return np.asarray(steps > GAP_STEPS * self._step_ns) if self._step_ns else np.zeros(len(time_ns), dtype=np.bool_)

    def _nothing(self) -> Arrays:
        """What is carried from block to block, before anything was seen; the first axis is the channel."""
        options, channels = self._options, len(self._scaling.keys)
        arrays: Arrays = {
            "row": np.zeros(channels, dtype=np.int32),
            "last": np.full((channels, max(WIDTHS)), np.nan, dtype=np.float32),
            "level": np.zeros(channels),
            "scores": np.full((channels, options.rest_rows), -np.inf, dtype=np.float32),
            "lowest": np.full(channels, np.inf),
            "highest": np.full(channels, -np.inf),
            "first_ns": np.zeros(channels, dtype=np.int64),
            "last_ns": np.zeros(channels, dtype=np.int64),
        }
        for part, width in enumerate((*WIDTHS, 1)):
            memory = empty_memory(channels, min(CHUNK_ROWS, options.memory), width)
            arrays.update({f"{part}:{name}": array for name, array in memory.items()})
        return arrays

    def _bind(self, layout: Layout) -> Bound:
        channels, position = select_channels(layout, self._options, Kind.GAUGE).among(self._scaling.keys)
        described = zip(channels.keys, channels.names, channels.channels, strict=True)
        return Bound(channels, position, tuple(Unit(unit_key(key, "novel"), name, c.place, "novel") for key, name, c in described))


def combined(decades: Array) -> Array:
    """The score of the parts, shape (n, channels): the quadratic mean over the windows of readings, or the level's where it is higher.

    Parts that cannot be judged yet, as sequences after a gap, do not count. decades: shape (n, channels, parts).
    """
    readings = decades[..., :LEVEL]
    known = np.isfinite(readings)
    square = np.where(known, readings, 0.0) ** 2
    mean = np.sqrt(square.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1))
    score: Array = np.fmax(np.where(known.any(axis=-1), mean, np.nan), decades[..., LEVEL])
    return score
