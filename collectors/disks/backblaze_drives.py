"""From rows of drive statistics to frames: one a day for each group of drives, with layouts that stay.

A fleet has hundreds of thousands of drives, and each day a few come and a few go. One layout of all of them would be too large
for the wire and would change every day. So drives are put into groups of one model as they are first seen, and each group is a
part of the source, with a layout and a stream of its own. Only a new drive changes a layout, that of the youngest group of its
model; one that goes keeps its columns, as disconnected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.collector import Collected, Rejected
from collectors.disks.backblaze_rows import serial_and_model
from collectors.disks.disk_attributes import ATA_COUNTS, SEEK_ERRORS, is_seagate
from collectors.disks.disk_frames import step
from collectors.frame import Channel, Frame, Kind, Layout, Quality
from collectors.patterns import Selection, join_place

DRIVES_PER_PART = 250
"""A layout of as many drives with a dozen channels each is a record of half a megabyte."""
DAY_NS = 86_400_000_000_000
FAILURE = "failure"
FAILURES = ("OPERATIONAL", "FAILED")
_UNUSED = (float(0xFFFFFFFF), float(0xFFFFFFFFFFFF))
_UNWANTED = -1

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attribute:
    """A channel of every drive, and the column it is read from."""

    name: str
    column: str
    unit: str = "1"
    kind: Kind = Kind.GAUGE
    number: int = 0
    seagate_only: bool = False

    def unpacked(self, raw: Array, *, seagate: bool) -> Array:
        """The count in the 48 bits of a raw value, as `collectors.disks.disk_attributes.unpacked`; NaN where the drive keeps none."""
        if seagate and self.number in (1, 7):
            raw = np.floor_divide(raw, 2.0**32)
        elif self.number in (5, 188, 196):
            raw = np.where(raw > 0xFFFF, np.mod(raw, 0x10000), raw)
        elif self.number == 9:
            raw = np.mod(raw, 0x1000000)
        elif self.unit == "degC":
            raw = np.where(raw > 0xFFFF, np.mod(raw, 0x100), raw)
        return np.where(np.isin(raw, _UNUSED), np.nan, raw)


ATTRIBUTES = {
    attribute.name: attribute
    for attribute in (
        *(Attribute(name, f"smart_{number}_raw", number=number) for number, name in ATA_COUNTS.items()),
        Attribute("temperature", "smart_194_raw", "degC", number=194),
        Attribute("airflow_temperature", "smart_190_raw", "degC", number=190),
        Attribute(SEEK_ERRORS, "smart_7_raw", number=7, seagate_only=True),
        Attribute("start_stop_count", "smart_4_raw", kind=Kind.COUNTER, number=4),
        Attribute("power_on_hours", "smart_9_raw", "h", Kind.COUNTER, number=9),
        Attribute("power_cycles", "smart_12_raw", kind=Kind.COUNTER, number=12),
        Attribute("load_cycles", "smart_193_raw", kind=Kind.COUNTER, number=193),
        Attribute("written_lbas", "smart_241_raw", kind=Kind.COUNTER, number=241),
        Attribute("read_lbas", "smart_242_raw", kind=Kind.COUNTER, number=242),
    )
}
"""All that have a name of their own; any other column can be had by its own name."""


class Day(NamedTuple):
    """All rows of one day; see `collectors.disks.backblaze_rows.Rows`. The first column of `values` is `failure`."""

    day: int
    key: pa.BinaryArray
    values: Array


@dataclass(slots=True)
class Part:
    """A group of drives of one model. `shown`: positions of the attributes that any of the model's drives has."""

    name: str
    model: str
    layout: Layout
    serials: list[str] = field(default_factory=list)
    shown: tuple[int, ...] = ()
    last_day: int = -1


