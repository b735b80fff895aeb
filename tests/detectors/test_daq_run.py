"""Transitions of the run control, and what the DAQ diagnosis remembers of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from detectors.finding import Remembering
from tests.detectors.daq_snapshots import (
    Values,
    blocked,
    changed,
    conditions,
    found,
    frame,
    healthy,
    rule,
    stopped,
)


@pytest.mark.parametrize(
    ("level_zero", "daq", "tcds"),
    [
        ("Starting", "Running", "Configured"),
        ("Stopping", "Running", "Running"),
        ("ForceStopping", "Running", "Paused"),
        ("ForceStopping", "Stopping", "Paused"),
        ("Undefined", "Configured", "Configured"),
        ("Configured", "Configured", "Configured"),
        ("Running", "Configured", "Configured"),
        ("FixingSoftError", "Running", "Paused"),
        ("PerformingDCSPauseResume", "Running", "Pausing"),
        ("Running", "Running", "Resuming"),
        ("TTCHardResettingFromRunning", "Running", "Running"),
        ("Paused", "Running", "Paused"),
    ],
)
def test_no_rate_is_expected_while_the_run_changes_state(level_zero: str, daq: str, tcds: str) -> None:
    snapshot = blocked("TIBTID", "OUT_OF_SYNC", fed__101__ttsState="BUSY", global__levelZeroState=level_zero, global__daqState=daq)
    snapshot |= {"subsystem/TCDS/status": tcds, "global/levelZeroStateAge": 10.0}
    assert conditions(rule(), frame(snapshot)) == set()


@pytest.mark.parametrize(
    ("level_zero", "daq", "tcds"),
    [
        ("Error", "Running", "Running"),
        ("Error", "Running", "Paused"),
        ("RunBlocked", "RunBlocked", "Running"),
        ("ForceStopping", "Running", "Running"),
        ("Running", "RunningDegraded", "RunningDegraded"),
    ],
)
def test_a_run_that_came_to_a_halt_has_no_rate(level_zero: str, daq: str, tcds: str) -> None:
    snapshot = stopped(global__levelZeroState=level_zero, global__daqState=daq, subsystem__TCDS__status=tcds)
    assert "no_rate" in conditions(rule(), frame(snapshot))


def test_a_run_blocked_by_the_event_builder_is_not_blamed_on_throttling() -> None:
    snapshot = blocked("TIBTID", "ERROR", global__daqState="RunBlocked", ru__ru_b__stateName="SyncLoss", ru__ru_b__errorFed=1201)
    holding = conditions(rule(), frame(snapshot))
    assert "out_of_sequence_data" in holding
    assert "partition_problem" not in holding


def test_nothing_is_said_in_the_first_seconds_of_a_run() -> None:
    starting = stopped(global__levelZeroState="Starting", global__levelZeroStateAge=np.nan)
    begun = blocked("TIBTID", "OUT_OF_SYNC", global__levelZeroStateAge=np.nan)
    breaches = rule().judge(frame(starting, *[begun] * 4))
    assert [u.condition for u in breaches.units] == ["partition_problem", "no_rate"]
    assert breaches.holds[:, 0].tolist() == [False, False, False, False, True]
    assert breaches.judged[:, 0].tolist() == [True, False, False, False, True]


def test_the_age_of_the_state_tells_a_fresh_start_in_a_single_snapshot() -> None:
    assert conditions(rule(), frame(stopped(global__levelZeroStateAge=2))) == set()
    assert "no_rate" in conditions(rule(), frame(stopped(global__levelZeroStateAge=20)))


def test_conditions_wait_while_a_recovery_goes_on() -> None:
    daq = rule()
    stuck = blocked("TIBTID", "WARNING", fed__101__ttsState="WARNING")
    daq.judge(frame(stuck))
    recovery = changed(stuck, global__levelZeroState="TTCHardResettingFromRunning")
    breaches = daq.judge(frame(recovery, start_s=1002))
    assert {u.condition for u in breaches.units} >= {"fed_stuck", "no_rate"}
    assert not breaches.holds.any()
    assert not breaches.judged.any()
    assert not daq.judge(frame(healthy(), start_s=1010)).judged.any()
    assert daq.judge(frame(healthy(), start_s=1020)).units == ()


def soft_error(seconds: float, subsystem: str = "ES") -> Values:
    values = stopped(global__levelZeroState="FixingSoftError", global__levelZeroStateAge=seconds, subsystem__TCDS__status="Paused")
    return changed(values, **{f"subsystem__{subsystem}__status": "FixingSoftError"})


def test_lengthy_soft_error() -> None:
    assert conditions(rule(), frame(soft_error(20))) == set()
    assert found(rule(), frame(soft_error(31))) == {("soft_error_lengthy", "ES")}
    assert conditions(rule(), frame(soft_error(50, "TRACKER"))) == set()
    assert found(rule(), frame(soft_error(61, "TRACKER"))) == {("soft_error_lengthy", "TRACKER")}


def test_soft_error_without_a_known_subsystem() -> None:
    values = stopped(global__levelZeroState="FixingSoftError", global__levelZeroStateAge=40)
    assert found(rule(), frame(values)) == {("soft_error_lengthy", "DAQ")}


def test_soft_error_that_ends_in_error() -> None:
    failed = stopped(global__levelZeroState="Error", subsystem__ES__status="Error", subsystem__TCDS__status="Paused")
    daq = rule()
    snapshots = frame(soft_error(10), *[failed] * 5)
    holding = found(daq, snapshots)
    assert {("soft_error_stuck", "ES"), ("no_rate", "DAQ")} <= holding
    assert "unidentified" not in {condition for condition, _ in holding}
    assert "soft_error_stuck" not in conditions(rule(), frame(failed))


def four_soft_errors() -> list[Values]:
    """Level zero enters FixingSoftError four times within two minutes, and once more elsewhere."""
    episode = [healthy(global__levelZeroStateAge=np.nan)] * 9 + [soft_error(np.nan, "TRACKER")] * 5
    other = [healthy(global__levelZeroStateAge=np.nan)] * 2 + [soft_error(np.nan)]
    return [*episode * 4, *other]


def test_continuous_soft_errors_are_the_subsystem_s_that_has_them() -> None:
    daq = rule()
    snapshots = frame(*four_soft_errors())
    breaches = daq.judge(snapshots)
    (unit,) = [i for i, u in enumerate(breaches.units) if u.condition == "soft_error_continuous"]
    assert breaches.units[unit].place == "CMS/TRACKER"
    assert int(np.flatnonzero(breaches.holds[:, unit])[0]) == 3 * 14 + 9
    assert daq.explain(snapshots, len(snapshots) - 1, unit).summary == "Subsystem TRACKER had 4 soft errors within minutes"


def test_snapshots_one_by_one_give_the_same_as_together() -> None:
    rows = four_soft_errors()
    together = rule().judge(frame(*rows))
    one_by_one = rule()
    for i, row in enumerate(rows):
        breaches = one_by_one.judge(frame(row, start_s=1000 + 2 * i))
        alone = {u.key for u, holds in zip(breaches.units, breaches.holds[0], strict=True) if holds}
        assert alone == {u.key for u, holds in zip(together.units, together.holds[i], strict=True) if holds}


def test_judging_a_frame_again_changes_nothing() -> None:
    daq, snapshots = rule(), frame(*four_soft_errors())
    first, second = daq.judge(snapshots), daq.judge(snapshots)
    assert first.units == second.units
    assert np.array_equal(first.holds, second.holds)


def test_a_restarted_rule_goes_on_where_it_was() -> None:
    rows = four_soft_errors()
    before, after = rule(), rule()
    before.judge(frame(*rows[:-1]))
    state = before.state()
    assert isinstance(before, Remembering)
    after.restore(json.loads(json.dumps(state, default=lambda array: array.tolist())))
    last = frame(rows[-1], start_s=1000 + 2 * (len(rows) - 1))
    assert "soft_error_continuous" in conditions(after, last)
    assert "soft_error_continuous" not in conditions(rule(), last)


def test_what_happened_before_a_long_gap_says_nothing() -> None:
    daq = rule()
    daq.judge(frame(soft_error(10)))
    failed = stopped(global__levelZeroState="Error", subsystem__ES__status="Error")
    assert "soft_error_stuck" not in conditions(daq, frame(failed, start_s=1600))


def test_cloud_jobs_have_time_to_end() -> None:
    cloudy = {"bu_summary__numFUsCloud": 1000}
    allowed, ramp = (healthy(**cloudy, global__lhcBeamMode=mode) for mode in ("NO BEAM", "RAMP"))
    daq = rule()
    assert conditions(daq, frame(allowed)) == set()
    assert conditions(daq, frame(*[ramp] * 30, start_s=1060, period_s=60), row=28) == set()
    assert "cloud_mode_wrong" in conditions(daq, frame(*[ramp] * 3, start_s=2860, period_s=60))
    assert conditions(rule(), frame(healthy(**cloudy, global__lhcMachineMode="MACHINE DEVELOPMENT"))) == set()
