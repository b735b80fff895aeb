"""DAQ snapshots as arrays: what each column of a layout is, worked out once, and the readings of a frame by object.

The channels are those of a DAQ snapshot source (fed/N/…, partition/NAME/…, ru/HOST/…, subsystem/NAME/status, global/…,
bu_summary/…); what a source does not have reads as NaN everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Layout

READY, WARNING, BUSY, OUT_OF_SYNC, ERROR, DISCONNECTED, INVALID = range(7)
TTS_NAMES = ("READY", "WARNING", "BUSY", "OUT_OF_SYNC", "ERROR", "DISCONNECTED", "INVALID")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Group:
    """All objects of one kind: names ("101", "TIBTID") and places, and the frame columns of each field, -1 for none; (k,)."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    columns: dict[str, Indices]

    def __len__(self) -> int:
        return len(self.names)


class Wiring:
    """Which readout unit reads each FED, and which pseudo-FED carries its TTS state.

    fed_unit, fed_carrier: index of the unit and of the FED, -1 for none; shape (feds,). on_unit: 1 where a FED is read by a
    unit; shape (feds, units). behind: 1 where the state of a FED (first axis) is carried by another; shape (feds, feds).
    """

    def __init__(self, fed_unit: Indices, fed_carrier: Indices, units: int) -> None:
        self.fed_unit = fed_unit
        self.fed_carrier = fed_carrier
        self.on_unit = membership(fed_unit, units)
        self.behind = membership(fed_carrier, len(fed_carrier))


class DaqLayout:
    """What the columns of a layout mean to the DAQ rule. `known` is False where it is no layout of a DAQ snapshot source."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        parts: dict[str, dict[str, dict[str, int]]] = {kind: {} for kind in ("fed", "partition", "ru", "subsystem")}
        places: dict[str, str] = {}
        for column, start in zip(layout.columns, layout.starts.tolist(), strict=False):
            kind, _, rest = column.name.partition("/")
            name, _, field = rest.rpartition("/")
            if kind in parts and name and isinstance(column, Channel):
                parts[kind].setdefault(name, {})[field] = start
                places.setdefault(f"{kind}/{name}", column.place)
        self.feds, self.partitions, self.units, self.subsystems = (_group(kind, fields, places) for kind, fields in parts.items())
        self.fed_numbers: Floats = np.array([float(name) if name.isdigit() else np.nan for name in self.feds.names])
        self.known = "global/fb.rate" in layout
        self.daq_place = (layout.column("global/fb.rate").place if self.known else "") or "DAQ"
        self.root = self.daq_place.rpartition("/")[0]
        self._wiring: tuple[bytes, Wiring] | None = None
        self._partition_of = {place: i for i, place in enumerate(self.partitions.places)}

    def place(self, name: str) -> str:
        """The place of something directly below the root ("HLT")."""
        return f"{self.root}/{name}" if self.root else name

    @cached_property
    def fed_partition(self) -> Indices:
        """Index of each FED's partition, -1 where it is not known; shape (feds,)."""
        parents = (place.rpartition("/")[0] for place in self.feds.places)
        return np.array([self._partition_of.get(parent, -1) for parent in parents], dtype=np.int64)

    @cached_property
    def in_partition(self) -> NDArray[np.float32]:
        """1 where a FED belongs to a partition; shape (feds, partitions)."""
        return membership(self.fed_partition, len(self.partitions))

    def wiring(self, fed_unit: Indices, fed_carrier: Indices) -> Wiring:
        """The links between objects as matrices; they hardly ever change, so the last ones are kept."""
        key = fed_unit.tobytes() + fed_carrier.tobytes()
        if self._wiring is None or self._wiring[0] != key:
            self._wiring = key, Wiring(fed_unit, fed_carrier, len(self.units))
        return self._wiring[1]

    def states_of(self, column: int) -> tuple[str, ...]:
        """The vocabulary of a state channel at a frame column."""
        channel = self.layout.owner(column)
        return channel.states if isinstance(channel, Channel) else ()


