"""What an optimizer that acts must not do at night: loops, drains beyond the cap, touching what is not its own, forgetting what is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.optimizer.cluster import ClusterNode
from daemon.optimizer.simulator import Outcome, simulate
from daemon.records import LabelKind, Plan, PlanState
from detectors.finding import Certainty, Contribution, Evidence, Severity
from tests.daemon.optimizer.machines import Machines
from tests.daemon.optimizer.sites import RATE, Site, disk, fail_again, optimizer_settings
from tests.daemon.reports import S, finding, raised


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.fixture
def site(machines: Machines, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, optimizer_settings(act=True, drain={"resume_after_s": 900}), machines)
    yield made
    made.close()


class TestWithoutLeave:
    def test_nothing_is_asked_of_the_batch_system_whatever_happens(self, site: Site, machines: Machines) -> None:
        site.restart(act=False, max_drained_ratio=1.0)
        first, second = site.fail("n1", "sdb", "sdc")
        site.fail("n2", since=1100)
        site.mend(first)
        site.work(4000)
        site.label(LabelKind.NOT_A_PROBLEM, site.incidents[0])
        site.mend(second)
        site.restart()
        site.work(4000)
        site.stop()
        site.work()
        assert machines.asked == []

    def test_what_was_drained_before_it_was_taken_away_is_only_told(self, site: Site, machines: Machines) -> None:
        found = fail_again(site)
        site.restart(act=False)
        site.mend(*found)
        site.work(4000)
        assert machines.asked == ["drain n1"]
        assert site.plan().outcome == "what put it at risk is over; resume it: resume n1"


class TestForeign:
    def test_a_drain_that_somebody_explained_with_our_name_is_theirs(self, site: Site, machines: Machines) -> None:
        said = "shiftwatch: says its disk fails, I look at it tomorrow (Bob)"
        machines.nodes["n1"] = ClusterNode("n1", 4, draining=True, reason=said)
        site.mend(*fail_again(site))
        site.work(1000)
        site.stop()
        assert machines.nodes["n1"].reason == said

    def test_a_reason_that_somebody_has_added_to_is_theirs(self, site: Site, machines: Machines) -> None:
        found = fail_again(site)
        added = f"{machines.nodes['n1'].reason}; bad memory too (Bob)"
        machines.nodes["n1"] = replace(machines.nodes["n1"], reason=added)
        site.work()
        assert site.plan().outcome == "taken over by somebody: bad memory too (Bob)"
        site.mend(*found)
        site.work(1000)
        undone = site.stop()
        assert (undone.resumed, dict(undone.left)) == ((), {"n1": f"its reason was changed by somebody: {added}"})
        assert machines.nodes["n1"].reason == added

    def test_what_another_daemon_has_drained_is_left_to_it(self, site: Site, machines: Machines) -> None:
        machines.nodes["n5"] = ClusterNode("n5", 4, draining=True, reason="shiftwatch:00112233445566aa 36 % a year")
        fail_again(site)
        undone = site.stop()
        assert undone.resumed == ("n1",)
        assert undone.left == (("n5", "drained for plan 00112233445566aa, which this database does not have"),)
        site.work()
        assert machines.acted == ["drain n1", "resume n1"]

    def test_what_a_person_drains_by_the_command_of_a_plan_is_theirs(self, site: Site, machines: Machines) -> None:
        site.restart(act=False)
        found = fail_again(site)
        self._type(machines, site.plan())
        site.work()
        assert (site.plan().acted, site.plan().outcome) == (False, "drained by somebody, as the plan says")
        site.restart(act=True)
        site.mend(*found)
        site.work(1000)
        assert machines.acted == []
        assert site.plan().outcome == "what put it at risk is over; n1 stays drained until somebody resumes it"

    def test_so_it_is_while_the_optimizer_is_stopped(self, site: Site, machines: Machines) -> None:
        site.restart(act=False)
        fail_again(site)
        plan = site.plan()
        site.stop()
        site.work()
        self._type(machines, plan)
        site.work()
        assert machines.nodes["n1"].draining
        assert machines.acted == []

    def _type(self, machines: Machines, plan: Plan) -> None:
        _, node, reason = plan.actions[0].split(" ", 2)
        machines.nodes[node] = replace(machines.nodes[node], draining=True, reason=reason)


class TestHalfAnswers:
    @pytest.mark.parametrize("said", ["n1", "n1.t2.example.org"])
    def test_a_node_that_is_left_out_of_an_answer_is_not_forgotten(self, site: Site, machines: Machines, said: str) -> None:
        fail_again(site, said)
        machines.hidden = {"n1", "n2"}
        site.work()
        assert (site.plan().state, site.plan().outcome) == (PlanState.ACTIVE, "n1 is not in the cluster at present")
        machines.hidden = set()
        site.work()
        assert site.plan().outcome == "drained by shiftwatch"
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        assert machines.acted == ["drain n1", "resume n1"]

    def test_a_condition_that_is_no_longer_configured_is_no_reason_to_resume(self, site: Site, machines: Machines) -> None:
        found = fail_again(site)
        site.restart(conditions=["link_failing"])
        site.work(2000)
        site.work(2000)
        assert machines.acted == ["drain n1"]
        site.mend(*found)
        site.work(1000)
        assert machines.acted == ["drain n1", "resume n1"]


class TestCaps:
    def test_a_drain_without_an_answer_counts(self, site: Site, machines: Machines) -> None:
        machines.slow = True
        site.restart(max_drained_ratio=0.1)
        site.say(*(raised(disk(node)) for node in ("n1", "n2", "n3")))
        assert len(machines.acted) == 1
        site.work()
        assert [plan.state for plan in site.plans].count(PlanState.ACTIVE) == 1
        assert len(machines.acted) == 1

    def test_the_last_node_of_a_partition_is_left_to_people(self, site: Site, machines: Machines) -> None:
        for name, node in machines.nodes.items():
            machines.nodes[name] = replace(node, partitions=("main", "gpu") if name in ("n1", "n2") else ("main",))
        site.restart(max_drained_ratio=1.0)
        site.say(*(raised(disk(node)) for node in ("n1", "n2", "n3")))
        assert machines.acted == ["drain n1", "drain n3"]
        (held,) = (plan for plan in site.plans if plan.state is PlanState.PROPOSED)
        assert held.outcome == "left to people: no node of partition gpu would be in service any more"

    def test_of_several_the_one_at_the_highest_risk_is_drained(self, site: Site, machines: Machines) -> None:
        site.restart(max_drained_ratio=0.1)
        site.say(*(raised(disk(node, rate=RATE * (1 + (node == "n3")))) for node in ("n1", "n2", "n3")))
        assert machines.acted == ["drain n3"]

    def test_what_is_unsure_is_only_proposed(self, site: Site, machines: Machines) -> None:
        site.say(raised(replace(disk("n1"), certainty=Certainty.UNSURE, reason="12 rows seen")))
        assert machines.acted == []
        assert site.plan().outcome == "left to people: it is unsure whether it is at risk"
        site.fail("n1", "sdc", since=1100)
        assert machines.acted == ["drain n1"]


class TestRefusal:
    def test_what_is_refused_all_night_is_asked_for_less_and_less_and_told_once(self, site: Site, machines: Machines) -> None:
        machines.refusal = "scontrol: Invalid user id"
        fail_again(site)
        told = len(site.published())
        for _ in range(8 * 60):
            site.work(58)
        assert len(machines.asked) < 20
        assert len(site.published()) - told < 3 + 8 * 4  # its gain is worked out anew each quarter of an hour
        machines.refusal = ""
        site.work(3600)
        assert site.plan().state is PlanState.ACTIVE

    def test_a_resume_that_is_refused_too(self, site: Site, machines: Machines) -> None:
        fail_again(site)
        machines.refusal = "scontrol: Invalid user id"
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        site.published()
        for _ in range(60):
            site.work(58)
        assert len(machines.asked) < 10
        assert site.published() == []
        machines.refusal = ""
        site.work(3600)
        assert site.plan().outcome == "resumed by shiftwatch: Ada said not a problem"


class TestNames:
    @pytest.mark.parametrize(("said", "known"), [("n1.t2.example.org", "n1"), ("n1", "n1.t2.example.org")])
    def test_full_and_short_names_of_a_host_are_one_node(self, site: Site, machines: Machines, said: str, known: str) -> None:
        machines.nodes = {name: ClusterNode(name, 4) for name in (known, *(f"m{number}" for number in range(9)))}
        (found,) = site.fail(said)
        assert machines.acted == [f"drain {known}"]
        site.mend(found)
        site.work(1000)
        assert machines.acted == [f"drain {known}", f"resume {known}"]

    @pytest.mark.parametrize("said", ["n[1-4]", "n1.a.org", "n99", "N1"])
    def test_a_node_that_does_not_fit_is_said_and_left_alone(self, site: Site, machines: Machines, said: str) -> None:
        machines.nodes = {name: ClusterNode(name, 4) for name in ("n1.b.org", "n1.c.org", "n2", "n3", "n4", "n5")}
        site.fail(said)
        assert (site.plans, machines.asked) == ([], [])
        assert site.stage.status()["endangered"] == {said: "the cluster has no node of this name"}

    def test_why_nothing_is_proposed_for_a_node_out_of_service_is_said(self, site: Site, machines: Machines) -> None:
        machines.nodes["n1"] = ClusterNode("n1", 4, up=False)
        machines.nodes["n2"] = ClusterNode("n2", 4, draining=True, reason="new memory")
        site.say(raised(disk("n1")), raised(disk("n2")))
        assert site.stage.status()["endangered"] == {"n1": "it is down", "n2": "it is drained already: new memory"}


class TestTime:
    def test_a_proposal_lasts_where_the_clock_is_faster_than_the_wall(self, site: Site) -> None:
        site.restart(act=False)
        site.fail("n1")
        for _ in range(40):
            site.clock.at_ns += 59 * 30 * S  # a demonstration at 60 times the speed
            site.work(30)
        assert len(site.plans) == 1
        assert site.plan().state is PlanState.PROPOSED


class TestSwitchedOnLater:
    def test_what_was_found_before_it_listened_is_known_to_it(self, machines: Machines, tmp_path: Path) -> None:
        before = Site(tmp_path, optimizer_settings(cluster="slurm", conditions=["link_failing"], act=True), machines)
        before.fail("n1")
        gone = before.fail("n2", since=1100)
        before.mend(*gone)
        hot = finding("T2_X/n3/fan", "outlier", since=1200, source="disks", severity=Severity.CRITICAL)
        before.say(raised(hot))
        assert before.plans == []
        before.close()
        after = Site(tmp_path, optimizer_settings(act=True), machines)
        after.work()
        assert machines.acted == ["drain n1"]
        assert "of sdb" in after.plan().why
        after.close()


class TestLargeClusters:
    def test_a_round_ends_in_time_and_the_next_one_goes_on(self, site: Site, machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each simulation takes four seconds here: the answer takes some rounds, and is the same."""
        longest_s = 0.0

        def slow(*args: Any, **kwargs: Any) -> Outcome:
            site.now_s += 4.0
            return simulate(*args, **kwargs)

        monkeypatch.setattr("daemon.optimizer.drain.simulate", slow)
        site.say(*(raised(disk(node)) for node in ("n1", "n2")))
        assert site.plans == []
        assert site.stage.status()["endangered"]["n1"] == "whether to drain it is being simulated"
        for _ in range(60):
            before_s = site.now_s
            site.stage.step(0.0)
            longest_s = max(longest_s, site.now_s - before_s)
            site.now_s += 1.0
        assert longest_s < 20
        assert machines.acted == ["drain n1", "drain n2"]


def test_a_rate_that_is_no_rate_is_none(site: Site) -> None:
    ranked = (Contribution("annual_failure_ratio", "T2_X/n1/sdb", float("inf"), 0.014, 1.0),)
    found = finding("T2_X/n1/sdb", "disk_failing", source="disks", severity=Severity.CRITICAL, evidence=Evidence("sdb", ranked))
    site.say(raised(found))
    assert site.plan().why.startswith("disk failing of sdb")
