"""Health of channels: silent and stuck ones among readings, dead regions and hot channels in maps of hits.

- *silent*: readings (or entries of a histogram) have stopped. Score: time since the last one over the longest time that is
  usual; more than 1 has not been seen before.
- *stuck*: a reading does not change any more. Score: rows without a change over the longest run that is usual, 0 up to a few
  times that. Channels that are naturally constant are not judged.
- *dead_region*, *hot_channel*: see `detectors.occupancy`. Score: -log10 of the chance of such a region or cell anywhere on the
  map. Intervals with too few entries cannot be judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Channel, Frame, Histogram, Kind, Layout, Quality, Storage
from detectors.bins import count_columns, counts, good_rows
from detectors.blocks import Carried
from detectors.figure import Figure
from detectors.finding import Evidence, Scores, Unit
from detectors.health_evidence import dead_evidence, hot_evidence, silent_evidence, stuck_evidence
from detectors.health_picture import channel_picture, map_picture
from detectors.liveness import Liveness, beginning, follow, learn_liveness
from detectors.occupancy import Judging, Occupancy, dead_region, dead_scores, hot_cells, hot_scores, learn_occupancy, row_blocks
from detectors.selection import PerLayout, SelectionOptions, matches_any, select_channels, select_histograms, unit_key

Array = NDArray[np.float64]

EXCUSED = (Quality.RAMPING, Quality.MUTED)


STUCK_RATIO_LEAST = 5.0
"""A run without a change is nothing yet until it is this many times the longest that was seen: lengths of runs have heavy tails."""


class ChannelHealthOptions(SelectionOptions):
    """Options of the detector `channel_health`."""

    maps: tuple[str, ...] = ("*occupancy*", "*Occupancy*")
    """Patterns of the paths of histograms whose bins are channels; of others only silence is judged."""
    dead_ratio: float = Field(default=0.5, gt=0, lt=1)
    """A channel can be dead where it counts less than this part of what is expected."""
    hot_ratio: float = Field(default=1.5, gt=1)
    """A channel can be hot where it counts more than this many times what is expected."""
    systematic_ratio: float = Field(default=0.05, ge=0)
    """Relative fluctuation of a channel beyond counting statistics that is always allowed for."""
    entries_per_bin: float = Field(default=3.0, gt=0)
    """Entries of an interval, for each bin that usually counts, below which its map cannot be judged."""


@dataclass(frozen=True, eq=False)
class _Followed:
    """Columns whose readings are followed, with their keys, names and frame columns (that of the entries of a histogram)."""

    columns: tuple[Channel | Histogram, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    frame_columns: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _MapView:
    """A map of a layout: the frame columns of its counts and what is usual for it."""

    histogram: Histogram
    columns: NDArray[np.int64]
    squares: NDArray[np.int64] | None
    model: Occupancy


@dataclass(frozen=True, eq=False)
class _Bound:
    """What is judged of a layout: columns followed (gauges, then entries of histograms), maps, and the units of all.

    position: of each followed column in the model; stuck: positions among the followed columns that can be stuck.
    """

    columns: tuple[Channel | Histogram, ...]
    names: tuple[str, ...]
    frame_columns: NDArray[np.int64]
    position: NDArray[np.int64]
    stuck: NDArray[np.int64]
    maps: tuple[_MapView, ...]
    units: tuple[Unit, ...]


class ChannelHealthDetector:
    """Silent, stuck, dead and hot channels; see the module. Cost: O(rows x columns), and a labelling of rows with low cells.

    Example::

        [detector.channel_health]
        maps = ["*occupancy*"]
        systematic_ratio = 0.05
    """

    options_model: ClassVar[type[Options]] = ChannelHealthOptions
    rows_needed: ClassVar[int] = 60

    def __init__(self, name: str, options: ChannelHealthOptions) -> None:
        self.name = name
        self._options = options
        self._judging = Judging(options.dead_ratio, options.hot_ratio)
        self._liveness = Liveness((), np.empty(0), np.empty(0))
        self._maps: dict[str, Occupancy] = {}
        self._carried = Carried(beginning(0, 0))
        self._bound = PerLayout(self._bind)

    def applies(self, layout: Layout) -> bool:
        """Whether there are gauges or histograms to judge."""
        return bool(self._followed(layout).columns)

    def fit(self, history: Frame) -> Self:
        """Learns how long each column is usually silent and unchanged, and the usual counts of each map."""
        followed = self._followed(history.layout)
        values, excused = _readings(history, followed.columns, followed.frame_columns)
        self._liveness, after = learn_liveness(followed.keys, values, excused, history.time_ns)
        self._carried = Carried(beginning(len(self._liveness.keys), int(history.time_ns[-1])))
        self._carried.after(history, after)
        self._maps = {}
        for histogram in self._map_histograms(history.layout):
            content = counts(history, histogram, *count_columns(history.layout, histogram))
            shape = tuple(axis.bins for axis in histogram.axes)
            model = learn_occupancy(content, shape, self._options.systematic_ratio)
            if model is not None:
                self._maps[history.layout.key(histogram.path)] = model
        self._bound.forget()
        return self

    def score(self, frame: Frame) -> Scores:
        """See the module; ramping and muted readings are not judged, and a silence begins anew after them."""
        bound = self._bound.of(frame.layout)
        if not len(frame):
            return Scores(bound.units, np.empty((0, len(bound.units))))
        gap, run, absent, excused = self._follow(frame, bound)
        silent = np.where(excused, np.nan, gap / self._liveness.gap_ns[bound.position])
        runs = run / self._liveness.run_rows[bound.position]
        stuck = np.where(absent, np.nan, np.where(runs < STUCK_RATIO_LEAST, 0.0, runs))[:, bound.stuck]
        maps = [column for view in bound.maps for column in self._map_scores(frame, view)]
        return Scores(bound.units, np.concatenate([silent, stuck, *maps], axis=1))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Since when, or which bins with their coordinates."""
        bound = self._bound.of(frame.layout)
        followed, stuck = len(bound.columns), len(bound.stuck)
        if unit < followed + stuck:
            i = unit if unit < followed else int(bound.stuck[unit - followed])
            gap, run, _, _ = self._follow(frame, bound)
            if unit < followed:
                usual_ns = float(self._liveness.gap_ns[bound.position[i]])
                return silent_evidence(bound.columns[i], bound.names[i], float(gap[row, i]) / 1e9, usual_ns / 1e9)
            usual_rows = float(self._liveness.run_rows[bound.position[i]])
            value = float(frame.values[row, bound.frame_columns[i]])
            return stuck_evidence(bound.columns[i], bound.names[i], value, int(run[row, i]), usual_rows)
        number, hot = divmod(unit - followed - stuck, 2)
        view = bound.maps[number]
        content = counts(frame.rows(slice(row, row + 1)), view.histogram, view.columns, view.squares)[0]
        if hot:
            return hot_evidence(view.histogram, content, hot_cells(view.model, content, self._judging))
        return dead_evidence(view.histogram, content, dead_region(view.model, content, self._judging))

    def picture(self, recent: Frame, row: int, unit: int) -> Figure | None:
        """The readings of a silent or stuck channel; the map with its dead region or hot channels outlined."""
        bound = self._bound.of(recent.layout)
        followed, stuck = len(bound.columns), len(bound.stuck)
        if unit < followed + stuck:
            i = unit if unit < followed else int(bound.stuck[unit - followed])
            column = int(bound.frame_columns[i])
            return channel_picture(recent, row, bound.columns[i], bound.names[i], column, bound.units[unit].condition)
        number, hot = divmod(unit - followed - stuck, 2)
        view = bound.maps[number]
        content = counts(recent.rows(slice(row, row + 1)), view.histogram, view.columns, view.squares)[0]
        judged = hot_cells(view.model, content, self._judging) if hot else dead_region(view.model, content, self._judging)
        return map_picture(view.histogram, view.model, content, judged, hot=bool(hot))

    def state(self) -> dict[str, Any]:
        """What was learned and what runs on from block to block."""
        maps = {key: model.state() for key, model in self._maps.items()}
        return {"version": 1, "liveness": self._liveness.state(), "maps": maps, "carried": self._carried.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""
        if state.get("version") != 1:
            raise ValueError(f"detector {self.name}: model of version {state.get('version')}, this is version 1")
        self._liveness = Liveness.of(state["liveness"])
        self._maps = {key: Occupancy.of(model) for key, model in state["maps"].items()}
        self._carried = Carried.of(state["carried"])
        self._bound.forget()

    def _followed(self, layout: Layout) -> _Followed:
        """Gauges and histograms that are selected."""
        gauges = select_channels(layout, self._options, Kind.GAUGE)
        histograms = select_histograms(layout, self._options)
        keys = (*gauges.keys, *(layout.key(h.path) for h in histograms))
        entries = np.array([layout.position(h.path) for h in histograms], dtype=np.int64)
        names = (*gauges.names, *(h.path for h in histograms))
        return _Followed((*gauges.channels, *histograms), keys, names, np.concatenate([gauges.columns, entries]))

    def _map_histograms(self, layout: Layout) -> list[Histogram]:
        """Selected histograms whose bins are channels, of one or two dimensions."""
        selected = select_histograms(layout, self._options)
        fits = (h for h in selected if h.storage is not Storage.PROFILE and len(h.axes) <= 2)
        return [h for h in fits if matches_any(self._options.maps, h.path)]

    def _bind(self, layout: Layout) -> _Bound:
        followed = self._followed(layout)
        at = {key: i for i, key in enumerate(self._liveness.keys)}
        kept = [i for i, key in enumerate(followed.keys) if key in at]
        columns = tuple(followed.columns[i] for i in kept)
        keys, names = [followed.keys[i] for i in kept], tuple(followed.names[i] for i in kept)
        position = np.array([at[key] for key in keys], dtype=np.int64)
        can_stick = [i for i, c in enumerate(columns) if isinstance(c, Channel) and np.isfinite(self._liveness.run_rows[position[i]])]
        maps = []
        for histogram in self._map_histograms(layout):
            model = self._maps.get(layout.key(histogram.path))
            if model is not None:
                maps.append(_MapView(histogram, *count_columns(layout, histogram), model))
        units = [Unit(unit_key(keys[i], "silent"), names[i], c.place, "silent") for i, c in enumerate(columns)]
        units += [Unit(unit_key(keys[i], "stuck"), names[i], columns[i].place, "stuck") for i in can_stick]
        for view in maps:
            path = view.histogram.path
            for condition in ("dead_region", "hot_channel"):
                units.append(Unit(unit_key(layout.key(path), condition), path, view.histogram.place, condition))
        frame_columns = followed.frame_columns[np.array(kept, dtype=np.int64)]
        return _Bound(columns, names, frame_columns, position, np.array(can_stick, dtype=np.int64), tuple(maps), tuple(units))

    def _follow(self, frame: Frame, bound: _Bound) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Time since the last reading, rows without a change, whether a reading is absent and whether it is excused."""
        values, excused = _readings(frame, bound.columns, bound.frame_columns)
        before = self._carried.before(frame)
        at = bound.position
        gap, run, after = follow(values, excused, frame.time_ns, {name: array[at] for name, array in before.items()})
        whole = {name: array.copy() for name, array in before.items()}
        for name, array in after.items():
            whole[name][at] = array
        self._carried.after(frame, whole)
        return gap, run, np.isnan(values) | excused, excused

    def _map_scores(self, frame: Frame, view: _MapView) -> tuple[Array, Array]:
        """Scores of dead regions and hot channels of one map, each of shape (n, 1)."""
        content = counts(frame, view.histogram, view.columns, view.squares)
        dead, hot = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
        enough = self._options.entries_per_bin * np.count_nonzero(view.model.part)
        rows = np.flatnonzero(np.nan_to_num(content.sum(axis=1)) >= enough)
        at = 0
        for some in row_blocks(content[rows]):
            where = rows[at : at + len(some)]
            dead[where] = dead_scores(view.model, some, self._judging)
            hot[where] = hot_scores(view.model, some, self._judging)
            at += len(some)
        return dead[:, None], hot[:, None]


def _readings(frame: Frame, columns: tuple[Channel | Histogram, ...], frame_columns: NDArray[np.int64]) -> tuple[Array, NDArray[np.bool_]]:
    """A value where there is a good reading or where a histogram has got entries, else NaN; and what is excused. Both (n, columns)."""
    values = frame.readings(frame_columns)
    for i, column in enumerate(columns):
        if isinstance(column, Histogram):
            values[~good_rows(frame, column) | (values[:, i] <= 0), i] = np.nan
    if frame.quality is None:
        return values, np.zeros(values.shape, dtype=np.bool_)
    return values, np.isin(frame.quality[:, frame_columns], EXCUSED)
