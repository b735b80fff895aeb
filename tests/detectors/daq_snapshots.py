"""A small DAQ for tests: strip FEDs with an FMM, pixel FEDs behind a pseudo-FED, a µTCA trigger FED, and the trigger control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from collectors.daq.daq_states import BEAM_MODES, MACHINE_MODES, RUN_STATES, TTS_STATES, UNIT_STATES
from collectors.frame import Channel, Frame, Kind, Layout, Quality
from detectors.daq import DaqOptions, DaqRule

SECOND_NS = 1_000_000_000
UNITS = {"ru_evm": 0, "ru_a": 1, "ru_b": 2, "ru_c": 3}
PARTITIONS = {"TIBTID": "TRACKER", "BPIXP": "PIXEL", "MUTF": "TRG", "CPM": "TCDS"}
FEDS = {
    "101": ("TIBTID", "ru_a"),
    "102": ("TIBTID", "ru_a"),
    "103": ("TIBTID", "ru_a"),
    "1200": ("BPIXP", "ru_b"),
    "1201": ("BPIXP", "ru_b"),
    "1202": ("BPIXP", "ru_b"),
    "11200": ("BPIXP", ""),
    "1386": ("MUTF", "ru_c"),
    "1024": ("CPM", "ru_evm"),
}
BEHIND = {"1200": "11200", "1201": "11200", "1202": "11200"}
VOCABULARIES = {
    "ttsState": TTS_STATES,
    "tcds_pm_ttsState": TTS_STATES,
    "stateName": UNIT_STATES,
    "status": RUN_STATES,
    "levelZeroState": RUN_STATES,
    "daqState": RUN_STATES,
    "lhcBeamMode": BEAM_MODES,
    "lhcMachineMode": MACHINE_MODES,
}
Values = dict[str, float | str]


def healthy(**changes: float | str) -> Values:
    """A run that takes data; `changes` name channels with "__" for "/" and "___" for "."."""
    values: Values = {
        "global/fb.rate": 90_000,
        "global/levelZeroState": "Running",
        "global/daqState": "Running",
        "global/lhcBeamMode": "STABLE BEAMS",
        "global/lhcMachineMode": "PROTON PHYSICS",
        "global/levelZeroStateAge": 1000,
        "global/evm.requests": 4000,
        "global/fb.sumRequests": 4000,
        "global/deadTimes.total": 3,
        "global/deadTimes.tts": 1,
        "global/deadTimes.retri": 0,
        "global/tcds.trg_rate_total": 90_000,
        "global/tcds.sup_trg_rate_total": 2_000,
        "global/bu.fuOutputBandwidthInMB": 2_000,
        "bu_summary/n_bu": 70,
        "bu_summary/n_Enabled": 70,
        "bu_summary/n_Mist": 0,
        "bu_summary/n_Blocked": 0,
        "bu_summary/numFUsHLT": 20_000,
        "bu_summary/numFUsCloud": 0,
        "bu_summary/numFUsCrashed": 0,
    }
    for name in (*dict.fromkeys(PARTITIONS.values()), "ES"):
        values[f"subsystem/{name}/status"] = "Running"
    for name in PARTITIONS:
        fmm: Values = {f"partition/{name}/ttsState": "READY"} if name == "TIBTID" else {}
        values |= fmm | {f"partition/{name}/tcds_pm_ttsState": "READY"}
        values |= {f"partition/{name}/percentWarning": 0, f"partition/{name}/percentBusy": 0}
    for host, instance in UNITS.items():
        values |= {f"ru/{host}/stateName": "Enabled", f"ru/{host}/instance": instance, f"ru/{host}/isEVM": host == "ru_evm"}
        values |= {f"ru/{host}/requests": 0, f"ru/{host}/fragmentsInRU": 20, f"ru/{host}/incompleteSuperFragmentCount": 0}
        values[f"ru/{host}/errorFed"] = np.nan
    for number, (_, host) in FEDS.items():
        if number not in BEHIND:
            values |= {f"fed/{number}/ttsState": "READY", f"fed/{number}/percentWarning": 0, f"fed/{number}/percentBusy": 0}
        else:
            values[f"fed/{number}/ttsThroughFed"] = float(BEHIND[number])
        if host:
            values |= {f"fed/{number}/percentBackpressure": 0, f"fed/{number}/eventCounter": 5000, f"fed/{number}/ruFedOutOfSync": 0}
            values |= {f"fed/{number}/ruFedWithoutFragments": 0, f"fed/{number}/ruFedDataCorruption": 0}
            values[f"fed/{number}/ruInstance"] = UNITS[host]
    return changed(values, **changes)


def changed(values: Values, **changes: float | str) -> Values:
    """The values with some channels changed."""
    for key, value in changes.items():
        name = key.replace("___", ".").replace("__", "/")
        if name not in values:
            raise KeyError(name)
        values = {**values, name: value}
    return values


def stopped(**changes: float | str) -> Values:
    """A run that stands still, for no reason that can be seen."""
    return changed(healthy(global__fb___rate=0, global__deadTimes___total=100), **changes)


def frame(*rows: Values, start_s: float = 1000, period_s: float = 2, muted: Sequence[str] = ()) -> Frame:
    """Snapshots as a frame; what is `muted` is masked (first parts of channel names)."""
    names = list(rows[0])
    layout = Layout("daq", tuple(_channel(name) for name in names))
    values = np.array([[_number(name, row[name]) for name in names] for row in rows])
    quality = np.array([[Quality.MUTED if name.startswith(tuple(muted)) else Quality.GOOD for name in names]] * len(rows), dtype=np.uint8)
    time_ns = ((start_s + period_s * np.arange(len(rows))) * SECOND_NS).astype(np.int64)
    return Frame(layout, time_ns, values, quality if muted else None)


def rule(**options: Any) -> DaqRule:
    return DaqRule("daq", DaqOptions(**options))


def blocked(partition: str, state: str, **changes: float | str) -> Values:
    """A standing run in which a partition blocks the triggers."""
    values = stopped(**{f"partition__{partition}__tcds_pm_ttsState": state})
    return changed(values, **changes)


def pushed_back(fed: str, unit: str, **changes: float | str) -> Values:
    """A standing run in which a unit that is full and has no requests pushes back a FED, which is BUSY."""
    partition = {"1386": "MUTF", "102": "TIBTID"}[fed]
    values = changed(blocked(partition, "BUSY"), **{f"fed__{fed}__ttsState": "BUSY"})
    values = changed(values, **{f"fed__{fed}__percentBackpressure": 100})
    values = changed(values, **{f"ru__{unit}__fragmentsInRU": 256, f"ru__{unit}__incompleteSuperFragmentCount": 256})
    return changed(values, **changes)


HELD_UP: Values = {"ru__ru_b__requests": 4000, "ru__ru_b__fragmentsInRU": 256, "ru__ru_b__incompleteSuperFragmentCount": 256}


def found(daq: DaqRule, snapshots: Frame, row: int = -1) -> set[tuple[str, str]]:
    """Conditions and places (below CMS) that hold in a row."""
    breaches = daq.judge(snapshots)
    return {(u.condition, u.place.removeprefix("CMS/")) for u, holds in zip(breaches.units, breaches.holds[row], strict=True) if holds}


def conditions(daq: DaqRule, snapshots: Frame, row: int = -1) -> set[str]:
    """Conditions that hold anywhere in a row."""
    return {condition for condition, _ in found(daq, snapshots, row)}


def _channel(name: str) -> Channel:
    kind, _, rest = name.partition("/")
    owner, _, field = rest.rpartition("/")
    field = field or rest
    states = VOCABULARIES.get(field, ())
    return Channel(name, field, "" if states else "1", Kind.STATE if states else Kind.GAUGE, _place(kind, owner), states)


def _place(kind: str, owner: str) -> str:
    places: Mapping[str, str] = {
        "subsystem": f"CMS/{owner}",
        "partition": f"CMS/{PARTITIONS.get(owner)}/{owner}",
        "ru": f"CMS/DAQ/RU {owner}",
    }
    if kind == "fed":
        partition = FEDS[owner][0]
        return f"CMS/{PARTITIONS[partition]}/{partition}/FED {owner}"
    return places.get(kind, "CMS/DAQ")


def _number(name: str, value: float | str) -> float:
    return float(VOCABULARIES[name.rpartition("/")[2]].index(value)) if isinstance(value, str) else float(value)
