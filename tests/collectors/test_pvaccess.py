"""PVAccess against a real server in another process."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from p4p import Type, Value

from collectors.collector import CollectError, Origin, Rejected
from collectors.frame import Channel, Kind, Quality, Updates
from collectors.pvaccess import PvAccessCollector, PvAccessOptions
from collectors.slow_control.monitored import Severity
from collectors.slow_control.pvaccess_client import PvAccessMonitors
from tests.collectors.monitoring import last, problems, turn_for, updates_of, wait_for
from tests.collectors.pvaccess_server import PvServer
from tests.collectors.told_server import free_port

Connect = Callable[..., PvAccessCollector]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PvServer]:
    running = PvServer(tmp_path_factory.mktemp("server")).start()
    yield running
    running.kill()


@pytest.fixture
def server(process: PvServer) -> PvServer:
    """The server, with the values it started with."""
    if not process.is_running:
        process.start()
    for name, value in (("HV:00:VMon", 1400.0), ("HV:00:IMon", 2.5), ("HV:00:Status", 1), ("TEXT", "READY"), ("WAVE", [1.0, 2.0, 3.0])):
        process.put(name, value)
    return process


@pytest.fixture
def connect(server: PvServer) -> Iterator[Connect]:
    """Builds collectors of the server, and closes them."""
    built: list[PvAccessCollector] = []

    def build(*channels: str, **options: Any) -> PvAccessCollector:
        fields = {"channels": channels, "addresses": [f"127.0.0.1:{server.udp_port}"], "connect_wait_s": 10, **options}
        built.append(PvAccessCollector(Origin("hv", "CMS/HV", time.time_ns), PvAccessOptions.model_validate(fields)))
        return built[-1]

    yield build
    for collector in built:
        collector.close()
        collector.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name == "pvaccess"]


def test_values_units_states_and_limits_come_from_the_server(connect: Connect) -> None:
    started_ns = time.time_ns()
    updates = updates_of(connect("HV:{00..00}:VMon", "POWER", limits=True, places={"HV:*:*": "crate{1}"}).collect())
    assert updates.layout.columns[:2] == (
        Channel("HV:00:VMon", "HV:00:VMon", "V", Kind.GAUGE, "CMS/HV/crate00"),
        Channel("POWER", "POWER", "", Kind.STATE, "CMS/HV", ("OFF", "ON", "TRIPPED")),
    )
    assert last(updates, "HV:00:VMon") == (1400, Quality.GOOD)
    assert last(updates, "POWER") == (1, Quality.GOOD)
    limits = [last(updates, f"HV:00:VMon.{limit}") for limit in ("LOLO", "LOW", "HIGH", "HIHI")]
    assert limits == [(-5, Quality.GOOD), (-2, Quality.GOOD), (1500, Quality.GOOD), (1600, Quality.GOOD)]
    assert updates.layout.column("HV:00:VMon.HIHI") == Channel("HV:00:VMon.HIHI", "HV:00:VMon HIHI", "V", place="CMS/HV/crate00")
    assert abs(int(updates.time_ns[0]) - started_ns) < 60e9


def test_changes_come_by_themselves_in_order_with_the_time_of_the_server(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:VMon")
    first = updates_of(collector.collect())
    for value in (1401.0, 1402.0, 1403.0):
        server.put("HV:00:VMon", value)
    updates = wait_for(collector, "HV:00:VMon", lambda found: found[0] == 1403)
    assert (np.diff(updates.time_ns) > 0).all()
    assert updates.time_ns[-1] > first.time_ns[-1]
    assert updates.layout is first.layout
    assert len(updates_of(collector.collect())) == 0


def test_status_words_are_bits_of_the_names_given(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:Status", bits={"*:Status": ["on", "ramp_up", "ramp_down"]})
    server.put("HV:00:Status", 3)
    updates = wait_for(collector, "HV:00:Status", lambda found: found == (3, Quality.GOOD))
    assert updates.layout.columns == (Channel("HV:00:Status", "HV:00:Status", "", Kind.BITS, "CMS/HV", ("on", "ramp_up", "ramp_down")),)


def test_invalid_severity_makes_the_value_invalid_and_every_severity_is_a_state(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:IMon", severity=True)
    updates = updates_of(collector.collect())
    severity = updates.layout.column("HV:00:IMon.SEVR")
    assert isinstance(severity, Channel)
    assert (severity.kind, severity.states) == (Kind.STATE, ("NO_ALARM", "MINOR", "MAJOR", "INVALID"))
    assert last(updates, "HV:00:IMon.SEVR") == (0, Quality.GOOD)
    server.put("HV:00:IMon", severity=Severity.MAJOR)
    updates = wait_for(collector, "HV:00:IMon.SEVR", lambda found: found == (2, Quality.GOOD))
    assert last(updates, "HV:00:IMon") == (2.5, Quality.GOOD)
    server.put("HV:00:IMon", severity=Severity.INVALID)
    updates = wait_for(collector, "HV:00:IMon.SEVR", lambda found: found == (3, Quality.GOOD))
    assert last(updates, "HV:00:IMon") == (2.5, Quality.INVALID)


def test_a_killed_server_is_a_disconnection_and_its_return_a_connection(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:VMon", "POWER", severity=True)
    before = updates_of(collector.collect())
    server.kill()
    lost = wait_for(collector, "HV:00:VMon", lambda found: found[1] is Quality.DISCONNECTED)
    assert math.isnan(lost.value[0])
    assert lost.layout is before.layout
    assert last(lost, "HV:00:VMon.SEVR") is not None
    assert last(lost, "HV:00:VMon.SEVR")[1] is Quality.DISCONNECTED  # type: ignore[index]
    with pytest.raises(CollectError, match=r"no server has a channel of HV:00:VMon, POWER at 127\.0\.0\.1"):
        turn_for(collector, seconds=30)
    server.start()
    found = wait_for(collector, "HV:00:VMon", lambda found: found == (1400, Quality.GOOD))
    assert found.layout is before.layout
    server.put("HV:00:VMon", 7.0)
    assert wait_for(collector, "HV:00:VMon", lambda found: found[0] == 7)


def test_a_server_that_hangs_is_disconnected_until_it_goes_on(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:VMon", connection_timeout_s=2)
    assert last(updates_of(collector.collect()), "HV:00:VMon") == (1400, Quality.GOOD)
    server.pause()
    try:
        assert wait_for(collector, "HV:00:VMon", lambda found: found[1] is Quality.DISCONNECTED)
    finally:
        server.resume()
    back = wait_for(collector, "HV:00:VMon", lambda found: found == (1400, Quality.GOOD))
    assert int(back.time_ns[-1]) <= time.time_ns()


def test_addresses_get_their_port_and_those_of_ipv6_their_brackets() -> None:
    addresses = ("ioc", "ioc:1", "::1", "[::1]", "[fe80::1]:2")
    options = PvAccessOptions(channels=("A",), addresses=addresses, name_servers=("gateway",))
    assert options.settings()["EPICS_PVA_ADDR_LIST"] == "ioc:5076 ioc:1 [::1]:5076 [::1]:5076 [fe80::1]:2"
    assert options.settings()["EPICS_PVA_NAME_SERVERS"] == "gateway:5075"


@pytest.mark.parametrize(
    ("field", "spec", "content"),
    [
        ("alarm", ("S", None, [("severity", "s")]), {"severity": "MAJOR"}),
        ("timeStamp", ("S", None, [("secondsPastEpoch", "s")]), {"secondsPastEpoch": "noon"}),
        ("display", ("S", None, [("units", ("S", None, [("a", "d")]))]), {"units": {"a": 1.0}}),
        ("valueAlarm", ("S", None, [("lowAlarmLimit", "s")]), {"lowAlarmLimit": "none"}),
    ],
)
def test_a_structure_of_somebodys_own_is_said_and_what_stood_before_is_not_good_any_more(field: str, spec: Any, content: Any) -> None:
    monitors = PvAccessMonitors(["A"], [None], time.time_ns, settings={}, max_events=10)
    monitors._on_update(0, Value(Type([("value", "d"), (field, spec)]), {"value": 1.0, field: content}))
    ((event,), _) = monitors.buffer.take()
    assert event.problem or event.value == 1.0
    assert monitors.buffer.connected == {0}


def test_channels_without_a_server_are_disconnected_from_the_beginning(connect: Connect) -> None:
    updates = updates_of(connect("POWER", "NOWHERE", units={"NOWHERE": "kV"}, connect_wait_s=1).collect())
    assert last(updates, "POWER") == (1, Quality.GOOD)
    assert last(updates, "NOWHERE") is not None
    assert last(updates, "NOWHERE")[1] is Quality.DISCONNECTED  # type: ignore[index]
    assert updates.layout.column("NOWHERE") == Channel("NOWHERE", "NOWHERE", "kV", Kind.GAUGE, "CMS/HV")


def test_what_is_no_single_value_is_rejected_once_and_the_rest_goes_on(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:VMon", "WAVE", "TABLE", "TEXT", states={"TEXT": ["READY", "BUSY"]})
    collected = list(collector.collect())
    assert problems(collected) == [
        ("WAVE", "an array of 3 values; name one of them in `elements`"),
        ("TABLE", "epics:nt/NTTable:1.0 is no single value; NTScalar, NTEnum and elements of NTScalarArray can be monitored"),
    ]
    assert last(updates_of(collected), "HV:00:VMon") == (1400, Quality.GOOD)
    assert last(updates_of(collected), "TEXT") == (0, Quality.GOOD)
    server.put("WAVE", [4.0])
    server.put("TEXT", "BROKEN")
    rejected: list[tuple[str, str]] = []
    while not rejected:
        rejected = problems(collector.collect())
    assert rejected == [("TEXT", "'BROKEN' is none of its states")]


def test_elements_of_an_array_are_channels_of_a_list(connect: Connect, tmp_path: Path) -> None:
    listed = tmp_path / "channels.csv"
    listed.write_text("name,address,unit\nT:0,WAVE,degC\nT:2,WAVE,degC\nT:3,WAVE,degC\n")
    collected = list(connect(channels_file=str(listed), elements={"T:0": 0, "T:2": 2, "T:3": 3}).collect())
    updates = updates_of(collected)
    assert [last(updates, name) for name in ("T:0", "T:2")] == [(1, Quality.GOOD), (3, Quality.GOOD)]
    assert updates.layout.column("T:2") == Channel("T:2", "T:2", "degC", Kind.GAUGE, "CMS/HV")
    assert problems(collected) == [("T:3", "an array of 3 values has no element 3")]


def test_a_server_is_found_by_its_name_server_too(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:VMon", addresses=[], name_servers=[f"127.0.0.1:{server.port}"])
    assert last(updates_of(collector.collect()), "HV:00:VMon") == (1400, Quality.GOOD)


def test_a_full_buffer_drops_the_oldest_and_says_how_many(server: PvServer, connect: Connect) -> None:
    collector = connect("HV:00:VMon", buffer_updates=3)
    list(collector.collect())
    for value in range(8):
        server.put("HV:00:VMon", float(value))
        time.sleep(0.05)  # the server itself keeps only the newest of what a slow client has not fetched
    dropped, values = 0, list[float]()
    deadline = time.monotonic() + 30
    while (not values or values[-1] != 7) and time.monotonic() < deadline:
        for item in collector.collect():
            if isinstance(item, Rejected):
                assert "updates were dropped: more than 3" in item.reason
                dropped += int(item.reason.split()[0])
            elif isinstance(item, Updates):
                values += item.value.tolist()
        time.sleep(0.1)
    assert dropped + len(values) == 8
    assert dropped > 0


def test_settings_of_a_source_do_not_reach_the_environment(connect: Connect) -> None:
    before = dict(os.environ)
    list(connect("POWER").collect())
    assert dict(os.environ) == before


def test_no_server_is_an_error_that_names_the_channels() -> None:
    port = free_port()
    options = PvAccessOptions(channels=("A{1..9}",), addresses=(f"127.0.0.1:{port}",), connect_wait_s=0.2)
    collector = PvAccessCollector(Origin("hv", "", time.time_ns), options)
    try:
        with pytest.raises(CollectError, match=rf"no server has a channel of A1, A2, A3, A4, A5 and 4 more at 127.0.0.1:{port}"):
            list(collector.collect())
    finally:
        collector.close()
