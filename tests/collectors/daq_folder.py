"""A folder of DAQ snapshot tables for tests, and what the collector makes of it."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.collector import Collected, Origin, Rejected
from collectors.daq_tables import DaqTablesCollector, DaqTablesOptions
from collectors.frame import Channel, Frame, Kind

FIRST_MS = 1_500_000_000_000
Rows = list[dict[str, object]]
NORMAL: dict[str, dict[str, object]] = {
    "global": {
        "seq": "a",
        "levelZeroState": "Running",
        "daqState": "Running",
        "lhcBeamMode": "RAMP",
        "fb.rate": 700.0,
        "daqAggregatorProducer": "1.9",
    },
    "bu_summary": {"n_bu": 3, "n_Enabled": 2, "n_Mist": 1, "numFUsHLT": 30},
    "subsystem": {"status": "Running"},
    "partition": {"masked": False, "ttsState": "R_8", "tcds_pm_ttsState": "R_8", "percentWarning": 0.5, "percentBusy": 0},
    "ru": {
        "stateName": "Enabled",
        "errorMsg": "",
        "masked": False,
        "requests": 4,
        "fragmentsInRU": 2,
        "incompleteSuperFragmentCount": 0,
        "rate": 700,
    },
    "fed": {
        "ttsState": "R_8",
        "percentBackpressure": 0.0,
        "percentWarning": 0.0,
        "percentBusy": 0.0,
        "eventCounter": 123456789,
        "ruFedDataCorruption": 0,
        "ruFedOutOfSync": 0,
        "ruFedWithoutFragments": False,
        "frlMasked": False,
        "fmmMasked": False,
        "hasSLINK": True,
        "hasTTS": True,
        "dependent_feds": "",
    },
}


def snapshot(time_ms: int) -> dict[str, Rows]:
    """Two strip FEDs on one readout unit, and a pixel FED behind pseudo-FED 11200 on another."""

    def row(table: str, **values: object) -> dict[str, object]:
        return {"t_ms": time_ms, **NORMAL[table], **values}

    strips: dict[str, object] = {"partition": "TOB", "subsystem": "TRACKER", "ru": "ru-a"}
    pixel: dict[str, object] = {"partition": "BPIXP", "subsystem": "PIXEL"}
    behind: dict[str, object] = {"ttsState": "", "hasTTS": False, "fmmMasked": True, "dependent_feds": "11200", "ru": "ru-b"}
    return {
        "global": [row("global", levelZeroStateEntry=time_ms - 5000, **{"bu.fuOutputBandwidthInMB": 50.0})],
        "bu_summary": [row("bu_summary")],
        "subsystem": [row("subsystem", name="TRACKER"), row("subsystem", name="PIXEL", status="FixingSoftError")],
        "partition": [
            row("partition", name="TOB", subsystem="TRACKER"),
            row("partition", name="BPIXP", subsystem="PIXEL", ttsState="", tcds_pm_ttsState="W_1"),
        ],
        "ru": [
            row("ru", hostname="ru-a", instance=7, isEVM=False),
            row("ru", hostname="ru-b", instance=9, isEVM=False),
        ],
        "fed": [
            row("fed", srcIdExpected=434, **strips, ttsState="W_1"),
            row("fed", srcIdExpected=433, **strips, frlMasked=True, fmmMasked=True),
            row("fed", srcIdExpected=1200, **pixel, **behind),
            row("fed", srcIdExpected=11200, **pixel, ru="", hasSLINK=False, frlMasked=True),
        ],
    }


def write(folder: Path, *snapshots: Mapping[str, Sequence[Mapping[str, object]]], suffix: str = ".csv.gz") -> Path:
    folder.mkdir(exist_ok=True)
    for table in NORMAL:
        rows = [row for one in snapshots for row in one[table]]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        content = text.getvalue().encode()
        (folder / f"{table}{suffix}").write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    return folder


def collect(folder: Path, **options: Any) -> list[Collected]:
    collector = DaqTablesCollector(Origin("daq", "CMS", lambda: 0), DaqTablesOptions(folder=folder, **options))
    collected = list(collector.collect())
    collector.close()
    return collected


def frames(folder: Path, **options: Any) -> list[Frame]:
    collected = collect(folder, **options)
    assert not [c for c in collected if isinstance(c, Rejected)]
    return [c for c in collected if isinstance(c, Frame)]


def value(frame: Frame, name: str, row: int = 0) -> float:
    return float(frame.values[row, frame.layout.position(name)])


def word(frame: Frame, name: str, row: int = 0) -> str:
    channel = frame.layout.column(name)
    assert isinstance(channel, Channel)
    assert channel.kind is Kind.STATE
    return channel.states[int(value(frame, name, row))]
