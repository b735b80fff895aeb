"""What `sinfo --json`, `scontrol show nodes --json` and `squeue --json` print, as a state of the cluster.

Slurm 22.05 prints plain numbers and one word for a state; from 23.02 on (its "data parser") numbers are {"set", "infinite", "number"}
and states are lists of words. Both are read; what is missing is an error that names the job or node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import inf, isfinite
from typing import Any

from daemon.optimizer.cluster import ClusterNode
from daemon.optimizer.snapshot import QueuedJob, RunningJob

S = 1_000_000_000
DOWN = {"DOWN", "ERROR", "FAIL", "FUTURE", "INVAL", "INVALID_REG", "UNKNOWN"}
"""A node that does not respond for a moment, as each does after it was resumed, is not down: Slurm says so when it is."""
OUT = {"DRAIN", "DRAINED", "DRAINING"}
WAITS_FOR_SOMETHING_ELSE = ("JobHeld", "Dependency", "BeginTime", "Reservation")
MAX_ARRAY_TASKS = 1000
"""Waiting tasks of a job array that are looked at one by one."""
MAX_HOSTS = 100_000
"""Of one range in a list of hosts."""

Json = Mapping[str, Any]


class SlurmFormatError(ValueError):
    """Output that cannot be understood; names the field."""


def number(record: Json, field: str, default: float | None = None) -> float:
    """A number in any of Slurm's shapes; infinite where there is no limit, `default` where it is not set."""
    value = record.get(field)
    if isinstance(value, Mapping):
        if value.get("infinite"):
            return inf
        value = value.get("number") if value.get("set", True) else None
    if isinstance(value, str) and value.upper() in ("INFINITE", "UNLIMITED"):
        return inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        if default is not None and value is None:
            return default
        raise SlurmFormatError(f"{field} is {str(value)[:60]!r}, not a number")
    return float(value)


def words(record: Json, *fields: str) -> set[str]:
    """States and flags in capitals, from fields that are a word, several words with +, or a list of words."""
    found: set[str] = set()
    for field in fields:
        value = record.get(field) or ()
        listed = value.split("+") if isinstance(value, str) else value
        found |= {str(word).upper() for word in listed}
    return found


def read_nodes(records: Sequence[Json], partition: str) -> dict[str, ClusterNode]:
    """The nodes of a partition ("": of all), by name.

    A controller that has just started knows nothing of its nodes for some seconds: that is no state to decide from, and no more is a
    cluster without nodes.
    """
    nodes = {}
    unknown = sum("UNKNOWN" in words(record, "state") for record in records)
    if 2 * unknown > len(records):
        raise SlurmFormatError(f"state of {unknown} of {len(records)} nodes is not known: has slurmctld just started?")
    for record in records:
        name = str(record.get("name", ""))
        partitions = tuple(str(each) for each in record.get("partitions") or ())
        if not name or (partition and partition not in partitions):
            continue
        states = words(record, "state", "state_flags")
        processors = int(_of(f"node {name}", record, "cpus"))
        reason = str(record.get("reason") or "")
        nodes[name] = ClusterNode(name, processors, not states & DOWN, bool(states & OUT), reason, partitions)
    if not nodes:
        raise SlurmFormatError(f"no nodes in partition {partition!r}" if partition else "no nodes")
    return nodes


def read_running(records: Sequence[Json], nodes: Mapping[str, ClusterNode], now_ns: int, unlimited_s: float) -> tuple[RunningJob, ...]:
    """The jobs that hold processors of these nodes, whatever partition they came through."""
    free = {name: node.processors for name, node in nodes.items()}
    found = []
    for record in records:
        if "RUNNING" not in words(record, "job_state") or "COMPLETING" in words(record, "job_state"):
            continue
        job = f"job {record.get('job_id')}"
        held = {}
        for name, count in _held(job, record).items():
            if name in free and (taken := min(count, free[name])) > 0:  # shared processors are counted once
                held[name] = taken
                free[name] -= taken
        if held:
            started_ns = min(int(_of(job, record, "start_time")) * S, now_ns)
            submitted_ns = min(int(_of(job, record, "submit_time")) * S, started_ns)
            found.append(RunningJob(_id(record), submitted_ns, started_ns, _limit_s(job, record, unlimited_s), held))
    return tuple(found)


