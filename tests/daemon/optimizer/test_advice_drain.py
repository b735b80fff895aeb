from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest

from daemon.optimizer.advice import DrainRules, FailureRisk, Outlook, Snapshot, advise_drain
from tests.daemon.optimizer.snapshots import blocked, queued, records, running, snapshot

DAY_S = 86400.0
QUIET = Outlook(load_ratio=0.0, samples=60, run_time_ratios=(1.0,))


def precious() -> Snapshot:
    """A job of 100 hours on n0 that ends in two hours, a free node, and nothing that waits."""
    return snapshot(2, [], [running("precious", 100.0, 102.0, n0=8)])


def risk(probability: float) -> FailureRisk:
    return FailureRisk.from_probability(probability, DAY_S)


def test_a_node_that_will_surely_fail_is_drained_where_its_next_jobs_would_be_lost() -> None:
    # Half an hour from now 12-hour jobs would start on n0, one after the other; an hour's repair is cheap against that.
    work = snapshot(2, [queued(f"q{i}", 8, 12.0, 1.0) for i in range(6)], [running("r", 1.0, 1.5, n0=8)])
    advice = advise_drain(work, "n0", risk(0.999), QUIET, DrainRules(repair_s=3600.0, unplanned_repair_s=DAY_S))
    assert advice.accepted
    assert advice.gain.low > 0
    assert advice.lost_without_core_hours > advice.lost_with_core_hours
    assert advice.empty_after_s == pytest.approx(1800.0)
    assert advice.reason.startswith("draining n0 gains")


def test_a_sound_node_with_a_queue_is_not_drained() -> None:
    advice = advise_drain(blocked(), "n0", risk(0.0001), replace(QUIET, load_ratio=1.0))
    assert not advice.accepted
    assert advice.gain.high < 0
    assert advice.capacity_cost_core_hours > 0
    assert "does not surely gain" in advice.reason


def test_a_drain_costs_no_more_than_the_node_could_have_done_within_the_horizon() -> None:
    work = snapshot(2, [queued(f"q{i}", 8, 12.0, 1.0) for i in range(4)], [])
    advice = advise_drain(work, "n0", FailureRisk(0.0, 0.0, 0.0), replace(QUIET, horizon_s=3600.0))
    assert advice.capacity_cost_core_hours == pytest.approx(8.0)


def test_gain_is_lost_work_less_the_cost_in_capacity() -> None:
    advice = advise_drain(blocked(), "n0", risk(0.5), replace(QUIET, load_ratio=1.0))
    parts = advice.lost_without_core_hours - advice.lost_with_core_hours - advice.capacity_cost_core_hours
    assert advice.gain.expected == pytest.approx(parts)


def test_a_running_job_is_not_saved_by_a_drain_alone() -> None:
    """It ends in two hours on the node, drained or not; the failure hits it just as well, and nothing else is to be saved."""
    advice = advise_drain(precious(), "n0", risk(0.9), QUIET)
    assert advice.lost_without_core_hours == pytest.approx(advice.lost_with_core_hours)
    assert advice.lost_without_core_hours > 0
    assert advice.gain.expected == pytest.approx(0.0)
    assert not advice.accepted


def test_lost_work_is_probability_times_all_that_the_job_had_done() -> None:
    # Within the horizon of one hour the job is there whenever the node fails: 8 processors for 100 to 101 hours.
    soon = replace(QUIET, horizon_s=3600.0)
    advice = advise_drain(precious(), "n0", FailureRisk.from_probability(0.2, 3600.0), soon)
    assert advice.failure_probability == pytest.approx(0.2)
    assert 0.2 * 800 < advice.lost_without_core_hours < 0.2 * 808


def test_the_risk_in_its_units() -> None:
    assert FailureRisk.from_probability(0.5, DAY_S).hazard_per_s == pytest.approx(0.693147 / DAY_S)
    year = Outlook(horizon_s=365.25 * DAY_S, samples=2, load_ratio=0.0)
    advice = advise_drain(precious(), "n0", FailureRisk.from_annual_rate(0.34), year)
    assert advice.failure_probability == pytest.approx(1.0 - exp(-0.34))


def test_an_uncertain_risk_widens_the_interval() -> None:
    outlook = replace(QUIET, load_ratio=1.0, finished=records(100, 0.5))
    sure = advise_drain(blocked(), "n0", risk(0.3), outlook)
    unsure = advise_drain(blocked(), "n0", FailureRisk.from_probability(0.3, DAY_S, low=0.03, high=0.95), outlook)
    assert unsure.gain.expected == pytest.approx(sure.gain.expected)
    assert unsure.gain.high - unsure.gain.low > sure.gain.high - sure.gain.low


def test_no_risk_gains_nothing() -> None:
    advice = advise_drain(precious(), "n1", FailureRisk(0.0, 0.0, 0.0), QUIET)
    assert advice.failure_probability == 0.0
    assert advice.lost_without_core_hours == 0.0
    assert not advice.accepted


class TestRepairIsDue:
    """The node has to be repaired in any case: now, or when it fails."""

    DUE = DrainRules(repair_is_due=True)

    def test_even_a_small_risk_is_worth_draining_for_where_jobs_would_be_lost(self) -> None:
        work = snapshot(2, [queued(f"q{i}", 8, 12.0, 1.0) for i in range(6)], [running("r", 1.0, 1.5, n0=8)])
        advice = advise_drain(work, "n0", risk(0.01), QUIET, self.DUE)
        assert advice.accepted
        assert 0 < advice.gain.low < advice.gain.expected
        assert advice.gain.expected == pytest.approx(advice.lost_without_core_hours - advice.lost_with_core_hours)
        assert not advise_drain(work, "n0", risk(0.01), QUIET).accepted, "weighed against never repairing it does not pay"

    def test_an_idle_node_is_drained_before_jobs_come(self) -> None:
        advice = advise_drain(precious(), "n1", risk(0.01), QUIET, self.DUE)
        assert (advice.accepted, advice.gain.expected) == (True, 0.0)

    def test_a_forced_repair_that_takes_longer_counts(self) -> None:
        rules = replace(self.DUE, repair_s=3600.0, unplanned_repair_s=3 * 3600.0)
        advice = advise_drain(precious(), "n1", risk(0.5), replace(QUIET, load_ratio=0.5, samples=4), rules)
        assert advice.gain.expected >= 0.5 * 2 * 8 * 0.5

    def test_the_least_gain_holds_all_the_same(self) -> None:
        assert not advise_drain(precious(), "n1", risk(0.01), QUIET, replace(self.DUE, gain_least_core_hours=1.0)).accepted


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.6), (0.1, 0.2), (-0.1, 0.9), (0.1, 1.0)])
def test_an_interval_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=r"interval|below 1"):
        FailureRisk.from_probability(0.4, DAY_S, low, high)


def test_only_a_node_in_service_can_be_drained() -> None:
    with pytest.raises(ValueError, match="node n9: not in the snapshot"):
        advise_drain(precious(), "n9", risk(0.5), QUIET)
    work = precious()
    out = replace(work, nodes=(replace(work.nodes[0], in_service=False), work.nodes[1]))
    with pytest.raises(ValueError, match="node n0: is not in service"):
        advise_drain(out, "n0", risk(0.5), QUIET)