class Drives:
    """All drives ever seen; about 4 kB each with ten attributes."""

    def __init__(self, source: str, place: str, models: Selection, attributes: Sequence[Attribute]) -> None:
        self._source, self._place, self._models = source, place, models
        self._attributes = tuple(attributes)
        self._known = pa.array([], pa.binary())
        self._part_of = np.empty(0, dtype=np.int64)
        self._slot_of = np.empty(0, dtype=np.int64)
        self._parts: list[Part] = []
        self._youngest: dict[str, int] = {}
        self._shown: dict[str, NDArray[np.bool_]] = {}

    def frames(self, day: Day, name: str) -> Iterator[Collected]:
        """The snapshot of a day: a frame of one row for each group that is in it. `name`: of the file, for what is rejected."""
        drive = self._identified(day.key)
        part = self._part_of[drive]
        rows = np.flatnonzero(part != _UNWANTED)
        rows = rows[np.argsort(part[rows], kind="stable")]
        bounds = np.flatnonzero(np.diff(part[rows], prepend=-2, append=-2))
        late = twice = 0
        untrue: list[str] = []
        for first, end in pairwise(bounds):
            some = rows[first:end]
            group = self._parts[part[some[0]]]
            if day.day <= group.last_day:
                late += len(some)
                continue
            group.last_day = day.day
            slots = self._slot_of[drive[some]]
            twice += len(slots) - len(np.unique(slots))
            frame, bad = self._frame(group, day.day, slots, day.values[some])
            untrue += bad
            yield frame
        if late:
            yield Rejected(name, f"{_rows(late)} of {_date(day.day)}, which is not after the day before")
        if twice:
            yield Rejected(name, f"{_rows(twice)} of drives that {_date(day.day)} has twice; the last one of each was taken")
        for channel in untrue[:3]:
            yield Rejected(f"{name} {channel}", f"a value on {_date(day.day)} that cannot be true")
        if len(untrue) > 3:
            yield Rejected(name, f"{len(untrue) - 3} more values on {_date(day.day)} that cannot be true")

    def _identified(self, keys: pa.BinaryArray) -> NDArray[np.int64]:
        """The number of each row's drive; new ones are taken into the youngest group of their model. Shape (rows,)."""
        found = pc.index_in(keys, value_set=self._known)
        if found.null_count:
            new = pc.unique(keys.filter(pc.is_null(found)))
            taken = [self._taken(*serial_and_model(key)) for key in new.to_pylist()]
            self._part_of = np.concatenate([self._part_of, [part for part, _ in taken]]).astype(np.int64)
            self._slot_of = np.concatenate([self._slot_of, [slot for _, slot in taken]]).astype(np.int64)
            self._known = pa.concat_arrays([self._known, new])
            found = pc.index_in(keys, value_set=self._known)
        drive: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
        return drive

    def _taken(self, serial: str, model: str) -> tuple[int, int]:
        """Group and place of a new drive."""
        if not serial or not self._models.accepts(model):
            return _UNWANTED, 0
        number = self._youngest.get(model)
        if number is None or len(self._parts[number].serials) >= DRIVES_PER_PART:
            before = sum(part.model == model for part in self._parts) if number is not None else 0
            number = self._youngest[model] = len(self._parts)
            name = f"{step(model)}.{before}"
            self._parts.append(Part(name, model, Layout(self._source, (), name)))
        part = self._parts[number]
        part.serials.append(serial)
        return number, len(part.serials) - 1

    def _frame(self, part: Part, day: int, slots: NDArray[np.int64], values: Array) -> tuple[Frame, list[str]]:
        """The snapshot of a group, and names of channels whose values cannot be true; `values`: rows of the drives in `slots`."""
        seagate = is_seagate(part.model)
        shown = self._shown.setdefault(part.model, np.zeros(len(self._attributes), dtype=np.bool_))
        shown |= ~np.isnan(values[:, 1:]).all(axis=0)
        layout = self._layout(part, shown, seagate=seagate)
        table = np.full((len(part.serials), 1 + len(part.shown)), np.nan)
        table[slots, 0] = values[:, 0]
        for column, i in enumerate(part.shown, 1):
            attribute, raw = self._attributes[i], values[:, 1 + i]
            table[slots, column] = np.where(raw < 0, raw, attribute.unpacked(raw, seagate=seagate))
        odd = table < 0  # rejected when they were read
        untrue = np.zeros(table.shape, dtype=np.bool_)
        untrue[:, 0] = table[:, 0] > 1
        for column, i in enumerate(part.shown, 1):
            if self._attributes[i].unit == "degC":
                untrue[:, column] |= table[:, column] >= 200
        table[odd | untrue] = np.nan
        quality = np.full(table.shape, Quality.DISCONNECTED, dtype=np.uint8)
        quality[slots] = Quality.GOOD
        quality[odd | untrue] = Quality.INVALID
        names = [layout.columns[i].name for i in np.flatnonzero(untrue)]
        told = quality.reshape(1, -1) if quality.any() else None
        return Frame(layout, np.array([day * DAY_NS]), table.reshape(1, -1), told), names

    def _layout(self, part: Part, shown: NDArray[np.bool_], *, seagate: bool) -> Layout:
        """Of each drive its failure, then the attributes that drives of its model have."""
        wanted = tuple(i for i in np.flatnonzero(shown).tolist() if seagate or not self._attributes[i].seagate_only)
        described = len(part.layout.columns) // (1 + len(wanted)) if part.shown == wanted else 0
        if described < len(part.serials):
            part.shown = wanted
            new = (channel for serial in part.serials[described:] for channel in self._channels(part, serial))
            part.layout = Layout(self._source, (*(part.layout.columns if described else ()), *new), part.name)
        return part.layout

    def _channels(self, part: Part, serial: str) -> Iterator[Channel]:
        place = join_place(self._place, step(f"{part.model}-{serial}"))
        yield Channel(f"{serial}/{FAILURE}", FAILURE, "", Kind.STATE, place, FAILURES)
        for i in part.shown:
            attribute = self._attributes[i]
            yield Channel(f"{serial}/{attribute.name}", attribute.name, attribute.unit, attribute.kind, place)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))