def read_queue(
    records: Sequence[Json], nodes: Mapping[str, ClusterNode], partition: str, now_ns: int, unlimited_s: float
) -> tuple[QueuedJob, ...]:
    """The jobs that wait for processors of these nodes and for nothing else."""
    most = sum(node.processors for node in nodes.values())
    found = []
    for record in records:
        if "PENDING" not in words(record, "job_state") or (partition and partition not in str(record.get("partition")).split(",")):
            continue
        job = f"job {record.get('job_id')}"
        priority = number(record, "priority", 0.0)
        eligible_ns = int(number(record, "eligible_time", 0.0)) * S
        held = priority == 0 or eligible_ns > now_ns or bool(record.get("dependency"))
        if held or str(record.get("state_reason") or "").startswith(WAITS_FOR_SOMETHING_ELSE):
            continue
        processors = max(int(_of(job, record, "cpus")), 1)
        if processors > most:
            continue
        submitted_ns = min(int(_of(job, record, "submit_time")) * S, now_ns)
        limit_s = _limit_s(job, record, unlimited_s)
        found += [QueuedJob(task, submitted_ns, limit_s, processors, priority) for task in _tasks(record)]
    return tuple(found)


def expand(hosts: str) -> list[str]:
    """The names in a list of hosts ("n[1-3,7],gpu[01-02]-ib")."""
    names: list[str] = []
    for word in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", hosts):
        parts = [list(_numbers(part[1:-1])) if part.startswith("[") else [part] for part in re.findall(r"\[[^\]]*\]|[^\[\]]+", word)]
        names += ["".join(chosen) for chosen in product(*parts)]
    return names


def _numbers(ranges: str) -> Iterator[str]:
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        if not dash:
            yield first
        elif first.isdecimal() and last.isdecimal() and int(last) - int(first) < MAX_HOSTS:
            yield from (f"{each:0{len(first)}d}" for each in range(int(first), int(last) + 1))
        else:
            raise SlurmFormatError(f"{part[:40]!r} is no range of hosts")


def _of(what: str, record: Json, field: str) -> float:
    try:
        return number(record, field)
    except SlurmFormatError as error:
        raise SlurmFormatError(f"{what}: {error}") from None


def _id(record: Json) -> str:
    """The id as people type it: that of the array with the task's number."""
    array, task = int(number(record, "array_job_id", 0.0)), number(record, "array_task_id", -1.0)
    return f"{array}_{int(task)}" if array and task >= 0 else str(int(number(record, "job_id")))


def _tasks(record: Json) -> list[str]:
    """Ids of what waits: one job, or the tasks of an array that have not started ("0-9:2,12%4")."""
    ranges = str(record.get("array_task_string") or "").partition("%")[0]
    if not ranges:
        return [_id(record)]
    tasks: list[str] = []
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part)
        if match is None:
            break  # Slurm cuts long lists off with "..."
        first, last, step = (int(group) if group else None for group in match.groups())
        assert first is not None
        tasks += [f"{int(number(record, 'job_id'))}_{task}" for task in range(first, (first if last is None else last) + 1, step or 1)]
    return tasks[:MAX_ARRAY_TASKS] or [_id(record)]


def _limit_s(job: str, record: Json, unlimited_s: float) -> float:
    """Slurm's limits are minutes; 0 is one that is given when the job starts."""
    limit_s = 60.0 * _of(job, record, "time_limit") if record.get("time_limit") is not None else inf
    return limit_s if 0 < limit_s < inf else unlimited_s


def _held(job: str, record: Json) -> dict[str, int]:
    """Processors on each node: as many as cores are allocated there, or shared out evenly where Slurm does not say."""
    total = max(int(_of(job, record, "cpus")), 1)
    weights = _allocated(record.get("job_resources") or {})
    if not weights:
        weights = dict.fromkeys(expand(str(record.get("nodes") or "")), 1)
    whole, held, given = sum(weights.values()), {}, 0
    for index, name in enumerate(weights):  # largest remainders would be fairer; what matters is that all are given out
        upto = round(total * sum(list(weights.values())[: index + 1]) / whole)
        held[name], given = upto - given, upto
    return {name: count for name, count in held.items() if count > 0}


def _allocated(resources: Json) -> dict[str, int]:
    """Allocated cores by node: 22.05 lists `allocated_nodes`, newer ones `nodes.allocation`."""
    nodes = resources.get("nodes")
    listed = nodes.get("allocation") if isinstance(nodes, Mapping) else resources.get("allocated_nodes")
    if isinstance(nodes, Mapping) and not listed:
        return dict.fromkeys(expand(str(nodes.get("list") or "")), 1)
    found: dict[str, int] = {}
    for entry in listed if isinstance(listed, list) else ():
        name = str(entry.get("nodename") or entry.get("name") or "")
        cores = str(entry.get("sockets")).upper().count("'ALLOCATED")
        if name:
            found[name] = max(cores, 1)
    return found
