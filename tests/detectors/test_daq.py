"""The DAQ diagnosis on small DAQs made here: each condition, its look-alikes, masks, layouts."""

from __future__ import annotations

import numpy as np
import pytest

from collectors.frame import Channel, Frame, Layout
from detectors.daq_advice import ADVICE
from detectors.finding import Rule, Severity
from tests.detectors.daq_cases import CASES
from tests.detectors.daq_snapshots import (
    HELD_UP,
    blocked,
    changed,
    conditions,
    found,
    frame,
    healthy,
    pushed_back,
    rule,
    stopped,
)


@pytest.mark.parametrize("name", CASES)
def test_condition(name: str) -> None:
    snapshot, expected, excluded = CASES[name]
    holding = found(rule(), frame(snapshot))
    assert expected <= holding
    assert not excluded & {condition for condition, _ in holding}


def test_every_condition_has_a_case_or_is_one_of_soft_errors() -> None:
    covered = {condition for _, expected, _ in CASES.values() for condition, _ in expected}
    assert set(ADVICE) - covered == {"soft_error_lengthy", "soft_error_continuous", "soft_error_stuck"}


def test_a_run_that_takes_data_has_no_findings() -> None:
    breaches = rule().judge(frame(healthy(), healthy()))
    assert breaches.units == ()
    assert breaches.holds.shape == breaches.judged.shape == (2, 0)


def test_a_flicker_of_the_throttling_state_without_loss_of_rate_is_nothing() -> None:
    flicker = healthy(partition__TIBTID__tcds_pm_ttsState="BUSY", partition__TIBTID__ttsState="BUSY", fed__101__ttsState="BUSY")
    assert conditions(rule(), frame(healthy(), flicker, healthy()), row=1) == set()


def test_masked_partitions_and_links_are_not_judged() -> None:
    snapshot = blocked("TIBTID", "OUT_OF_SYNC", fed__101__ttsState="OUT_OF_SYNC")
    assert conditions(rule(), frame(snapshot, muted=["partition/TIBTID"])) == {"no_rate", "unidentified"}
    silent = pushed_back("1386", "ru_c", **HELD_UP, fed__1200__eventCounter=0)
    masked = found(rule(), frame(silent, muted=["fed/1200/eventCounter", "fed/1200/percentBackpressure"]))
    assert not any(place.endswith("FED 1200") for _, place in masked)


def test_unit_keys_do_not_depend_on_frames_or_layouts() -> None:
    stuck = blocked("TIBTID", "WARNING", fed__101__ttsState="WARNING")
    smaller = {name: value for name, value in stuck.items() if not name.startswith("fed/1386")}
    keys = [{u.key: u.condition for u in rule().judge(frame(values)).units} for values in (stuck, smaller)]
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == len(rule().judge(frame(stuck)).units)


def test_severity_follows_what_is_lost() -> None:
    severities = {u.condition: u.severity for u in rule().judge(frame(blocked("TIBTID", "WARNING", fed__101__ttsState="WARNING"))).units}
    assert severities["fed_stuck"] is severities["no_rate"] is Severity.CRITICAL
    (dead_time,) = rule().judge(frame(healthy(fed__101__percentBusy=7))).units
    assert dead_time.severity is Severity.WARNING


def test_frames_of_other_sources_have_no_units() -> None:
    other = Frame(Layout("hv", (Channel("hv/ch01/VMon", "voltage", "V"),)), np.array([1], np.int64), np.array([[1.0]]))
    assert rule().judge(other).units == ()


def test_a_source_that_shows_little_is_judged_by_what_it_shows() -> None:
    little = {name: value for name, value in stopped().items() if name in {"global/fb.rate", "global/levelZeroState"}}
    assert found(rule(), frame(little)) == {("no_rate", "DAQ"), ("unidentified", "DAQ")}
    without_state = {name: value for name, value in stopped().items() if not name.endswith("State")}
    assert conditions(rule(), frame(without_state)) == set()


def test_states_are_read_by_name_whatever_their_order() -> None:
    snapshots = frame(blocked("TIBTID", "OUT_OF_SYNC"))
    order = ("OUT_OF_SYNC", "READY", "SOMETHING_ELSE", "BUSY")
    columns = tuple(
        Channel(c.name, c.quantity, c.unit, c.kind, c.place, order) if isinstance(c, Channel) and c.name.endswith("ttsState") else c
        for c in snapshots.layout.columns
    )
    values = snapshots.values.copy()
    for i, c in enumerate(snapshots.layout.channels):
        if c.name.endswith("ttsState"):
            values[:, i] = order.index(c.states[int(values[0, i])])
    other = Frame(Layout("daq", columns), snapshots.time_ns, values)
    assert ("partition_problem", "TRACKER/TIBTID") in found(rule(), other)


def test_links_between_objects_may_change_within_a_frame() -> None:
    before = pushed_back("1386", "ru_c", ru__ru_c__requests=36)
    after = changed(before, fed__1386__ruInstance=2)
    breaches = rule().judge(frame(before, after))
    holds = {(u.condition, u.place): breaches.holds[:, i].tolist() for i, u in enumerate(breaches.units)}
    assert holds["ru_stuck", "CMS/DAQ/RU ru_c"] == [True, False]
    assert holds["fed_stuck_due_to_daq", "CMS/DAQ/RU ru_b"] == [False, True]


def test_it_is_a_rule_with_options_that_are_checked() -> None:
    assert isinstance(rule(), Rule)
    with pytest.raises(ValueError, match="no_rate"):
        rule(no_rate=1)
