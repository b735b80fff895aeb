"""Messages of third parties: what is read, and that nothing they can send does harm."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.frame import Channel
from collectors.snapshot import SnapshotFrames
from collectors.wire import END_OF_STREAM_NS, Block, Identity, decode, decode_layout, encode, encode_layout
from daemon.ingest_message import MAX_BYTES, MAX_VALUES, IngestError, read_message

MESSAGE = {
    "source": "weather",
    "time": "2026-01-31T02:14:07Z",
    "values": {"temperature": 21.5, "pressure": None},
    "units": {"temperature": "°C"},
    "place": "CMS/HALL",
}
AT_NS = 1_769_825_647_000_000_000


def message(**changes: Any) -> bytes:
    return json.dumps({**MESSAGE, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in MESSAGE.items() if key != name}).encode()


def refused(data: bytes) -> str:
    with pytest.raises(IngestError) as raised:
        read_message(data)
    reason = str(raised.value)
    reason.encode()  # it goes to the dead letters
    assert "\n" not in reason
    assert len(reason) < 300
    return reason


def test_a_message_is_read() -> None:
    source, place, time_ns, values, units = read_message(message())
    assert (source, place, time_ns, units) == ("weather", "CMS/HALL", AT_NS, {"temperature": "°C"})
    assert values["temperature"] == 21.5
    assert math.isnan(values["pressure"])
    assert list(values) == ["temperature", "pressure"]


def test_place_and_units_may_be_missing() -> None:
    assert read_message(without("place"))[1] == ""
    assert read_message(without("units"))[4] == {}


def test_whole_numbers_become_numbers() -> None:
    values = read_message(message(values={"n": 3, "large": 2**60, "minus": -0.0}))[3]
    assert values == {"n": 3.0, "large": 2.0**60, "minus": 0.0}
    assert all(type(value) is float for value in values.values())


@pytest.mark.parametrize(
    ("time", "time_ns"),
    [
        ("2026-01-31T02:14:07Z", AT_NS),
        ("2026-01-31T02:14:07+00:00", AT_NS),
        ("2026-01-31T03:14:07.25+01:00", AT_NS + 250_000_000),
        ("2026-01-30T20:44:07-05:30", AT_NS),
        ("20260131T021407Z", AT_NS),
        ("2026-01-31 02:14:07.123456Z", AT_NS + 123_456_000),
        ("2026-01-31T02:14:07.999999Z", AT_NS + 999_999_000),
        (1_769_825_647, AT_NS),
        (1_769_825_647.5, AT_NS + 500_000_000),
        (0.001, 1_000_000),
    ],
)
def test_times(time: Any, time_ns: int) -> None:
    assert read_message(message(time=time))[2] == time_ns


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001 - the zone comes next
def test_iso_times_are_exact_in_every_zone(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected_us = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if expected_us > 0:
        assert read_message(message(time=aware.isoformat()))[2] == expected_us * 1000


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-31T02:14:07",
        "2026-01-31",
        "yesterday",
        "",
        "12:00Z",
        "\x00",
        "\ud800",
        "1969-12-31T23:59:59.5Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2100-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        None,
        True,
        False,
        0,
        -1,
        -1e-9,
        1e-10,
        1e10,
        9_300_000_000,
        1_769_825_647_000,
        AT_NS,
        10**400,
        math.nan,
        math.inf,
        -math.inf,
        [],
        {},
        [2026, 1, 31],
    ],
)
def test_times_that_are_none(time: Any) -> None:
    assert refused(message(time=time)).endswith("is neither ISO 8601 with a zone nor seconds since 1970")


def test_a_message_without_time() -> None:
    assert refused(without("time")) == "message of source 'weather' has no time"


@pytest.mark.parametrize("value", ["21.5", "", "NaN", True, False, [], [1.0], {}, {"value": 1.0}])
def test_values_that_are_no_numbers(value: Any) -> None:
    reason = refused(message(values={"temperature": value}))
    assert reason.startswith("value 'temperature' of source 'weather' is ")
    assert reason.endswith(", not a number")


@pytest.mark.parametrize("value", ["1e400", "-1e400", "1" + "0" * 400, "-1" + "0" * 400, "Infinity", "-Infinity"])
def test_numbers_that_are_too_large(value: str) -> None:
    assert refused(message().replace(b"21.5", value.encode())) == "value 'temperature' of source 'weather' is too large"


def test_a_number_of_more_digits_than_python_reads() -> None:
    assert refused(message().replace(b"21.5", b"9" * 5000)).startswith("not JSON: ")


def test_nan_is_no_reading() -> None:
    assert math.isnan(read_message(message().replace(b"21.5", b"NaN"))[3]["temperature"])


@pytest.mark.parametrize("source", [None, "", 5, [], {}, "a#b", "weather#ingest3", "a b", "a\n", "é", "\ud800", "../etc", "x" * 101, "-"])
def test_sources_that_are_no_names(source: Any) -> None:
    """With "#" a stranger could write into the stream of another source."""
    assert refused(message(source=source)).startswith("source is missing, or is no name")
    assert refused(without("source")).startswith("source is missing")


@pytest.mark.parametrize("values", [None, [], {}, "text", 5, [["temperature", 1.0]], {f"c{i}": 0 for i in range(MAX_VALUES + 1)}])
def test_values_that_are_no_object_of_numbers(values: Any) -> None:
    assert refused(message(values=values)) == f"message of source 'weather' needs values, an object of 1 to {MAX_VALUES} numbers"


@pytest.mark.parametrize("text", [None, 5, ["CMS"], {}, "two\nlines", "\x00", "half \ud800 of a character", "x" * 501, "\x1b[31m"])
def test_places_and_units_that_are_no_text(text: Any) -> None:
    """null is not the unit "None"."""
    for changes in ({"place": text}, {"units": {"temperature": text}}, {"units": {"another": text}}):
        assert "it cannot be a name, a unit or a place" in refused(message(**changes))
    if isinstance(text, str):
        assert "it cannot be a name, a unit or a place" in refused(message(values={text: 1.0}))


@pytest.mark.parametrize("units", [None, [], "V", 5])
def test_units_that_are_no_object(units: Any) -> None:
    assert refused(message(units=units)) == "units of source 'weather' must be an object"


def test_a_long_place_is_not_repeated_for_every_channel() -> None:
    """1 MB of message would become gigabytes of layout."""
    values = {f"c{i}": 0 for i in range(MAX_VALUES)}
    refused(message(values=values, place="x" * (MAX_BYTES - 400_000)))
    source, place, _, numbers, units = read_message(message(values=values, place="x" * 500))
    channels = [Channel(name, name, units.get(name, ""), place=place) for name in numbers]
    assert len(encode_layout(SnapshotFrames(source).frame(1, channels, numbers).layout)) < 16_000_000


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"5", b'"text"', b"\xff", b"\x00" * 10, b"{}{}", b"[" * 100_000, b'{"a":' * 100_000]
)
def test_what_is_no_object(data: bytes) -> None:
    reason = refused(data)
    assert reason.startswith("not JSON: ") or reason == "not an object"


def test_oversized_messages() -> None:
    assert refused(b" " * MAX_BYTES + message()).endswith(f"bytes, more than {MAX_BYTES}")


@pytest.mark.parametrize("depth", [*range(1, 20), *range(900, 1010)])
def test_nesting_just_below_what_the_parser_takes(depth: int) -> None:
    for nested in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        for place in (b'"2026-01-31T02:14:07Z"', b"21.5", '"°C"'.encode("unicode-escape"), b'"CMS/HALL"'):
            refused(message().replace(place, nested.encode()) if place in message() else message(units=json.loads("[[1]]")))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["2026-01-31T02:14:07Z", 1_769_825_647, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def read_or_refused(data: bytes) -> None:
    """What is read can become a frame, be published and be read again."""
    try:
        source, place, time_ns, values, units = read_message(data)
    except IngestError as error:
        str(error).encode()
        return
    assert 0 < time_ns < END_OF_STREAM_NS
    channels = [Channel(name, name, units.get(name, ""), place=place) for name in values]
    frame = SnapshotFrames(source, "ingest3").frame(time_ns, channels, values)
    layout = decode_layout(encode_layout(frame.layout))
    block = decode(encode(Block(Identity(layout.stream, 1, 0), frame, time_ns)), {layout.digest: layout})
    assert block.content is not None
    assert not np.isinf(frame.values).any()


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={name: JSON | st.just(MESSAGE[name]) for name in MESSAGE}), st.booleans())
@example(MESSAGE, True)
def test_any_json_is_read_or_refused(changes: dict[str, Any], complete: bool) -> None:
    read_or_refused(json.dumps({**MESSAGE, **changes} if complete else changes).encode())


@settings(deadline=None)
@given(JSON)
def test_any_other_json_is_refused(value: Any) -> None:
    if not isinstance(value, dict):
        refused(json.dumps(value).encode())


@settings(deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.dictionaries(st.text(), JSON, max_size=3))
def test_any_values_and_units(values: dict[str, Any], units: dict[str, Any]) -> None:
    read_or_refused(message(values=values, units=units))


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_refused(data: bytes) -> None:
    refused(data)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 7)), min_size=1, max_size=3), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_damaged_messages_are_read_or_refused(flips: list[tuple[int, int]], encoding: str) -> None:
    damaged = bytearray(json.dumps(MESSAGE, ensure_ascii=False).encode(encoding))
    for position, bit in flips:
        damaged[position % len(damaged)] ^= 1 << bit
    read_or_refused(bytes(damaged))
    read_or_refused(bytes(damaged[: flips[0][0] % len(damaged)]))


@pytest.mark.parametrize(
    "text",
    [
        '{"source": "weather", "time": 1.7e9, "values": {"x": 1, "y": 3, "x": 2}}',
        '{"source": "weather", "source": "other", "time": 1.7e9, "values": {"x": 1}}',
    ],
)
def test_nobody_guesses_which_of_two_values_of_one_name_is_meant(text: str) -> None:
    with pytest.raises(IngestError, match="is there twice"):
        read_message(text.encode())


def test_a_value_without_a_name() -> None:
    with pytest.raises(IngestError, match="has no name"):
        read_message(b'{"source": "weather", "time": 1.7e9, "values": {" ": 1}}')


def test_a_place_with_needless_slashes_is_the_place_without_them() -> None:
    assert read_message(b'{"source": "a", "time": 1.7e9, "values": {"x": 1}, "place": "/CMS//HALL/"}').place == "CMS/HALL"
