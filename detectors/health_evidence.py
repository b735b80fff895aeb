"""What is said of silent, stuck, dead and hot channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Histogram
from detectors.bins import bin_name, region_name
from detectors.finding import Contribution, Evidence
from detectors.occupancy import Map
from detectors.wording import amount, lasting, times

Array = NDArray[np.float64]

RANKED_MOST = 10


def silent_evidence(column: Channel | Histogram, name: str, silent_s: float, usual_s: float) -> Evidence:
    """Readings, or entries of a histogram, have stopped."""
    what = "readings" if isinstance(column, Channel) else "entries"
    summary = f"{name} has had no {what} for {lasting(silent_s)}, usually never longer than {lasting(usual_s)}"
    return Evidence(summary, (Contribution(name, column.place, silent_s, usual_s, 1.0, "s"),))


def stuck_evidence(column: Channel | Histogram, name: str, value: float, rows: int, usual_rows: float) -> Evidence:
    """A reading does not change any more."""
    unit = column.unit if isinstance(column, Channel) else ""
    summary = f"{name} is stuck at {amount(value, unit)}: the same in {rows + 1} readings, usually never in more than {usual_rows + 1:.0f}"
    return Evidence(summary, (Contribution(name, column.place, rows + 1.0, usual_rows + 1.0, 1.0, "readings"),))


def dead_evidence(histogram: Histogram, content: Array, region: Map) -> Evidence:
    """A connected region counts far too little; its bins rank by what is missing."""
    cells = region.cells
    observed, expected = float(content[cells].sum()), float(region.expected[cells].sum())
    size = "1 bin" if len(cells) == 1 else f"{len(cells)} bins"
    where = f" at {region_name(histogram, cells)}" if len(cells) else ""
    summary = f"Dead region of {size} in {histogram.path}{where}: {observed:.0f} entries, {expected:.0f} expected"
    return Evidence(summary, _ranked(histogram, content, region, region.expected[cells] - content[cells]))


def hot_evidence(histogram: Histogram, content: Array, hot: Map) -> Evidence:
    """Cells count far too much; they rank by what is too much."""
    excess = content[hot.cells] - hot.expected[hot.cells]
    ranked = _ranked(histogram, content, hot, excess)
    if not ranked:
        return Evidence(f"No hot channel in {histogram.path}")
    first = ranked[0]
    ratio = times(first.observed / first.expected) if first.expected > 0 else "infinitely"
    others = f"; {len(hot.cells) - 1} more" if len(hot.cells) > 1 else ""
    summary = f"Hot channel in {histogram.path} at {first.name}: {first.observed:.0f} entries, {ratio} times the expected"
    return Evidence(summary + f" {first.expected:.0f}{others}", ranked)


def _ranked(histogram: Histogram, content: Array, judged: Map, weight: Array) -> tuple[Contribution, ...]:
    order = np.argsort(-weight, kind="stable")[:RANKED_MOST]
    total = max(float(weight.sum()), 1e-300)
    return tuple(
        Contribution(
            bin_name(histogram, int(judged.cells[i])),
            histogram.place,
            float(content[judged.cells[i]]),
            float(judged.expected[judged.cells[i]]),
            float(weight[i]) / total,
            "entries",
        )
        for i in order
    )
