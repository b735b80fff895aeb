"""OPC UA against a real server in another process."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import CollectError, Origin
from collectors.frame import Channel, Kind, Quality
from collectors.opcua import OpcUaCollector, OpcUaOptions
from tests.collectors.monitoring import last, problems, turn_for, updates_of, wait_for
from tests.collectors.opcua_server import UaServer
from tests.collectors.told_server import free_port

Connect = Callable[..., OpcUaCollector]
START = {"VMon": 1400.0, "IMon": 2.5, "Status": 1, "Power": 1, "Mode": 0, "Door": True, "Text": "READY", "Wave": [1.0, 2.0, 3.0]}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UaServer]:
    running = UaServer(tmp_path_factory.mktemp("server")).start()
    yield running
    running.kill()


@pytest.fixture
def server(process: UaServer) -> UaServer:
    """The server, with the values it started with."""
    if not process.is_running:
        process.start()
    for name, value in START.items():
        process.put(name, value)
    return process


@pytest.fixture
def connect(server: UaServer) -> Iterator[Connect]:
    """Builds collectors of the server, and closes them."""
    built: list[OpcUaCollector] = []

    def build(*nodes: str, **options: Any) -> OpcUaCollector:
        fields = {
            "url": server.url,
            "nodes": {node: f"ns=2;s={node}" for node in nodes},
            "connect_wait_s": 10,
            "publishing_interval_s": 0.1,
            "sampling_interval_s": 0.1,
            "reconnect_max_s": 1,
            **options,
        }
        built.append(OpcUaCollector(Origin("hv", "CMS/HV", time.time_ns), OpcUaOptions.model_validate(fields)))
        return built[-1]

    yield build
    for collector in built:
        collector.close()
        collector.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "opcua"]


def test_values_units_states_and_limits_come_from_the_server(connect: Connect) -> None:
    started_ns = time.time_ns()
    collector = connect(
        "VMon", "Power", "Mode", "Door", "Status", limits=True, bits={"Status": ["on", "ramp_up"]}, places={"*Mon": "crate0"}
    )
    updates = updates_of(collector.collect())
    assert updates.layout.columns[:5] == (
        Channel("VMon", "VMon", "V", Kind.GAUGE, "CMS/HV/crate0"),
        Channel("Power", "Power", "", Kind.STATE, "CMS/HV", ("OFF", "ON", "TRIPPED")),
        Channel("Mode", "Mode", "", Kind.STATE, "CMS/HV", ("local", "1", "remote")),
        Channel("Door", "Door", "", Kind.STATE, "CMS/HV", ("open", "closed")),
        Channel("Status", "Status", "", Kind.BITS, "CMS/HV", ("on", "ramp_up")),
    )
    assert [last(updates, name) for name in ("VMon", "Power", "Door", "Status")] == [(value, Quality.GOOD) for value in (1400, 1, 1, 1)]
    limits = [last(updates, f"VMon.{limit}") for limit in ("LOW", "HIGH", "HIHI")]
    assert limits == [(0, Quality.GOOD), (1500, Quality.GOOD), (1600, Quality.GOOD)]
    assert last(updates, "VMon.LOLO") is not None
    assert last(updates, "VMon.LOLO")[1] is Quality.INVALID  # type: ignore[index]
    assert abs(int(updates.time_ns[0]) - started_ns) < 60e9


def test_changes_come_by_themselves_in_order_with_the_time_of_the_source(server: UaServer, connect: Connect) -> None:
    collector = connect("VMon", sampling_interval_s=0)
    first = updates_of(collector.collect())
    for value in (1401.0, 1402.0, 1403.0):
        server.put("VMon", value, ago_s=-value)  # a source whose clock is ahead: its own time is what counts here
    updates = wait_for(collector, "VMon", lambda found: found[0] == 1403)
    assert (np.diff(updates.time_ns) > 0).all()
    assert updates.time_ns[-1] > first.time_ns[-1] + 1_000_000_000_000
    assert updates.layout is first.layout
    assert len(updates_of(collector.collect())) == 0


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [
        ("BadNoCommunication", None, Quality.DISCONNECTED),
        ("BadCommunicationError", 7.0, Quality.DISCONNECTED),
        ("BadSensorFailure", 7.0, Quality.INVALID),
        ("BadOutOfService", None, Quality.INVALID),
        ("UncertainLastUsableValue", 7.0, Quality.STALE),
        ("UncertainSensorNotAccurate", 7.0, Quality.INVALID),
        ("Good", math.nan, Quality.INVALID),
    ],
)
def test_status_codes_are_qualities(server: UaServer, connect: Connect, status: str, value: float | None, expected: Quality) -> None:
    collector = connect("VMon", "IMon")
    list(collector.collect())
    server.put("VMon", value, status=status)
    updates = wait_for(collector, "VMon", lambda found: found[1] is expected)
    assert last(updates, "IMon") is None
    if expected is Quality.STALE:
        assert last(updates, "VMon") == (7, Quality.STALE)
    server.put("VMon", 8.0)
    assert wait_for(collector, "VMon", lambda found: found == (8, Quality.GOOD))


def test_a_device_that_comes_back_unchanged_is_good_again(server: UaServer, connect: Connect) -> None:
    """Its value has the time at which it was set, long before the way to it was lost."""
    collector = connect("VMon")
    list(collector.collect())
    server.put("VMon", None, status="BadNoCommunication")
    lost = wait_for(collector, "VMon", lambda found: found[1] is Quality.DISCONNECTED)
    server.put("VMon", 1400.0, ago_s=3600)
    back = wait_for(collector, "VMon", lambda found: found == (1400, Quality.GOOD))
    assert back.time_ns[-1] > lost.time_ns[-1]


def test_a_killed_server_is_a_disconnection_and_after_its_restart_everything_is_subscribed_again(
    server: UaServer, connect: Connect
) -> None:
    collector = connect("VMon", "Power")
    before = updates_of(collector.collect())
    server.kill()
    lost = wait_for(collector, "VMon", lambda found: found[1] is Quality.DISCONNECTED)
    assert math.isnan(lost.value[0])
    assert lost.layout is before.layout
    with pytest.raises(CollectError, match=rf"{server.url}: (the connection was lost|Connection refused)"):
        turn_for(collector, seconds=30)
    server.start()
    found = wait_for(collector, "VMon", lambda found: found == (1400, Quality.GOOD))
    assert found.layout is before.layout
    server.put("VMon", 7.0)
    assert wait_for(collector, "VMon", lambda found: found[0] == 7)


def test_a_server_that_hangs_is_disconnected_until_it_goes_on(server: UaServer, connect: Connect) -> None:
    collector = connect("VMon", request_timeout_s=1, watchdog_s=0.2)
    assert last(updates_of(collector.collect()), "VMon") == (1400, Quality.GOOD)
    server.pause()
    try:
        assert wait_for(collector, "VMon", lambda found: found[1] is Quality.DISCONNECTED)
        with pytest.raises(CollectError, match="no answer within 1 s"):
            turn_for(collector, seconds=30)
    finally:
        server.resume()
    assert wait_for(collector, "VMon", lambda found: found == (1400, Quality.GOOD))
    server.put("VMon", 8.0)
    assert wait_for(collector, "VMon", lambda found: found == (8, Quality.GOOD))


def test_closing_does_not_wait_for_a_server_that_hangs(server: UaServer, connect: Connect) -> None:
    collector = connect("VMon", request_timeout_s=60, watchdog_s=60)
    list(collector.collect())
    server.pause()
    try:
        collector.close()
        assert not [thread.name for thread in threading.enumerate() if thread.name == "opcua"]
    finally:
        server.resume()


def test_a_server_that_says_it_is_shutting_down_is_not_believed_any_more(server: UaServer, connect: Connect) -> None:
    collector = connect("VMon", watchdog_s=0.1)
    list(collector.collect())
    server.put("VMon", 4, state=True)
    try:
        assert wait_for(collector, "VMon", lambda found: found[1] is Quality.DISCONNECTED)
    finally:
        server.put("VMon", 0, state=True)
    assert wait_for(collector, "VMon", lambda found: found == (1400, Quality.GOOD))


def test_what_the_server_does_not_have_or_is_no_number_is_rejected_once_and_the_rest_goes_on(server: UaServer, connect: Connect) -> None:
    collector = connect("VMon", "nowhere", "Wave", "When", "Text", states={"Text": ["READY", "BUSY"]}, units={"nowhere": "kV"})
    collected = list(collector.collect())
    assert problems(collected) == [
        ("nowhere", "ns=2;s=nowhere: BadNodeIdUnknown"),
        ("Wave", "an array of 3 values; name one of them in `elements`"),
        ("When", "a value of type datetime; only numbers, booleans and texts can be monitored"),
    ]
    updates = updates_of(collected)
    assert last(updates, "VMon") == (1400, Quality.GOOD)
    assert last(updates, "Text") == (0, Quality.GOOD)
    assert last(updates, "nowhere") is not None
    assert last(updates, "nowhere")[1] is Quality.DISCONNECTED  # type: ignore[index]
    assert updates.layout.column("nowhere") == Channel("nowhere", "nowhere", "kV", Kind.GAUGE, "CMS/HV")
    server.put("Wave", [1.0])
    server.put("Text", "BROKEN")
    rejected: list[tuple[str, str]] = []
    while not rejected:
        rejected = problems(collector.collect())
    assert rejected == [("Text", "'BROKEN' is none of its states")]


def test_a_server_without_any_of_the_nodes_is_an_error_that_names_them(server: UaServer, connect: Connect) -> None:
    with pytest.raises(CollectError, match=rf"{server.url}: the server has none of the nodes ns=2;s=no, ns=2;s=way"):
        turn_for(connect("no", "way"), seconds=5)


def test_a_list_of_channels_names_nodes_in_a_column(connect: Connect, tmp_path: Path) -> None:
    listed = tmp_path / "channels.csv"
    listed.write_text(
        "name,address,unit,place,hihi\n"
        "HV0,nsu=http://example.org/hv;s=VMon,kV,top,1550\n"
        "T0,ns=2;s=Wave,degC,,\nT2,ns=2;s=Wave,degC,,\n"
        "X,nsu=http://example.org/other;s=VMon,,,\n"
    )
    collected = list(connect(channels_file=str(listed), elements={"T0": 0, "T2": 2}, limits=True).collect())
    updates = updates_of(collected)
    assert updates.layout.column("HV0") == Channel("HV0", "HV0", "kV", Kind.GAUGE, "CMS/HV/top")
    assert [last(updates, name) for name in ("HV0", "HV0.HIHI", "T0", "T2")] == [(value, Quality.GOOD) for value in (1400, 1550, 1, 3)]
    assert problems(collected) == [("X", "the server has no namespace http://example.org/other")]


@pytest.mark.parametrize("folder", ["ns=2;s=HV", "i=85"])
def test_a_folder_is_browsed_for_all_numbers_below_it(connect: Connect, folder: str) -> None:
    collected = list(connect(folders=[folder], exclude=["*/Mode", "*/Door"], units={"*/IMon": "uA"}).collect())
    updates = updates_of(collected)
    assert [column.name for column in updates.layout.columns] == [f"HV/crate0/{name}" for name in ("VMon", "IMon", "Status", "Power")]
    assert updates.layout.column("HV/crate0/IMon") == Channel("HV/crate0/IMon", "HV/crate0/IMon", "uA", Kind.GAUGE, "CMS/HV")
    assert last(updates, "HV/crate0/VMon") == (1400, Quality.GOOD)
    left_out = "3 variables hold no single number and are left out: HV/crate0/Text, HV/crate0/Wave, HV/crate0/When"
    assert problems(collected) == [(folder, left_out)]


def test_after_a_restart_namespaces_may_be_numbered_anew_and_there_may_be_more_nodes(tmp_path: Path, connect: Connect) -> None:
    server = UaServer(tmp_path).start()
    try:
        folder = "nsu=http://example.org/hv;s=HV"
        collector = connect(url=server.url, nodes={"V": "nsu=http://example.org/hv;s=VMon"}, folders=[folder], include=["*Mon"])
        before = updates_of(collector.collect())
        server.kill()
        assert wait_for(collector, "V", lambda found: found[1] is Quality.DISCONNECTED)
        server.configure(before=["http://example.org/first"], more=["TMon"])
        server.start()
        after = wait_for(collector, "HV/crate0/VMon", lambda found: found == (1400, Quality.GOOD))
        assert last(after, "V") == (1400, Quality.GOOD)
        assert last(after, "HV/crate0/TMon") == (1, Quality.GOOD)
        assert after.layout.columns[: len(before.layout.columns)] == before.layout.columns
    finally:
        server.kill()


def test_folders_that_are_not_there_or_empty_are_said(connect: Connect) -> None:
    collector = connect("VMon", folders=["ns=2;s=nowhere", "ns=2;s=HV"], include=["nothing"])
    assert problems(collector.collect()) == [
        ("ns=2;s=nowhere", "the server has no such node"),
        ("ns=2;s=HV", "none of 9 variables below it matches `include`"),
    ]


def test_more_than_the_buffer_holds_is_counted(server: UaServer, connect: Connect) -> None:
    collector = connect("VMon", buffer_updates=3, sampling_interval_s=0, queue_size=100)
    list(collector.collect())
    for value in range(8):
        server.put("VMon", float(value))
    deadline, dropped, values = time.monotonic() + 30, 0, list[float]()
    while (not values or values[-1] != 7) and time.monotonic() < deadline:
        time.sleep(0.5)
        collected = list(collector.collect())
        dropped += sum(int(reason.split()[0]) for _, reason in problems(collected))
        values += updates_of(collected).value.tolist()
    assert dropped + len(values) == 8
    assert dropped > 0


def test_no_server_is_an_error_that_names_it() -> None:
    url = f"opc.tcp://127.0.0.1:{free_port()}/hv"
    collector = OpcUaCollector(Origin("hv", "", time.time_ns), OpcUaOptions(url=url, folders=("i=85",)))
    try:
        with pytest.raises(CollectError, match=f"{url}: Connection refused"):
            list(collector.collect())
    finally:
        collector.close()
