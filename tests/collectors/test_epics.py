"""Channel Access against a real server in another process, and the decoding of its messages without one."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import caproto
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import Collected, CollectError, Origin, Rejected
from collectors.epics import EpicsCollector, EpicsOptions
from collectors.epics_channels import expand
from collectors.epics_updates import Decoder, Event, Ramp, Severity
from collectors.frame import Channel, Kind, Layout, Quality, Updates

SERVER = """
import asyncio, json, sys, threading
from caproto import AlarmSeverity, AlarmStatus, ChannelType
from caproto.server import PVGroup, pvproperty, run

class Crate(PVGroup):
    vmon = pvproperty(name="HV:00:VMon", value=1400.0, units="V", lower_alarm_limit=-5.0, lower_warning_limit=-2.0,
                      upper_warning_limit=1500.0, upper_alarm_limit=1600.0, precision=2)
    imon = pvproperty(name="HV:00:IMon", value=2.5, units="uA")
    status = pvproperty(name="HV:00:Status", value=1)
    power = pvproperty(name="POWER", value="ON", enum_strings=["OFF", "ON", "TRIPPED"], dtype=ChannelType.ENUM)
    text = pvproperty(name="TEXT", value="READY", dtype=ChannelType.STRING)
    wave = pvproperty(name="WAVE", value=[1.0, 2.0, 3.0])

crate = Crate(prefix="")

async def obey(async_lib):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()
    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(queue.put_nowait, json.loads(line))
    threading.Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    while True:
        order = await queue.get()
        channel = crate.pvdb[order["name"]]
        if "severity" in order:
            await channel.alarm.write(severity=AlarmSeverity(order["severity"]), status=AlarmStatus(17))
        if "value" in order:
            await channel.write(order["value"])
        print("done", flush=True)

run(crate.pvdb, interfaces=["127.0.0.1"], startup_hook=obey)
"""


class Server:
    """A Channel Access server of its own, at a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._script = folder / "server.py"
        self._script.write_text(SERVER)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        settings = {
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CAS_SERVER_PORT": str(self.port),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(self._script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it complains that nobody wants its beacons
            text=True,
            env={**os.environ, **settings},
        )
        self._expect("ready")
        return self

    def put(self, name: str, value: Any = None, severity: int | None = None) -> None:
        order = {"name": name, "value": value, "severity": severity}
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({k: v for k, v in order.items() if v is not None}) + "\n")
        self._process.stdin.flush()
        self._expect("done")

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _expect(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server")).start()
    yield running
    running.kill()


@pytest.fixture
def server(process: Server) -> Server:
    """The server, with the values it started with."""
    if not process.is_running:
        process.start()
    for name, value in (("HV:00:VMon", 1400.0), ("HV:00:IMon", 2.5), ("HV:00:Status", 1), ("POWER", "ON"), ("TEXT", "READY")):
        process.put(name, value, Severity.NO_ALARM)
    return process


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., EpicsCollector]]:
    """Builds collectors of the server, and closes them."""
    built: list[EpicsCollector] = []

    def build(*channels: str, **options: Any) -> EpicsCollector:
        fields = {"channels": channels, "addresses": [f"127.0.0.1:{server.port}"], "connect_wait_s": 10, **options}
        built.append(EpicsCollector(Origin("hv", "CMS/HV", time.time_ns), EpicsOptions.model_validate(fields)))
        return built[-1]

    yield build
    for collector in built:
        collector.close()
        collector.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("selector", "search", "command", "retry")]


def updates_of(collected: Any) -> Updates:
    items: list[Collected] = list(collected)
    (updates,) = (item for item in items if isinstance(item, Updates))
    return updates


def last(updates: Updates, name: str) -> tuple[float, Quality] | None:
    """Value and quality of the newest update of a channel."""
    found = np.flatnonzero(updates.column == updates.layout.position(name))
    return (float(updates.value[found[-1]]), Quality(int(updates.quality[found[-1]]))) if len(found) else None


