"""What did it learn? Whether nuisances drive the scores of a detector, and whether data drawn from its model look like the data.

Both are told at training, as sentences: a detector whose score is the hour of the day in disguise raises alarms every night.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Kind
from detectors.finding import Scores
from detectors.scaling import learn_scaling
from detectors.selection import SelectionOptions, select_channels

Array = NDArray[np.float64]

COMPARED_ROWS: Final = 400
"""Rows, drawn at random, that a dependence is worked out from: the cost grows with their square. Evenly spaced rows could meet
the same few hours every day."""
ROWS_LEAST: Final = 60
DAYS_LEAST: Final = 3.0
"""Whatever changes slowly goes with the hour of the day for a day or two."""
DRIVES: Final = 0.5
"""Distance correlation from which a nuisance is said to drive a score."""
NOTED: Final = 0.25
"""And from which a dependence is worth a word."""
HOUR: Final = "hour of day"
LOAD: Final = "load (mean of all gauges)"
REMEDIES: Final = {HOUR: "season = true takes it out", LOAD: "a condition that the load follows would take it out"}
BINS: Final = 8
BARS: Final = "▁▂▃▄▅▆▇█"
DRAWN_ROWS: Final = 2000
SPREAD_OFF: Final = 1.5
"""The spread of drawn readings may be so many times that of real ones, or the other way round."""
CORRELATION_OFF: Final = 0.3
NAMED_MOST: Final = 5


@runtime_checkable
class Simulating(Protocol):
    """A detector that can make up data."""

    def simulate(self, rows: int, seed: int, group: int = 0) -> Array:
        """Rows drawn from the model of a group, in the units of its channels; shape (rows, channels)."""


def distance_correlation(x: Array, y: Array) -> float:
    """How far y depends on x in any way, 0 (not at all) to 1; x, y: shape (n,), finite.

    Source: G. Szekely, M. Rizzo, N. Bakirov, Ann. Stat. 35 (2007) 2769; the unbiased form of Ann. Stat. 42 (2014) 2382, below 0 as 0.
    """
    n = len(x)
    if n < 4:
        return 0.0
    a, b = (_centred(np.abs(v[:, None] - v[None, :])) for v in (x, y))
    scale = n * (n - 3)
    product, own = float((a * b).sum()) / scale, float((a * a).sum() * (b * b).sum()) / scale**2
    return float(np.sqrt(max(product, 0.0) / np.sqrt(own))) if own > 0 else 0.0


def sensitivity(scores: Scores, frame: Frame, conditions: Mapping[str, Array], zone: tzinfo = UTC) -> list[str]:
    """A line for each nuisance: how the scores of normal rows go with it, strongest first; and whether one drives them.

    scores: of the frame's rows; conditions: by name, one number a row, NaN where unknown. The hour of the day and the load (the
    mean of all scaled gauges) are always among the nuisances.
    """
    highest = np.where(np.isfinite(scores.values), scores.values, -np.inf).max(axis=1, initial=-np.inf)
    nuisances = {**conditions, HOUR: _hours(frame.time_ns, zone), LOAD: _load(frame)}
    found = []
    for name, values in nuisances.items():
        known = np.flatnonzero(np.isfinite(highest) & np.isfinite(values))
        if len(known) < ROWS_LEAST or np.ptp(values[known]) == 0 or np.ptp(highest[known]) == 0:
            continue
        compared = np.sort(np.random.default_rng(len(known)).permutation(known)[:COMPARED_ROWS])
        strength = distance_correlation(_ranks(values[compared]), _ranks(highest[compared]))  # a wild reading is one of many
        found.append((strength, name, _bars(values[known], highest[known])))
    days = float(np.ptp(frame.time_ns)) / 86_400e9 if len(frame) else 0.0
    lines = []
    for strength, name, bars in sorted(found, key=lambda one: -one[0]):
        told = (
            _verdict(name, strength)
            if name != HOUR or days >= DAYS_LEAST
            else f"; {days:.1f} days are too few to tell, {DAYS_LEAST:.0f} are needed"
        )
        lines.append(f"score against {name}: {bars} (distance correlation {strength:.2f}){told}")
    return lines


def predictive_check(detector: object, history: Frame, seed: int = 1) -> list[str]:
    """Whether data that the model makes up look like those it learned: spreads and correlations of channels.

    Source: A. Gelman, X. Meng, H. Stern, Stat. Sinica 6 (1996) 733. Nothing for a detector that cannot make up data, or that has
    several groups.
    """
    if not isinstance(detector, Simulating):
        return []
    gauges = select_channels(history.layout, SelectionOptions(), Kind.GAUGE)
    real = history.readings(gauges.columns)
    drawn = detector.simulate(DRAWN_ROWS, seed)
    if drawn.shape[1] != real.shape[1]:
        return []
    real = real[np.isfinite(real).all(axis=1)]
    if len(real) < ROWS_LEAST:
        return []
    spread, made = real.std(axis=0), drawn.std(axis=0)
    moving = spread > 0
    ratio = np.where(moving, made / np.where(moving, spread, 1.0), 1.0)
    off = [gauges.names[i] for i in np.flatnonzero((ratio > SPREAD_OFF) | (ratio < 1 / SPREAD_OFF))]
    lines = [
        f"data drawn from the model vary as the real ones do in {int(moving.sum()) - len(off)} of {int(moving.sum())} channels{_named(off)}"
    ]
    both = np.flatnonzero(moving & (made > 0))
    if len(both) > 1:
        pairs = np.triu_indices(len(both), 1)
        gap = np.abs(np.asarray(np.corrcoef(real[:, both].T)) - np.asarray(np.corrcoef(drawn[:, both].T)))[pairs]
        lines.append(f"and go together as they do in {float((gap < CORRELATION_OFF).mean()):.0%} of {len(gap)} pairs of channels")
    return lines


def _centred(distance: Array) -> Array:
    """U-centred distances, 0 on the diagonal."""
    n = len(distance)
    rows = distance.sum(axis=1, keepdims=True) / (n - 2)
    result: Array = distance - rows - rows.T + distance.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(result, 0.0)
    return result


def _hours(time_ns: NDArray[np.int64], zone: tzinfo) -> Array:
    """Local hour of the day of each row, with the zone's offset at the first row."""
    if not len(time_ns):
        return np.empty(0)
    offset = datetime.fromtimestamp(int(time_ns[0]) // 1_000_000_000, zone).utcoffset()
    seconds = time_ns / 1e9 + (offset.total_seconds() if offset is not None else 0.0)
    hours: Array = seconds % 86_400 / 3600
    return hours


def _ranks(values: Array) -> Array:
    """Rank of each value, the mean rank where several are equal; equal values must not take the order of the rows."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank: Array = np.cumsum(count) - (count + 1) / 2
    return mean_rank[which]


def _load(frame: Frame) -> Array:
    gauges = select_channels(frame.layout, SelectionOptions(), Kind.GAUGE)
    readings = frame.readings(gauges.columns)
    scaling = learn_scaling(gauges.keys, readings)
    known, position = gauges.among(scaling.keys)
    if not len(known):
        return np.full(len(frame), np.nan)
    z = scaling.standardised(frame.readings(known.columns), position)
    there = np.isfinite(z)
    count = there.sum(axis=1)
    mean: Array = np.where(count > 0, np.where(there, z, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
    return mean


def _bars(values: Array, scores: Array) -> str:
    """Median score in parts of the nuisance's range, from low to high; each part has as many rows."""
    parts = [part for part in np.array_split(scores[np.argsort(values, kind="stable")], BINS) if len(part)]
    medians = np.array([np.median(part) for part in parts])
    low, high = np.quantile(scores, [0.05, 0.95])
    level = np.clip((medians - low) / (high - low), 0, 1) if high > low else np.zeros(len(medians))
    return "".join(BARS[round(float(part) * (len(BARS) - 1))] for part in level)


def _verdict(name: str, strength: float) -> str:
    if strength >= DRIVES:
        return f": it drives the score; {REMEDIES.get(name, 'among the conditions of the detector it would be taken out')}"
    return ": noticeable" if strength >= NOTED else ""


def _named(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else ""
    return f"; not in {', '.join(names[:NAMED_MOST])}{more}"
