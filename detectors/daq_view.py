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
    """All objects of one kind: names ("101", "TIBTID") and places, and the frame columns of each field, -1 for none; (k,).

    vocabularies: the states of the fields that are states; all objects of a kind share them.
    """

    names: tuple[str, ...]
    places: tuple[str, ...]
    columns: dict[str, Indices]
    vocabularies: dict[str, tuple[str, ...]]

    def states(self, field: str) -> tuple[str, ...]:
        """The vocabulary of a field."""
        return self.vocabularies.get(field, ())

    def __len__(self) -> int:
        return len(self.names)


class Wiring:
    """Which readout unit reads each FED, and which pseudo-FED carries its TTS state.

    fed_unit, fed_carrier: index of the unit and of the FED, -1 for none; shape (feds,). on_unit: the FEDs of each unit;
    behind: the FEDs behind each FED.
    """

    def __init__(self, fed_unit: Indices, fed_carrier: Indices, units: int) -> None:
        self.fed_unit = fed_unit
        self.fed_carrier = fed_carrier
        self.on_unit = Membership(fed_unit, units)
        self.behind = Membership(fed_carrier, len(fed_carrier))


class DaqLayout:
    """What the columns of a layout mean to the DAQ rule. `known` is False where it is no layout of a DAQ snapshot source."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        parts: dict[str, dict[str, dict[str, int]]] = {kind: {} for kind in ("fed", "partition", "ru", "subsystem")}
        places: dict[str, str] = {}
        vocabularies: dict[str, dict[str, tuple[str, ...]]] = {kind: {} for kind in parts}
        single: dict[str, int] = {}
        self.single_states: dict[str, tuple[str, ...]] = {}
        for column, start in zip(layout.columns, layout.starts.tolist(), strict=False):
            kind, _, rest = column.name.partition("/")
            name, _, field = rest.rpartition("/")
            if not isinstance(column, Channel):
                continue
            if kind in parts and name:
                parts[kind].setdefault(name, {})[field] = start
                places.setdefault(f"{kind}/{name}", column.place)
                vocabularies[kind].setdefault(field, column.states)
            elif kind in {"global", "bu_summary"}:
                single[column.name] = start
                self.single_states[column.name] = column.states
        self.feds, self.partitions, self.units, self.subsystems = (
            _group(kind, fields, places, vocabularies[kind]) for kind, fields in parts.items()
        )
        self.single = {name: i for i, name in enumerate(single)}
        self.single_columns: Indices = np.array(list(single.values()), dtype=np.int64)
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
    def in_partition(self) -> Membership:
        """The FEDs of each partition."""
        return Membership(self.fed_partition, len(self.partitions))

    def wiring(self, fed_unit: Indices, fed_carrier: Indices) -> Wiring:
        """The links between objects as matrices; they hardly ever change, so the last ones are kept."""
        key = fed_unit.tobytes() + fed_carrier.tobytes()
        if self._wiring is None or self._wiring[0] != key:
            self._wiring = key, Wiring(fed_unit, fed_carrier, len(self.units))
        return self._wiring[1]


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
            if name in self.layout.single:
                reading = self._single[:, self.layout.single[name]]
                result = np.where(np.isnan(reading), result, reading)
        return result

    def state_is(self, name: str, words: Iterable[str]) -> Bools:
        """Whether a state channel that is there once is in one of some states, by name; shape (n,)."""
        states = self.layout.single_states.get(name, ())
        return _named(self.value(name), states, words)

    def state_word(self, name: str, row: int) -> str:
        """The name of the state of such a channel in a row, "unknown" where there is no reading."""
        states = self.layout.single_states.get(name, ())
        value = float(self.value(name)[row])
        return states[int(value)] if 0 <= value < len(states) else "unknown"

    @cached_property
    def _single(self) -> Floats:
        """All channels that are there once, shape (n, channels)."""
        return self.frame.readings(self.layout.single_columns)

    def unit_is(self, words: Sequence[str]) -> Bools:
        """Whether the readout units are in one of some states; shape (n, units)."""
        return _named(self.unit("stateName"), self.layout.units.states("stateName"), words)

    def subsystem_is(self, words: Iterable[str]) -> Bools:
        """Whether the subsystems are in one of some states; shape (n, subsystems)."""
        return _named(self.subsystem("status"), self.layout.subsystems.states("status"), words)

    @cached_property
    def fed_tts(self) -> Floats:
        """TTS state of the FEDs as READY … INVALID; shape (n, feds)."""
        return _tts(self.fed("ttsState"), self.layout.feds.states("ttsState"))

    @cached_property
    def partition_fmm(self) -> Floats:
        """TTS state of the partitions at the FMM; shape (n, partitions)."""
        return _tts(self.partition("ttsState"), self.layout.partitions.states("ttsState"))

    @cached_property
    def partition_pm(self) -> Floats:
        """TTS state of the partitions as the trigger control sees it; shape (n, partitions)."""
        return _tts(self.partition("tcds_pm_ttsState"), self.layout.partitions.states("tcds_pm_ttsState"))

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


class Membership:
    """Which owner each member belongs to; `owner` is -1 for none, shape (members,)."""

    def __init__(self, owner: Indices, owners: int) -> None:
        self._owners = owners
        self._order = np.flatnonzero(owner >= 0)[np.argsort(owner[owner >= 0], kind="stable")]
        self._present, self._starts = np.unique(owner[self._order], return_index=True)

    def any(self, members: Bools) -> Bools:
        """Whether any member of each owner has it; (n, members) gives (n, owners)."""
        result = np.zeros((len(members), self._owners), dtype=np.bool_)
        if len(self._present):
            result[:, self._present] = np.logical_or.reduceat(members[:, self._order], self._starts, axis=1)
        return result

    def count(self, members: Bools) -> Indices:
        """How many members of each owner have it; (n, members) gives (n, owners)."""
        result = np.zeros((len(members), self._owners), dtype=np.int64)
        if len(self._present):
            result[:, self._present] = np.add.reduceat(members[:, self._order].astype(np.int64), self._starts, axis=1)
        return result


def of_owner(owners: Bools, owner: Indices) -> Bools:
    """What each member's owner has, False where it has no owner; (n, owners) and (members,) give (n, members)."""
    if owners.shape[1] == 0:
        return np.zeros((len(owners), len(owner)), dtype=np.bool_)
    return owners[:, owner] & (owner >= 0)


