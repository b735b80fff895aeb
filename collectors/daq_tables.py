"""Recorded DAQ snapshots as tables: one file for each kind of object, one line for each snapshot and object.

A DAQ snapshot source, recorded or live, shows these channels; the detector `daq` reads them by these names. A live source
publishes them as named numbers, and leaves out what it does not have. States are indices into the vocabularies of
`collectors.daq.daq_states` unless the channel says otherwise. ROOT is the source's place, "CMS" by default.

    global/COLUMN                          place ROOT/DAQ: rates (fb.rate, tcds.*, triggerRatesInstant.*) in Hz, dead time by cause
                                           (deadTimes.*, deadTimesInstant.*) in %, requests, levelZeroState, daqState, lhcBeamMode …
    global/levelZeroStateAge               seconds since level zero entered its state
    bu_summary/COLUMN                      place ROOT/DAQ: n_bu builder units, n_Enabled, n_Mist … of them; numFUsHLT, numFUsCloud …
    subsystem/NAME/status                  place ROOT/NAME
    partition/NAME/ttsState                place ROOT/SUBSYSTEM/NAME: the state at the FMM; none where the partition has no FMM (µTCA)
    partition/NAME/tcds_pm_ttsState        the state as the trigger control (partition manager) sees it
    partition/NAME/percentWarning, /percentBusy
    ru/HOST/instance, /stateName, /requests, /fragmentsInRU, /incompleteSuperFragmentCount, /isEVM       place ROOT/DAQ/RU HOST
    ru/HOST/errorFed                       number of the FED that the readout unit's error message names
    fed/N/ttsState, /percentWarning, /percentBusy         place ROOT/SUBSYSTEM/PARTITION/FED N; FEDs with a TTS link of their own
    fed/N/percentBackpressure, /eventCounter, /ruFedWithoutFragments, /ruFedDataCorruption, /ruFedOutOfSync      FEDs with a data link
    fed/N/ruInstance                       instance of the readout unit that reads the FED
    fed/N/ttsThroughFed                    number of the pseudo-FED that carries its TTS state

N is the expected source id. What is masked has quality MUTED: the TTS channels of a FED masked at the FMM, the data link
channels of one masked at the FRL, a masked partition or readout unit. All totals are gauges here, because the rules compare
them between FEDs; identifiers such as the run number are conditions and no channels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Collected, Options, Origin
from collectors.daq.daq_csv import DaqTable
from collectors.daq.daq_objects import Field, Objects, SnapshotAssembler
from collectors.daq.daq_states import BEAM_MODES, MACHINE_MODES, RUN_STATES, TTS_STATES, UNIT_STATES, fed_named_in, named_state, tts_state
from collectors.frame import Kind, Quality


class DaqTablesOptions(Options):
    """Options of the source `daq_tables`."""

    folder: Path
    """Folder with global, partition, fed, ru, bu_summary and subsystem as .csv.gz or .csv."""
    start: datetime | None = None
    """Snapshots before this time are left out (ISO 8601; UTC where no zone is given)."""
    end: datetime | None = None
    """Snapshots at or after this time are left out."""
    sequences: tuple[str, ...] = ()
    """Only snapshots of these recording sequences (column seq of the table global); all where empty."""


class DaqTablesCollector:
    """Recorded snapshots of a data acquisition (tables as DAQAggregator's), one row a snapshot in order of time.

    Trigger and dead-time, partitions with their TTS states, front ends with backpressure, readout and builder units, for the rule `daq`.

    Example:
        [source.daq]
        collector = "daq_tables"
        place = "CMS"
        folder = "/data/daq"

    """

    options_model: ClassVar[type[Options]] = DaqTablesOptions
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: DaqTablesOptions) -> None:
        self._source = origin.source
        self._root = origin.place or "CMS"
        self._options = options

    def collect(self) -> Iterator[Collected]:
        """All snapshots; cells and lines that cannot be read are rejected one by one. Raises CollectError for a table."""
        folder = self._options.folder
        overview = _global_table(folder)
        snapshots = np.unique(overview.time_ms)
        unit_table, units, instances = _readout_units(folder, self._root, snapshots)
        tables = [
            _global(overview, self._root, snapshots),
            _builder_summary(folder, self._root, snapshots),
            _subsystems(folder, self._root, snapshots),
            _partitions(folder, self._root, snapshots),
            (unit_table, units),
            _feds(folder, self._root, snapshots, instances),
        ]
        for table, _ in tables:
            yield from table.rejected
        assembler = SnapshotAssembler(self._source, snapshots * 1_000_000, [objects for _, objects in tables])
        yield from assembler.frames(self._wanted(overview, snapshots))

    def close(self) -> None:
        """Nothing is kept open."""

    def _wanted(self, overview: DaqTable, snapshots: NDArray[np.int64]) -> NDArray[np.bool_]:
        wanted = np.ones(len(snapshots), dtype=np.bool_)
        if self._options.start is not None:
            wanted &= snapshots >= _milliseconds(self._options.start)
        if self._options.end is not None:
            wanted &= snapshots < _milliseconds(self._options.end)
        if self._options.sequences:
            codes, sequences = overview.text("seq")
            chosen = [i for i, name in enumerate(sequences) if name in self._options.sequences]
            wanted &= np.isin(snapshots, overview.time_ms[np.isin(codes, chosen)])
        return wanted


def _milliseconds(time: datetime) -> int:
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


_GLOBAL_STATES = {"levelZeroState": RUN_STATES, "daqState": RUN_STATES, "lhcBeamMode": BEAM_MODES, "lhcMachineMode": MACHINE_MODES}
_GLOBAL_UNITS = (
    (re.compile(r"deadTimes(Instant)?\..+|tts(busy|warn)\..+"), "%"),
    (re.compile(r"(bu|fb|evm)\.rate|(tcds|triggerRatesInstant)\.(sup_)?trg_rate_.+"), "Hz"),
    (re.compile(r"(bu|fb)\.throughput"), "B/s"),
    (re.compile(r"(bu\.eventSize|fb\.superFragmentSize)(Mean|Stddev)"), "B"),
    (re.compile(r"bu\.fuOutputBandwidthInMB"), "MB/s"),
    (re.compile(r"(bu|evm|fb)\.(num|fragments|events|requests|sum).*|hlt_.+|n_(frlpc|fmmapp)_crashed|bu\.(ram|output)Disk.+"), "1"),
)
_LATE_AGGREGATOR = "daqAggregatorProducer"  # the first aggregators, which name none, add up the HLT output bandwidth for ever
_BANDWIDTH = "bu.fuOutputBandwidthInMB"


def _unit(column: str) -> str | None:
    return next((unit for pattern, unit in _GLOBAL_UNITS if pattern.fullmatch(column)), None)


def _global_table(folder: Path) -> DaqTable:
    header = DaqTable.header(folder, "global")
    numbers = [c for c in header if _unit(c)] + [c for c in header if c == "levelZeroStateEntry"]
    return DaqTable(folder, "global", numbers=numbers, texts=[c for c in header if c in {*_GLOBAL_STATES, "seq", _LATE_AGGREGATOR}])


def _global(table: DaqTable, root: str, snapshots: NDArray[np.int64]) -> tuple[DaqTable, Objects]:
    fields, columns = [], []
    for name in table.columns:
        unit = _unit(name)
        if unit:
            fields.append(Field(name, re.sub(r".*\.", "", name), unit))
            columns.append(table.number(name))
        elif name in _GLOBAL_STATES:
            states = _GLOBAL_STATES[name]
            fields.append(Field(name, "state", "", Kind.STATE, states))
            columns.append(table.mapped(name, partial(named_state, states=states)))
        elif name == "levelZeroStateEntry":
            fields.append(Field("levelZeroStateAge", "time in state", "s"))
            columns.append(np.maximum(0, table.time_ms - table.number(name)) / 1000)
    objects = _single("global", f"{root}/DAQ", tuple(fields), table, snapshots, columns)
    if _LATE_AGGREGATOR in table.columns and _BANDWIDTH in table.columns:
        adds_up = table.text(_LATE_AGGREGATOR)[0][np.isin(table.time_ms, snapshots)] < 0
        objects.quality[adds_up, [f.name for f in fields].index(_BANDWIDTH)] = Quality.INVALID
    return table, objects


def _builder_summary(folder: Path, root: str, snapshots: NDArray[np.int64]) -> tuple[DaqTable, Objects]:
    header = DaqTable.header(folder, "bu_summary")
    names = [c for c in header if c.startswith(("n_", "numFUs", "nb")) or c == "n_bu"]
    table = DaqTable(folder, "bu_summary", numbers=names)
    fields = tuple(Field(name, "number", "1") for name in names)
    return table, _single("bu_summary", f"{root}/DAQ", fields, table, snapshots, [table.number(name) for name in names])


def _single(
    name: str, place: str, fields: tuple[Field, ...], table: DaqTable, snapshots: NDArray[np.int64], columns: list[NDArray[np.float64]]
) -> Objects:
    which = np.zeros(len(table.time_ms), dtype=np.int64)
    return _objects(table, snapshots, which, [(name, place)], fields, columns)


def _subsystems(folder: Path, root: str, snapshots: NDArray[np.int64]) -> tuple[DaqTable, Objects]:
    table = DaqTable(folder, "subsystem", texts=["name", "status"])
    which, names = table.text("name")
    fields = (Field("status", "state", "", Kind.STATE, RUN_STATES),)
    status = table.mapped("status", partial(named_state, states=RUN_STATES))
    return table, _objects(table, snapshots, which, [(f"subsystem/{n}", f"{root}/{n}") for n in names], fields, [status])


_TTS = Field("ttsState", "TTS state", "", Kind.STATE, TTS_STATES)
_DEAD_TIME = (Field("percentWarning", "time in warning", "%"), Field("percentBusy", "time in busy", "%"))


def _partitions(folder: Path, root: str, snapshots: NDArray[np.int64]) -> tuple[DaqTable, Objects]:
    states = ["ttsState", "tcds_pm_ttsState"]
    dead_time = [field.name for field in _DEAD_TIME]
    table = DaqTable(folder, "partition", numbers=dead_time, flags=["masked"], texts=["name", "subsystem", *states])
    which, parts = table.combined("subsystem", "name")
    objects = [(f"partition/{name}", _place(root, subsystem, name)) for subsystem, name in parts]
    fields = (*(replace(_TTS, name=name) for name in states), *_DEAD_TIME)
    columns = [table.mapped(name, tts_state) for name in states] + [table.number(name) for name in dead_time]
    masked = np.repeat(table.number("masked")[:, None] == 1, len(fields), axis=1)
    return table, _objects(table, snapshots, which, objects, fields, columns, masked)


_UNIT_NUMBERS = ("instance", "requests", "fragmentsInRU", "incompleteSuperFragmentCount", "rate", "isEVM")


def _readout_units(folder: Path, root: str, snapshots: NDArray[np.int64]) -> tuple[DaqTable, Objects, dict[str, NDArray[np.float64]]]:
    """The readout units, and the instance of each host in each snapshot (shape (snapshots,), NaN where it is not there)."""
    table = DaqTable(folder, "ru", numbers=_UNIT_NUMBERS[:-1], flags=["isEVM", "masked"], texts=["hostname", "stateName", "errorMsg"])
    which, hosts = table.text("hostname")
    fields = (
        Field("stateName", "state", "", Kind.STATE, UNIT_STATES),
        Field("errorFed", "FED named in error", ""),
        *(Field(name, "number", "Hz" if name == "rate" else "1") for name in _UNIT_NUMBERS),
    )
    states = table.mapped("stateName", partial(named_state, states=UNIT_STATES))
    columns = [states, table.mapped("errorMsg", fed_named_in), *(table.number(name) for name in _UNIT_NUMBERS)]
    masked = np.repeat(table.number("masked")[:, None] == 1, len(fields), axis=1)
    masked[:, [field.name == "instance" for field in fields]] = False
    objects = _objects(table, snapshots, which, [(f"ru/{h}", f"{root}/DAQ/RU {h}") for h in hosts], fields, columns, masked)
    instances = np.full((len(hosts), len(snapshots)), np.nan)
    instances[objects.which, objects.snapshot] = objects.values[:, [field.name for field in fields].index("instance")]
    return table, objects, dict(zip(hosts, instances, strict=True))


_LINK_NUMBERS = ("percentBackpressure", "eventCounter", "ruFedDataCorruption", "ruFedOutOfSync")
_FED_FLAGS = ("ruFedWithoutFragments", "frlMasked", "fmmMasked", "hasSLINK", "hasTTS")
_FED_TEXTS = ("ttsState", "partition", "subsystem", "ru", "dependent_feds")


def _feds(folder: Path, root: str, snapshots: NDArray[np.int64], instances: dict[str, NDArray[np.float64]]) -> tuple[DaqTable, Objects]:
    dead_time = [field.name for field in _DEAD_TIME]
    table = DaqTable(folder, "fed", numbers=["srcIdExpected", *_LINK_NUMBERS, *dead_time], flags=_FED_FLAGS, texts=_FED_TEXTS)
    carrier = table.mapped("dependent_feds", lambda text: int(text.split(";")[0]))
    flags = {name: table.number(name) == 1 for name in _FED_FLAGS}
    carried = np.isfinite(carrier) & ~flags["hasTTS"]
    which, parts = table.combined("srcIdExpected", "subsystem", "partition", flags["hasTTS"], flags["hasSLINK"], carried)
    objects = [(f"fed/{n}", _place(root, subsystem, partition, f"FED {n}")) for n, subsystem, partition, *_ in parts]
    fields = (
        *(_TTS, *_DEAD_TIME),
        Field("percentBackpressure", "back-pressure", "%"),
        *(Field(name, "number", "1") for name in (*_LINK_NUMBERS[1:], "ruFedWithoutFragments", "ruInstance", "ttsThroughFed")),
    )
    hosts, names = table.text("ru")
    by_host = np.stack([*(instances.get(name, np.full(len(snapshots), np.nan)) for name in names), np.full(len(snapshots), np.nan)])
    instance = by_host[hosts, np.minimum(np.searchsorted(snapshots, table.time_ms), len(snapshots) - 1)]
    columns = [table.mapped("ttsState", tts_state), *(table.number(name) for name in (*dead_time, *_LINK_NUMBERS))]
    columns += [table.number("ruFedWithoutFragments"), instance, carrier]
    has = np.array([[tts] * 3 + [link] * 6 + [behind] for *_, tts, link, behind in parts], dtype=np.bool_)
    masked = np.zeros((len(which), len(fields)), dtype=np.bool_)
    masked[:, :3] = flags["fmmMasked"][:, None]
    masked[:, 3:8] = flags["frlMasked"][:, None]
    return table, _objects(table, snapshots, which, objects, fields, columns, masked, has)


def _place(root: str, *parts: str) -> str:
    return "/".join([root, *(part for part in parts if part)])


def _objects(
    table: DaqTable,
    snapshots: NDArray[np.int64],
    which: NDArray[np.int64],
    objects: list[tuple[str, str]],
    fields: tuple[Field, ...],
    columns: list[NDArray[np.float64]],
    masked: NDArray[np.bool_] | None = None,
    has: NDArray[np.bool_] | None = None,
) -> Objects:
    """The records of known snapshots and named objects; `objects` are names and places."""
    snapshot = np.minimum(np.searchsorted(snapshots, table.time_ms), len(snapshots) - 1)
    known = (which >= 0) & (snapshots[snapshot] == table.time_ms)
    quality = np.where(masked if masked is not None else False, np.uint8(Quality.MUTED), np.uint8(Quality.GOOD))
    return Objects(
        fields,
        [name for name, _ in objects],
        [place for _, place in objects],
        np.ones((len(objects), len(fields)), dtype=np.bool_) if has is None else has,
        snapshot[known],
        which[known],
        np.stack(columns, axis=1)[known],
        np.broadcast_to(quality, (len(which), len(fields)))[known].astype(np.uint8),
    )
