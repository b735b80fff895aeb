"""Both shapes of Slurm's JSON: plain numbers of 22.05, and the records of its later data parser."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.optimizer.cluster import ClusterNode
from daemon.optimizer.slurm_json import S, SlurmFormatError, expand, number, read_nodes, read_queue, read_running

NOW_NS = 1_795_385_600 * S
NODES = {name: ClusterNode(name, 4) for name in ("n1", "n2")}


def newer(value: float) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": value}


@pytest.mark.parametrize(
    ("value", "read"), [(7, 7.0), (newer(7), 7.0), ({"set": True, "infinite": True, "number": 0}, inf), ("UNLIMITED", inf)]
)
def test_numbers_of_all_shapes(value: object, read: float) -> None:
    assert number({"field": value}, "field") == read


@pytest.mark.parametrize("value", [None, {"set": False, "infinite": False, "number": 0}])
def test_what_is_not_set_has_a_default(value: object) -> None:
    assert number({"field": value}, "field", 3.0) == 3.0


@pytest.mark.parametrize("value", ["seven", True, [], float("nan"), None])
def test_what_is_no_number_is_named(value: object) -> None:
    with pytest.raises(SlurmFormatError, match=r"^field is "):
        number({"field": value}, "field")


def test_nodes_of_both_shapes() -> None:
    old = {"name": "n1", "cpus": 64, "state": "idle", "state_flags": ["DRAIN"], "reason": "memory", "partitions": ["main"]}
    new = {"name": "n2", "cpus": 64, "state": ["MIXED", "DRAIN"], "reason": "shiftwatch:3fa4b0c1d2e3f405 sdb", "partitions": ["main"]}
    down = {"name": "n3", "cpus": newer(32), "state": ["DOWN", "NOT_RESPONDING"], "partitions": ["gpu"]}
    nodes = read_nodes([old, new, down], "")
    assert [(n.up, n.draining, n.plan_key) for n in nodes.values()] == [
        (True, True, ""),
        (True, True, "3fa4b0c1d2e3f405"),
        (False, False, ""),
    ]
    assert list(read_nodes([old, new, down], "gpu")) == ["n3"]


def test_what_a_controller_knows_that_has_just_started_is_no_state() -> None:
    unknown = [{"name": f"n{number}", "cpus": 2, "state": ["UNKNOWN", "DRAIN"]} for number in range(3)]
    with pytest.raises(SlurmFormatError, match="state of 3 of 4 nodes is not known: has slurmctld just started"):
        read_nodes([*unknown, {"name": "n9", "cpus": 2, "state": "idle"}], "")


def test_running_jobs_of_the_later_shape() -> None:
    allocation = [
        {"name": "n1", "cpus": {"count": 1, "used": 0}, "sockets": [{"index": 0, "cores": [{"index": 0, "status": ["ALLOCATED"]}]}]},
        {
            "name": "n2",
            "cpus": {"count": 3, "used": 0},
            "sockets": [{"index": 0, "cores": [{"index": i, "status": ["ALLOCATED"]} for i in range(3)]}],
        },
    ]
    record = {
        "job_id": 290094,
        "job_state": ["RUNNING"],
        "array_job_id": newer(289497),
        "array_task_id": newer(7),
        "cpus": newer(4),
        "time_limit": {"set": False, "infinite": True, "number": 0},
        "start_time": newer(1_795_385_000),
        "submit_time": newer(1_795_384_000),
        "nodes": "n[1-2]",
        "job_resources": {"nodes": {"count": 2, "list": "n[1-2]", "allocation": allocation}},
    }
    (job,) = read_running([record], NODES, NOW_NS, 86400)
    assert (job.id, dict(job.processors), job.requested_s) == ("289497_7", {"n1": 1, "n2": 3}, 86400)
    without = record | {"job_resources": {"nodes": {"count": 2, "list": "n[1-2]"}}}
    assert dict(read_running([without], NODES, NOW_NS, 86400)[0].processors) == {"n1": 2, "n2": 2}
    nothing = record | {"job_resources": {"allocated_nodes": None}}
    assert dict(read_running([nothing], NODES, NOW_NS, 86400)[0].processors) == {"n1": 2, "n2": 2}


def test_no_node_holds_more_than_it_has() -> None:
    shared = {"job_state": "RUNNING", "cpus": 3, "time_limit": 60, "start_time": 1, "submit_time": 1, "nodes": "n1", "job_resources": {}}
    jobs = read_running([shared | {"job_id": number} for number in range(3)], NODES, NOW_NS, 1.0)
    assert sum(job.processors["n1"] for job in jobs) == NODES["n1"].processors


def test_a_job_of_which_the_processors_are_not_known_is_named() -> None:
    with pytest.raises(SlurmFormatError, match=r"^job 5: cpus is 'many', not a number$"):
        read_running([{"job_id": 5, "job_state": "RUNNING", "cpus": "many"}], NODES, NOW_NS, 1.0)


def test_what_could_not_start_even_on_an_empty_cluster_is_left_out() -> None:
    job = {
        "job_id": 1,
        "job_state": ["PENDING"],
        "partition": "main,gpu",
        "cpus": newer(8),
        "time_limit": newer(1),
        "submit_time": newer(1),
    }
    fits = job | {"priority": newer(10), "eligible_time": newer(1)}
    held, later, wide = fits | {"priority": newer(0)}, fits | {"eligible_time": newer(NOW_NS // S + 60)}, fits | {"cpus": newer(9)}
    waits = fits | {"state_reason": "DependencyNeverSatisfied"}
    assert [j.id for j in read_queue([fits, held, later, wide, waits], NODES, "gpu", NOW_NS, 1.0)] == ["1"]
    assert read_queue([fits], NODES, "debug", NOW_NS, 1.0) == ()


@pytest.mark.parametrize(
    ("tasks", "ids"),
    [("3", ["9_3"]), ("0-2", ["9_0", "9_1", "9_2"]), ("1-7:3,20%4", ["9_1", "9_4", "9_7", "9_20"]), ("1,2,...", ["9_1", "9_2"])],
)
def test_waiting_tasks_of_an_array_are_jobs(tasks: str, ids: list[str]) -> None:
    record = {"job_id": 9, "job_state": "PENDING", "cpus": 1, "time_limit": 1, "submit_time": 1, "priority": 5, "array_task_string": tasks}
    assert [job.id for job in read_queue([record], NODES, "", NOW_NS, 1.0)] == ids


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        ("", []),
        ("n1", ["n1"]),
        ("n[1-3,7],gpu[01-02]-ib", ["n1", "n2", "n3", "n7", "gpu01-ib", "gpu02-ib"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
    ],
)
def test_lists_of_hosts(hosts: str, names: list[str]) -> None:
    assert expand(hosts) == names


@given(st.text(alphabet="n0123456789[],-", max_size=8))
def test_any_text_is_a_list_of_hosts_or_refused(text: str) -> None:
    with suppress(SlurmFormatError):
        assert all("[" not in name and "," not in name for name in expand(text) if "]" not in text)
