"""Schedules: the same by seed, within the time, with room to learn and to clear."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.demo.faults import HV
from daemon.demo.geometry import DEAD_TOWERS, EXPERIMENT
from daemon.demo.schedule import TAIL, WARM_UP, Schedule, ScheduleError, make_schedule

KINDS = {
    "dead region",
    "hot channel",
    "moved peak",
    "high-voltage trip",
    "current drift",
    "failing disk",
    "dead-time",
    "high-voltage trip with victims",
}


def described(schedule: Schedule) -> list[tuple[object, ...]]:
    return [(s.start, s.stop, s.fault.kind, s.fault.sentence, s.fault.places, s.fault.cause) for s in schedule.faults]


def test_the_seed_decides() -> None:
    assert described(make_schedule(600, 4)) == described(make_schedule(600, 4))
    assert described(make_schedule(600, 4)) != described(make_schedule(600, 5))


@given(st.integers(min_value=300, max_value=3_000), st.integers(min_value=0, max_value=2**32))
def test_every_kind_has_its_time(lumisections: int, seed: int) -> None:
    schedule = make_schedule(lumisections, seed)
    quick = [s for s in schedule.faults if not s.fault.slow]
    assert {s.fault.kind for s in schedule.faults} == KINDS
    assert schedule.faults[0].start >= WARM_UP
    assert max(s.stop for s in schedule.faults) <= lumisections - TAIL - 10
    for fault, following in pairwise(quick):
        assert following.start - fault.stop >= 10
    for scheduled in schedule.faults:
        assert scheduled.stop - scheduled.start >= 15
        assert all(place.startswith(EXPERIMENT + "/") for place in scheduled.fault.places)
        assert not scheduled.fault.slow or scheduled.stop - scheduled.start >= 30
    assert schedule.new_runs
    for lumisection in schedule.new_runs:
        assert not any(s.start <= lumisection <= s.stop for s in quick)


@given(st.integers(min_value=0, max_value=200))
def test_a_joint_fault_stands_alone(seed: int) -> None:
    schedule = make_schedule(300, seed)
    joint = next(s for s in schedule.faults if s.fault.cause)
    others = [s for s in schedule.faults if s is not joint]
    assert not any(s.start <= joint.stop and joint.start <= s.stop for s in others)
    assert len(joint.fault.places) == 3
    assert joint.fault.cause in joint.fault.places


@given(st.integers(min_value=300, max_value=1_500), st.integers(min_value=0, max_value=200))
def test_faults_of_the_high_voltage_never_follow_one_another(lumisections: int, seed: int) -> None:
    quick = [s.fault for s in make_schedule(lumisections, seed).faults if not s.fault.slow]
    assert not any(HV in one.subsystems and HV in other.subsystems for one, other in pairwise(quick))


def test_a_short_time_shows_the_joint_fault_alone() -> None:
    schedule = make_schedule(140, 1)
    assert [s.fault.kind for s in schedule.faults] == ["high-voltage trip with victims"]


def test_too_short_a_time_is_refused() -> None:
    with pytest.raises(ScheduleError, match="100 lumisections are too few: 135 are needed"):
        make_schedule(100, 1)


def test_a_long_time_has_several_rounds_with_different_targets() -> None:
    schedule = make_schedule(1_500, 1)
    joint = [s.fault.cause for s in schedule.faults if s.fault.cause]
    assert len(joint) == 3
    assert len(schedule.new_runs) == 3
    assert len({s.fault.places for s in schedule.faults}) > 12


def test_a_tower_that_is_dead_does_not_become_hot() -> None:
    dead = {f"tower{eta:02d}-{phi:02d}" for eta, phi in DEAD_TOWERS}
    places = {s.fault.places[0] for seed in range(60) for s in make_schedule(300, seed).faults if s.fault.kind == "hot channel"}
    assert any("tower" in place for place in places)
    assert any("TRACKER" in place for place in places)
    assert not any(place.endswith(tuple(dead)) for place in places)
