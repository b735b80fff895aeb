"""`shiftwatch demo`: watch the daemon find faults in a simulated experiment."""

from __future__ import annotations

import click

from daemon.commands.common import Failure, json_option, reported
from daemon.demo.processes import DemoError
from daemon.demo.session import run_demo

MISSED = 3


@click.command()
@click.option("--duration-s", default=120.0, show_default=True, type=click.FloatRange(min=60.0), help="Wall time of the data, in seconds.")
@click.option("--seed", default=1, show_default=True, type=int, help="Of the schedule of faults and of all noise.")
@json_option
@reported
def demo(duration_s: float, seed: int, *, as_json: bool) -> None:
    """Run a simulated experiment and the daemon that watches it, and keep score.

    Faults are injected on a schedule; the console shows what was injected, when the daemon noticed and what it said. Exit code
    3 where a fault was missed or a false incident raised.

    Example: shiftwatch demo --duration-s 60 --seed 7
    """
    try:
        good = run_demo(duration_s, seed, as_json=as_json)
    except DemoError as error:
        raise Failure(str(error)) from None
    if not good:
        raise SystemExit(MISSED)
