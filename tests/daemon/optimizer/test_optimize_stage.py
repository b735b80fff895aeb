"""The optimize stage on a real Slurm: a failing disk drains its node, once, within the cap, and people can undo it."""

from __future__ import annotations

import pytest

from daemon.records import IncidentState, LabelKind, PlanState
from daemon.store.store import Fenced
from detectors import figure
from detectors.figure import PlanFigure
from tests.daemon.optimizer.sites import Site, disk, drained
from tests.daemon.reports import S, finding, raised
from tests.slurm_cluster import SlurmServer

pytestmark = pytest.mark.slurm


class TestDrain:
    def test_a_failing_disk_drains_its_node_and_its_job_goes_on(self, site: Site, slurm: SlurmServer) -> None:
        site.fail("n1", rate=0.36)
        plan = site.plan()
        assert (plan.state, plan.kind, plan.subject, plan.place, plan.acted) == (PlanState.ACTIVE, "drain", "n1", "T2_X/n1", True)
        assert drained(slurm) == {"n1": f"shiftwatch:{plan.key} {plan.why}"}
        assert "36 % a year failure rate of sdb" in plan.why
        assert "1 running job" in plan.why
        assert 0 < plan.gain_low <= plan.expected_gain <= plan.gain_high
        assert slurm.node("n1")[0] == "allocated+drain"

    def test_the_plan_is_part_of_the_incident_of_the_disk(self, site: Site) -> None:
        (found,) = site.fail("n1")
        incident = site.incident()
        assert (incident.condition, incident.cause_place) == ("disk_failing", "T2_X/n1/sdb")
        assert incident.cause_finding == found.key
        assert incident.detectors == ("limits", "optimizer")
        assert site.plan().incident == incident.id

    def test_what_is_said_has_a_picture_and_rises_in_time(self, site: Site) -> None:
        site.fail("n1")
        first, *_ = reports = site.reports()
        assert isinstance(figure.decode(first.figure), PlanFigure)
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        reports += site.reports()
        assert [r.at_ns for r in reports] == sorted({r.at_ns for r in reports})
        assert reports[-1].finding.cleared_ns is not None
        assert {r.finding.key for r in reports} == {first.finding.key}

    def test_a_plan_is_published_as_it_changes(self, site: Site) -> None:
        site.fail("n1")
        published = site.published()
        assert [(p.state, p.acted) for p in published] == [
            (PlanState.PROPOSED, False),
            (PlanState.PROPOSED, True),
            (PlanState.ACTIVE, True),
        ]
        assert published[-1] == site.plan()

    def test_without_leave_to_act_it_is_proposed_and_a_person_can_do_it(self, site: Site, slurm: SlurmServer) -> None:
        site.restart(act=False)
        site.fail("n1")
        assert site.plan().state is PlanState.PROPOSED
        assert drained(slurm) == {}
        slurm.run("scontrol", "update", "nodename=n1", "state=drain", "reason=disk swap")
        site.work()
        plan = site.plan()
        assert (plan.state, plan.acted, plan.outcome) == (PlanState.ACTIVE, False, "drained by somebody: disk swap")
        slurm.run("scontrol", "update", "nodename=n1", "state=resume")
        site.work()
        assert (site.plan().state, site.plan().outcome) == (PlanState.ENDED, "n1 was resumed by somebody")

    def test_a_node_that_somebody_else_has_drained_is_left_to_them(self, site: Site, slurm: SlurmServer) -> None:
        slurm.run("scontrol", "update", "nodename=n1", "state=drain", "reason=new memory")
        (found,) = site.fail("n1")
        site.mend(found)
        assert site.plans == []
        assert drained(slurm) == {"n1": "new memory"}

    def test_two_disks_of_a_node_are_one_drain(self, site: Site, slurm: SlurmServer) -> None:
        site.fail("n1", "sdb", "sdc")
        assert len(site.plans) == 1
        assert site.incident().places == ("T2_X/n1", "T2_X/n1/sdb", "T2_X/n1/sdc")
        assert list(drained(slurm)) == ["n1"]

    def test_disks_of_other_places_and_other_conditions_drain_nothing(self, site: Site) -> None:
        hot = finding("T2_X/n2/fan", "outlier", source="disks")
        site.say(*(raised(one) for one in (disk("n9"), hot, disk("n1/raid"))))
        assert [plan.subject for plan in site.plans] == ["n1"]


class TestCap:
    def test_beyond_the_cap_it_is_only_proposed_and_says_so(self, site: Site, slurm: SlurmServer) -> None:
        site.fail("n1")
        site.fail("n2", since=1100)
        first, second = site.plans
        assert (first.state, second.state) == (PlanState.ACTIVE, PlanState.PROPOSED)
        assert second.outcome == "cap reached: 50 % of the processors would be out of service, 25 % may be"
        assert "cap reached" in site.incidents[1].why
        assert list(drained(slurm)) == ["n1"]

    def test_of_two_at_once_only_one_is_drained(self, site: Site, slurm: SlurmServer) -> None:
        site.say(*(raised(disk(node)) for node in ("n1", "n2")))
        assert len(site.plans) == 2
        assert len(drained(slurm)) == 1

    def test_nodes_that_others_have_drained_count(self, site: Site, slurm: SlurmServer) -> None:
        slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=new memory")
        site.fail("n1")
        assert site.plan().state is PlanState.PROPOSED
        slurm.run("scontrol", "update", "nodename=n4", "state=resume")
        site.work()
        site.work()
        assert site.plan().state is PlanState.ACTIVE
        assert list(drained(slurm)) == ["n1"]


