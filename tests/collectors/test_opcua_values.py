"""What OPC UA servers say of values and variables, without a server."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from collectors.frame import Quality
from collectors.slow_control.channel_list import ControlInfo
from collectors.slow_control.opcua_nodes import control_info, parse
from collectors.slow_control.opcua_values import event, has_overflowed, number, quality_of

WHEN = datetime(2024, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)
WHEN_NS = 1_714_564_800_123_456_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=5) | st.binary(max_size=3) | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def data(value: Any = 1.0, status: int = 0, source: datetime | None = WHEN, server: datetime | None = None) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), ua.StatusCode(status), source, server)


@given(st.integers(0, 2**32 - 1))
def test_every_status_is_a_quality_and_flags_in_its_lower_half_change_nothing(status: int) -> None:
    quality = quality_of(status)
    assert (quality is Quality.GOOD) is (status >> 30 == 0)
    assert quality_of(status ^ 0x0480) is quality


@given(VALUES, st.none() | st.integers(0, 3))
def test_any_value_is_a_number_a_text_or_said_to_be_neither(value: Any, element: int | None) -> None:
    variant = ua.Variant()
    variant.Value = value
    found, problem = number(variant, element)
    if problem:
        assert isinstance(found, float)
        assert math.isnan(found)
        assert "\n" not in problem
    elif isinstance(value, bool | int | float) and element is None:
        assert found == float(value) or math.isnan(value)


def test_the_time_is_the_sources_else_the_servers_else_that_of_arrival() -> None:
    later = datetime(2024, 5, 1, 13)  # noqa: DTZ001 - UTC that does not say so
    assert event(3, data(), None, 7).time_ns == WHEN_NS
    assert event(3, data(source=None, server=later), None, 7).time_ns == 1_714_568_400_000_000_000
    assert event(3, data(source=None), None, 7).time_ns == 7


def test_a_server_tells_where_its_queue_was_too_short() -> None:
    assert has_overflowed(data(status=0x0480))
    assert not has_overflowed(data(status=0x0400))
    assert event(0, data(status=0x0480), None, 7).quality is Quality.GOOD


def test_a_bad_status_needs_no_reason_why_its_value_is_no_number() -> None:
    told = event(0, ua.DataValue(ua.Variant([1, 2]), ua.StatusCode(ua.StatusCodes.BadSensorFailure), WHEN), None, 7)
    assert isinstance(told.value, float)
    assert (told.problem, told.quality) == ("", Quality.INVALID)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ControlInfo("", (), {})),
        ({"EngineeringUnits": ua.EUInformation("", 0, ua.LocalizedText(" V "))}, ControlInfo("V", (), {})),
        ({"EngineeringUnits": ua.EUInformation("", 0, Description=ua.LocalizedText("volt"))}, ControlInfo("volt", (), {})),
        ({"EngineeringUnits": "V"}, ControlInfo("", (), {})),
        ({"EURange": ua.Range(0.0, 0.0)}, ControlInfo("", (), {})),
        ({"EURange": ua.Range(-5.0, 5.0), "HighLimit": 4.0}, ControlInfo("", (), {"LOW": -5.0, "HIGH": 4.0})),
        ({"LowLowLimit": math.nan, "HighHighLimit": 9}, ControlInfo("", (), {"HIHI": 9.0})),
        ({"EnumStrings": [ua.LocalizedText("off"), ua.LocalizedText("on")]}, ControlInfo("", ("off", "on"), {})),
        ({"EnumValues": [ua.EnumValueType(1, ua.LocalizedText("run"))]}, ControlInfo("", ("0", "run"), {})),
        ({"EnumValues": [ua.EnumValueType(-1, ua.LocalizedText("run"))]}, ControlInfo("", (), {})),
        ({"EnumValues": [ua.EnumValueType(2**40, ua.LocalizedText("run"))]}, ControlInfo("", (), {})),
        ({"TrueState": ua.LocalizedText("open"), "FalseState": ua.LocalizedText("shut")}, ControlInfo("", ("shut", "open"), {})),
    ],
)
def test_properties_are_unit_states_and_limits(properties: dict[str, Any], expected: ControlInfo) -> None:
    assert control_info(properties) == expected


@pytest.mark.parametrize("text", ["VMon", "", "ns=x;s=a", "ns=2", "ns=2;q=1", "i=abc"])
def test_what_is_no_node_id_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="no node id"):
        parse(text)


@given(st.text(max_size=20))
def test_any_text_is_a_node_id_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert parse(text) is not None
