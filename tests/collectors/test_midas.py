"""MIDAS through its JSON-RPC: what of the ODB becomes channels, and what errors cost."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from collectors.collector import CollectError, Origin, Rejected
from collectors.frame import Channel, Kind, Quality, Updates
from collectors.midas import MidasCollector, MidasOptions
from tests.collectors.midas_server import BOOL, DOUBLE, DWORD, FLOAT, INT32, STRING, WORD, Mhttpd, Odb

NOW_NS = 1_800_000_000_000_000_000
ORIGIN = Origin("midas", "LAB", lambda: NOW_NS)


@pytest.fixture
def odb() -> Odb:
    made = Odb()
    made.put("/Runinfo/State", INT32, 3)
    made.put("/Runinfo/Run number", INT32, 13585)
    made.put("/Runinfo/Start time", STRING, "Tue Sep 09 15:04:42 1997")
    made.put("/Equipment/HV/Settings/Names Measured", STRING, "Top 1", "Top 2", "Bottom")
    made.put("/Equipment/HV/Variables/Measured", FLOAT, 1500.25, 1501.0, 0.0)
    made.put("/Equipment/HV/Variables/Status", DWORD, 0x1F, 0, 1)
    made.put("/Equipment/HV/Statistics/Events sent", DOUBLE, 1234.0)
    made.put("/Equipment/HV/Statistics/Events per sec.", DOUBLE, 0.5)
    made.put("/Equipment/Trigger/Statistics/Events per sec.", DOUBLE, 98512.25)
    made.put("/Equipment/Trigger/Statistics/kBytes per sec.", DOUBLE, 4096.0)
    made.alarms = {"Disk Full": True, "HV trip": False}
    made.programs = {"Logger"}
    return made


@pytest.fixture
def mhttpd(odb: Odb) -> Iterator[Mhttpd]:
    server = Mhttpd(odb)
    yield server
    server.kill()


@pytest.fixture
def build(mhttpd: Mhttpd) -> Iterator[Any]:
    made: list[MidasCollector] = []

    def now(**options: Any) -> MidasCollector:
        made.append(MidasCollector(ORIGIN, MidasOptions.model_validate({"url": mhttpd.url, **options})))
        return made[-1]

    yield now
    for collector in made:
        collector.close()


def turn(collector: MidasCollector) -> tuple[Updates, list[Rejected]]:
    *rejected, updates = collector.collect()
    assert isinstance(updates, Updates)
    return updates, [item for item in rejected if isinstance(item, Rejected)]


def values(updates: Updates) -> dict[str, float]:
    return {updates.layout.columns[column].name: value for column, value in zip(updates.column, updates.value.tolist(), strict=True)}


def times_s(updates: Updates) -> dict[str, float]:
    times = (updates.time_ns / 1e9).tolist()
    return {updates.layout.columns[column].name: time_s for column, time_s in zip(updates.column, times, strict=True)}


def test_everything_that_is_read_by_default(build: Any, odb: Odb) -> None:
    updates, rejected = turn(build(programs=["Logger", "feHV"]))
    assert rejected == []
    assert values(updates) == {
        "/Runinfo/State": 3,
        "/Runinfo/Run number": 13585,
        "/Equipment/HV/Variables/Measured[Top 1]": 1500.25,
        "/Equipment/HV/Variables/Measured[Top 2]": 1501,
        "/Equipment/HV/Variables/Measured[Bottom]": 0,
        "/Equipment/HV/Variables/Status[0]": 31,
        "/Equipment/HV/Variables/Status[1]": 0,
        "/Equipment/HV/Variables/Status[2]": 1,
        "/Equipment/HV/Statistics/Events sent": 1234,
        "/Equipment/HV/Statistics/Events per sec.": 0.5,
        "/Equipment/Trigger/Statistics/Events per sec.": 98512.25,
        "/Equipment/Trigger/Statistics/kBytes per sec.": 4096,
        "/Programs/Logger": 1,
        "/Programs/feHV": 0,
        "/Alarms/Disk Full": 1,
        "/Alarms/HV trip": 0,
    }
    written_s = odb.keys["/Equipment/HV/Variables/Measured"].written_s
    assert times_s(updates)["/Equipment/HV/Variables/Measured[Bottom]"] == written_s
    assert times_s(updates)["/Runinfo/State"] == odb.keys["/Runinfo/State"].written_s
    assert times_s(updates)["/Programs/Logger"] == NOW_NS / 1e9


def test_kinds_units_states_and_places(build: Any) -> None:
    bits = ("on", "ramp_up", "ramp_down")
    collector = build(bits={"*/Status*": bits}, units={"*/Measured*": "V"}, programs=["Logger"])
    updates, _ = turn(collector)
    column = updates.layout.column
    assert column("/Runinfo/State") == Channel(
        "/Runinfo/State", "State", "", Kind.STATE, "LAB", ("Unknown", "Stopped", "Paused", "Running")
    )
    assert column("/Equipment/HV/Variables/Measured[Top 1]") == Channel(
        "/Equipment/HV/Variables/Measured[Top 1]", "Top 1", "V", Kind.GAUGE, "LAB/HV"
    )
    status = column("/Equipment/HV/Variables/Status[0]")
    assert isinstance(status, Channel)
    assert (status.kind, status.states, status.place) == (Kind.BITS, bits, "LAB/HV")
    sent = column("/Equipment/HV/Statistics/Events sent")
    rate = column("/Equipment/Trigger/Statistics/Events per sec.")
    assert isinstance(sent, Channel)
    assert isinstance(rate, Channel)
    assert (sent.kind, rate.kind, rate.unit, rate.place) == (Kind.COUNTER, Kind.GAUGE, "Hz", "LAB/Trigger")
    alarm = column("/Alarms/HV trip")
    assert isinstance(alarm, Channel)
    assert alarm.states == ("quiet", "triggered")


def test_only_what_was_written_is_sent_again(build: Any, odb: Odb) -> None:
    collector = build(alarms=False)
    turn(collector)
    assert values(turn(collector)[0]) == {}
    odb.put("/Equipment/HV/Variables/Measured", FLOAT, 1500.25, 1400.0, 0.0)
    measured = "/Equipment/HV/Variables/Measured"
    assert values(turn(collector)[0]) == {f"{measured}[Top 1]": 1500.25, f"{measured}[Top 2]": 1400, f"{measured}[Bottom]": 0}
    odb.keys["/Equipment/HV/Statistics/Events sent"].values = [1235.0]  # within the same second
    assert values(turn(collector)[0]) == {"/Equipment/HV/Statistics/Events sent": 1235}


def test_names_that_change_or_are_for_all_arrays(build: Any, odb: Odb) -> None:
    odb.put("/Equipment/HV/Settings/Names", STRING, "A", "B", "B")
    collector = build(paths=["/Equipment/HV/Variables"], alarms=False)
    assert [name.partition("[")[2] for name in values(turn(collector)[0])] == ["Top 1]", "Top 2]", "Bottom]", "A]", "1]", "2]"]
    odb.put("/Equipment/HV/Settings/Names Measured", STRING, "Top 1", "Middle", "Bottom")
    updates, _ = turn(collector)
    quality = dict(zip(values(updates), updates.quality.tolist(), strict=True))
    assert quality == {"/Equipment/HV/Variables/Measured[Middle]": 0, "/Equipment/HV/Variables/Measured[Top 2]": Quality.DISCONNECTED}


def test_a_path_that_is_not_there_costs_nothing_else(build: Any) -> None:
    updates, rejected = turn(build(paths=["/Runinfo/State", "/Nowhere/At all", "/Absent/*/Variables", "/Runinfo/State/*/x"]))
    assert values(updates)["/Runinfo/State"] == 3
    assert [(item.subject, item.reason) for item in rejected] == [
        ("/Absent", "status 312 (no such key)"),
        ("/Runinfo/State", "status 315 (another type)"),
        ("/Nowhere/At all", "status 312 (no such key)"),
    ]


def test_wildcards_of_several_steps_and_single_keys(build: Any) -> None:
    collector = build(paths=["/Equipment/*/Statistics/Events per sec.", "/*/Run number", "/Equipment/*/*/Measured"], alarms=False)
    assert set(values(turn(collector)[0])) == {
        "/Equipment/HV/Statistics/Events per sec.",
        "/Equipment/Trigger/Statistics/Events per sec.",
        "/Runinfo/Run number",
        *(f"/Equipment/HV/Variables/Measured[{name}]" for name in ("Top 1", "Top 2", "Bottom")),
    }


def test_what_is_gone_is_disconnected_and_comes_back(build: Any, odb: Odb) -> None:
    collector = build(paths=["/Equipment/*/Statistics"], alarms=False)
    turn(collector)
    name = "/Equipment/Trigger/Statistics/Events per sec."
    gone = odb.keys.pop(name)
    updates, _ = turn(collector)
    assert updates.quality.tolist() == [Quality.DISCONNECTED]
    assert math.isnan(values(updates)[name])
    assert values(turn(collector)[0]) == {}
    odb.keys[name] = gone
    assert values(turn(collector)[0]) == {name: 98512.25}


def test_numbers_in_the_forms_of_midas(build: Any, odb: Odb) -> None:
    odb.put("/Equipment/X/Variables/Float", FLOAT, math.nan, math.inf, -0.00012207031, 3.0)
    odb.put("/Equipment/X/Variables/Word", WORD, 0xBEEF)
    odb.put("/Equipment/X/Variables/Flag", BOOL, True, False)
    odb.put("/Equipment/X/Variables/Note", STRING, "12.5")
    odb.put("/Equipment/X/Variables/Mode", STRING, "Physics")
    updates, rejected = turn(build(paths=["/Equipment/X/*"], alarms=False, states={"*/Mode": ("Idle", "Physics")}))
    found = {name.rpartition("/")[2]: value for name, value in values(updates).items()}
    assert {name: value for name, value in found.items() if not math.isnan(value)} == {
        "Float[2]": -0.00012207031, "Float[3]": 3, "Word": 0xBEEF, "Flag[0]": 1, "Flag[1]": 0, "Mode": 1,
    }  # fmt: skip
    assert [(item.subject.rpartition("/")[2], item.reason) for item in rejected] == [("Float[1]", "inf is no reading")]
    assert "Note" not in found


def test_what_is_wrong_with_a_value_is_said_once(build: Any, odb: Odb) -> None:
    collector = build(paths=["/Equipment/HV/Variables/Status"], alarms=False)
    turn(collector)
    for reasons in (['"broken" is not a number'], []):
        odb.put("/Equipment/HV/Variables/Status", STRING, "broken", "0x00000001", "0x00000001")
        updates, rejected = turn(collector)
        assert [item.reason for item in rejected] == reasons
        assert updates.quality.tolist() == [Quality.INVALID, Quality.GOOD, Quality.GOOD]


def test_a_method_that_an_old_server_does_not_have(build: Any, mhttpd: Mhttpd) -> None:
    mhttpd.rpc.refused = {"get_alarms"}
    updates, rejected = turn(build())
    assert [(item.subject, item.reason) for item in rejected] == [
        ("/Alarms", "get_alarms: -32601 Method not found unknown method: get_alarms")
    ]
    assert values(updates)["/Runinfo/State"] == 3
    mhttpd.rpc.refused = {"db_get_values"}
    with pytest.raises(CollectError, match="db_get_values: -32601 Method not found"):
        turn(build())


def test_it_recovers_by_itself(build: Any, mhttpd: Mhttpd, odb: Odb) -> None:
    collector = build(alarms=False)
    turn(collector)
    mhttpd.kill()
    for _ in range(2):
        with pytest.raises(CollectError, match=f"127.0.0.1:{mhttpd.port}/: no connection"):
            turn(collector)
    mhttpd.start()
    odb.put("/Runinfo/State", INT32, 1)
    assert values(turn(collector)[0]) == {"/Runinfo/State": 1}


def test_a_steady_turn_is_two_requests(build: Any, mhttpd: Mhttpd) -> None:
    collector = build(programs=["Logger"])
    turn(collector)
    mhttpd.rpc.methods.clear()
    turn(collector)
    assert mhttpd.rpc.methods == ["db_ls", "db_get_values", "cm_exist", "get_alarms"]


def test_a_password_for_the_proxy_in_front(build: Any, mhttpd: Mhttpd, tmp_path: Path) -> None:
    mhttpd.authorization = "Basic " + b64encode(b"shifter:s3cret").decode()
    with pytest.raises(CollectError, match="HTTP status 401"):
        turn(build())
    (tmp_path / "password").write_text("s3cret\n")
    assert turn(build(username="shifter", password_file=tmp_path / "password"))[1] == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "not JSON"),
        (b"this is invalid json data", "not JSON"),
        (b'{"jsonrpc": "2.0","error":{"code":-32700,"message":"Parse error","data":"x"},"id":null}', "-32700 Parse error x"),
        (b"[]", "no answer to a batch of 1 calls"),
        (b'[{"jsonrpc": "2.0","result":{"data":[],"status":[]},"id":2}]', "not to this call"),
        (b'[{"jsonrpc": "2.0","result":{"data":[],"status":[]},"id":1}]', "no answer for 1 paths"),
        (b'[{"jsonrpc": "2.0","result":{"data":[1]},"id":1}]', "no answer for 1 paths"),
        (b'[{"jsonrpc": "2.0","result":7,"id":1}]', "without result"),
    ],
)
def test_answers_that_are_none(build: Any, mhttpd: Mhttpd, monkeypatch: pytest.MonkeyPatch, answer: bytes, reason: str) -> None:
    monkeypatch.setattr(mhttpd.rpc, "answer", lambda _: answer)
    with pytest.raises(CollectError, match=reason) as raised:
        turn(build(paths=["/Runinfo/State"], alarms=False))
    assert str(mhttpd.port) in str(raised.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"url": "file:///odb.json"}, "http://HOST"),
        ({"paths": ["Runinfo"]}, "write /DIRECTORY/KEY"),
        ({"paths": ["/Equipment/H*/Variables"]}, "write /DIRECTORY/KEY"),
        ({"url": "http://elsewhere.example", "username": "a", "password": "b"}, "must not go over http"),
    ],
)
def test_what_cannot_work_is_an_error_at_the_start(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        MidasOptions.model_validate({"url": "http://localhost:8080", **options})


@pytest.mark.parametrize("written_s", [10**18, 2**32, -5])
def test_a_time_that_the_database_cannot_have_written_is_the_time_of_the_turn(build: Any, odb: Odb, written_s: int) -> None:
    odb.put("/Equipment/X/Variables/Odd", DOUBLE, 1.5)
    odb.keys["/Equipment/X/Variables/Odd"].written_s = written_s
    updates, rejected = turn(build(paths=["/Equipment/X/Variables"], alarms=False))
    assert (values(updates), updates.time_ns.tolist(), rejected) == ({"/Equipment/X/Variables/Odd": 1.5}, [NOW_NS], [])
