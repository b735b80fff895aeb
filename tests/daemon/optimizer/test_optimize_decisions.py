"""What the optimizer decides, apart from any batch system: lifecycles, orders of the queue, event time, places, options."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon import messages
from daemon.messages import Progress
from daemon.optimizer.announcing import Announcer
from daemon.optimizer.drain import FailureRisk
from daemon.optimizer.knowledge import edges
from daemon.optimizer.places import NodePattern
from daemon.optimizer.risks import Endangered, Risk
from daemon.optimizer.settings import DrainSettings, OptimizerSettings
from daemon.optimizer.snapshot import QueuedJob
from daemon.records import LabelKind, PlanState
from detectors.figure import PlanFigure, decode
from tests.daemon.optimizer.machines import NOW_NS, Machines
from tests.daemon.optimizer.sites import Site, optimizer_settings
from tests.daemon.optimizer.test_lifecycle import PLAN
from tests.daemon.reports import S, finding, raised


@pytest.mark.parametrize(
    ("pattern", "place", "node"),
    [
        ("T2_X/{node}/**", "T2_X/n1/sdb", ("n1", "T2_X/n1")),
        ("T2_X/{node}/**", "T2_X/n1", ("n1", "T2_X/n1")),
        ("T2_X/{node}/**", "T2_Y/n1/sdb", None),
        ("T2_X/rack*/{node}/**", "T2_X/rack4/n1/raid/sdb", ("n1", "T2_X/rack4/n1")),
        ("T2_X/**/{node}/disk*", "T2_X/a/b/n1/disk7", ("n1", "T2_X/a/b/n1")),
        ("{node}", "n1", ("n1", "n1")),
        ("T2.X/{node}/**", "T2_X/n1/sdb", None),
    ],
)
def test_nodes_of_places(pattern: str, place: str, node: tuple[str, str] | None) -> None:
    found = NodePattern(pattern).node_at(place)
    assert (found and (found.node, found.place)) == node


@pytest.mark.parametrize(("pattern", "place"), [("T2_X/{node}/**", "T2_X/queue"), ("T2_X/rack*/{node}", "T2_X/queue"), ("{node}", "queue")])
def test_the_queue_has_a_place_beside_the_nodes(pattern: str, place: str) -> None:
    assert NodePattern(pattern).queue_place == place


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"node_pattern": "T2_X/**"}, "must have {node}"),
        ({"node_pattern": "T2_X/n{node}/**"}, "must have {node}"),
        ({"cluster": "pbs"}, "no cluster 'pbs'; there are slurm"),
        ({"cluster": "slurm", "options": {"conf": 3}}, "options.conf"),
        ({"cluster": "slurm", "options": {"config": "x"}}, "options.config: unknown key"),
        ({"max_drained_ratio": 1.5}, "less than or equal to 1"),
        ({"caps": 1}, "Extra inputs"),
    ],
)
def test_wrong_options_are_named(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        OptimizerSettings.model_validate(section)
    assert words in str(caught.value)


def test_only_a_disk_of_its_own_node_explains_a_plan() -> None:
    (edge,) = edges(optimizer_settings().optimizer)
    assert (edge.within, edge.cause.condition, edge.effect.condition) == ("same_branch", ("disk_failing",), ("plan_drain",))
    assert edges(OptimizerSettings()) == []


class TestEventTime:
    def test_it_is_that_of_the_other_streams(self) -> None:
        announcer = Announcer()
        announcer.heard("disks", 1000)
        (report,) = announcer.changes([PLAN], 7777)
        assert report.at_ns == 1000
        announcer.heard("disks", 2000)
        assert announcer.progress() == Progress("optimizer", 2000)
        assert announcer.progress() is None
        (report,) = announcer.changes([], 7777)
        assert report.at_ns == 2001

    def test_it_rises_after_a_restart_that_lost_what_was_saved(self) -> None:
        announcer = Announcer()
        announcer.heard("disks", 1000)
        announcer.heard("optimizer", 5000)
        (report,) = announcer.changes([PLAN], 1000)
        assert report.at_ns == 5001

    def test_alone_it_is_the_clock(self) -> None:
        (report,) = Announcer().changes([PLAN], 1234)
        assert report.at_ns == 1234


@pytest.fixture
def machines() -> Machines:
    made = Machines(4)
    hours = [40.0, *(0.1 for _ in range(20))]
    made.queued = [QueuedJob(f"j{i}", NOW_NS - (100 - i) * S, 3600 * h, 16 if i == 0 else 4, 1000.0 - i) for i, h in enumerate(hours)]
    return made


@pytest.fixture
def site(machines: Machines, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, optimizer_settings(order={"queued_least": 5}, load_ratio=0.0, backfill=False, act=True), machines)
    yield made
    made.close()


class TestWorth:
    """Whether a drain is proposed, on machines of 4 processors with a job of two hours each."""

    def test_on_a_cluster_where_nothing_waits_it_costs_nothing(self, site: Site, machines: Machines) -> None:
        machines.queued = []
        site.fail("n1", rate=0.3)
        assert site.plan().kind == "drain"
        assert site.plan().why.startswith(
            "30 % a year failure rate of sdb (counted as 1.5 % within 24 h) puts 1 running job (4.0 core-hours) at risk"
        )
        assert "it costs no work" in site.incident().why

    def test_where_nothing_has_to_be_repaired_that_is_not_enough_and_status_says_why(self, site: Site, machines: Machines) -> None:
        machines.queued = []
        site.restart(drain={"repair_is_due": False})
        site.fail("n1", rate=0.3)
        assert site.plans == []
        assert site.stage.status()["endangered"]["n1"].startswith("draining n1 does not surely gain enough")

    def test_where_many_wait_a_small_risk_is_not_worth_it(self, site: Site, machines: Machines) -> None:
        machines.queued = [replace(job, processors=4, requested_s=86400.0) for job in machines.queued]
        site.restart(drain={"repair_is_due": False, "repair_s": 80_000}, order={"enabled": False})
        site.fail("n1", rate=0.3)
        assert site.plans == []

    def test_two_findings_of_a_disk_are_one_disk(self) -> None:
        risk = Risk("a", "disk_failing", "n1", "T2_X/n1", "sdb", 0, 0.3)
        one, worse, unknown = risk, replace(risk, finding="b", annual_ratio=0.7), replace(risk, finding="c", annual_ratio=math.nan)
        settings = DrainSettings(failure_probability=0.001)
        both = Endangered("n1", "T2_X/n1", "i", (one, unknown, worse))
        assert both.failure_risk(settings) == Endangered("n1", "T2_X/n1", "i", (worse,)).failure_risk(settings)
        two = Endangered("n1", "T2_X/n1", "i", (worse, replace(one, thing="sdc")))
        assert two.failure_risk(settings).hazard_per_s == pytest.approx(FailureRisk.from_annual_rate(1.0).hazard_per_s)

    def test_a_disk_that_was_found_failing_is_worse_than_the_average_of_its_kind(self) -> None:
        risk = Risk("a", "disk_failing", "n1", "T2_X/n1", "sdb", 0, 0.01)
        settings = DrainSettings(failure_probability=0.2, failure_within_s=86400)
        assert Endangered("n1", "T2_X/n1", "i", (risk,)).failure_risk(settings) == FailureRisk.from_probability(0.2, 86400)


class TestOrder:
    """A long and wide job is first in the queue, in front of twenty short ones."""

    def test_a_better_order_is_proposed_with_its_gain(self, site: Site) -> None:
        site.work()
        plan = site.plan()
        assert (plan.kind, plan.state, plan.place) == ("order", PlanState.PROPOSED, "T2_X/queue")
        assert plan.gain_low > 1
        assert plan.actions[0] != "top j0"
        assert plan.actions[-1] == "top j0"
        assert site.incident().condition == "plan_order"
        assert site.incident().sentence.startswith(f"Start waiting jobs in the order {plan.subject}: 21 jobs wait; longest wait")
        picture = decode(site.reports()[0].figure)
        assert isinstance(picture, PlanFigure)
        assert any(bar.changed for bar in picture.proposed)

    def test_it_is_one_plan_as_long_as_it_holds(self, site: Site) -> None:
        for _ in range(4):
            site.work(1000)
        assert len(site.plans) == 1
        assert site.plan().valid_until_ns > site.clock.at_ns

    def test_it_ends_with_the_queue(self, site: Site, machines: Machines) -> None:
        site.work()
        machines.queued = []
        site.work()
        assert (site.plan().state, site.plan().outcome) == (PlanState.ENDED, "withdrawn: few jobs wait")
        assert site.incidents == []

    def test_not_a_problem_ends_it_and_it_rests(self, site: Site) -> None:
        site.work()
        site.label(LabelKind.NOT_A_PROBLEM, site.incident())
        assert site.plan().outcome == "withdrawn: Ada said not a problem"
        site.restart()
        for _ in range(5):
            site.work(4000)
        assert len(site.plans) == 1
        site.work(90_000)
        site.work(90_000)
        assert len(site.plans) == 2

    def test_it_joins_no_incident_of_a_node(self, site: Site) -> None:
        site.work()
        site.say(raised(finding("T2_X/n1/fan", "outlier", since=site.clock.at_ns / S, source="disks")))
        assert len(site.incidents) == 2


def test_what_is_no_message_is_passed_over(site: Site) -> None:
    site.bus.publish("findings", "x", b"{}")
    site.bus.publish("incidents", "x", None)
    site.bus.publish("findings", "x", messages.encode(PLAN))
    site.work()
    assert site.stage.status()["active"]
