"""Stopping the optimizer from the command line, with a daemon and without one, and what the commands show of a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon.commands.optimizer import optimizer
from daemon.optimizer.slurm import SlurmCluster
from daemon.records import PlanState
from tests.daemon.optimizer.sites import Site, drained
from tests.slurm_cluster import SlurmServer

pytestmark = pytest.mark.slurm


class Command:
    """The command line with a configuration file."""

    def __init__(self, folder: Path, slurm: SlurmServer) -> None:
        self.config = folder / "shiftwatch.toml"
        section = f'[optimizer]\ncluster = "slurm"\nact = true\n[optimizer.options]\nconf = "{slurm.conf}"\n'
        self.config.write_text(f'[store]\nurl = "sqlite:///{folder}/site.db"\n{section}')

    def __call__(self, *arguments: str, exit_code: int = 0) -> str:
        done = CliRunner().invoke(optimizer, [*arguments, "-c", str(self.config)])
        assert done.exit_code == exit_code, done.output
        return done.output


@pytest.fixture
def command(site: Site, slurm: SlurmServer, tmp_path: Path) -> Command:
    assert site.settings.optimizer.act
    return Command(tmp_path, slurm)


class TestStop:
    def test_it_undoes_what_was_done_and_nothing_else(self, site: Site, slurm: SlurmServer, command: Command) -> None:
        site.fail("n1")
        slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=new memory")
        assert command("stop", "--who", "Ada") == "Stopped. Resumed: n1. Plans ended: 1.\n"
        assert drained(slurm) == {"n4": "new memory"}
        assert (site.plan().state, site.plan().outcome) == (PlanState.ENDED, "stopped by Ada")

    def test_the_running_daemon_does_nothing_until_it_is_started(self, site: Site, slurm: SlurmServer, command: Command) -> None:
        site.fail("n1")
        command("stop", "--who", "Ada")
        site.work()
        site.work()
        site.fail("n2", since=1200)
        assert drained(slurm) == {}
        assert [plan.state for plan in site.plans] == [PlanState.ENDED]
        assert "stopped by Ada" in site.stage.status()["stopped"]
        assert "plan_drain" not in {incident.condition for incident in site.incidents}
        command("start", "--who", "Ada")
        site.work()
        site.work()
        assert len(drained(slurm)) == 1

    def test_it_works_without_a_daemon(self, site: Site, slurm: SlurmServer, command: Command) -> None:
        site.fail("n1")
        site.stage.abandon()
        command("stop")
        assert drained(slurm) == {}
        site.stage = site.new_stage()
        site.work()
        assert site.incident().condition == "disk_failing"
        assert all(finding.cleared_ns is not None for finding in [site.reports()[-1].finding])

    def test_a_drain_that_was_under_way_is_undone_by_the_daemon(
        self, site: Site, slurm: SlurmServer, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drain = SlurmCluster.drain

        def stopped_meanwhile(self: SlurmCluster, node: str, reason: str) -> None:
            command("stop", "--who", "Ada")
            drain(self, node, reason)

        monkeypatch.setattr(SlurmCluster, "drain", stopped_meanwhile)
        site.fail("n1")
        monkeypatch.undo()
        site.work()
        assert drained(slurm) == {}
        assert [plan.state for plan in site.plans] == [PlanState.ENDED]

    def test_without_a_controller_it_stops_and_says_what_is_left_to_do(self, site: Site, slurm: SlurmServer, command: Command) -> None:
        site.fail("n1")
        slurm.kill_controller()
        assert "stopped, but nothing could be undone: sinfo" in command("stop", exit_code=1)
        slurm.start_controller()
        site.work()
        site.work()
        assert drained(slurm) == {}


class TestCommands:
    def test_status_names_who_drained_what(self, site: Site, slurm: SlurmServer, command: Command) -> None:
        site.fail("n1")
        slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=new memory")
        shown = command("status")
        assert "drained by us       n1" in shown
        assert "drained by others   n4" in shown
        assert '"out_of_service": 0.5' in command("status", "--json")

    def test_plans_show_what_to_type(self, site: Site, command: Command) -> None:
        assert command("plans") == "No plans.\n"
        site.fail("n1")
        assert "undo: scontrol update nodename=n1 state=undrain" in command("plans")
        assert '"state": "active"' in command("plans", "--json")
