"""What values of SNMP mean, without an agent."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slow_control.host_port import split_address
from collectors.slow_control.snmp_profiles import profile
from collectors.slow_control.snmp_tables import Column, Oid, Row, Table, distinct, parse_oid
from collectors.slow_control.snmp_values import MAX_BITS, Raw, label, number, status_word
from collectors.slow_control.state_codes import state_index


@given(st.sets(st.integers(0, MAX_BITS - 1)), st.integers(0, 6))
def test_every_bit_comes_to_its_place(bits: set[int], more_octets: int) -> None:
    octets = bytearray(max((bit // 8 + 1 for bit in bits), default=0) + more_octets)
    for bit in bits:
        octets[bit // 8] |= 0x80 >> bit % 8
    assert status_word(Raw("octets", bytes(octets))) == (sum(1 << bit for bit in bits), "")


@given(st.binary(max_size=12))
def test_any_octets_are_a_status_word_or_refused(octets: bytes) -> None:
    word, problem = status_word(Raw("octets", octets))
    assert math.isnan(word) is bool(problem)
    assert problem or word.is_integer()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_within_opaque(value: float) -> None:
    assert number(Raw("opaque", b"\x9f\x78\x04" + struct.pack(">f", value))) == (value, "")
    assert number(Raw("opaque", b"\x9f\x79\x08" + struct.pack(">d", value))) == (value, "")


@given(st.binary(max_size=16))
def test_any_opaque_is_a_number_or_refused(octets: bytes) -> None:
    value, problem = number(Raw("opaque", octets))
    assert not math.isinf(value)
    assert not problem or (math.isnan(value) and problem.endswith("is not a number") and problem.isprintable())


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (Raw("integer", -5), -5),
        (Raw("counter", 2**64 - 1), 2.0**64),
        (Raw("ticks", 250), 2.5),
        (Raw("opaque", b"\x9f\x7a\x01\xff"), -1),
        (Raw("opaque", b"\x9f\x76\x02\x01\x00"), 256),
        (Raw("octets", b" 12.5\x00"), 12.5),
    ],
)
def test_numbers(raw: Raw, value: float) -> None:
    assert number(raw) == (value, "")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (Raw("octets", b"OFF"), "'OFF' is not a number"),
        (Raw("octets", b""), "'' is not a number"),
        (Raw("octets", b"\x80\x01"), "0x8001 is not a number"),
        (Raw("opaque", b"\x9f\x78\x04\x7f\x80\x00\x00"), "inf is not a number"),
        (Raw("opaque", b"\x9f\x78\x04\x7f"), "0x9f78047f is not a number"),
        (Raw("octets", b"1e999"), "inf is not a number"),
        (Raw("other", "127.0.0.1"), "127.0.0.1 is not a number"),
    ],
)
def test_what_is_not_a_number(raw: Raw, reason: str) -> None:
    value, problem = number(raw)
    assert math.isnan(value)
    assert problem == reason


@pytest.mark.parametrize("raw", [Raw("integer", -1), Raw("integer", 2**60), Raw("opaque", b"\x80"), Raw("other", "1.3.6")])
def test_what_is_no_status_word(raw: Raw) -> None:
    word, problem = status_word(raw)
    assert math.isnan(word)
    assert problem.endswith("is no status word")


def test_states_by_code_and_by_position() -> None:
    by_code = Column.model_validate({"oid": "8", "states": {"1": "up", "2": "down", "7": "lowerLayerDown"}})
    assert by_code.names() == ("up", "down", "lowerLayerDown")
    assert [state_index(by_code.states, code) for code in (1, 7, 3)] == [0, 2, None]
    assert Column.model_validate({"oid": "8", "states": ["off", "on"]}).states == {0: "off", 1: "on"}


def test_names_of_rows() -> None:
    table = Table.model_validate({"oid": "1.3.6.1.4.1.9", "label": "2", "columns": {"x": {"oid": "3"}, "y": {"oid": ".1.3.7.1"}}})
    name, x = (1, 3, 6, 1, 4, 1, 9, 2), (1, 3, 6, 1, 4, 1, 9, 3)
    assert table.oids() == (name, x, (1, 3, 7, 1))
    values: dict[Oid, dict[Oid, Raw]] = {
        name: {(1,): Raw("octets", b"U0"), (2,): Raw("octets", b"U0")},
        x: {(1,): Raw("integer", 1), (5,): Raw("integer", 1)},
    }
    labels = table.labels(values, {(5,): "U4", (9,): "gone"})
    assert labels == {(1,): "U0", (2,): "U0", (5,): "U4"}
    assert distinct(labels) == {(1,): "U0[1]", (2,): "U0[2]", (5,): "U4"}
    assert label(Raw("octets", b"a\r\n\x00\xffb ")) == "a \ufffdb"


def test_templates_of_rows() -> None:
    row = Row("HV/left {number}", (3, 101))
    assert row.fill("crate:{label}:{index}:{number}:{board}") == "crate:HV/left {number}:3.101:100:1"
    assert row.fill("board{board}/{label}", is_place=True) == "board1/HV_left_{number}"


@pytest.mark.parametrize("name", ["wiener", "interfaces", "ups"])
def test_profiles_have_names_that_differ_and_oids_that_are_some(name: str) -> None:
    known = profile(name, "dev{ice}")  # type: ignore[arg-type] # names come from the parameters
    names = [scalar.name for scalar in known.scalars] + [f"{table.name}:{column}" for table in known.tables for column in table.columns]
    assert len(names) == len(set(names))
    assert all(oid.startswith("dev(ice):") for oid in names)
    assert all(parse_oid(scalar.oid)[-1] == 0 for scalar in known.scalars)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("mpod", ("mpod", 161)),
        ("mpod:1161", ("mpod", 1161)),
        ("10.0.0.1:99", ("10.0.0.1", 99)),
        ("::1", ("::1", 161)),
        ("[fe80::1]", ("fe80::1", 161)),
        ("[fe80::1]:162", ("fe80::1", 162)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address, 161) == expected


@pytest.mark.parametrize(
    "address",
    [
        *("", ":161", "mpod:0", "mpod:65536", "user@mpod", "http://mpod", "a b", "host:port", "mpod:", "mpod:16:1", "mpod:-1", "a:b:c"),
        *("[::1", "::1]", "[mpod:161", "[mpod:x]:161", "[]:161", "mpod:١", "mpod\n:161"),
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="HOST or HOST:PORT"):
        split_address(address, 161)