class DaqView:
    """The readings of one frame by object; every array has one row for each row of the frame. NaN is "no reading"."""

    def __init__(self, layout: DaqLayout, frame: Frame) -> None:
        self.layout = layout
        self.frame = frame
        self._cache: dict[tuple[str, str], Floats] = {}

    def __len__(self) -> int:
        return len(self.frame)

    def fed(self, field: str) -> Floats:
        """A field of all FEDs, shape (n, feds)."""
        return self._read("fed", self.layout.feds, field)

    def partition(self, field: str) -> Floats:
        """A field of all partitions, shape (n, partitions)."""
        return self._read("partition", self.layout.partitions, field)

    def unit(self, field: str) -> Floats:
        """A field of all readout units, shape (n, units)."""
        return self._read("ru", self.layout.units, field)

    def subsystem(self, field: str) -> Floats:
        """A field of all subsystems, shape (n, subsystems)."""
        return self._read("subsystem", self.layout.subsystems, field)

    def value(self, *names: str) -> Floats:
        """A channel that is there once; the first of `names` that has a reading in a row counts. Shape (n,)."""
        result = np.full(len(self), np.nan)
        for name in reversed(names):
            if name in self.layout.layout:
                reading = self.frame.readings(np.array([self.layout.layout.position(name)]))[:, 0]
                result = np.where(np.isnan(reading), result, reading)
        return result

    def state_is(self, name: str, words: Iterable[str]) -> Bools:
        """Whether a state channel is in one of some states, by name; shape (n,)."""
        if name not in self.layout.layout:
            return np.zeros(len(self), dtype=np.bool_)
        column = np.array([self.layout.layout.position(name)])
        return self._named(self.frame.readings(column), column, frozenset(words))[:, 0]

    def state_word(self, name: str, row: int) -> str:
        """The name of the state of a channel in a row, "unknown" where there is no reading."""
        if name not in self.layout.layout:
            return "unknown"
        column = self.layout.layout.position(name)
        states = self.layout.states_of(column)
        value = self.frame.readings(np.array([column]))[row, 0]
        return states[int(value)] if 0 <= value < len(states) else "unknown"

    def unit_is(self, words: Sequence[str]) -> Bools:
        """Whether the readout units are in one of some states; shape (n, units)."""
        columns = self.layout.units.columns.get("stateName")
        if columns is None:
            return np.zeros((len(self), len(self.layout.units)), dtype=np.bool_)
        return self._named(self.unit("stateName"), columns, frozenset(words))

    def subsystem_is(self, words: Iterable[str]) -> Bools:
        """Whether the subsystems are in one of some states; shape (n, subsystems)."""
        columns = self.layout.subsystems.columns.get("status")
        if columns is None:
            return np.zeros((len(self), len(self.layout.subsystems)), dtype=np.bool_)
        return self._named(self.subsystem("status"), columns, frozenset(words))

    @cached_property
    def fed_tts(self) -> Floats:
        """TTS state of the FEDs as READY … INVALID; shape (n, feds)."""
        return self._tts(self.fed("ttsState"), self.layout.feds.columns.get("ttsState"))

    @cached_property
    def partition_fmm(self) -> Floats:
        """TTS state of the partitions at the FMM; shape (n, partitions)."""
        return self._tts(self.partition("ttsState"), self.layout.partitions.columns.get("ttsState"))

    @cached_property
    def partition_pm(self) -> Floats:
        """TTS state of the partitions as the trigger control sees it; shape (n, partitions)."""
        return self._tts(self.partition("tcds_pm_ttsState"), self.layout.partitions.columns.get("tcds_pm_ttsState"))

    @cached_property
    def partition_tts(self) -> Floats:
        """What blocks the triggers: the state at the trigger control, else that at the FMM; shape (n, partitions)."""
        return np.where(np.isnan(self.partition_pm), self.partition_fmm, self.partition_pm)

    @cached_property
    def wiring(self) -> Wiring:
        """The links between objects, which are the same in all rows (see `same_wiring`)."""
        fed_unit = _matched(_first(self.fed("ruInstance")), _first(self.unit("instance")))
        fed_carrier = _matched(_first(self.fed("ttsThroughFed")), self.layout.fed_numbers)
        return self.layout.wiring(fed_unit, fed_carrier)

    def _read(self, kind: str, group: Group, field: str) -> Floats:
        if (kind, field) not in self._cache:
            columns = group.columns.get(field)
            if columns is None:
                self._cache[kind, field] = np.full((len(self), len(group)), np.nan)
            else:
                values = self.frame.readings(np.maximum(columns, 0))
                values[:, columns < 0] = np.nan
                self._cache[kind, field] = values
        return self._cache[kind, field]

    def _tts(self, values: Floats, columns: Indices | None) -> Floats:
        """Indices into the channel's own vocabulary as READY … INVALID."""
        if columns is None:
            return values
        states = self._vocabulary(columns)
        if states in {(), TTS_NAMES}:
            return values
        meaning = np.array([*(TTS_NAMES.index(s) if s in TTS_NAMES else INVALID for s in states), np.nan])
        return meaning[_index(values, len(states))]

    def _named(self, values: Floats, columns: Indices, words: frozenset[str]) -> Bools:
        states = self._vocabulary(columns)
        return np.array([*(state in words for state in states), False])[_index(values, len(states))]

    def _vocabulary(self, columns: Indices) -> tuple[str, ...]:
        """Names of the states; all objects of a kind share them."""
        known = columns[columns >= 0]
        return self.layout.states_of(int(known[0])) if len(known) else ()


