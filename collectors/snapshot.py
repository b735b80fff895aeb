"""From named readings to frames: the layout is kept as long as the set of channels stays the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from collectors.frame import Column, Frame, Layout, Quality

FORGOTTEN_MOST = 1_000
"""Columns that have gone and whose places are still kept, beyond as many as there are."""


class SnapshotFrames:
    """Makes frames of one row from named readings, with a stable order of columns.

    Columns seen for the first time are appended, and one that comes back returns to its place: as many layouts as there
    are sets of columns, and no more. Where names come and go for ever, those that have gone are forgotten.
    """

    def __init__(self, source: str, part: str = "") -> None:
        self._source = source
        self._part = part
        self._layout = Layout(source, (), part)
        self._places: dict[str, int] = {}

    def frame(
        self, time_ns: int, columns: Sequence[Column], values: Mapping[str, float], bad: Mapping[str, Quality] | None = None
    ) -> Frame:
        """One snapshot. `values` holds a number for each channel's name; one that is missing is NaN."""
        described = {column.name: column for column in columns}
        for name in described:
            self._places.setdefault(name, len(self._places))
        arranged = tuple(sorted(described.values(), key=lambda column: self._places[column.name]))
        if len(self._places) > 2 * len(arranged) + FORGOTTEN_MOST:
            self._places = {column.name: place for place, column in enumerate(arranged)}
        if arranged != self._layout.columns:
            self._layout = Layout(self._source, arranged, self._part)
        row = np.array([[values.get(column.name, np.nan) for column in arranged]], dtype=np.float64)
        quality = None
        if bad:
            quality = np.array([[bad.get(column.name, Quality.GOOD) for column in arranged]], dtype=np.uint8)
        return Frame(self._layout, np.array([time_ns], dtype=np.int64), row, quality)
