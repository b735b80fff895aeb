"""The shipped configuration for slow control speaks of bits and channels that its collectors really have."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from collectors.epics import EpicsOptions
from collectors.frame import Kind
from collectors.modbus import ModbusOptions
from collectors.patterns import matches
from collectors.slow_control.snmp_profiles import profile
from collectors.snmp import SnmpOptions
from daemon.examples import example_text

EXAMPLE: dict[str, Any] = tomllib.loads(example_text("slow-control"))
FRAMEWORK_KEYS = {"collector", "period_s", "place", "ramping", "detectors"}


def options(source: str) -> dict[str, Any]:
    return {key: value for key, value in EXAMPLE["source"][source].items() if key not in FRAMEWORK_KEYS}


def status_words() -> dict[str, tuple[str, ...]]:
    """Status words of all sources by the names of their channels, with the names of their bits."""
    epics = EpicsOptions.model_validate(options("hv"))
    crate = profile(SnmpOptions.model_validate(options("mpod")).profile or "ups", "mpod")
    lv = [item.channel("") for item in ModbusOptions.model_validate(options("lv")).items]
    found = {f"HV:{i:02}:Status": epics.bits["*:Status"] for i in range(12)}
    found |= {scalar.name: scalar.bits for scalar in crate.scalars if scalar.bits}
    found |= {
        f"{table.name.replace('{label}', 'U0')}:{name}": c.bits for table in crate.tables for name, c in table.columns.items() if c.bits
    }
    found |= {channel.name: channel.states for channel in lv if channel.kind is Kind.BITS}
    return found


@pytest.mark.parametrize("rule", EXAMPLE["detector"]["trips"]["rules"], ids=lambda rule: rule["channel"])
def test_rules_name_bits_that_exist(rule: dict[str, Any]) -> None:
    words = {name: bits for name, bits in status_words().items() if matches(rule["channel"], name)}
    assert words, "the rule has channels"
    for name, bits in words.items():
        assert set(rule["bits_bad"]) <= set(bits), name


@pytest.mark.parametrize("source", ["hv", "mpod", "lv"])
def test_bits_of_ramping_are_those_that_are_called_so(source: str) -> None:
    (rule,) = EXAMPLE["source"][source]["ramping"]
    prefix = {"hv": "HV:", "mpod": "mpod:U", "lv": "lv:"}[source]
    words = {name: bits for name, bits in status_words().items() if name.startswith(prefix) and matches(rule["status"], name)}
    assert words
    for name, bits in words.items():
        assert [bits[bit] for bit in rule["bits"]] == ["ramp_up", "ramp_down"], name