def membership(owner: Indices, owners: int) -> NDArray[np.float32]:
    """1 where a member (first axis) belongs to an owner (second axis); `owner` is -1 for none."""
    result = np.zeros((len(owner), owners), dtype=np.float32)
    belonging = np.flatnonzero(owner >= 0)
    result[belonging, owner[belonging]] = 1
    return result


def any_of(members: Bools, belongs: NDArray[np.float32]) -> Bools:
    """Whether any member of each owner has it; (n, members) and (members, owners) give (n, owners)."""
    return members.astype(np.float32) @ belongs > 0


def of_owner(owners: Bools, owner: Indices) -> Bools:
    """What each member's owner has, False where it has no owner; (n, owners) and (members,) give (n, members)."""
    if owners.shape[1] == 0:
        return np.zeros((len(owners), len(owner)), dtype=np.bool_)
    return owners[:, owner] & (owner >= 0)


def same_wiring(view: DaqView) -> Indices:
    """First rows of stretches in which the links between objects stay the same; the first is 0."""
    links = np.concatenate([view.fed("ruInstance"), view.fed("ttsThroughFed"), view.unit("instance"), view.unit("isEVM")], axis=1)
    links = np.nan_to_num(links, nan=-1)
    changed = (links[1:] != links[:-1]).any(axis=1)
    return np.concatenate([[0], np.flatnonzero(changed) + 1])


def _index(values: Floats, states: int) -> Indices:
    """States as indices, `states` where there is no reading."""
    valid = (values >= 0) & (values < states)
    return np.where(valid, np.nan_to_num(values), states).astype(np.int64)


def _group(kind: str, objects: dict[str, dict[str, int]], places: dict[str, str]) -> Group:
    fields = {field for columns in objects.values() for field in columns}
    columns = {f: np.array([of.get(f, -1) for of in objects.values()], dtype=np.int64) for f in sorted(fields)}
    return Group(tuple(objects), tuple(places[f"{kind}/{name}"] for name in objects), columns)


def _first(values: Floats) -> Floats:
    return values[0] if len(values) else np.full(values.shape[1], np.nan)


def _matched(wanted: Floats, numbers: Floats) -> Indices:
    """Position of each wanted number among `numbers`, -1 for none."""
    order = np.argsort(numbers)
    at = np.searchsorted(numbers[order], wanted)
    found = at < np.count_nonzero(np.isfinite(numbers))
    result = np.where(found, order[np.minimum(at, max(0, len(order) - 1))] if len(order) else -1, -1)
    if len(order):
        result = np.where(found & (numbers[result] == wanted), result, -1)
    return result.astype(np.int64)
