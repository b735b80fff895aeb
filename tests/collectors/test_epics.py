"""Channel Access against a real server in another process, and the decoding of its messages without one."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import caproto
import numpy as np
import pytest

from collectors.collector import CollectError, Origin, Rejected
from collectors.epics import EpicsCollector, EpicsOptions
from collectors.frame import Channel, Kind, Quality, Updates
from collectors.slow_control.monitored import Severity
from tests.collectors.epics_server import Server
from tests.collectors.monitoring import last, turn_for, updates_of, wait_for


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


def test_the_alarm_that_the_ioc_raises_is_a_state_of_its_own(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:IMon", severity=True, limits=True)
    updates = updates_of(collector.collect())
    assert updates.layout.columns[-1] == Channel(
        "HV:00:IMon.SEVR", "HV:00:IMon SEVR", "", Kind.STATE, "CMS/HV", ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
    )
    assert last(updates, "HV:00:IMon.SEVR") == (0, Quality.GOOD)
    server.put("HV:00:IMon", severity=Severity.MINOR)
    updates = wait_for(collector, "HV:00:IMon.SEVR", lambda found: found == (1, Quality.GOOD))
    assert last(updates, "HV:00:IMon") == (2.5, Quality.GOOD)
    server.put("HV:00:IMon", severity=Severity.INVALID)
    updates = wait_for(collector, "HV:00:IMon.SEVR", lambda found: found == (3, Quality.GOOD))
    assert last(updates, "HV:00:IMon") == (2.5, Quality.INVALID)


def test_a_list_may_call_a_variable_by_names_of_its_own(connect: Callable[..., EpicsCollector], tmp_path: Path) -> None:
    listed = tmp_path / "channels.csv"
    listed.write_text("name,address,place,hihi\nvolts,HV:00:VMon,A,7\nagain,HV:00:VMon,B,\n")
    updates = updates_of(connect(channels_file=str(listed), limits=True).collect())
    assert [last(updates, name) for name in ("volts", "again", "volts.HIHI")] == [
        (1400, Quality.GOOD),
        (1400, Quality.GOOD),
        (7, Quality.GOOD),
    ]
    assert [column.place for column in updates.layout.columns[:2]] == ["CMS/HV/A", "CMS/HV/B"]
    assert updates.layout.column("again") == Channel("again", "again", "V", place="CMS/HV/B")


def test_a_killed_server_is_a_disconnection_and_its_return_a_connection(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:VMon", "POWER")
    before = updates_of(collector.collect())
    server.kill()
    lost = wait_for(collector, "HV:00:VMon", lambda found: found[1] is Quality.DISCONNECTED)
    assert math.isnan(lost.value[0])
    assert lost.layout is before.layout
    with pytest.raises(CollectError, match=r"no server has a channel of HV:00:VMon, POWER at 127\.0\.0\.1"):
        turn_for(collector, seconds=30)
    server.start()
    found = wait_for(collector, "HV:00:VMon", lambda found: found == (1400, Quality.GOOD))
    assert found.layout is before.layout
    server.put("HV:00:VMon", 7.0)
    assert wait_for(collector, "HV:00:VMon", lambda found: found[0] == 7)


def test_a_server_that_hangs_is_disconnected_until_it_goes_on(server: Server, connect: Callable[..., EpicsCollector]) -> None:
    collector = connect("HV:00:VMon", connection_timeout_s=2)
    assert last(updates_of(collector.collect()), "HV:00:VMon") == (1400, Quality.GOOD)
    server.pause()
    try:
        assert wait_for(collector, "HV:00:VMon", lambda found: found[1] is Quality.DISCONNECTED)
    finally:
        server.resume()
    assert wait_for(collector, "HV:00:VMon", lambda found: found == (1400, Quality.GOOD))
    server.put("HV:00:VMon", 7.0)
    assert wait_for(collector, "HV:00:VMon", lambda found: found == (7, Quality.GOOD))


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


def test_no_server_is_an_error_that_names_the_channels() -> None:
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
