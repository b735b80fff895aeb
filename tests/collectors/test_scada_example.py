"""The shipped configuration for SCADA systems reads what it says it reads."""

from __future__ import annotations

import time
from pathlib import Path

from collectors.collector import Origin
from collectors.frame import Channel, Kind, Updates
from collectors.opcua import OpcUaOptions
from collectors.table import TableCollector, TableOptions
from daemon.examples import example_text
from daemon.settings import parse

EXPORT = """element_name;ts;value
System1:CAEN/crate0/board03/channel007.actual.vMon;2024-05-01 12:00:03.512;1499.8
System1:CAEN/crate0/board03/channel007.actual.status;2024-05-01 12:00:03.512;1
System1:CAEN/crate0/board03/channel007.settings.v0;2024-05-01 12:00:03.512;1500
System1:CAEN/crate0/board03/channel007.actual.status;2024-05-01 12:00:04.000;513
"""


def test_an_exported_archive_becomes_readings_with_places_and_status_bits(tmp_path: Path) -> None:
    (tmp_path / "export-1.csv").write_text(EXPORT)
    section = parse(example_text("scada").replace("/data/scada", str(tmp_path)), "scada").source["hv_archive"]
    assert isinstance(section.options, TableOptions)
    collector = TableCollector(Origin("hv_archive", section.place, time.time_ns), section.options)
    updates = [item for item in collector.collect() if isinstance(item, Updates)]
    columns = {column.name: column for column in updates[-1].layout.columns}
    name = "System1:CAEN/crate0/board03/channel007.actual"
    assert set(columns) == {f"{name}.vMon", f"{name}.status"}
    assert columns[f"{name}.vMon"] == Channel(f"{name}.vMon", f"{name}.vMon", "V", place="CMS/ECAL/HV/crate0/board03/channel007")
    status = columns[f"{name}.status"]
    assert isinstance(status, Channel)
    assert (status.kind, status.states[0], status.states[9]) == (Kind.BITS, "on", "internal_trip")
    assert [value for block in updates for value in block.value.tolist()] == [1499.8, 1, 513]
    assert section.ramping[0].bits == (1, 2)


def test_the_live_source_browses_and_names_the_same_bits() -> None:
    section = parse(example_text("scada"), "scada").source["hv"]
    assert isinstance(section.options, OpcUaOptions)
    assert section.options.folders == ("i=85",)
    assert section.options.bits["*status"][9] == "internal_trip"
