"""Limits on readings."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from collectors.frame import Channel, Kind, Layout, Quality
from detectors.finding import Severity
from detectors.limits import Limit, LimitsOptions, LimitsRule
from tests.detectors import sample_frames as sample

VOLTS = sample.gauge("crate:ch03:VMon", "VMon", "V", "X/HV/ch03")
CURRENT = sample.gauge("crate:ch03:IMon", "IMon", "uA", "X/HV/ch03")
STATUS = Channel("crate:ch03:Status", "Status", "", Kind.STATE, "X/HV/ch03", ("OFF", "ON"))


def rule(*limits: Limit, **options: tuple[str, ...]) -> LimitsRule:
    return LimitsRule("limits", LimitsOptions(rules=limits, **options))


def test_a_reading_beyond_a_limit_breaks_it_and_one_on_it_does_not() -> None:
    frame = sample.frame(Layout("hv", (VOLTS,)), np.array([[4.9], [5.0], [7.0], [10.0], [12.1]]))
    breaches = rule(Limit(channel="*:VMon", low=5, high=10)).judge(frame)
    assert breaches.holds[:, 0].tolist() == [True, False, False, False, True]
    assert breaches.judged.all()


def test_the_text_names_reading_limit_and_unit() -> None:
    frame = sample.frame(Layout("hv", (VOLTS,)), np.array([[12.1], [3.0]]))
    limits = rule(Limit(channel="*:VMon", low=5, high=10))
    assert limits.explain(frame, 0, 0).summary == "VMon of ch03 is 12.1 V, above 10 V"
    assert limits.explain(frame, 1, 0).summary == "VMon of ch03 is 3 V, below 5 V"
    assert limits.explain(frame, 0, 0).ranked[0].expected == 10


def test_severe_limits_are_units_of_their_own() -> None:
    frame = sample.frame(Layout("hv", (VOLTS,)), np.array([[11.0], [25.0], [-1.0]]))
    breaches = rule(Limit(channel="*", low=0, high=10, high_severe=20, condition="voltage")).judge(frame)
    assert [unit.severity for unit in breaches.units] == [Severity.WARNING, Severity.CRITICAL]
    assert {unit.condition for unit in breaches.units} == {"voltage"}
    assert breaches.holds.tolist() == [[True, False], [True, True], [True, False]]


@pytest.mark.parametrize("quality", [Quality.STALE, Quality.INVALID, Quality.RAMPING, Quality.MUTED])
def test_only_good_readings_are_judged(quality: Quality) -> None:
    frame = sample.frame(Layout("hv", (VOLTS,)), np.array([[50.0], [50.0], [np.nan]]))
    breaches = rule(Limit(channel="*", high=10)).judge(sample.with_quality(frame, 0, quality))
    assert breaches.judged[:, 0].tolist() == [False, True, False]
    assert breaches.holds[:, 0].tolist() == [False, True, False]


def test_an_infinite_reading_is_above_every_limit() -> None:
    frame = sample.frame(Layout("hv", (VOLTS,)), np.array([[np.inf]]))
    breaches = rule(Limit(channel="*", high=10)).judge(frame)
    assert breaches.judged.all()
    assert breaches.holds.all()


def test_the_first_rule_that_fits_decides_for_each_condition() -> None:
    frame = sample.frame(Layout("hv", (VOLTS, CURRENT)), np.array([[50.0, 50.0]]))
    special = Limit(channel="*:VMon", high=100)
    general, other = Limit(channel="*", high=10), Limit(channel="*", high=40, condition="far_out")
    breaches = rule(special, general, other).judge(frame)
    held = {(unit.name, unit.condition): bool(h) for unit, h in zip(breaches.units, breaches.holds[0], strict=True)}
    assert held == {
        ("VMon of ch03", "out_of_limits"): False,
        ("VMon of ch03", "far_out"): True,
        ("IMon of ch03", "out_of_limits"): True,
        ("IMon of ch03", "far_out"): True,
    }


def test_only_selected_gauges_have_limits() -> None:
    frame = sample.frame(Layout("hv", (VOLTS, CURRENT, STATUS)), np.array([[50.0, 50.0, 1.0]]))
    assert [u.name for u in rule(Limit(channel="*", high=10), exclude=("*:IMon",)).judge(frame).units] == ["VMon of ch03"]


def test_brackets_in_names_are_ordinary_characters() -> None:
    frame = sample.frame(Layout("t", (sample.gauge("t[3]"), sample.gauge("t3"))), np.array([[5.0, 5.0]]))
    assert [unit.name for unit in rule(Limit(channel="t[3]", high=1)).judge(frame).units] == ["t[3]"]


@pytest.mark.parametrize(
    "limits",
    [{}, {"low": 5.0, "high": 1.0}, {"low": 1.0, "low_severe": 2.0}, {"high": 5.0, "high_severe": 4.0}, {"hgih": 3.0}],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Limit.model_validate({"channel": "*", **limits})
