"""What the detector `channel_health` saw: readings that stopped, maps with dead regions and hot channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Histogram
from detectors.figure import HistogramFigure, MapFigure, SeriesFigure
from detectors.occupancy import Map, Occupancy
from detectors.picturing import Moment, histogram_figure, line, map_figure
from detectors.reference_picture import MARKED_MOST, pull_limit

Array = NDArray[np.float64]


def channel_picture(recent: Frame, row: int, column: Channel | Histogram, name: str, frame_column: int, condition: str) -> SeriesFigure:
    """Readings of a channel that is silent or stuck, or entries of a silent histogram; since: when it began to be."""
    moment = Moment.of(recent, row)
    values = moment.readings(np.array([frame_column]))[:, 0]
    if condition == "silent":
        bad = ~np.isfinite(values) | (isinstance(column, Histogram) & (values <= 0))
        title = f"{name}: no {'readings' if isinstance(column, Channel) else 'entries'} any more"
    else:
        bad = values == values[moment.at]
        title = f"{name} does not change any more"
    unit = column.unit if isinstance(column, Channel) else "entries"
    return moment.series(title, [line(name, unit, values, share=1.0)], bad)


def map_picture(histogram: Histogram, model: Occupancy, content: Array, judged: Map, *, hot: bool) -> HistogramFigure | MapFigure:
    """A map with the cells that count too little or too much; content: counts, shape (cells,)."""
    expected = judged.expected
    spread = np.sqrt(np.maximum(expected, 1.0) + (expected * model.systematic) ** 2)
    pulls = (content - expected) / spread
    cells = judged.cells[np.argsort(-np.abs(pulls[judged.cells]), kind="stable")][:MARKED_MOST] if hot else judged.cells
    if len(histogram.axes) == 2:
        return map_figure(histogram, "entries", content, expected, cells, region=not hot)
    suspicious = np.zeros(len(content), dtype=np.bool_)
    suspicious[cells] = True
    errors = np.sqrt(np.maximum(content, 1.0)), expected * model.systematic
    limit = pull_limit(len(content))
    return histogram_figure(histogram, "entries", (content, errors[0]), (expected, errors[1]), pulls, limit, suspicious)
