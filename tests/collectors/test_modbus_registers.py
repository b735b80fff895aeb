"""Registers of Modbus without a server: their contents, their lists, and which of them are read together."""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.modbus import ModbusOptions
from collectors.slow_control.modbus_blocks import Plan, join
from collectors.slow_control.modbus_registers import Item, Register, read_registers

FORMATS = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q", "float32": "f", "float64": "d"}


def items(*registers: dict[str, Any], **options: Any) -> tuple[Item, ...]:
    return ModbusOptions.model_validate({"address": "lv", "registers": registers, **options}).items


@given(st.sampled_from(sorted(FORMATS)), st.binary(min_size=8, max_size=8), st.booleans(), st.booleans())
def test_any_content_is_a_number_a_gap_or_refused(kind: str, octets: bytes, big_words: bool, big_bytes: bool) -> None:
    size = struct.calcsize(FORMATS[kind])
    content = octets[:size]
    expected = float(struct.unpack(f">{FORMATS[kind]}", content)[0])
    words = [int.from_bytes(content[i : i + 2], "big" if big_bytes else "little") for i in range(0, size, 2)]
    orders = {"word_order": "big" if big_words else "little", "byte_order": "big" if big_bytes else "little"}
    (item,) = items({"name": "x", "address": 0, "type": kind}, **orders)
    value, problem = item.value(words if big_words else words[::-1])
    if math.isfinite(expected):
        assert (value, problem) == (expected, "")
    else:
        assert math.isnan(value)
        assert bool(problem) is math.isinf(expected)


PLACES = st.lists(
    st.tuples(st.integers(0, 300), st.sampled_from(["uint16", "float32", "float64"]), st.integers(1, 2)), min_size=1, max_size=40
)


@given(PLACES, st.integers(0, 20), st.integers(4, 125), st.data())
def test_blocks_hold_every_item_once_and_keep_the_limits(
    places: list[tuple[int, str, int]], max_gap: int, max_registers: int, data: st.DataObject
) -> None:
    found = items(*({"name": f"r{i}", "address": a, "type": t, "device_id": d} for i, (a, t, d) in enumerate(places)))
    apart = data.draw(st.sets(st.sampled_from(found)))
    blocks = join(found, max_gap=max_gap, max_registers=max_registers, apart=apart)
    assert sorted(item.name for block in blocks for item in block.items) == sorted(item.name for item in found)
    for block in blocks:
        assert len({item.device_id for item in block.items}) == 1
        assert block.count <= max_registers
        assert all(block.start <= item.address and item.end <= block.start + block.count for item in block.items)
        assert len(block.items) == 1 or not apart & set(block.items)
        covered = sorted((item.address, item.end) for item in block.items)
        ends = itertools.accumulate((end for _, end in covered), max)
        assert all(start - end <= max_gap for end, (start, _) in zip(ends, covered[1:], strict=False))


@given(st.sets(st.integers(0, 59)), st.sets(st.integers(0, 119)), st.integers(0, 4))
def test_all_that_can_be_read_is_read_whatever_is_refused(used: set[int], illegal: set[int], max_gap: int) -> None:
    """A device that refuses a request with any illegal address in it."""
    addresses = sorted(used | {0})
    plan = Plan(items(*({"name": f"r{a}", "address": 2 * a} for a in addresses)), max_gap=max_gap, max_registers=50)
    for _ in range(3):
        pending, read, requests = list(plan.blocks()), set(), 0
        while pending:
            block = pending.pop()
            requests += 1
            if illegal & set(range(block.start, block.start + block.count)):
                pending += plan.split(block)
            else:
                plan.answered(block)
                read |= {item.address for item in block.items}
        assert read == {2 * a for a in addresses} - illegal
    assert requests <= len(plan.blocks()) * 2, "what was learnt is kept"


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ({"address": 65536}, "less than or equal to 65535"),
        ({"address": 65535, "type": "float32"}, "no address above 65535"),
        ({"name": "a{0..99}", "address": 65500}, "no address above 65535"),
        ({"name": "a{5..1}"}, "the range is empty"),
        ({"type": "float32", "bits": ["on"]}, "a status word is"),
        ({"table": "coil", "kind": "bits"}, "a status word is"),
        ({"address": "forty"}, "valid integer"),
        ({"typ": "uint16"}, "typ"),
        ({"scale": 0}, "a scale of 0"),
        ({"scale": math.nan}, "finite"),
        ({"offset": math.inf}, "finite"),
        ({"states": ["off", "on"], "bits": ["on"]}, "either `states` or `bits`"),
        ({"type": "bits", "bits": ["x"] * 17}, "17 names for 16 bits"),
    ],
)
def test_registers_that_cannot_be_are_refused(register: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Register.model_validate({"name": "x", "address": 0, **register})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name the registers"),
        ({"registers": [{"name": "x", "address": 0}, {"name": "x", "address": 1}]}, "'x': two registers have this name"),
        ({"registers_file": "/absent/lv.csv"}, "/absent/lv.csv: No such file"),
        ({"registers": [{"name": "x", "address": 0}], "max_registers": 126}, "125"),
        ({"registers": [{"name": "x", "address": 0}], "address": "tcp://lv"}, "HOST or HOST:PORT"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModbusOptions.model_validate({"address": "lv", **options})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,adress\nx,1\n", "no column may be called 'adress'; there are name, address"),
        ("name,address\nx\n", "line 2: 1 cells, expected 2"),
        ("name,address\n\nx,one\n", "line 3: address: .*valid integer"),
        ("name,address,type\nx,1,float16\n", "line 2: type: "),
        ("name,address,kind,type\nx,1,bits,float32\n", "line 2: Value error, 'x': a status word is"),
        ("name,address\n,1\n", "line 2: name: Field required"),
    ],
)
def test_file_that_is_wrong_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "lv.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^{path}: {message}"):
        list(read_registers(path))


def test_scale_of_a_huge_number_is_refused_not_infinite() -> None:
    (item,) = items({"name": "x", "address": 0, "type": "float64", "scale": 1e10})
    value, problem = item.value([0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF])
    assert math.isnan(value)
    assert problem == "inf is not a number"
