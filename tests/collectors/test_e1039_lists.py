"""Channel lists and a snapshot of a real experiment's slow control (E1039), as its own files have them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from collectors.collector import Origin
from collectors.epics import EpicsCollector, EpicsOptions
from collectors.frame import Channel, Updates
from collectors.pvaccess import PvAccessCollector, PvAccessOptions
from collectors.table import TableCollector, TableOptions

pytestmark = pytest.mark.data
COLUMNS = ("", "quantity", "name", "", "", "unit", "lolo", "low", "high", "hihi")


def options(data: Path, name: str) -> EpicsOptions:
    return EpicsOptions(channels_file=data / "hv" / "e1039" / f"varlist_{name}.csv", channels_file_columns=COLUMNS, limits=True)


@pytest.mark.parametrize(
    ("name", "channels", "with_limits", "units"),
    [("ChamHv", 48, 48, {"kV", "uA"}), ("HodoHv", 780, 780, {"", "V"}), ("BeamDAQ", 21, 0, {""}), ("StatusMonitor", 2, 0, {""})],
)
def test_channel_lists_load_with_units_and_limits(data: Path, name: str, channels: int, with_limits: int, units: set[str]) -> None:
    plans = options(data, name).plans()
    assert len(plans) == channels
    assert sum(set(plan.limits) == {"LOLO", "LOW", "HIGH", "HIHI"} for plan in plans) == with_limits
    assert {plan.unit for plan in plans} == units
    assert all(plan.limits["LOLO"] <= plan.limits["LOW"] <= plan.limits["HIGH"] <= plan.limits["HIHI"] for plan in plans if plan.limits)


def test_a_line_of_a_list_is_a_channel_and_its_limits(data: Path) -> None:
    collector = EpicsCollector(Origin("hv", "E1039/chambers", time.time_ns), options(data, "ChamHv"))
    plan = options(data, "ChamHv").plans()[0]
    assert (plan.name, plan.limits) == ("D1U_V", {"LOLO": -1.41, "LOW": -1.405, "HIGH": -1.395, "HIHI": -1.39})
    columns = {column.name: column for column in collector._frames.layout.columns}
    assert len(columns) == 48 * 5
    assert columns["D1U_V"] == Channel("D1U_V", "HV of D1U", "kV", place="E1039/chambers")
    assert columns["D1U_V.HIHI"] == Channel("D1U_V.HIHI", "HV of D1U HIHI", "kV", place="E1039/chambers")


def test_the_same_list_serves_pvaccess(data: Path) -> None:
    given = PvAccessOptions.model_validate(options(data, "ChamHv").model_dump(include={"channels_file", "channels_file_columns", "limits"}))
    collector = PvAccessCollector(Origin("hv", "E1039", time.time_ns), given)
    assert len(collector._frames.layout.columns) == 48 * 5


@pytest.mark.parametrize(("name", "readings"), [("spill_test.tsv", 780), ("example_output-20191015-2005.tsv", 25)])
def test_a_snapshot_is_readings_at_the_time_of_the_snapshot(data: Path, name: str, readings: int) -> None:
    given = TableOptions(
        files=str(data / "hv" / "e1039" / name),
        names=("channel", "time", "value", "severity"),
        channel="channel",
        time="time",
        units={"*_MV": "V", "*_DV": "V"},
    )
    items = list(TableCollector(Origin("hv", "E1039", time.time_ns), given).collect())
    (updates,) = (item for item in items if isinstance(item, Updates))
    assert len(items) == 1
    assert len(updates) == len(updates.layout.columns) == readings
    assert not updates.quality.any()
    assert int(np.ptp(updates.time_ns)) <= 30e9
    if name.startswith("spill"):
        listed = {plan.name for plan in options(data, "HodoHv").plans()}
        assert {column.name for column in updates.layout.columns} == listed
        assert updates.layout.column("H1YR_20_MV") == Channel("H1YR_20_MV", "H1YR_20_MV", "V", place="E1039")
        assert updates.value[updates.layout.position("H1YR_20_MV")] == -1601
