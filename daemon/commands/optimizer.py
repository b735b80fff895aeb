"""`shiftwatch optimizer`: what the scheduling optimizer proposes and did, stop and start, and simulations of recorded workloads."""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import asdict
from pathlib import Path

import click

from daemon.commands.common import Failure, config_option, json_option, print_json, reported
from daemon.optimizer import switch
from daemon.optimizer.cluster import Cluster, ClusterError, ClusterState
from daemon.optimizer.measures import Measures, measure
from daemon.optimizer.policies import POLICIES, scores
from daemon.optimizer.proposals import gain_words
from daemon.optimizer.simulator import Cluster as SimulatedCluster
from daemon.optimizer.simulator import simulate as simulate_jobs
from daemon.optimizer.stage import open_cluster
from daemon.optimizer.workload import Jobs, read_swf
from daemon.records import Plan, PlanState, iso
from daemon.settings import Settings, load
from daemon.store.store import Store

SECOND_NS = 1_000_000_000


def _login() -> str:
    """The login of whoever types; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


who_option = click.option("--who", default=_login, help="Your name; the login by default.")


@click.group()
def optimizer() -> None:
    """The scheduling optimizer: what it proposes, what it drained, and how to stop it."""


@optimizer.command()
@config_option
@json_option
@reported
def status(config_path: Path, *, as_json: bool) -> None:
    """Show the batch system as it is now, and whether the optimizer acts. Works without a running daemon.

    Example: shiftwatch optimizer status
    """
    settings = load(config_path)
    state = _read(_cluster(settings))
    store = Store(settings.store.resolve())
    try:
        halted, plans = switch.stopped(store), store.plans(switch.OPEN_STATES)
        ours = switch.drained_by_us(store, state.nodes.values())
    finally:
        store.close()
    shown = _status(settings, state, "" if halted is None else str(halted), len(plans), ours)
    print_json(shown) if as_json else click.echo("\n".join(f"{key.replace('_', ' '):<20}{_words(value)}" for key, value in shown.items()))


@optimizer.command()
@config_option
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@json_option
@reported
def plans(config_path: Path, *, everything: bool, as_json: bool) -> None:
    """List plans, oldest first, with the commands to carry them out and to undo them.

    Example: shiftwatch optimizer plans --json
    """
    store = Store(load(config_path).store.resolve())
    try:
        found = store.plans(() if everything else switch.OPEN_STATES)
    finally:
        store.close()
    for plan in found:
        print_json(plan.as_json()) if as_json else click.echo("\n".join(_lines(plan)))
    if not found and not as_json:
        click.echo("No plans.")


@optimizer.command()
@config_option
@who_option
@json_option
@reported
def stop(config_path: Path, who: str, *, as_json: bool) -> None:
    """Resume every node that shiftwatch drained, end its plans, and let it do nothing until `start`. Works without a running daemon.

    What people have drained stays drained.

    Example: shiftwatch optimizer stop --who Ada
    """
    settings = load(config_path)
    cluster = _cluster(settings)
    store = Store(settings.store.resolve())
    try:
        undone = switch.stop(store, cluster, who, time.time_ns())
    except ClusterError as error:
        again = "a running daemon resumes its nodes once the batch system answers; without one, stop again then"
        raise Failure(f"stopped, but nothing could be undone: {error}\n{again}") from None
    finally:
        store.close()
    if as_json:
        ended = [plan.key for plan in undone.plans]
        print_json({"stopped": who, "resumed": undone.resumed, "failed": dict(undone.failed), "left": dict(undone.left), "plans": ended})
    else:
        click.echo("\n".join(_undone(undone)))
    if undone.failed:
        raise Failure("\n".join(f"not resumed: {reason}" for _, reason in undone.failed))


@optimizer.command()
@config_option
@who_option
@reported
def start(config_path: Path, who: str) -> None:
    """Let the optimizer work again after `stop`.

    Example: shiftwatch optimizer start
    """
    settings = load(config_path)
    store = Store(settings.store.resolve())
    try:
        switch.start(store, who, time.time_ns())
    finally:
        store.close()
    click.echo("Started." if settings.optimizer.cluster else "Started, but no cluster is configured: set optimizer.cluster.")


@optimizer.command()
@click.argument("trace", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--policy", "policies", multiple=True, type=click.Choice(sorted(POLICIES)), help="Order to try (repeatable); all by default.")
@click.option("--backfill", is_flag=True, help="With EASY backfilling.")
@click.option("--processors", type=click.IntRange(1), help="Of the machine; from the trace's header by default.")
@click.option("--jobs", "limit", type=click.IntRange(1), help="Only the first so many jobs.")
@json_option
@reported
def simulate(trace: Path, policies: tuple[str, ...], processors: int | None, limit: int | None, *, backfill: bool, as_json: bool) -> None:
    """Simulate a recorded workload (Standard Workload Format, also .gz) under other orders of the queue.

    The bounded slowdown of a job is (wait + run time) / run time, where a run time counts as 10 s at least; 1 is best. The mean over all
    jobs is shown.

    Example: shiftwatch optimizer simulate KTH-SP2.swf --policy fcfs --policy saf --backfill
    """
    try:
        recorded = read_swf(trace)
    except ValueError as error:
        raise Failure(str(error)) from None
    size = processors or recorded.processors
    jobs = recorded.jobs.part(slice(0, limit))
    if not len(jobs):
        raise Failure(f"{trace}: no job that ran")
    if size is None:
        raise Failure(f"{trace}: its header does not say how many processors the machine has: give --processors")
    if int(jobs.processors.max()) > size:
        raise Failure(f"{trace}: a job uses {int(jobs.processors.max())} processors, the machine has {size}")
    rows = ((policy, _measured(jobs, policy, size, backfill=backfill)) for policy in policies or tuple(POLICIES))
    if as_json:
        for policy, measures in rows:
            print_json({"policy": policy, "backfill": backfill, "jobs": len(jobs), "processors": size, **asdict(measures)})
        return
    left_out = f"; {recorded.unusable} that never ran are left out" if recorded.unusable and limit is None else ""
    click.echo(f"{len(jobs)} jobs on {size} processors, {'EASY backfilling' if backfill else 'no backfilling'}{left_out}")
    click.echo(f"{'policy':<8}{'bounded slowdown':>18}{'mean wait h':>13}{'p99 wait h':>12}{'longest h':>11}{'used':>7}")
    for policy, m in rows:
        waits = f"{m.mean_wait_s / 3600:>13.2f}{m.p99_wait_s / 3600:>12.1f}{m.longest_wait_s / 3600:>11.1f}"
        click.echo(f"{policy:<8}{m.bounded_slowdown:>18.2f}{waits}{m.utilisation:>7.0%}")


def _measured(jobs: Jobs, policy: str, processors: int, *, backfill: bool) -> Measures:
    score = scores(policy, jobs.requested_s, jobs.processors, jobs.submit_s)
    return measure(jobs, simulate_jobs(jobs, score, SimulatedCluster.empty([processors]), backfill=backfill), processors)


def _cluster(settings: Settings) -> Cluster:
    if not settings.optimizer.cluster:
        raise Failure("the optimizer is off: set optimizer.cluster")
    return open_cluster(settings.optimizer)


def _read(cluster: Cluster) -> ClusterState:
    try:
        return cluster.state()
    except ClusterError as error:
        raise Failure(str(error)) from None


def _status(settings: Settings, state: ClusterState, halted: str, open_plans: int, ours: set[str]) -> dict[str, object]:
    nodes = state.nodes.values()
    return {
        "cluster": settings.optimizer.cluster,
        "act": settings.optimizer.act,
        "stopped": halted,
        "nodes": len(nodes),
        "drained_by_us": sorted(ours),
        "drained_by_others": sorted(node.name for node in nodes if node.draining and node.name not in ours),
        "down": sorted(node.name for node in nodes if not node.up),
        "out_of_service": round(state.out_ratio(), 4),
        "cap": settings.optimizer.max_drained_ratio,
        "running": len(state.snapshot.running),
        "queued": len(state.snapshot.queued),
        "plans": open_plans,
    }


def _undone(undone: switch.Undone) -> list[str]:
    done = f"Resumed: {', '.join(undone.resumed)}" if undone.resumed else "Nothing was resumed"
    return [f"Stopped. {done}. Plans ended: {len(undone.plans)}.", *(f"Left drained: {node}: {why}" for node, why in undone.left)]


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{100 * value:.3g} %"
    return (", ".join(value) if isinstance(value, list) else str(value)) or "-"


def _lines(plan: Plan) -> list[str]:
    made = str(iso(plan.made_ns // SECOND_NS * SECOND_NS)).replace(".000Z", "Z")
    lines = [f"{plan.key}  {plan.state}  {plan.kind} {plan.subject}  {made}", f"  {plan.why}; {gain_words(plan)}"]
    commands = plan.actions if plan.state is PlanState.PROPOSED else plan.undo if plan.state is PlanState.ACTIVE else ()
    lead = "do" if plan.state is PlanState.PROPOSED else "undo"
    return [*lines, *([f"  {plan.outcome}"] if plan.outcome else []), *(f"  {lead}: {command}" for command in commands)]