def same_wiring(view: DaqView) -> Indices:
    """First rows of stretches in which the links between objects stay the same; the first is 0."""
    links = np.concatenate([view.fed("ruInstance"), view.fed("ttsThroughFed"), view.unit("instance"), view.unit("isEVM")], axis=1)
    changed = ((links[1:] != links[:-1]) & ~(np.isnan(links[1:]) & np.isnan(links[:-1]))).any(axis=1)
    return np.concatenate([[0], np.flatnonzero(changed) + 1])


def _named(values: Floats, states: tuple[str, ...], words: Iterable[str]) -> Bools:
    """Whether each state is one of some names."""
    wanted = frozenset(words)
    return np.array([*(state in wanted for state in states), False])[_index(values, len(states))]


def _tts(values: Floats, states: tuple[str, ...]) -> Floats:
    """Indices into a vocabulary as READY … INVALID."""
    if states in {(), TTS_NAMES}:
        return values
    meaning = np.array([*(TTS_NAMES.index(s) if s in TTS_NAMES else INVALID for s in states), np.nan])
    return meaning[_index(values, len(states))]


def _index(values: Floats, states: int) -> Indices:
    """States as indices, `states` where there is no reading."""
    return np.where((values >= 0) & (values < states), values, states).astype(np.int64)


def _group(kind: str, objects: dict[str, dict[str, int]], places: dict[str, str], vocabularies: dict[str, tuple[str, ...]]) -> Group:
    fields = {field for columns in objects.values() for field in columns}
    columns = {f: np.array([of.get(f, -1) for of in objects.values()], dtype=np.int64) for f in sorted(fields)}
    return Group(tuple(objects), tuple(places[f"{kind}/{name}"] for name in objects), columns, vocabularies)


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
