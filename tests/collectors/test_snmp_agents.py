"""SNMP against Net-SNMP's daemon on this machine, and against agents that do not keep to the rules."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped] # it has no stubs
from pysnmp.proto import rfc1902
from pysnmp.proto.api import v2c

from collectors.collector import CollectError
from collectors.frame import Kind
from collectors.snmp import SnmpOptions
from tests.collectors.snmp_agent import Snmpd
from tests.collectors.snmp_turns import COMMUNITY, Build, building, channel, turn, value

PATIENCE_S = 30
Reply = Callable[[list[tuple[int, ...]], int], tuple[int, int, list[tuple[str, int]]]]
TABLE = {"oid": "1.3.9.1", "columns": {"A": {"oid": "1"}, "B": {"oid": "2"}}}


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snmpd]:
    running = Snmpd(tmp_path_factory.mktemp("snmpd"), COMMUNITY).start()
    yield running
    running.kill()


@pytest.fixture
def build() -> Iterator[Build]:
    with building() as start:
        yield start


@contextmanager
def agent(reply: Reply) -> Iterator[str]:
    """Answers what `reply` says to OIDs and repetitions: error status, error index, and pairs of OID and integer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                try:
                    datagram, client = server.recvfrom(65536)
                except TimeoutError:
                    continue
                message, _ = decoder.decode(datagram, asn1Spec=v2c.Message())
                request = v2c.apiMessage.get_pdu(message)
                is_bulk = isinstance(request, v2c.GetBulkRequestPDU)
                oids = [name.asTuple() for name, _ in v2c.apiPDU.get_varbinds(request)]
                repetitions = int(v2c.apiBulkPDU.get_max_repetitions(request)) if is_bulk else 0
                status, at, pairs = reply(oids, repetitions)
                response = v2c.ResponsePDU()
                v2c.apiPDU.set_defaults(response)
                v2c.apiPDU.set_request_id(response, v2c.apiPDU.get_request_id(request))
                v2c.apiPDU.set_error_status(response, status)
                v2c.apiPDU.set_error_index(response, at)
                v2c.apiPDU.set_varbinds(response, [(rfc1902.ObjectName(oid), rfc1902.Integer32(number)) for oid, number in pairs])
                v2c.apiMessage.set_pdu(message, response)
                server.sendto(b"noise" + datagram, client)
                server.sendto(encoder.encode(message), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()


def tree(oids: list[tuple[int, ...]], repetitions: int, rows: int = 20) -> list[tuple[str, int]]:
    """What a table of two columns has after these OIDs; the value is column * 100 + row. The tree ends with 1.4.1."""
    pairs = []
    places = list(oids)
    for _ in range(repetitions):
        for i, oid in enumerate(places):
            column, row = (*oid[4:], 0)[:2]
            following = (1, 3, 9, 1, column, row + 1) if row < rows else (1, 3, 9, 1, 2, 1) if column == 1 else (1, 4, 1)
            pairs.append((".".join(map(str, following)), following[-2] * 100 + following[-1]))
            places[i] = following if len(following) == 6 else (1, 3, 9, 1, 2, rows)
    return pairs


def test_request_that_is_too_big_is_made_smaller(build: Build) -> None:
    asked: list[int] = []

    def reply(oids: list[tuple[int, ...]], repetitions: int) -> tuple[int, int, list[tuple[str, int]]]:
        asked.append(len(oids) * repetitions)
        return (1, 0, []) if len(oids) * repetitions > 5 else (0, 0, tree(oids, repetitions))

    with agent(reply) as address:
        frame, rejected = turn(build(address, tables=[TABLE]))
    assert rejected == []
    assert {c.name: value(frame, c.name) for c in frame.layout.columns} == {
        f"{row}:{name}": column * 100 + row for row in range(1, 21) for column, name in ((1, "A"), (2, "B"))
    }
    assert sum(size > 5 for size in asked) < 6, "it is not tried anew each time"


def test_answers_that_are_cut_anywhere_lose_nothing(build: Build) -> None:
    sizes = iter([1, 3, 2, 7, 1, 1, 5] * 100)
    with agent(lambda oids, repetitions: (0, 0, tree(oids, repetitions)[: next(sizes)])) as address:
        frame, rejected = turn(build(address, tables=[TABLE]))
    assert rejected == []
    assert len(frame.layout.columns) == 40
    assert value(frame, "20:B") == 220


def test_column_that_is_excluded_is_not_asked_for(build: Build) -> None:
    asked: set[int] = set()

    def reply(oids: list[tuple[int, ...]], repetitions: int) -> tuple[int, int, list[tuple[str, int]]]:
        asked.update(oid[4] for oid in oids)
        return 0, 0, tree(oids, repetitions)

    with agent(reply) as address:
        frame, _ = turn(build(address, tables=[TABLE], exclude=["*:B"]))
    assert len(frame.layout.columns) == 20
    assert asked == {1}


def test_agent_that_goes_in_circles_is_left(build: Build) -> None:
    with (
        agent(lambda _oids, repetitions: (0, 0, [("1.3.9.1.1.5", 1), ("1.3.9.1.2.5", 1)] * repetitions)) as address,
        pytest.raises(CollectError, match=r"1\.3\.9\.1\.1\.5 follows 1\.3\.9\.1\.1\.5: the agent does not go on"),
    ):
        turn(build(address, tables=[TABLE]))


@pytest.mark.parametrize(("status", "at", "message"), [(5, 0, "the agent says genErr"), (16, 7, "authorizationError"), (99, 0, "error 99")])
def test_agent_that_refuses_without_saying_what(build: Build, status: int, at: int, message: str) -> None:
    with agent(lambda _oids, _repetitions: (status, at, [])) as address, pytest.raises(CollectError, match=f"{address}: .*{message}"):
        turn(build(address, scalars=[{"name": "x", "oid": "1.3.9.2.0"}]))


def test_scalar_that_the_agent_fails_on_does_not_take_the_others_along(build: Build) -> None:
    def reply(oids: list[tuple[int, ...]], _repetitions: int) -> tuple[int, int, list[tuple[str, int]]]:
        broken = (1, 3, 9, 2, 0)
        pairs = [(".".join(map(str, oid)), 7) for oid in oids]
        return (5, oids.index(broken) + 1, pairs) if broken in oids else (0, 0, pairs)

    with agent(reply) as address:
        scalars = [{"name": f"s{i}", "oid": f"1.3.9.{i}.0"} for i in (1, 2, 3)]
        frame, (rejected,) = turn(build(address, scalars=scalars))
    assert {c.name: value(frame, c.name) for c in frame.layout.columns} == {"s1": 7, "s3": 7}
    assert (rejected.subject, rejected.reason) == ("1.3.9.2.0", "the agent says genErr")


def test_empty_answer_is_an_error(build: Build) -> None:
    with agent(lambda _oids, _repetitions: (0, 0, [])) as address, pytest.raises(CollectError, match=f"{address}: Empty SNMP response"):
        turn(build(address, tables=[TABLE]))


def test_host_that_does_not_exist(build: Build) -> None:
    with pytest.raises(CollectError, match=r"^nowhere\.invalid: ") as error:
        turn(build("nowhere.invalid", profile="ups"))
    assert "\n" not in str(error.value)


def test_interfaces_of_this_machine(snmpd: Snmpd, build: Build) -> None:
    frame, rejected = turn(build(snmpd.address, profile="interfaces", device="node17"))
    assert rejected == []
    received, state = channel(frame, "node17:lo:InOctets"), channel(frame, "node17:lo:OperStatus")
    assert (received.kind, received.unit, received.place) == (Kind.COUNTER, "B", "LAB/HV/node17/lo")
    assert state.states[int(value(frame, state.name))] == "up"
    assert value(frame, received.name) > 0


def test_host_resources_of_this_machine(snmpd: Snmpd, build: Build) -> None:
    storage = {
        "oid": "1.3.6.1.2.1.25.2.3.1",
        "label": "3",
        "name": "storage:{label}",
        "columns": {"Size": {"oid": "5"}, "Used": {"oid": "6"}, "Unit": {"oid": "4", "unit": "B"}},
    }
    scalars = [
        {"name": "uptime", "oid": "1.3.6.1.2.1.1.3.0", "unit": "s"},
        {"name": "processes", "oid": ".1.3.6.1.2.1.25.1.6.0"},
        {"name": "absent", "oid": "1.3.6.1.2.1.33.1.2.1.0"},
    ]
    frame, rejected = turn(build(snmpd.address, tables=[storage], scalars=scalars))
    assert rejected == []
    assert "absent" not in frame.layout
    assert 0 <= value(frame, "uptime") < 86_400
    assert value(frame, "processes") >= 1
    memory = "storage:Physical memory"
    assert value(frame, f"{memory}:Size") * value(frame, f"{memory}:Unit") > 100e6
    assert value(frame, f"{memory}:Used") <= value(frame, f"{memory}:Size")


def test_snmpd_killed_and_restarted(snmpd: Snmpd, build: Build) -> None:
    scalars = [{"name": "uptime", "oid": "1.3.6.1.2.1.1.3.0", "unit": "s"}]
    password = {"auth_password": "auctoritas", "privacy_password": "privatus1"}
    sessions = [build(snmpd.address, scalars=scalars), build(snmpd.address, scalars=scalars, user="shifter", **password)]
    for collector in sessions:
        turn(collector)
    snmpd.kill()
    with pytest.raises(CollectError, match=snmpd.address):
        turn(build(snmpd.address, scalars=scalars, timeout_s=0.2))
    snmpd.start()
    for collector in sessions:
        frame, _ = turn(collector)
        assert value(frame, "uptime") < 60, "the same session goes on with an agent whose clock began anew"


def test_wrong_password_of_snmpd_is_not_shown(snmpd: Snmpd, build: Build) -> None:
    scalars = [{"name": "uptime", "oid": "1.3.6.1.2.1.1.3.0"}]
    for options, reason in (
        ({"user": "shifter", "auth_password": "n0t-the-password", "privacy_password": "privatus1"}, "digest"),
        ({"user": "nobody", "auth_password": "n0t-the-password"}, "user"),
    ):
        collector = build(snmpd.address, scalars=scalars, timeout_s=0.5, **options)
        with pytest.raises(CollectError, match=f"(?i)^{snmpd.address}: .*{reason}") as error:
            turn(collector)
        assert "n0t-the-password" not in str(error.value) + repr(vars(collector))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say what to read"),
        ({"profile": "wiener", "context": "x"}, "give a user"),
        ({"profile": "abacus"}, "wiener"),
        ({"profile": "wiener", "user": "u", "community": "c"}, "either a community"),
        ({"profile": "wiener", "auth_password": "long-enough"}, "either a community"),
        ({"profile": "wiener", "user": "u", "privacy_password": "long-enough"}, "needs an auth_password"),
        ({"profile": "wiener", "community": "c", "community_file": "f"}, "either `community` or"),
        ({"scalars": [{"name": "x", "oid": "sysUpTime"}]}, "is no OID"),
        ({"tables": [{"oid": "1.3.6", "name": "{row}", "columns": {"a": {"oid": "1"}}}]}, r"\{row\}"),
        ({"tables": [{"oid": "1.3.6", "columns": {}}]}, "columns"),
        ({"scalars": [{"name": "x", "oid": "1.3.6", "scale": 0}]}, "a scale of 0"),
        ({"scalars": [{"name": "x", "oid": "1.3.6", "states": ["a"], "bits": ["b"]}]}, "either `states` or `bits`"),
        ({"profile": "wiener", "address": "http://mpod"}, "HOST or HOST:PORT"),
        ({"profile": "wiener", "address": "mpod:0"}, "HOST or HOST:PORT"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SnmpOptions.model_validate({"address": "mpod", **options})


def test_closing_ends_a_turn_that_waits_for_an_agent_that_hangs(build: Build) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(PATIENCE_S)
        collector = build(f"127.0.0.1:{silent.getsockname()[1]}", profile="ups", timeout_s=60, retries=20)
        ended: list[str] = []

        def collect() -> None:
            try:
                list(collector.collect())
            except CollectError as error:
                ended.append(str(error))

        thread = threading.Thread(target=collect)
        thread.start()
        silent.recv(10_000)  # it has asked, and waits
        collector.close()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    assert [error.partition(": ")[2] for error in ended] == ["closed while it was read"]