class TestUndo:
    @pytest.mark.parametrize("kind", [LabelKind.NOT_A_PROBLEM, LabelKind.RESOLVE])
    def test_not_a_problem_resumes_the_node_for_good(self, site: Site, slurm: SlurmServer, kind: LabelKind) -> None:
        site.fail("n1")
        site.label(kind, site.incident())
        plan = site.plan()
        said = "not a problem" if kind is LabelKind.NOT_A_PROBLEM else "resolved"
        assert (plan.state, plan.outcome) == (PlanState.ENDED, f"resumed by shiftwatch: Ada said {said}")
        assert drained(slurm) == {}
        assert site.incidents == []
        for _ in range(3):
            site.work(4000)
        assert len(site.plans) == 1
        assert site.incidents == []

    def test_a_disk_that_was_replaced_resumes_the_node_and_ends_the_incident(self, site: Site, slurm: SlurmServer) -> None:
        (found,) = site.fail("n1")
        site.mend(found)
        assert site.plan().outcome == "resumed by shiftwatch: what put it at risk is over"
        assert drained(slurm) == {}
        assert [incident.state for incident in site.store.incidents()] == [IncidentState.RESOLVED]

    def test_one_of_two_disks_replaced_is_not_enough(self, site: Site, slurm: SlurmServer) -> None:
        first, second = site.fail("n1", "sdb", "sdc")
        site.mend(first)
        assert list(drained(slurm)) == ["n1"]
        site.mend(second)
        assert drained(slurm) == {}

    def test_without_leave_to_act_any_more_it_says_how_to_resume_it(self, site: Site, slurm: SlurmServer) -> None:
        (found,) = site.fail("n1")
        site.restart(act=False)
        site.mend(found)
        assert site.plan().state is PlanState.ACTIVE
        assert site.plan().outcome == "what put it at risk is over; resume it: scontrol update nodename=n1 state=undrain"
        slurm.run("scontrol", "update", "nodename=n1", "state=resume")
        site.work()
        assert site.plan().state is PlanState.ENDED
        assert site.incidents == []

    def test_what_somebody_resumes_is_not_drained_again(self, site: Site, slurm: SlurmServer) -> None:
        site.fail("n1")
        slurm.run("scontrol", "update", "nodename=n1", "state=resume")
        for _ in range(3):
            site.work(2000)
        assert site.plan().outcome == "n1 was resumed by somebody"
        assert drained(slurm) == {}

    def test_a_new_disk_that_fails_later_is_a_new_plan(self, site: Site, slurm: SlurmServer) -> None:
        site.fail("n1")
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        site.work(4000)
        site.fail("n1", "sdc", since=site.clock.at_ns / S)
        assert [plan.state for plan in site.plans] == [PlanState.ENDED, PlanState.ACTIVE]
        assert list(drained(slurm)) == ["n1"]


@pytest.mark.slow
class TestOutage:
    def test_a_controller_that_is_gone_is_said_and_survived(self, site: Site, slurm: SlurmServer) -> None:
        slurm.stop_controller()
        site.fail("n1")
        assert site.plans == []
        assert "slurmctld" in site.stage.status()["problem"]
        slurm.start_controller()
        site.work()
        assert site.plan().state is PlanState.ACTIVE
        assert site.stage.status()["problem"] == ""

    def test_a_proposal_that_cannot_be_looked_at_expires(self, site: Site, slurm: SlurmServer) -> None:
        site.restart(act=False)
        site.fail("n1")
        slurm.kill_controller()
        site.work(3700)
        assert (site.plan().state, site.plan().outcome) == (PlanState.ENDED, "expired: the batch system could not be read")
        slurm.start_controller()

    def test_what_is_drained_stays_so_while_the_controller_is_gone(self, site: Site, slurm: SlurmServer) -> None:
        site.fail("n1")
        slurm.stop_controller()
        site.work(3700)
        assert site.plan().state is PlanState.ACTIVE
        slurm.start_controller()
        site.work()
        assert list(drained(slurm)) == ["n1"]
        assert len(site.plans) == 1


class TestRestart:
    def test_a_new_process_goes_on_from_what_was_saved(self, site: Site, slurm: SlurmServer) -> None:
        (found,) = site.fail("n1")
        site.restart()
        site.work()
        assert site.plan().state is PlanState.ACTIVE
        site.restart()
        site.mend(found)
        assert site.plan().state is PlanState.ENDED
        assert drained(slurm) == {}
        assert len(site.store.incidents()) == 1

    def test_one_is_active_and_the_other_takes_over(self, site: Site, slurm: SlurmServer) -> None:
        standby = site.new_stage()
        standby.step(0.0)
        site.fail("n1")
        assert standby.status()["active"] is False
        site.stage.abandon()
        site.stage = standby
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        assert drained(slurm) == {}

    def test_one_that_was_replaced_does_not_act(self, site: Site, slurm: SlurmServer) -> None:
        site.work()
        site.store.acquire("optimize", "somebody else")
        with pytest.raises(Fenced):
            site.fail("n1")
        assert site.plans == []
        assert drained(slurm) == {}
        site.restart()
