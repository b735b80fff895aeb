"""`shiftwatch evaluate`: detectors on public labelled data, beside published figures."""

from __future__ import annotations

from pathlib import Path

import click
from tqdm import tqdm

from daemon import logs
from daemon.commands.common import Failure, json_option, print_json, reported
from daemon.sections import LogSettings
from detectors.evaluation import runner, table
from detectors.evaluation.suite import SuiteError, load_suite, suite_names


@click.command()
@click.argument("suite", type=click.Choice(suite_names()))
@click.option("--data", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="Where the data are.")
@click.option("--detector", "detectors", multiple=True, metavar="NAME", help="Only these (and the baseline, for the gain); repeatable.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of random scores, models and intervals.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), help="False alarms a day that are promised.")
@click.option("--processes", type=click.IntRange(1), help="By default as many as there are cores.")
@json_option
@reported
def evaluate(
    suite: str, folder: Path, detectors: tuple[str, ...], seed: int, budget: float | None, processes: int | None, *, as_json: bool
) -> None:
    """Measure detectors on a suite of labelled public data.

    Every item below the folder is used, in the data set's own layout; a missing or broken one is an error. Detectors have their
    default options, and no threshold sees a label.

    Example: shiftwatch evaluate smd --data datasets/smd
    """
    logs.set_up(LogSettings(level="error"))
    try:
        chosen = load_suite(suite)
        with tqdm(unit=" runs", disable=None, leave=False) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            options = {"seed": seed, "budget_per_day": budget, "processes": processes}
            report = runner.evaluate(chosen, folder, detectors, progress=show, **options)  # type: ignore[arg-type]  # a dict of three types
    except SuiteError as error:
        raise Failure(str(error)) from None
    if as_json:
        print_json(table.as_json(report))
    else:
        for line in table.lines(report):
            click.echo(line)
