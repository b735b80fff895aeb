"""The mapping of JSON with documents of any form: paths that are shown can be used, and nothing breaks a turn."""

from __future__ import annotations

import json
import math
from typing import Any

import jmespath
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.collector import Origin
from collectors.fetched.json_mapping import JsonOptions, time_ns
from collectors.fetched.json_readings import MalformedDocumentError, Mapper, Readings, parse
from collectors.fetched.json_values import is_numeric, leaves, number, reading
from collectors.frame import Channel, Kind, Layout
from collectors.tabular.table_values import NO_TIME, times

ORIGIN = Origin("any", "CMS", lambda: 0)
KEYS = st.text(max_size=8) | st.sampled_from(["name", "rate", "id", "a b", 'quo"te', "new\nline", "@", "*", "{x}"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["12.5", "0x1F", "NaN", "READY", " 7 "])
)
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20)


def mapper(**options: Any) -> Mapper:
    return Mapper(ORIGIN, JsonOptions.model_validate(options))


def check(readings: Readings) -> None:
    """What must hold whatever was read."""
    layout = Layout("any", tuple(readings.channels.values()))
    assert set(readings.values) == set(readings.channels)
    for name, value in readings.values.items():
        channel = layout.column(name)
        assert isinstance(channel, Channel)
        assert not math.isinf(value)
        assert channel.kind is not Kind.STATE or not channel.states or math.isnan(value) or value in range(len(channel.states))
    assert set(readings.bad) <= set(readings.channels)
    assert all(math.isnan(readings.values[name]) for name in readings.bad)
    for item in readings.rejected("here"):
        assert item.reason
        assert "\n" not in item.reason


@given(DOCUMENTS)
def test_every_path_that_is_shown_finds_its_value(document: Any) -> None:
    found = list(leaves(document))
    assert len({path for path, _ in found}) == len(found)
    for path, value in found:
        again = jmespath.search(path, document)
        assert again is value or again == value or (isinstance(value, float) and math.isnan(value))


@given(DOCUMENTS)
def test_flatten_takes_every_number_and_its_names_are_paths_for_values(document: Any) -> None:
    flat = mapper(flatten=True).read(document)
    check(flat)
    assert set(flat.channels) == {path for path, value in leaves(document) if is_numeric(value)}
    if flat.channels:
        named = mapper(values={f"channel {i}": path for i, path in enumerate(flat.channels)}).read(document)
        for value, again in zip(flat.values.values(), named.values.values(), strict=True):
            assert value == again or (math.isnan(value) and math.isnan(again))


@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_documents_of_any_form_give_readings_or_reasons(documents: list[Any]) -> None:
    tables = [
        {"rows": "@", "name": "{name}", "place": "{id}", "columns": {"rate": "rate", "tts": "state"}, "time": "t"},
        {"rows": "rows || @", "name": "x{index}{key}"},
        {"rows": "[@]", "name": "all:{topic}:{column}", "columns": {"sum": "sum(rate)", "n": "length(@)"}},
    ]
    options = {"values": {"a": "a.b[0].c", "rate": "rate"}, "tables": tables, "flatten": True, "time": "t", "states": {"*tts": ["READY"]}}
    read = mapper(**options, bits={"*word*": ["on"]}, kinds={"rate": "counter"})
    for document in documents:
        check(read.read(document, {"topic": "t"}))


@given(st.binary(max_size=60) | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_texts_are_documents_or_malformed(text: bytes) -> None:
    try:
        document = parse(text)
    except MalformedDocumentError:
        return
    check(mapper(flatten=True).read(document))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_number_is_the_same_as_a_number_and_as_text(value: float) -> None:
    assert number(value) == value
    assert number(f" {value!r} ") == value


@given(st.text(max_size=12))
def test_a_text_is_a_number_only_where_nothing_else_is_in_it(text: str) -> None:
    found = number(text)
    if found is not None and math.isfinite(found):
        stripped = text.strip().lower()
        assert stripped in ("true", "false") or (stripped.startswith("0x") and found == int(stripped, 16)) or found == float(stripped)


@pytest.mark.parametrize("text", ["12.5 %", "1,5", "1_000", "١٢", "--1", "1e", "0x", "0xG", "12 13", "yes", "one"])
def test_what_only_resembles_a_number_is_none(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(("value", "index"), [("READY", 0), ("busy ", 1), (1, 1), ("1", 1), (True, 1)])
def test_states_by_name_in_any_case_and_by_number(value: object, index: int) -> None:
    assert reading(value, Channel("x", "x", "", Kind.STATE, "", ("Ready", "Busy"))) == (index, "")


@given(st.integers(10**9, 4 * 10**9), st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]))
def test_epochs_of_any_scale(seconds: int, scale: int) -> None:
    for value in (seconds * scale, str(seconds * scale)):
        assert time_ns(value, "auto", "UTC") == seconds * 10**9


@given(
    st.integers(-(10**18), 9 * 10**18) | st.floats(-1e18, 9e18),
    st.sampled_from(["auto", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "iso"]),
)
def test_times_are_those_that_the_same_numbers_have_in_tables(value: float, time_format: Any) -> None:
    in_table = int(times(pa.array([value]), time_format, "UTC")[0])
    found = time_ns(value, time_format, "UTC")
    assert (NO_TIME if found is None else found) == in_table or abs(in_table) > 9.2e18


@given(SCALARS | DOCUMENTS)
def test_anything_is_a_time_or_none(value: Any) -> None:
    found = time_ns(value, "auto", "Europe/Zurich")
    assert found is None or isinstance(found, int)


def test_halves_of_surrogate_pairs_do_not_reach_names() -> None:
    read = mapper(tables=[{"rows": "r", "name": "{n}", "place": "{n}"}], flatten=True)
    readings = read.read(parse(rb'{"r": [{"n": "a\ud800", "v": 1}], "\uDC00": 2, "smile": "\ud83d\ude00"}'))
    assert "a?/v" in readings.channels
    assert len(Layout("any", tuple(readings.channels.values())).digest) == 16


def test_nesting_without_end_is_malformed() -> None:
    with pytest.raises(MalformedDocumentError, match="nested too deeply"):
        parse(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(MalformedDocumentError, match="integer"):
        parse(b"1" * 5000)


def test_a_channel_stays_what_it_was_first() -> None:
    read = mapper(values={"on": "on", "later": "later"})
    first = read.read({"on": True, "later": None}).channels
    again = read.read({"on": 1, "later": False}).channels
    assert again["on"] == first["on"]
    assert (first["later"].kind, again["later"].kind) == (Kind.GAUGE, Kind.STATE)
