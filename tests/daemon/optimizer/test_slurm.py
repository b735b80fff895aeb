"""The adapter against a real Slurm: what it reads, and that it touches nothing that is not its own."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.optimizer.cluster import ClusterError, drain_reason
from daemon.optimizer.slurm import SlurmCluster, SlurmOptions
from tests.slurm_cluster import NODES, PROCESSORS, SlurmServer

pytestmark = pytest.mark.slurm
REASON = "shiftwatch:3fa4b0c1d2e3f405 36 % a year failure rate of sdb"


@pytest.fixture
def cluster(slurm: SlurmServer) -> SlurmCluster:
    return SlurmCluster(SlurmOptions(conf=slurm.conf))


def test_an_idle_cluster_is_read(cluster: SlurmCluster) -> None:
    state = cluster.state()
    assert {node.name: (node.processors, node.in_service) for node in state.nodes.values()} == dict.fromkeys(NODES, (PROCESSORS, True))
    assert state.out_ratio() == 0
    assert (state.snapshot.queued, state.snapshot.running) == ((), ())


def test_running_jobs_hold_their_processors_where_they_run(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    one = slurm.submit("-n1", "--time=10", "--nodelist=n3")
    wide = slurm.submit("-n4", "-N2", "--nodelist=n1,n2")
    slurm.wait_for(wide, "RUNNING")
    slurm.wait_for(one, "RUNNING")
    snapshot = cluster.state().snapshot
    running = {job.id: job for job in snapshot.running}
    assert dict(running[one].processors) == {"n3": 1}
    assert dict(running[wide].processors) == {"n1": 2, "n2": 2}
    assert running[one].requested_s == 600
    assert running[wide].requested_s == 7 * 86400  # the partition's limit
    assert running[one].submitted_ns <= running[one].started_ns <= snapshot.time_ns
    assert [job.id for job in snapshot.on_node("n1")] == [wide]


def test_only_jobs_that_wait_for_processors_are_in_the_queue(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    everything = slurm.submit("-n8", "--exclusive")
    slurm.wait_for(everything, "RUNNING")
    first, second = slurm.submit("-n3", "--time=5"), slurm.submit("-n1", "--time=60")
    tasks = slurm.submit("-n1", "--array=0-6:2%1")
    slurm.submit("-n1", "--hold")
    slurm.submit("-n1", "--begin=now+1hour")
    slurm.submit("-n1", f"--dependency=afterok:{everything}")
    snapshot = cluster.state().snapshot
    assert [job.id for job in snapshot.queued if "_" not in job.id] == [first, second]
    assert [job.id for job in snapshot.queued if "_" in job.id] == [f"{tasks}_{task}" for task in (0, 2, 4, 6)]
    queued = {job.id: job for job in snapshot.queued}
    assert (queued[first].processors, queued[first].requested_s) == (3, 300)
    assert queued[first].priority > queued[second].priority


def test_a_drained_node_keeps_its_jobs_and_takes_no_new_ones(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    job = slurm.submit("-n2", "--nodelist=n2")
    slurm.wait_for(job, "RUNNING")
    cluster.drain("n2", REASON)
    assert slurm.node("n2") == ("allocated+drain", REASON)
    assert slurm.state(job) == "RUNNING"
    node = cluster.state().nodes["n2"]
    assert (node.draining, node.up, node.in_service, node.plan_key) == (True, True, False, "3fa4b0c1d2e3f405")
    assert cluster.state().out_ratio() == 0.25
    cluster.resume("n2", REASON)
    assert "drain" not in slurm.node("n2")[0]
    assert slurm.state(job) == "RUNNING"


def test_the_same_drain_again_changes_nothing(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    cluster.drain("n1", REASON)
    cluster.drain("n1", "shiftwatch:3fa4b0c1d2e3f405 in other words")
    assert slurm.node("n1")[1] == REASON
    cluster.resume("n1", REASON)
    cluster.resume("n1", REASON)


def test_what_somebody_else_has_drained_is_not_touched(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=new memory")
    with pytest.raises(ClusterError, match=r"^node n4: drained by somebody else: new memory$"):
        cluster.resume("n4", REASON)
    with pytest.raises(ClusterError, match=r"^node n4: already drained: new memory$"):
        cluster.drain("n4", REASON)
    assert slurm.node("n4") == ("idle+drain", "new memory")


@pytest.mark.parametrize("name", ["n[1-4]", "n9", "n1,n2", "ALL", ""])
def test_only_a_node_of_this_very_name_is_drained(slurm: SlurmServer, cluster: SlurmCluster, name: str) -> None:
    with pytest.raises(ClusterError, match="not in this cluster"):
        cluster.drain(name, REASON)
    assert all("drain" not in slurm.node(node)[0] for node in NODES)


def test_a_reason_is_written_as_plain_text(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    cluster.drain("n1", 'shiftwatch:77b0b0c1d2e3f405 disk "sdb" of $(reboot)\nstate=down µ')
    state, reason = slurm.node("n1")
    assert state == "idle+drain"
    assert reason == "shiftwatch:77b0b0c1d2e3f405 disk sdb of $(reboot) state=down"


@pytest.mark.parametrize("said", ["shiftwatch: says its disk fails, look at it (Bob)", f"{REASON}; and bad memory (Bob)", REASON[:28]])
def test_a_reason_that_somebody_wrote_or_changed_is_theirs(slurm: SlurmServer, cluster: SlurmCluster, said: str) -> None:
    slurm.run("scontrol", "update", "nodename=n1", "state=drain", f"reason={said}")
    with pytest.raises(ClusterError, match="drained by somebody else"):
        cluster.resume("n1", REASON)
    assert slurm.node("n1") == ("idle+drain", said)


def test_the_longest_reason_comes_back_as_it_was_written(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    why = "36 % a year failure rate of " + "sdb, " * 60
    cluster.drain("n1", drain_reason("3fa4b0c1d2e3f405", why))
    assert cluster.state().nodes["n1"].drained_for("3fa4b0c1d2e3f405", why)
    cluster.resume("n1", drain_reason("3fa4b0c1d2e3f405", why))
    assert "drain" not in slurm.node("n1")[0]


def test_nodes_say_their_partitions_and_one_that_is_not_there_is_named(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    assert cluster.state().nodes["n1"].partitions == ("main",)
    with pytest.raises(ClusterError, match=r"^sinfo --json --all: no nodes in partition 'gpu'$"):
        SlurmCluster(SlurmOptions(conf=slurm.conf, partition="gpu")).state()


def test_the_commands_that_are_shown_do_what_they_say(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    for command in cluster.drain_commands("n1", REASON):
        slurm.run(*shlex.split(command))
    assert cluster.state().nodes["n1"].plan_key == "3fa4b0c1d2e3f405"
    for command in cluster.resume_commands("n1"):
        slurm.run(*shlex.split(command))
    assert not cluster.state().nodes["n1"].draining


def test_the_order_that_is_shown_is_the_one_that_slurm_then_has(slurm: SlurmServer, cluster: SlurmCluster) -> None:
    slurm.wait_for(slurm.submit("-n8", "--exclusive"), "RUNNING")
    jobs = [slurm.submit("-n2") for _ in range(3)]
    order = (jobs[2], jobs[0], jobs[1])
    actions, undo = cluster.order_commands(cluster.state(), order)
    for command in actions:
        slurm.run(*shlex.split(command))
    queued = sorted(cluster.state().snapshot.queued, key=lambda job: -job.priority)
    assert tuple(job.id for job in queued) == order
    for command in undo:
        slurm.run(*shlex.split(command))
    assert {slurm.state(job) for job in jobs} == {"PENDING"}


@pytest.fixture
def stopped_controller(slurm: SlurmServer) -> Iterator[SlurmServer]:
    slurm.kill_controller()
    yield slurm
    slurm.start_controller()


@pytest.mark.slow
def test_without_its_controller_it_says_so_in_one_line(stopped_controller: SlurmServer) -> None:
    cluster = SlurmCluster(SlurmOptions(conf=stopped_controller.conf))
    with pytest.raises(ClusterError, match="is slurmctld running") as caught:
        cluster.state()
    assert "\n" not in str(caught.value)
    with pytest.raises(ClusterError):
        cluster.drain("n1", REASON)
    stopped_controller.start_controller()
    assert len(cluster.state().nodes) == len(NODES)


def test_a_command_that_hangs_is_ended(slurm: SlurmServer, tmp_path: Path) -> None:
    (tmp_path / "sinfo").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "sinfo").chmod(0o755)
    with pytest.raises(ClusterError, match=r"^sinfo --json --all: no answer within 0\.2 s$"):
        SlurmCluster(SlurmOptions(conf=slurm.conf, programs=tmp_path, timeout_s=0.2)).state()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("", "no JSON"),
        ("[]", "no object"),
        ('{"nodes": [{"name": "n1", "cp', "no JSON"),
        ('{"nodes": 3}', "no list of nodes"),
        ('{"nodes": []}', "sinfo --json --all: no nodes"),
        ('{"nodes": [{"name": "n1", "cpus": 2, "state": 3}]}', "sinfo --json --all: "),
        ('{"nodes": [{"name": "n1"}]}', "node n1: cpus is 'None'"),
    ],
)
def test_output_that_makes_no_sense_is_one_clear_line(tmp_path: Path, output: str, words: str) -> None:
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\necho '{output}'\n")
    (tmp_path / "sinfo").chmod(0o755)
    with pytest.raises(ClusterError, match=words):
        SlurmCluster(SlurmOptions(programs=tmp_path)).state()


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=f"No such file or directory: {tmp_path}/sinfo"):
        SlurmCluster(SlurmOptions(programs=tmp_path)).state()


def test_without_the_right_to_change_nodes_it_says_what_slurm_said(slurm: SlurmServer, tmp_path: Path) -> None:
    for name in ("sinfo", "squeue"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'slurm_update error: Invalid user id' >&2\nexit 1\n")
    (tmp_path / "scontrol").chmod(0o755)
    with pytest.raises(ClusterError, match=r"scontrol update nodename=n1 .*: slurm_update error: Invalid user id$"):
        SlurmCluster(SlurmOptions(conf=slurm.conf, programs=tmp_path)).drain("n1", REASON)
