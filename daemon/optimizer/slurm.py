"""Slurm, by its own commands: `sinfo`, `squeue` and `scontrol` with fixed arguments, never through a shell.

Whoever runs the daemon must be allowed to change nodes (an operator in Slurm) where it is to act; reading needs no rights unless the
cluster hides jobs (PrivateData).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from collectors.collector import Options
from daemon.optimizer.cluster import OWN_REASON, ClusterError, ClusterNode, ClusterState, plain_reason
from daemon.optimizer.slurm_json import read_nodes, read_queue, read_running
from daemon.optimizer.snapshot import Node, Snapshot

MAX_ORDERED = 20
"""Jobs for which the commands of an order are given; who comes first changes before the others start anyway."""
HIGHEST_PRIORITY = 4_294_967_293
MISSHAPEN = (ValueError, TypeError, AttributeError, KeyError)
"""What comes of output in which something is of another type than it ever was."""


class SlurmOptions(Options):
    """`[optimizer.options]` where `cluster = "slurm"`."""

    conf: Path | None = None
    """slurm.conf; Slurm's own default (or SLURM_CONF) otherwise."""
    programs: Path | None = None
    """The folder with sinfo, squeue and scontrol; the search path otherwise."""
    partition: str = ""
    """The partition whose queue and nodes are looked at; all of them by default."""
    timeout_s: float = Field(default=15.0, gt=0)
    """A command that takes longer is ended, and it is an error."""
    unlimited_s: float = Field(default=7 * 86400.0, gt=0)
    """What is expected of a job without a time limit."""


class SlurmCluster:
    """A cluster under Slurm 22.05 or newer."""

    options_model: ClassVar[type[Options]] = SlurmOptions
    name = "slurm"

    def __init__(self, options: SlurmOptions) -> None:
        self._options = options
        self._environment = {**os.environ, "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}
        if options.conf is not None:
            self._environment["SLURM_CONF"] = str(options.conf)

    def state(self) -> ClusterState:
        """Nodes, queue and running jobs as the controller shows them. Raises ClusterError."""
        nodes = self._nodes()
        jobs = self._records("jobs", "squeue", "--json", "--all")
        now_ns = time.time_ns()
        options = self._options
        try:
            snapshot = Snapshot(
                now_ns,
                tuple(Node(node.name, node.processors, node.in_service) for node in nodes.values()),
                read_queue(jobs, nodes, options.partition, now_ns, options.unlimited_s),
                read_running(jobs, nodes, now_ns, options.unlimited_s),
            )
        except MISSHAPEN as error:
            raise ClusterError(f"squeue --json: {error}") from None
        return ClusterState(nodes, snapshot)

    def drain(self, node: str, reason: str) -> None:
        """See `Cluster.drain`."""
        shown = self._node(node)
        if shown.draining:
            if shown.plan_key and shown.plan_key == ClusterNode(node, 0, draining=True, reason=reason).plan_key:
                return
            raise ClusterError(f"node {node}: already drained: {shown.reason or 'no reason given'}")
        self._run("scontrol", *_drain_arguments(node, reason))

    def resume(self, node: str, reason: str) -> None:
        """See `Cluster.resume`."""
        shown = self._node(node)
        if not shown.draining:
            return
        if shown.reason != plain_reason(reason):
            raise ClusterError(f"node {node}: drained by somebody else: {shown.reason or 'no reason given'}")
        self._run("scontrol", *_resume_arguments(node))

    def drain_commands(self, node: str, reason: str) -> tuple[str, ...]:
        """`scontrol update … state=drain`."""
        return (shlex.join(("scontrol", *_drain_arguments(node, reason))),)

    def resume_commands(self, node: str) -> tuple[str, ...]:
        """`scontrol update … state=undrain`."""
        return (shlex.join(("scontrol", *_resume_arguments(node))),)

    def order_commands(self, state: ClusterState, order: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The first jobs of the order get priorities above all others; to undo it they are held and released, which works them out anew."""
        highest = max((job.priority for job in state.snapshot.queued), default=0.0)
        first = order[:MAX_ORDERED]
        top = min(int(highest) + len(first), HIGHEST_PRIORITY)
        actions = tuple(f"scontrol update jobid={job} priority={top - place}" for place, job in enumerate(first))
        listed = ",".join(first)
        return actions, ((f"scontrol hold {listed}", f"scontrol release {listed}") if first else ())

    def _node(self, name: str) -> ClusterNode:
        """One node by its exact name: Slurm takes expressions such as n[1-4] for many."""
        nodes = self._nodes()
        if name not in nodes:
            raise ClusterError(f"node {name[:80]!r}: not in this cluster")
        return nodes[name]

    def _nodes(self) -> dict[str, ClusterNode]:
        arguments: tuple[str, ...] = ("sinfo", "--json", "--all")
        document = self._document(*arguments)
        if "nodes" not in document:  # from 23.11 on sinfo shows groups of nodes
            arguments = ("scontrol", "--json", "show", "nodes")
            document = self._document(*arguments)
        try:
            return read_nodes(_listed(document, "nodes", arguments), self._options.partition)
        except MISSHAPEN as error:
            raise ClusterError(f"{' '.join(arguments)}: {error}") from None

    def _records(self, field: str, *arguments: str) -> list[dict[str, Any]]:
        return _listed(self._document(*arguments), field, arguments)

    def _document(self, *arguments: str) -> dict[str, Any]:
        try:
            document = json.loads(self._run(*arguments))
        except ValueError:
            raise ClusterError(f"{' '.join(arguments)}: its output is no JSON") from None
        if not isinstance(document, dict):
            raise ClusterError(f"{' '.join(arguments)}: its output is no object")
        if document.get("errors"):
            raise ClusterError(f"{' '.join(arguments)}: {_problem(document['errors'])}")
        return document

    def _run(self, program: str, *arguments: str) -> str:
        command = program if self._options.programs is None else str(self._options.programs / program)
        shown = " ".join((program, *arguments))[:160]
        try:
            done = subprocess.run(  # noqa: S603 - fixed programs, no shell; names of nodes are checked against the cluster's own
                (command, *arguments),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._options.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ClusterError(f"{shown}: no answer within {self._options.timeout_s:g} s") from None
        except OSError as error:
            raise ClusterError(f"{shown}: {error.strerror}: {command}") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace") or done.stdout.decode(errors="replace")
            raise ClusterError(f"{shown}: {_one_line(said) or f'exit code {done.returncode}'}")
        return done.stdout.decode(errors="replace")


def _drain_arguments(node: str, reason: str) -> tuple[str, ...]:
    if not OWN_REASON.match(reason):
        raise ValueError(f"a reason without the key of a plan: {reason[:60]!r}")
    return "update", f"nodename={node}", "state=drain", f"reason={plain_reason(reason)}"


def _resume_arguments(node: str) -> tuple[str, ...]:
    return "update", f"nodename={node}", "state=undrain"  # "resume" would also revive a node that is down


def _listed(document: dict[str, Any], field: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    records = document.get(field)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ClusterError(f"{' '.join(arguments)}: its output has no list of {field}")
    return records


def _problem(errors: object) -> str:
    """What the first of Slurm's errors says; of a controller that is gone 22.05 says nothing but "Unspecified error"."""
    first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
    said = first.get("description") or first.get("error") or str(errors)
    return _one_line(f"{said} (is slurmctld running and reachable?)" if first.get("error") == "Unspecified error" else str(said))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