def wait_for(collector: EpicsCollector, name: str, is_there: Callable[[tuple[float, Quality]], bool], timeout_s: float = 60) -> Updates:
    """Turns until a channel has the update that is waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            updates = updates_of(collector.collect())
        except CollectError:
            time.sleep(0.05)
            continue
        found = last(updates, name)
        if found is not None and is_there(found):
            return updates
        time.sleep(0.05)
    raise AssertionError(f"no such update of {name}")


def test_values_units_states_and_limits_come_from_the_server(connect: Callable[..., EpicsCollector]) -> None:
    started_ns = time.time_ns()
    collector = connect("HV:{00..00}:VMon", "POWER", limits=True, places={"HV:*:*": "crate{1}"})
    updates = updates_of(collector.collect())
    assert updates.layout.columns[:2] == (
        Channel("HV:00:VMon", "HV:00:VMon", "V", Kind.GAUGE, "CMS/HV/crate00"),
        Channel("POWER", "POWER", "", Kind.STATE, "CMS/HV", ("OFF", "ON", "TRIPPED")),
    )
    assert last(updates, "HV:00:VMon") == (1400, Quality.GOOD)
    assert last(updates, "POWER") == (1, Quality.GOOD)
    assert [last(updates, f"HV:00:VMon.{limit}") for limit in ("LOLO", "LOW", "HIGH", "HIHI")] == [
        (-5, Quality.GOOD),
        (-2, Quality.GOOD),
        (1500, Quality.GOOD),
        (1600, Quality.GOOD),
    ]
    assert abs(int(updates.time_ns[0]) - started_ns) < 60e9


def test_changes_come_by_themselves_in_order_with_the_time_of_the_server(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:VMon")
    first = updates_of(collector.collect())
    for value in (1401.0, 1402.0, 1403.0):
        server.put("HV:00:VMon", value)
    updates = wait_for(collector, "HV:00:VMon", lambda found: found[0] == 1403)
    assert (np.diff(updates.time_ns) > 0).all()
    assert updates.time_ns[-1] > first.time_ns[-1]
    assert updates.layout is first.layout
    assert len(updates_of(collector.collect())) == 0


def test_invalid_severity_makes_the_value_invalid_and_others_do_not(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:IMon")
    assert last(updates_of(collector.collect()), "HV:00:IMon") == (2.5, Quality.GOOD)
    server.put("HV:00:IMon", severity=Severity.INVALID)
    assert wait_for(collector, "HV:00:IMon", lambda found: found[1] is Quality.INVALID)
    server.put("HV:00:IMon", severity=Severity.MAJOR)
    assert wait_for(collector, "HV:00:IMon", lambda found: found[1] is Quality.GOOD)


def test_a_killed_server_is_a_disconnection_and_its_return_a_connection(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:VMon", "POWER")
    before = updates_of(collector.collect())
    server.kill()
    lost = wait_for(collector, "HV:00:VMon", lambda found: found[1] is Quality.DISCONNECTED)
    assert math.isnan(lost.value[0])
    assert lost.layout is before.layout
    with pytest.raises(CollectError, match=r"no server has a channel of HV:00:VMon, POWER at 127\.0\.0\.1"):
        for _ in range(1000):
            list(collector.collect())
            time.sleep(0.02)
    server.start()
    found = wait_for(collector, "HV:00:VMon", lambda found: found == (1400, Quality.GOOD))
    assert found.layout is before.layout
    server.put("HV:00:VMon", 7.0)
    assert wait_for(collector, "HV:00:VMon", lambda found: found[0] == 7)


def test_channels_without_a_server_are_disconnected_from_the_beginning(connect: Callable[..., EpicsCollector]) -> None:
    updates = updates_of(connect("POWER", "NOWHERE", units={"NOWHERE": "kV"}, connect_wait_s=1).collect())
    assert last(updates, "POWER") == (1, Quality.GOOD)
    assert last(updates, "NOWHERE") is not None
    assert last(updates, "NOWHERE")[1] is Quality.DISCONNECTED  # type: ignore[index]
    assert updates.layout.column("NOWHERE") == Channel("NOWHERE", "NOWHERE", "kV", Kind.GAUGE, "CMS/HV")


def test_texts_are_states_where_they_are_named_and_arrays_are_rejected_once(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("TEXT", "WAVE", states={"TEXT": ["READY", "BUSY"]})
    collected = list(collector.collect())
    assert last(updates_of(collected), "TEXT") == (0, Quality.GOOD)
    assert [(r.subject, r.reason) for r in collected if isinstance(r, Rejected)] == [
        ("WAVE", "an array of 3 values; only single values can be monitored")
    ]
    server.put("TEXT", "BROKEN")
    server.put("WAVE", [4.0, 5.0, 6.0])
    rejected: list[Rejected] = []
    while not rejected:
        rejected = [item for item in collector.collect() if isinstance(item, Rejected)]
    assert [(r.subject, r.reason) for r in rejected] == [("TEXT", "'BROKEN' is none of its states")]


def test_readings_are_ramping_while_the_status_says_so(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    rule = {"status": "*:Status", "readings": ["{1}:VMon", "{1}:IMon"], "bits": [1, 2]}
    collector = connect("HV:00:VMon", "HV:00:IMon", "HV:00:Status", bits={"*:Status": ["on", "up", "down"]}, ramping=[rule])
    updates = updates_of(collector.collect())
    assert updates.layout.column("HV:00:Status").description()[4:] == ["bits", "CMS/HV", ["on", "up", "down"]]
    server.put("HV:00:Status", 3)
    assert wait_for(collector, "HV:00:VMon", lambda found: found == (1400, Quality.RAMPING))
    server.put("HV:00:VMon", 700.0)
    assert wait_for(collector, "HV:00:VMon", lambda found: found == (700, Quality.RAMPING))
    server.put("HV:00:Status", 1)
    assert wait_for(collector, "HV:00:VMon", lambda found: found == (700, Quality.GOOD))


def test_a_full_buffer_drops_the_oldest_and_says_how_many(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:VMon", buffer_updates=3)
    list(collector.collect())
    for value in range(8):
        server.put("HV:00:VMon", float(value))
    deadline, values, dropped = time.monotonic() + 30, list[float](), 0
    while (not values or values[-1] != 7) and time.monotonic() < deadline:
        time.sleep(0.3)
        for item in collector.collect():
            if isinstance(item, Rejected):
                assert "updates were dropped: more than 3" in item.reason
                dropped += int(item.reason.split()[0])
            elif isinstance(item, Updates):
                values += item.value.tolist()
    assert dropped + len(values) == 8
    assert values[-1] == 7


def test_settings_of_a_source_do_not_reach_the_environment(connect: Callable[..., EpicsCollector]) -> None:
    before = dict(os.environ)
    list(connect("POWER").collect())
    assert dict(os.environ) == before


def test_no_server_is_an_error_that_names_the_channels(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = EpicsOptions(channels=("A{1..9}",), addresses=(f"127.0.0.1:{port}",), connect_wait_s=0.2)
    collector = EpicsCollector(Origin("hv", "", time.time_ns), options)
    try:
        with pytest.raises(CollectError, match=rf"no server has a channel of A1, A2, A3, A4, A5 and 4 more at 127.0.0.1:{port}"):
            list(collector.collect())
    finally:
        collector.close()


def test_a_server_that_answers_and_then_refuses_does_not_end_the_search(process: Server) -> None:
    process.kill()
    with socket.create_server(("127.0.0.1", 0)) as free:
        refusing_port = free.getsockname()[1]
    options = EpicsOptions(channels=("POWER",), addresses=(f"127.0.0.1:{process.port}",), connect_wait_s=0)
    collector = EpicsCollector(Origin("hv", "", time.time_ns), options)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
            answering.bind(("127.0.0.1", process.port))
            with pytest.raises(CollectError):
                list(collector.collect())
            data, address = answering.recvfrom(4096)
            (search,) = (c for c in caproto.Broadcaster(caproto.SERVER).recv(data, address) if isinstance(c, caproto.SearchRequest))
            answer = [caproto.VersionResponse(13), caproto.SearchResponse(refusing_port, None, search.cid, 13)]
            answering.sendto(b"".join(bytes(command) for command in answer), address)
            time.sleep(0.5)
        process.start()
        assert wait_for(collector, "POWER", lambda found: found == (1, Quality.GOOD))
    finally:
        collector.close()


def test_channels_are_listed_in_a_file_with_or_without_a_heading(tmp_path: Path) -> None:
    headed, bare = tmp_path / "headed.csv", tmp_path / "bare.csv"
    headed.write_text("name,unit,place,states,kind\nA,kV,D1,,\nS,,,OFF|ON,\n")
    bare.write_text("1,HV of D1U,D1U_V,double,1,kV,-1.41,-1.405,-1.395,-1.39,3,1\n")
    options = EpicsOptions(channels_file=headed, channels=("A", "B"))
    layout = EpicsCollector(Origin("hv", "E1039", lambda: 0), options)._layout
    assert layout.columns == (
        Channel("A", "A", "kV", Kind.GAUGE, "E1039/D1"),
        Channel("S", "S", "", Kind.STATE, "E1039", ("OFF", "ON")),
        Channel("B", "B", "", Kind.GAUGE, "E1039"),
    )
    columns = ("", "quantity", "name", "", "", "unit", "lolo", "low", "high", "hihi")
    (plan,) = EpicsOptions(channels_file=bare, channels_file_columns=columns).plans()
    assert (plan.name, plan.quantity, plan.unit, plan.limits["HIHI"]) == ("D1U_V", "HV of D1U", "kV", -1.39)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name the channels"),
        ({"channels": ["A"], "addresses": ["host:port"]}, "HOST:PORT"),
        ({"channels_file": "/no/such/file.csv"}, "No such file"),
        ({"channels": ["A"], "ramping": [{"status": "A", "readings": ["B"]}]}, "bits"),
        ({"channels": ["A{0..999999}"]}, "more than"),
        ({"channels": ["A"], "channels_file_columns": ["nome"]}, "nome"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpicsOptions.model_validate(options)


def test_ranges_are_written_out() -> None:
    assert expand(["A{08..10}:{0..1}", "B", "A08:0"]) == ["A08:0", "A08:1", "A09:0", "A09:1", "A10:0", "A10:1", "B"]


LAYOUT = Layout(
    "s",
    (Channel("v", "v", "V"), Channel("s", "s", "", Kind.STATE, states=("a", "b")), Channel("w", "w", "", Kind.BITS, states=("on", "up"))),
)


def test_what_cannot_be_true_is_invalid_and_said_once() -> None:
    second = 1_600_000_000_000_000_000
    events = [
        Event(0, math.inf, second, 9),
        Event(0, math.inf, second, 9),
        Event(1, 5, second, 9),
        Event(2, -1, second, 9),
        Event(0, "x", 0, second),
    ]
    updates, rejected = Decoder().decode(LAYOUT, events)
    assert [r.subject for r in rejected] == ["v", "s"]
    assert updates.quality.tolist() == [Quality.INVALID, Quality.INVALID, Quality.INVALID, Quality.GOOD, Quality.INVALID]
    assert updates.value[3] == 2**32 - 1
    assert updates.time_ns.tolist() == [second] * 5


EVENTS = st.builds(
    Event,
    st.integers(0, 2),
    st.none() | st.floats() | st.text(max_size=3),
    st.integers(0, 2**62),
    st.integers(0, 2**62),
    st.integers(0, 4),
)


@given(st.lists(EVENTS))
def test_any_messages_become_updates(events: list[Event]) -> None:
    updates, _ = Decoder([Ramp(2, (0,), bits=2)]).decode(LAYOUT, events)
    assert len(updates) >= len(events)
    assert not np.isinf(updates.value).any()
    good = updates.quality == Quality.GOOD
    assert np.isfinite(updates.value[good]).all()
