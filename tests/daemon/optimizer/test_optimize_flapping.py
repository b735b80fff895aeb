"""Disks that fail and are good again, over and over: no node is drained and taken back in a loop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.optimizer.cluster import ClusterNode
from daemon.records import LabelKind, PlanState
from tests.daemon.optimizer.machines import Machines
from tests.daemon.optimizer.sites import Site, fail_again, optimizer_settings
from tests.daemon.reports import S


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.fixture
def site(machines: Machines, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, optimizer_settings(act=True, drain={"resume_after_s": 900}), machines)
    yield made
    made.close()


class TestFlapping:
    def test_a_disk_that_is_good_for_a_moment_leaves_its_node_drained(self, site: Site, machines: Machines) -> None:
        for _ in range(5):
            site.mend(*fail_again(site))
            site.work(300)
        assert machines.acted == ["drain n1"]
        assert site.plan().outcome == "what put it at risk is over; resumed by shiftwatch if it stays so for 15 min"
        site.work(1000)
        assert machines.acted == ["drain n1", "resume n1"]
        assert site.plan().outcome == "resumed by shiftwatch: what put it at risk is over"
        assert "n1 was drained: " in site.store.incidents()[-1].why
        assert "(resumed by shiftwatch: what put it at risk is over)" in site.store.incidents()[-1].why

    def test_one_that_comes_back_by_the_hour_is_taken_back_once_and_then_left_to_people(self, site: Site, machines: Machines) -> None:
        for _ in range(6):
            site.mend(*fail_again(site))
            site.work(3600)
            site.work(3600)
        assert machines.acted == ["drain n1", "resume n1", "drain n1"]
        said = "what put it at risk is over (it was before, and came back: left to people); resume it: resume n1"
        assert site.plans[-1].outcome == said
        machines.nodes["n1"] = ClusterNode("n1", 4)
        site.work()
        assert site.plans[-1].outcome == "n1 was resumed by somebody"

    def test_that_is_remembered_by_a_new_process_and_forgotten_after_a_day(self, site: Site, machines: Machines) -> None:
        site.mend(*fail_again(site))
        site.work(1000)
        site.restart()
        found = fail_again(site)
        site.mend(*found)
        site.work(1000)
        assert machines.acted == ["drain n1", "resume n1", "drain n1"]
        site.work(90_000)
        site.work(1000)
        assert machines.acted[-1] == "resume n1"

    def test_it_waits_no_longer_where_a_person_says_so(self, site: Site, machines: Machines) -> None:
        first, second = site.fail("n1", "sdb", "sdc")
        site.mend(first)
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        assert machines.acted == ["drain n1", "resume n1"]
        assert second.cleared_ns is None

    @pytest.mark.parametrize("how", ["label", "scontrol"])
    def test_what_a_person_took_back_is_only_proposed_when_the_same_disk_fails_anew(self, site: Site, machines: Machines, how: str) -> None:
        found = fail_again(site)
        if how == "label":
            site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        else:
            machines.nodes["n1"] = ClusterNode("n1", 4)
            site.work()
        site.mend(*found)
        machines.acted.clear()
        site.restart()
        fail_again(site)
        assert machines.acted == []
        assert site.plans[-1].state is PlanState.PROPOSED
        assert site.plans[-1].outcome.startswith("left to people until 1970-01-02 0")
        assert site.plans[-1].outcome.endswith("UTC: somebody has taken the node back")
        site.fail("n1", "sdc", since=site.clock.at_ns / S)
        site.work()
        assert machines.acted == ["drain n1"]
