from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from daemon.optimizer.advice import OrderRules, Outlook, advise_order
from tests.daemon.optimizer.snapshots import blocked, queued, records, running, snapshot

QUIET = Outlook(load_ratio=0.0, samples=40)


def test_short_jobs_go_first_where_that_helps_and_starves_nobody() -> None:
    advice = advise_order(blocked(), QUIET)
    assert advice.accepted
    assert advice.policy in {"sjf", "saf", "f1", "f2", "f3", "f4"}
    assert set(advice.order[-2:]) == {"long0", "long1"}
    assert set(advice.order) == {job.id for job in blocked().queued}
    assert 0 < advice.gain.low < advice.gain.expected < advice.gain.high
    assert advice.wait_gain_s.low > 0
    assert advice.proposed.bounded_slowdown < advice.default.bounded_slowdown
    assert advice.default.policy == "priority"
    assert "longest wait" in advice.reason


def test_the_gain_is_the_difference_of_the_measures() -> None:
    advice = advise_order(blocked(), QUIET)
    assert advice.gain.expected == pytest.approx(advice.default.bounded_slowdown - advice.proposed.bounded_slowdown)
    assert advice.wait_gain_s.expected == pytest.approx(advice.default.mean_wait_s - advice.proposed.mean_wait_s)


def test_an_order_that_starves_a_job_is_refused() -> None:
    # Short jobs fill the machine for as long as the horizon lasts, and the wide one never gets a turn without backfilling.
    short = records(3000, 1.0 / 5.5)
    rules = OrderRules(policies=("sjf",), backfill=False, starvation_factor=2.0)
    wide = snapshot(1, [queued("wide", 8, 5.0, 0.5), *(queued(f"s{i}", 2, 1.0, 0.4) for i in range(4))], [])
    advice = advise_order(wide, Outlook(horizon_s=2 * 86400.0, finished=short, samples=20), rules)
    assert advice.gain.low > 0  # it looks good by its mean
    assert advice.proposed.longest_wait_s > 2.0 * advice.default.longest_wait_s
    assert not advice.accepted
    assert "starve" in advice.reason
    generous = replace(rules, starvation_factor=1000.0)
    assert advise_order(wide, Outlook(horizon_s=2 * 86400.0, finished=short, samples=20), generous).accepted


def test_no_order_is_proposed_where_all_are_alike() -> None:
    alike = snapshot(2, [queued(f"job{i}", 4, 2.0, 3.0 - i / 10) for i in range(10)], [running("r", 1.0, 4.0, n0=8)])
    advice = advise_order(alike, QUIET)
    assert not advice.accepted
    assert advice.gain.expected == 0.0


def test_a_gain_below_the_least_one_is_not_proposed() -> None:
    gain = advise_order(blocked(), QUIET).gain
    assert not advise_order(blocked(), QUIET, OrderRules(gain_least=gain.high)).accepted


def test_the_default_is_the_order_of_priorities() -> None:
    urgent = snapshot(1, [queued("old", 8, 10.0, 9.0), queued("urgent", 8, 0.1, 1.0, priority=5.0)], [])
    advice = advise_order(urgent, QUIET, OrderRules(policies=("sjf",)))
    assert advice.gain.expected == 0.0  # the shortest is first already
    advice = advise_order(urgent, QUIET, OrderRules(policies=("fcfs",)))
    assert advice.order == ("old", "urgent")
    assert advice.gain.expected < 0


def test_the_same_seed_gives_the_same_advice_and_another_one_another() -> None:
    assert advise_order(blocked(), QUIET) == advise_order(blocked(), QUIET)
    assert advise_order(blocked(), QUIET).gain != advise_order(blocked(), replace(QUIET, seed=1)).gain


def test_recorded_run_times_are_used() -> None:
    quick = Outlook(finished=records(50, 1000.0, ratio=0.01), horizon_s=1.0, samples=20)
    slow = Outlook(finished=records(50, 1000.0, ratio=1.0), horizon_s=1.0, samples=20)
    # The first job in the queue runs for 0.12 h or 12 h.
    rules = OrderRules(policies=("sjf",))
    assert advise_order(blocked(), quick, rules).default.mean_wait_s < advise_order(blocked(), slow, rules).default.mean_wait_s


def test_a_queue_that_can_never_start_gains_nothing() -> None:
    assert not advise_order(snapshot(1, [queued("huge", 99, 1.0, 1.0)], []), QUIET).accepted


def test_an_empty_queue_has_no_order() -> None:
    with pytest.raises(ValueError, match="no job waits"):
        advise_order(snapshot(1, [], []), QUIET)


@pytest.mark.parametrize("wrong", [{"horizon_s": 0.0}, {"samples": 1}, {"load_ratio": -1.0}, {"run_time_ratios": (0.5, 0.0)}])
def test_an_outlook_without_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^outlook: "):
        replace(Outlook(), **wrong)
