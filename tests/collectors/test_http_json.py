"""JSON by HTTP and from files: what becomes of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import CollectError, Rejected
from collectors.frame import Channel, Frame, Kind, Quality, Updates
from tests.collectors.json_pages import DAQ_PAGE, build, channel, one, rejections, show, shown


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "daq.json"


class TestValues:
    def test_paths_give_channels_with_unit_kind_place_and_the_time_of_the_document(self, page: Path) -> None:
        show(page, DAQ_PAGE)
        collector = build(
            page,
            time="lastUpdate",
            values={
                "deadtime": "daq.deadTime.total",
                "run state": "daq.state",
                "lumi loss": "to_number('1')",
                "ecal": "subSystems[0].rate",
            },
            states={"run state": ("Stopped", "Running")},
            units={"deadtime": "%", "ecal": "Hz"},
            kinds={"lumi*": Kind.COUNTER},
            places={"ecal": "ECAL"},
        )
        block = one(collector.collect())
        assert shown(block) == {"deadtime": 3.25, "run state": 1.0, "lumi loss": 1.0, "ecal": 98_500.0}
        assert block.time_ns.tolist() == [1_700_000_000_000_000_000]
        assert channel(block, "deadtime") == Channel("deadtime", "deadtime", "%", Kind.GAUGE, "CMS")
        assert channel(block, "run state").states == ("Stopped", "Running")
        assert channel(block, "lumi loss").kind is Kind.COUNTER
        assert channel(block, "ecal").place == "CMS/ECAL"

    def test_a_path_that_finds_nothing_is_no_reading(self, page: Path) -> None:
        show(page, DAQ_PAGE)
        block = one(build(page, values={"rate": "daq.rate", "gone": "daq.gone.far"}).collect())
        assert shown(block)["rate"] == 98_512.5
        assert np.isnan(shown(block)["gone"])
        assert block.quality is None

    def test_truth_is_a_state(self, page: Path) -> None:
        show(page, {"stable": True, "words": [1, 2]})
        block = one(build(page, values={"stable": "stable"}).collect())
        assert shown(block) == {"stable": 1.0}
        assert channel(block, "stable").states == ("false", "true")

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("12.5 %", '"12.5 %" is not a number'),
            ("1,5", '"1,5" is not a number'),
            ([1], "[1] is not a number"),
            ({}, "{} is not a number"),
            ("Infinity", "inf is no reading"),
            (10**400, "inf is no reading"),
        ],
    )
    def test_what_is_no_number_is_invalid_and_reported(self, page: Path, value: Any, reason: str) -> None:
        show(page, {"a": value, "b": 1})
        rejected, block = build(page, values={"a": "a", "b": "b"}).collect()
        assert isinstance(rejected, Rejected)
        assert isinstance(block, Frame)
        assert rejected.reason == reason
        assert rejected.subject.endswith("daq.json: a")
        assert block.quality is not None
        assert block.quality.tolist() == [[Quality.INVALID, Quality.GOOD]]
        assert block.values[0, 1] == 1

    @pytest.mark.parametrize("value", [None, "", "NaN", " nan "])
    def test_nothing_is_no_reading_and_no_fault(self, page: Path, value: Any) -> None:
        show(page, {"a": value, "b": 1})
        assert np.isnan(shown(one(build(page, values={"a": "a", "b": "b"}).collect()))["a"])

    def test_an_unknown_state_a_negative_counter_and_a_broken_status_word(self, page: Path) -> None:
        show(page, {"tts": "UNHEARD", "n": -1, "word": 2.5, "x": 1})
        collector = build(
            page,
            values={name: name for name in ("tts", "n", "word", "x")},
            states={"tts": ("READY",)},
            kinds={"n": Kind.COUNTER},
            bits={"word": ("on", "trip")},
        )
        assert [item.reason for item in rejections(collector)] == [
            '"UNHEARD" is none of its states',
            "a counter of -1",
            "2.5 is no status word",
        ]

    def test_status_words_may_be_hexadecimal(self, page: Path) -> None:
        show(page, {"word": "0x1F"})
        block = one(build(page, values={"word": "word"}, bits={"word": ("on", "trip")}).collect())
        assert shown(block) == {"word": 31.0}
        assert channel(block, "word").kind is Kind.BITS

    def test_a_path_that_fails_when_it_is_used_costs_its_own_channel_only(self, page: Path) -> None:
        show(page, {"a": {"b": 1}, "x": 1})
        rejected, block = build(page, values={"sum": "sum(a)", "x": "x"}).collect()
        assert isinstance(rejected, Rejected)
        assert rejected.reason.startswith("sum(a): ")
        assert isinstance(block, Frame)
        assert shown(block)["x"] == 1


class TestTables:
    def test_rows_give_names_places_and_states(self, page: Path) -> None:
        show(page, DAQ_PAGE)
        tables = [
            {"rows": "subSystems", "name": "{name}", "place": "{name}", "columns": {"tts": "ttsState", "rate": "rate"}},
            {"rows": "subSystems[].feds[]", "name": "fed{id}:{column}", "columns": {"backpressure": "backpressure"}},
        ]
        block = one(build(page, tables=tables, states={"*/tts": ("READY", "WARNING")}).collect())
        assert {name: value for name, value in shown(block).items() if not np.isnan(value)} == {
            "ECAL/tts": 1.0, "ECAL/rate": 98_500.0, "HCAL/tts": 0.0, "HCAL/rate": 98_400.0,
            "fed601:backpressure": 0.5, "fed700:backpressure": 12.0,
        }  # fmt: skip
        assert "fed602:backpressure" in block.layout
        assert channel(block, "HCAL/tts") == Channel("HCAL/tts", "tts", "", Kind.STATE, "CMS/HCAL", ("READY", "WARNING"))

    def test_members_of_an_object_are_rows_too(self, page: Path) -> None:
        show(page, DAQ_PAGE)
        block = one(build(page, tables=[{"rows": "daq.deadTime.byCause", "name": "deadtime/{key}", "columns": {"percent": "@"}}]).collect())
        assert shown(block) == {"deadtime/tts/percent": 1.5, "deadtime/backpressure/percent": 1.25, "deadtime/retri/percent": 0.5}
        assert channel(block, "deadtime/tts/percent").unit == "%"

    def test_a_table_without_columns_takes_every_number_of_its_rows(self, page: Path) -> None:
        show(page, {"sites": [{"name": "T2_CH", "disk": {"used": 1, "free": "2"}, "note": "ok"}]})
        block = one(build(page, tables=[{"rows": "sites", "name": "{name}"}]).collect())
        assert shown(block) == {"T2_CH/disk.used": 1.0, "T2_CH/disk.free": 2.0}

    def test_rows_without_a_name_and_rows_of_one_name_are_reported_and_the_rest_goes_on(self, page: Path) -> None:
        show(page, {"rows": [{"n": "a", "v": 1}, {"v": 2}, {"n": ["x"], "v": 3}, {"n": "a", "v": 4}, {"n": 7, "v": 5}]})
        *rejected, block = build(page, tables=[{"rows": "rows", "name": "{n}", "columns": {"v": "v"}}]).collect()
        assert [(item.subject.partition(": ")[2], item.reason) for item in rejected if isinstance(item, Rejected)] == [
            ("rows[1]", "no 'n' for its name"),
            ("rows[2]", "'n' is [\"x\"], which is no name"),
            ("a/v", "two values have this name; the first is taken"),
        ]
        assert isinstance(block, Frame)
        assert shown(block) == {"a/v": 1.0, "7/v": 5.0}

    def test_an_empty_table_is_no_fault_and_a_missing_one_is(self, page: Path) -> None:
        collector = build(page, tables=[{"rows": "jobs", "name": "{id}"}])
        show(page, {"jobs": []})
        assert list(collector.collect()) == []
        show(page, {"tasks": []}, 1_700_000_001)
        with pytest.raises(CollectError, match="nothing at any of the paths"):
            list(collector.collect())

    def test_rows_with_times_of_their_own_are_updates(self, page: Path) -> None:
        usage = [
            {"rse": "CERN", "used": 5, "updated_at": "Tue, 14 Nov 2023 22:13:20 UTC"},
            {"rse": "DESY", "used": 7, "updated_at": 1_700_000_100_000},
        ]
        show(page, "\n".join(map(json.dumps, usage)))  # a document on each line, as Rucio answers
        table = {"rows": "@", "name": "{rse}", "columns": {"used": "used"}, "time": "updated_at"}
        (block,) = build(page, tables=[table], values={"links": "length(@)"}).collect()
        assert isinstance(block, Updates)
        assert dict(zip((block.layout.columns[i].name for i in block.column), block.time_ns.tolist(), strict=True)) == {
            "links": 1_700_000_000_000_000_000,
            "CERN/used": 1_700_000_000_000_000_000,
            "DESY/used": 1_700_000_100_000_000_000,
        }

    def test_columns_keep_their_order_when_rows_come_and_go(self, page: Path) -> None:
        collector = build(page, tables=[{"rows": "r", "name": "{n}", "columns": {"v": "v"}}])
        digests = []
        for turn, names in enumerate(("ab", "b", "ba"), 1):
            show(page, {"r": [{"n": name, "v": 1} for name in names]}, turn)
            digests.append(one(collector.collect()).layout.digest)
        assert digests[0] == digests[2] != digests[1]


class TestFlatten:
    def test_every_number_comes_under_a_path_that_can_be_used(self, page: Path) -> None:
        show(page, DAQ_PAGE)
        block = one(build(page, flatten=True, exclude=["*.id", "run", "subSystems*"]).collect())
        assert shown(block) == {
            "daq.rate": 98_512.5, "daq.deadTime.total": 3.25, "daq.deadTime.byCause.tts": 1.5, "daq.deadTime.byCause.backpressure": 1.25,
            "daq.deadTime.byCause.retri": 0.5, "lumi.delivered": 20_123.5, "lumi.recorded": 19_800.25,
        }  # fmt: skip

    def test_a_number_that_becomes_text_is_reported(self, page: Path) -> None:
        collector = build(page, flatten=True)
        show(page, {"a": 1, "b": 2, "note": "x"}, 1)
        assert shown(one(collector.collect())) == {"a": 1, "b": 2}
        show(page, {"a": "broken", "b": 2, "note": "x"}, 2)
        rejected, block = collector.collect()
        assert isinstance(rejected, Rejected)
        assert rejected.reason == '"broken" is not a number'
        assert isinstance(block, Frame)
        assert shown(block)["b"] == 2


class TestTimes:
    def test_a_document_whose_time_stands_still_is_not_read_again(self, page: Path) -> None:
        collector = build(page, values={"a": "a"}, time="t")
        show(page, {"t": 1_700_000_000.5, "a": 1}, 1)
        assert one(collector.collect()).time_ns.tolist() == [1_700_000_000_500_000_000]
        show(page, {"t": 1_700_000_000.5, "a": 2}, 2)
        assert list(collector.collect()) == []
        show(page, {"t": 1_700_000_001, "a": 2}, 3)
        assert shown(one(collector.collect())) == {"a": 2}

    @pytest.mark.parametrize("time", ["soon", None, 0, True, -5, 10**400, {"s": 1}])
    def test_a_time_that_is_none_is_reported_and_that_of_arrival_taken(self, page: Path, time: Any) -> None:
        show(page, {"t": time, "a": 1}, 17)
        rejected, block = build(page, values={"a": "a"}, time="t").collect()
        assert isinstance(rejected, Rejected)
        assert "no time" in rejected.reason
        assert block.time_ns.tolist() == [17_000_000_000]  # type: ignore[union-attr] # a frame

    @pytest.mark.parametrize(
        ("time", "zone"),
        [("2023-11-14 23:13:20", "Europe/Zurich"), ("Tue, 14 Nov 2023 22:13:20 GMT", "Europe/Zurich"), (1_700_000_000_000, "UTC")],
    )
    def test_times_in_the_forms_that_servers_write(self, page: Path, time: Any, zone: str) -> None:
        show(page, {"t": time, "a": 1}, 17)
        assert one(build(page, values={"a": "a"}, time="t", timezone=zone).collect()).time_ns.tolist() == [1_700_000_000_000_000_000]

    def test_a_file_that_did_not_change_gives_nothing_and_one_that_is_broken_stays_an_error(self, page: Path) -> None:
        collector = build(page, values={"a": "a"})
        show(page, {"a": 1}, 1)
        one(collector.collect())
        assert list(collector.collect()) == []
        show(page, '{"a": 1', 2)
        for _ in range(2):
            with pytest.raises(CollectError, match=r"not JSON: .* in line 1, column 8"):
                list(collector.collect())
        page.unlink()
        with pytest.raises(CollectError, match="No such file"):
            list(collector.collect())
