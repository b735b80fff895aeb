"""Modbus/TCP against a real server in another process: what registers hold, and how they are asked for."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.collector import CollectError
from collectors.frame import Channel, Frame, Kind, Quality
from collectors.ramping import Ramping, RampingRule
from tests.collectors.modbus_server import Server, at, words
from tests.collectors.modbus_turns import NOW_NS, Build, building, quality, turn, values


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.kill()


@pytest.fixture
def server(process: Server) -> Server:
    if not process.is_running:
        process.start()
    process.reset()
    process.tell()
    return process


@pytest.fixture
def build(server: Server) -> Iterator[Build]:
    with building(server) as start:
        yield start


def asked(server: Server) -> list[list[Any]]:
    return server.tell()


def test_all_types_and_orders(server: Server, build: Build) -> None:
    content = {
        **at(0, words("H", 65535)),
        **at(1, words("h", -2)),
        **at(2, words("I", 4_000_000_000)),
        **at(4, words("i", -70_000)),
        **at(6, words("f", 1400.5)),
        **at(8, words("d", 1e-300)),
        **at(12, words("Q", 2**40)),
        **at(16, words("q", -(2**40))),
        **at(20, words("f", 2.5)[::-1]),
        **at(22, [int.from_bytes(struct.pack("<H", word)) for word in words("f", 3.5)]),
        **at(24, [0b101]),
    }
    server.tell(words={"1/holding": content})
    types = [(0, "uint16"), (1, "int16"), (2, "uint32"), (4, "int32"), (6, "float32"), (8, "float64"), (12, "uint64"), (16, "int64")]
    registers = [{"name": name, "address": address, "type": name} for address, name in types]
    registers.append({"name": "words", "address": 20, "type": "float32", "word_order": "little"})
    registers.append({"name": "bytes", "address": 22, "type": "float32", "byte_order": "little"})
    registers.append({"name": "bits", "address": 24, "type": "bits", "bits": ["on", "up", "down"]})
    frame, rejected = turn(build(*registers))
    assert rejected == []
    assert frame.quality is None
    assert frame.time_ns.tolist() == [NOW_NS]
    assert list(values(frame).values()) == [65535, -2, 4e9, -70000, 1400.5, 1e-300, 2**40, -(2**40), 2.5, 3.5, 5]
    assert len(asked(server)) == 1, "neighbours are read in one request"


def test_all_tables_and_what_channels_are(server: Server, build: Build) -> None:
    server.tell(
        words={
            "1/input": at(10, words("h", -125)),
            "1/coil": at(0, [0b10, 0, 0, 0]),
            "1/discrete": at(0, [0b01, 0, 0, 0]),
            "2/holding": at(5, [3, 7]),
        }
    )
    frame, rejected = turn(
        build(
            {"name": "cool:Temp", "address": 10, "table": "input", "type": "int16", "scale": 0.1, "offset": 20, "unit": "degC"},
            {"name": "cool:Valve", "address": 1, "table": "coil", "place": "valves"},
            {"name": "cool:Door", "address": "0x0", "table": "discrete", "states": ["closed", "open"]},
            {"name": "cool:Mode", "address": 5, "device_id": 2, "states": {"1": "auto", "3": "manual"}},
            {"name": "cool:Hours", "address": 6, "device_id": 2, "kind": "counter", "unit": "h", "quantity": "operating hours"},
            places={"cool:*": "cooling"},
        )
    )
    assert rejected == []
    assert values(frame) == {"cool:Temp": 7.5, "cool:Valve": 1, "cool:Door": 1, "cool:Mode": 1, "cool:Hours": 7}
    channels = {c.name: c for c in frame.layout.channels}
    assert channels["cool:Temp"] == Channel("cool:Temp", "Temp", "degC", Kind.GAUGE, "LAB/LV/cooling")
    assert channels["cool:Valve"] == Channel("cool:Valve", "Valve", "", Kind.STATE, "LAB/LV/cooling/valves", ("off", "on"))
    assert channels["cool:Mode"].states == ("auto", "manual")
    assert channels["cool:Hours"] == Channel("cool:Hours", "operating hours", "h", Kind.COUNTER, "LAB/LV/cooling")


def test_ranges_of_names_and_registers_from_a_file(server: Server, build: Build, tmp_path: Path) -> None:
    file = tmp_path / "lv.csv"
    file.write_text(
        "\ufeffName,address,type,unit,bits,states,missing,place,stride\n"
        "U{0..2}:VMon,0x64,float32,V,,,,board0,10\n\n"
        "U{0..2}:Status,102,bits,,on|ramp_up,,,board0,10\n"
        "Mode,500,,,,1=auto|4=manual,,,\n"
        "Flow,501,int16,l/min,,,0x8000|-1,,\n"
    )
    content = {str(100 + 10 * i + j): word for i in range(3) for j, word in enumerate([*words("f", 5.5 + i), i])}
    server.tell(words={"1/holding": {**content, "500": 4, "501": 0x8000}})
    frame, rejected = turn(build(registers_file=file))
    assert rejected == []
    found = values(frame)
    assert [found[f"U{i}:VMon"] for i in range(3)] == [5.5, 6.5, 7.5]
    assert [found[f"U{i}:Status"] for i in range(3)] == [0, 1, 2]
    assert found["Mode"] == 1
    assert quality(frame, "Flow") is Quality.INVALID
    column = frame.layout.column("U1:Status")
    assert isinstance(column, Channel)
    assert (column.place, column.states) == ("LAB/LV/board0", ("on", "ramp_up"))


def test_neighbours_are_read_together_as_far_as_allowed(server: Server, build: Build) -> None:
    many = {"name": "U{000..299}:VMon", "address": 0}
    spaced = ({"name": "A", "address": 400}, {"name": "B", "address": 404}, {"name": "C", "address": 420})
    turn(build(many, *spaced))
    blocks = [
        ["holding", 0, 125],
        ["holding", 125, 125],
        ["holding", 250, 50],
        ["holding", 400, 1],
        ["holding", 404, 1],
        ["holding", 420, 1],
    ]
    assert [request[1:] for request in asked(server)] == blocks
    turn(build(many, *spaced, max_registers=50, max_gap=8))
    assert [request[1:] for request in asked(server)] == [
        *(["holding", 50 * i, 50] for i in range(6)),
        ["holding", 400, 5],
        ["holding", 420, 1],
    ]


def test_value_is_never_torn_between_requests(server: Server, build: Build) -> None:
    server.tell(words={"1/holding": at(0, words("d", *range(50)))})
    frame, _ = turn(build({"name": "x{00..49}", "address": 0, "type": "float64"}, max_registers=7))
    assert list(values(frame).values()) == list(range(50))
    assert all(address % 4 == 0 and count == 4 for _, _, address, count in asked(server))


def test_register_that_is_refused_does_not_take_its_neighbours_along(server: Server, build: Build) -> None:
    server.tell(words={"1/holding": at(0, list(range(60)))}, failing={"holding": {"2": [17], "4": [40]}})
    collector = build({"name": "R{00..59}", "address": 0})
    frame, rejected = turn(collector)
    assert [(item.subject, item.reason) for item in rejected] == [("R17", "illegal data address"), ("R40", "device failure")]
    assert {name: value for name, value in values(frame).items() if not math.isnan(value)} == {
        f"R{i:02}": i for i in range(60) if i not in (17, 40)
    }
    assert quality(frame, "R17") is quality(frame, "R40") is Quality.INVALID
    searching = len(asked(server))
    frame, rejected = turn(collector)
    assert rejected == [], "it is said once"
    assert quality(frame, "R16") is Quality.GOOD
    assert [request[2:] for request in asked(server)] == [[0, 17], [17, 1], [18, 22], [40, 1], [41, 19]]
    assert searching > 10
    server.tell(failing={})
    for _ in range(2):
        frame, rejected = turn(collector)
        assert frame.quality is None
    assert [request[2:] for request in asked(server)][-1] == [0, 60], "and it is forgotten when it is good again"


def test_gap_that_must_not_be_read_is_not_bridged_again(server: Server, build: Build) -> None:
    server.tell(failing={"holding": {"2": [3]}})
    collector = build({"name": "A", "address": 0}, {"name": "B", "address": 5}, {"name": "C", "address": 8}, max_gap=10)
    frame, rejected = turn(collector)
    assert rejected == []
    assert frame.quality is None
    asked(server)
    turn(collector)
    assert [request[2:] for request in asked(server)] == [[0, 1], [5, 1], [8, 1]]


def test_function_that_the_device_does_not_have_is_not_searched_for(server: Server, build: Build) -> None:
    server.tell(failing={"coil": {"1": list(range(64))}})
    frame, rejected = turn(build({"name": "C{00..31}", "address": 0, "table": "coil"}, {"name": "R", "address": 0}))
    assert {item.reason for item in rejected} == {"illegal function"}
    assert len(rejected) == 32
    assert quality(frame, "R") is Quality.GOOD
    assert len(asked(server)) == 2


def test_absent_device_behind_a_gateway_is_disconnected(server: Server, build: Build) -> None:
    server.tell(failing={"input": {"11": [0]}})
    frame, (rejected,) = turn(build({"name": "near", "address": 0}, {"name": "far", "address": 0, "table": "input"}))
    assert (rejected.subject, rejected.reason) == ("far", "gateway target does not respond")
    assert quality(frame, "far") is Quality.DISCONNECTED
    assert quality(frame, "near") is Quality.GOOD


def test_device_that_refuses_everything_is_an_error(server: Server, build: Build) -> None:
    server.tell(failing={"holding": {"6": list(range(10))}})
    with pytest.raises(CollectError, match=f"^{server.address}: none of 3 registers can be read: a0: device busy$"):
        turn(build({"name": "a{0..2}", "address": 0}))


def test_contents_that_mean_nothing(server: Server, build: Build) -> None:
    content = {**at(0, [0x8000, 0xFFFF]), **at(2, [0x8000, 0]), **at(4, [0x7FC0, 0]), **at(6, [0x7F80, 0]), **at(8, [9]), **at(9, [0x8000])}
    server.tell(words={"1/holding": content})
    registers = (
        {"name": "int16", "address": 0, "type": "int16"},
        {"name": "uint16", "address": 1},
        {"name": "int32", "address": 2, "type": "int32"},
        {"name": "float32", "address": 4, "type": "float32"},
        {"name": "infinite", "address": 6, "type": "float32"},
        {"name": "state", "address": 8, "states": ["off", "on"]},
        {"name": "own", "address": 9, "type": "int16", "missing": [-32768], "scale": 0.1},
    )
    frame, rejected = turn(build(*registers, sunspec_missing=True))
    assert {c.name for c in frame.layout.columns if quality(frame, c.name) is Quality.INVALID} == {str(r["name"]) for r in registers}
    assert [(item.subject, item.reason, item.payload) for item in rejected] == [
        ("infinite", "inf is not a number", b"0x7f80 0x0000"),
        ("state", "9 is none of its states", b"0x0009"),
    ]
    frame, _ = turn(build(*registers))
    assert [values(frame)[name] for name in ("int16", "uint16", "int32")] == [-32768, 65535, -(2**31)]
    assert quality(frame, "float32") is quality(frame, "own") is Quality.INVALID


def test_framework_sees_the_ramp(server: Server, build: Build) -> None:
    server.tell(words={"1/holding": at(0, [700, 0b010, 1400, 0b001])})
    status = {"type": "bits", "bits": ["on", "ramp_up", "ramp_down"]}
    names = [{"name": "U{0..1}:VMon", "address": 0, "stride": 2}, {"name": "U{0..1}:Status", "address": 1, "stride": 2, **status}]
    frame, _ = turn(build(*names))
    marked = Ramping([RampingRule(status="*:Status", readings=("{1}:VMon",), bits=(1, 2))]).mark(frame)
    assert isinstance(marked, Frame)
    assert (quality(marked, "U0:VMon"), quality(marked, "U1:VMon")) == (Quality.RAMPING, Quality.GOOD)
