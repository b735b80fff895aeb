"""States and status words."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from pydantic import ValidationError

from collectors.frame import Channel, Frame, Kind, Layout, Quality
from detectors.finding import Severity
from detectors.states import StateLimit, StatesOptions, StatesRule
from tests.detectors import sample_frames as sample

STATE = Channel("ch03:Status", "Status", "", Kind.STATE, "X/HV/ch03", ("OFF", "ON", "TRIPPED"))
SHORT = Channel("ch04:Status", "Status", "", Kind.STATE, "X/HV/ch04", ("OFF", "ON"))
WORD = Channel("ch03:Word", "Word", "", Kind.BITS, "X/HV/ch03", ("on", "ramp up", "ramp down", "over-current", "over-voltage"))


def rule(*limits: StateLimit) -> StatesRule:
    return StatesRule("states", StatesOptions(rules=limits))


def rows(channel: Channel, *values: float) -> Frame:
    return sample.frame(Layout("hv", (channel,)), np.array(values, dtype=np.float64)[:, None])


def test_bad_states_break_the_rule() -> None:
    frame = rows(STATE, 0, 1, 2, np.nan, 17, -1)
    breaches = rule(StateLimit(channel="*:Status", bad=("TRIPPED",), severity=Severity.CRITICAL, condition="hv_trip")).judge(frame)
    assert breaches.holds[:, 0].tolist() == [False, False, True, False, False, False]
    assert breaches.judged[:, 0].tolist() == [True, True, True, False, True, True]
    assert (breaches.units[0].condition, breaches.units[0].severity) == ("hv_trip", Severity.CRITICAL)


def test_all_states_but_the_good_ones_break_the_rule_also_nameless_ones() -> None:
    breaches = rule(StateLimit(channel="*", good=("ON",))).judge(rows(STATE, 0, 1, 2, 17, -1))
    assert breaches.holds[:, 0].tolist() == [True, False, True, True, True]


def test_channels_with_fewer_states_than_others_are_judged_by_their_own() -> None:
    frame = sample.frame(Layout("hv", (STATE, SHORT)), np.array([[1.0, 1.0], [2.0, 2.0]]))
    assert rule(StateLimit(channel="*", good=("ON", "TRIPPED"))).judge(frame).holds.tolist() == [[False, False], [False, True]]


def test_bad_bits_break_the_rule_in_any_combination() -> None:
    breaches = rule(StateLimit(channel="*", bits_bad=("over-current", "over-voltage"))).judge(
        rows(WORD, 0b00001, 0b01001, 0b10111, 0b11000)
    )
    assert breaches.holds[:, 0].tolist() == [False, True, True, True]


def test_texts_name_state_and_bits() -> None:
    assert rule(StateLimit(channel="*", bad=("TRIPPED",))).explain(rows(STATE, 2), 0, 0).summary == "Status of ch03 is TRIPPED"
    evidence = rule(StateLimit(channel="*", good=("ON",))).explain(rows(STATE, 2, 17), 0, 0)
    assert evidence.summary == "Status of ch03 is TRIPPED, expected ON"
    assert evidence.ranked[0].text == "TRIPPED, expected ON"
    nameless = rule(StateLimit(channel="*", good=("ON",))).explain(rows(STATE, 2, 17), 1, 0)
    assert nameless.summary == "Status of ch03 is 17, which has no name, expected ON"
    bits = rule(StateLimit(channel="*", bits_bad=("over-current", "over-voltage"))).explain(rows(WORD, 0b11001), 0, 0)
    assert bits.summary == "Word of ch03 shows over-current and over-voltage"
    assert [contribution.text for contribution in bits.ranked] == ["over-current", "over-voltage"]


def test_ramping_and_huge_codes_are_not_judged() -> None:
    frame = sample.with_quality(rows(STATE, 2, 2, 1e300), 0, Quality.RAMPING)
    assert rule(StateLimit(channel="*", bad=("TRIPPED",))).judge(frame).judged[:, 0].tolist() == [False, True, False]


def test_a_rule_for_states_does_not_read_status_words_and_the_other_way_round() -> None:
    assert not rule(StateLimit(channel="*", bits_bad=("on",))).judge(rows(STATE, 1)).units
    assert not rule(StateLimit(channel="*", bad=("on",))).judge(rows(WORD, 1)).units


def test_a_state_that_the_channel_does_not_have_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        rule(StateLimit(channel="*", bad=("TRIPED",))).judge(rows(STATE, 2))
    assert "unknown=TRIPED" in caplog.text


@pytest.mark.parametrize("wrong", [{}, {"bad": ["a"], "good": ["b"]}, {"bad": ["a"], "bits_bad": ["b"]}, {"evil": ["a"]}])
def test_a_rule_gives_exactly_one_of_the_lists(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError):
        StateLimit.model_validate({"channel": "*", **wrong})
