"""Recorded DAQ snapshots: tables of a small DAQ made here, and the recorded tables of a real one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from collectors.collector import Collector, Origin
from collectors.daq_tables import DaqTablesCollector, DaqTablesOptions
from collectors.frame import Quality
from tests.collectors.daq_folder import FIRST_MS, Rows, frames, snapshot, value, word, write


def test_a_snapshot_becomes_a_row_with_named_states_and_places(tmp_path: Path) -> None:
    (frame,) = frames(write(tmp_path, snapshot(FIRST_MS)))
    assert frame.time_ns.tolist() == [FIRST_MS * 1_000_000]
    assert word(frame, "fed/434/ttsState") == "WARNING"
    assert word(frame, "partition/BPIXP/tcds_pm_ttsState") == "WARNING"
    assert word(frame, "global/levelZeroState") == "Running"
    assert word(frame, "subsystem/PIXEL/status") == "FixingSoftError"
    assert word(frame, "ru/ru-a/stateName") == "Enabled"
    assert np.isnan(value(frame, "partition/BPIXP/ttsState"))
    assert value(frame, "fed/434/eventCounter") == 123456789
    assert value(frame, "global/levelZeroStateAge") == 5
    assert value(frame, "bu_summary/n_Mist") == 1
    places = {
        name: frame.layout.column(name).place
        for name in ("fed/434/ttsState", "partition/TOB/percentBusy", "ru/ru-a/requests", "global/fb.rate")
    }
    assert places == {
        "fed/434/ttsState": "CMS/TRACKER/TOB/FED 434",
        "partition/TOB/percentBusy": "CMS/TRACKER/TOB",
        "ru/ru-a/requests": "CMS/DAQ/RU ru-a",
        "global/fb.rate": "CMS/DAQ",
    }


def test_links_between_feds_and_readout_units_travel_as_numbers(tmp_path: Path) -> None:
    wired = snapshot(FIRST_MS)
    wired["fed"][0]["dependent_feds"] = "662"  # it has a TTS link of its own as well: that one counts
    (frame,) = frames(write(tmp_path, wired))
    assert value(frame, "fed/1200/ruInstance") == value(frame, "ru/ru-b/instance") == 9
    assert value(frame, "fed/1200/ttsThroughFed") == 11200
    assert "fed/1200/ttsState" not in frame.layout
    assert "fed/434/ttsThroughFed" not in frame.layout
    assert "fed/11200/percentBackpressure" not in frame.layout


def test_masked_objects_are_muted(tmp_path: Path) -> None:
    masked = snapshot(FIRST_MS)
    masked["partition"][0]["masked"] = True
    masked["ru"][1]["masked"] = True
    (frame,) = frames(write(tmp_path, masked))
    assert frame.quality is not None
    muted = {c.name for c, q in zip(frame.layout.columns, frame.quality[0], strict=True) if q == Quality.MUTED}
    assert {"fed/433/ttsState", "fed/433/eventCounter", "partition/TOB/ttsState", "ru/ru-b/requests"} <= muted
    assert not {"fed/434/ttsState", "fed/1200/percentBackpressure", "fed/11200/ttsState", "ru/ru-b/instance", "fed/433/ruInstance"} & muted


def test_the_fed_that_a_readout_unit_blames_is_a_number(tmp_path: Path) -> None:
    broken = snapshot(FIRST_MS)
    broken["ru"][0] |= {"stateName": "SyncLoss", "errorMsg": "Received an event out of sequence from FED 434 (TRACKER):\nevent 3, not 1"}
    (frame,) = frames(write(tmp_path, broken))
    assert value(frame, "ru/ru-a/errorFed") == 434
    assert word(frame, "ru/ru-a/stateName") == "SyncLoss"


def test_output_bandwidth_of_aggregators_that_added_it_up_is_invalid(tmp_path: Path) -> None:
    early = snapshot(FIRST_MS)
    early["global"][0]["daqAggregatorProducer"] = ""
    (frame,) = frames(write(tmp_path, early, snapshot(FIRST_MS + 2000)))
    readings = frame.readings(np.array([frame.layout.position("global/bu.fuOutputBandwidthInMB")]))
    assert np.isnan(readings[0, 0])
    assert readings[1, 0] == 50


def test_snapshots_come_in_order_and_share_a_layout_while_the_objects_stay(tmp_path: Path) -> None:
    other = snapshot(FIRST_MS + 6000)
    del other["fed"][0]
    tables = write(tmp_path, snapshot(FIRST_MS + 4000), snapshot(FIRST_MS), snapshot(FIRST_MS + 2000), other, snapshot(FIRST_MS + 8000))
    collected = frames(tables)
    assert [len(f) for f in collected] == [3, 1, 1]
    assert np.concatenate([f.time_ns for f in collected]).tolist() == [(FIRST_MS + 2000 * i) * 1_000_000 for i in range(5)]
    assert collected[0].layout is collected[2].layout
    assert "fed/434/ttsState" not in collected[1].layout


def test_choice_by_time_and_sequence(tmp_path: Path) -> None:
    snapshots = [snapshot(FIRST_MS + 1000 * i) for i in range(6)]
    snapshots[4]["global"][0]["seq"] = "b"
    folder = write(tmp_path, *snapshots)
    start, end = (datetime.fromtimestamp(FIRST_MS / 1000 + s, UTC) for s in (1, 5))
    chosen = frames(folder, start=start.isoformat(), end=end.replace(tzinfo=None).isoformat())
    assert np.concatenate([f.time_ns for f in chosen]).tolist() == [(FIRST_MS + 1000 * i) * 1_000_000 for i in (1, 2, 3, 4)]
    assert [f.time_ns.tolist() for f in frames(folder, sequences=["b"])] == [[(FIRST_MS + 4000) * 1_000_000]]
    assert frames(folder, sequences=["none"]) == []


def test_frames_stay_below_the_size_of_a_block(tmp_path: Path) -> None:
    def large(time_ms: int) -> dict[str, Rows]:
        one = snapshot(time_ms)
        one["fed"] = [{**one["fed"][0], "srcIdExpected": n} for n in range(2000)]
        return one

    collected = frames(write(tmp_path, *(large(FIRST_MS + 1000 * i) for i in range(7))))
    assert len(collected) > 1
    assert sum(len(f) for f in collected) == 7
    assert all(f.values.nbytes + (0 if f.quality is None else f.quality.nbytes) < 400_000 for f in collected)
    assert value(collected[-1], "fed/1999/eventCounter", -1) == 123456789


def test_plain_files_are_read_as_well(tmp_path: Path) -> None:
    (frame,) = frames(write(tmp_path, snapshot(FIRST_MS), suffix=".csv"))
    assert word(frame, "fed/434/ttsState") == "WARNING"


def test_it_is_a_collector_of_recorded_data() -> None:
    collector = DaqTablesCollector(Origin("daq", "", lambda: 0), DaqTablesOptions(folder=Path()))
    assert isinstance(collector, Collector)
    assert collector.finite


@pytest.mark.data
def test_the_recorded_snapshots_of_three_years(data: Path) -> None:
    collected = frames(data / "daq")
    times = np.concatenate([f.time_ns for f in collected])
    assert len(times) == 811
    assert (np.diff(times) > 0).all()
    assert all(f.values.nbytes + (0 if f.quality is None else f.quality.nbytes) < 400_000 for f in collected)
    assert sum(a.layout is not b.layout for a, b in pairwise(collected)) < 40
    stop = next(f for f in collected if f.time_ns[0] <= 1480508395_000_000_000 <= f.time_ns[-1] + 8_000_000_000)
    assert stop.layout.column("fed/101/ttsState").place == "CMS/TRACKER/TIBTID/FED 101"
    assert "WARNING" in {word(stop, "fed/101/ttsState", row) for row in range(len(stop))}
