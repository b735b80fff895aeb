"""Frames of snapshots of many objects that come and go: FEDs, readout units, partitions of several years."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.collector import CollectError
from collectors.frame import Channel, Frame, Kind, Layout, LayoutError

MAX_FRAME_BYTES = 380_000
"""Values and quality of a frame stay below this, a margin below the largest block of the bus."""


@dataclass(frozen=True, slots=True)
class Field:
    """One reading that objects of a kind have; `name` is the last part of the channel's name."""

    name: str
    quantity: str
    unit: str
    kind: Kind = Kind.GAUGE
    states: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Objects:
    """All objects of one kind, and their readings.

    names ("fed/101"), places: one for each of m objects, in the order of columns. has: shape (m, fields), which objects
    have which field. snapshot: index of the snapshot of each of k records, rising. which: the object of each record,
    shape (k,). values: shape (k, fields), float64. quality: shape (k, fields), uint8.
    """

    fields: tuple[Field, ...]
    names: Sequence[str]
    places: Sequence[str]
    has: NDArray[np.bool_]
    snapshot: NDArray[np.int64]
    which: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def channels(self, objects: NDArray[np.int64]) -> list[Channel]:
        """The channels of some of the objects, in order."""
        return [
            Channel(f"{self.names[i]}/{field.name}", field.quantity, field.unit, field.kind, self.places[i], field.states)
            for i in objects.tolist()
            for field, has in zip(self.fields, self.has[i].tolist(), strict=True)
            if has
        ]

    def columns(self, objects: NDArray[np.int64], start: int) -> NDArray[np.int64]:
        """Frame column of each object's fields where these objects come from column `start` on, else -1; (m, fields)."""
        columns = np.full(self.has.shape, -1, dtype=np.int64)
        has = self.has[objects]
        placed = np.full(has.shape, -1, dtype=np.int64)
        placed[has] = start + np.arange(int(has.sum()))
        columns[objects] = placed
        return columns


class SnapshotAssembler:
    """Puts the readings of all kinds of objects into frames, one row a snapshot.

    Consecutive snapshots with the same objects share a layout; the layout changes only when the set of objects does.
    """

    def __init__(self, source: str, time_ns: NDArray[np.int64], kinds: Sequence[Objects]) -> None:
        self._source = source
        self._time_ns = time_ns
        self._kinds = kinds
        self._present = [_presence(kind, len(time_ns)) for kind in kinds]
        self._layouts: dict[bytes, tuple[Layout, list[NDArray[np.int64]]]] = {}

    def frames(self, wanted: NDArray[np.bool_]) -> Iterator[Frame]:
        """Frames of the snapshots wanted (shape (snapshots,)), in order of time."""
        patterns = np.packbits(np.concatenate(self._present, axis=1), axis=1)
        indices = np.flatnonzero(wanted)
        for pattern, group in itertools.groupby(indices.tolist(), key=lambda i: patterns[i].tobytes()):
            rows = list(group)
            layout, columns = self._layout(pattern, rows[0])
            step = max(1, MAX_FRAME_BYTES // (9 * max(1, layout.width)))
            for start in range(0, len(rows), step):
                yield self._frame(layout, columns, np.array(rows[start : start + step]))

    def _layout(self, pattern: bytes, example: int) -> tuple[Layout, list[NDArray[np.int64]]]:
        if pattern not in self._layouts:
            channels: list[Channel] = []
            columns = []
            for kind, present in zip(self._kinds, self._present, strict=True):
                objects = np.flatnonzero(present[example])
                columns.append(kind.columns(objects, len(channels)))
                channels += kind.channels(objects)
            try:
                self._layouts[pattern] = Layout(self._source, tuple(channels)), columns
            except LayoutError as error:  # the same partition or FED at two places in one snapshot
                raise CollectError(str(error)) from error
        return self._layouts[pattern]

    def _frame(self, layout: Layout, columns: list[NDArray[np.int64]], rows: NDArray[np.int64]) -> Frame:
        values = np.full((len(rows), layout.width), np.nan)
        quality = np.zeros(values.shape, dtype=np.uint8)
        for kind, columns_of_kind in zip(self._kinds, columns, strict=True):
            first, last = np.searchsorted(kind.snapshot, [rows[0], rows[-1] + 1])
            records = np.arange(first, last)
            row = np.searchsorted(rows, kind.snapshot[records])
            records, row = (a[rows[np.minimum(row, len(rows) - 1)] == kind.snapshot[records]] for a in (records, row))
            target = columns_of_kind[kind.which[records]]
            record, field = np.nonzero(target >= 0)
            at = row[record], target[record, field]
            values[at] = kind.values[records[record], field]
            quality[at] = kind.quality[records[record], field]
        return Frame(layout, self._time_ns[rows], values, quality if quality.any() else None)


def _presence(kind: Objects, snapshots: int) -> NDArray[np.bool_]:
    present = np.zeros((snapshots, len(kind.names)), dtype=np.bool_)
    present[kind.snapshot, kind.which] = True
    return present
