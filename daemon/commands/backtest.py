"""`shiftwatch backtest`: how many incidents there would have been on recorded data, at which budget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path

import click
from tqdm import tqdm

from daemon import logs
from daemon.backtest.events import Event, EventsError, moment_ns, read_events
from daemon.backtest.trial import BUDGETS, BacktestError, Trial, tried
from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.records import iso
from daemon.replay import ReplayError
from daemon.sections import LogSettings
from daemon.settings import Settings, parse


@click.command()
@config_option
@click.option(
    "--data", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
    help='Folder of recorded tables ("{source}" in the configuration stands for it) or of a daemon\'s history.',
)  # fmt: skip
@click.option("--from", "from_text", default="", help="Rows from this time on (ISO 8601; the experiment's time zone unless it says one).")
@click.option("--to", "to_text", default="", help="Rows before this time.")
@click.option(
    "--budget", "budgets", type=click.FloatRange(min=0, min_open=True), multiple=True,
    help="False alarms a day that are accepted; repeatable. By default 0.1, 1 and 10.",
)  # fmt: skip
@click.option(
    "--labels", "labels_path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What is known to have happened: CSV with the columns start, end and, if you like, name.",
)  # fmt: skip
@click.option("--plot", "plot_path", type=click.Path(dir_okay=False, path_type=Path), help="Writes a picture (.png, .svg, .pdf).")
@json_option
@reported
def backtest(
    config_path: Path,
    folder: Path,
    from_text: str,
    to_text: str,
    budgets: tuple[float, ...],
    labels_path: Path | None,
    plot_path: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run recorded data through the pipeline once for each budget and count the incidents.

    Detectors learn from the first rows, as they would have; no threshold sees a label. Where labels are given, it says how many of
    those events had an incident, how long after they began, and how many incidents belong to none.

    Example: shiftwatch backtest -c shiftwatch.toml --data recorded --labels known.csv --plot budget.png
    """
    logs.set_up(LogSettings(level="warning"))
    settings = _settings(config_path, folder)
    between_ns = _time_ns(from_text, "--from", settings.zone), _time_ns(to_text, "--to", settings.zone)
    if plot_path is not None:
        _check_plot(plot_path)
    try:
        events = read_events(labels_path, settings.zone) if labels_path is not None else None
    except EventsError as error:
        raise Failure(str(error), MISUSED) from None
    chosen = sorted(set(budgets or BUDGETS))
    trials = []
    for number, budget in enumerate(chosen):
        trials.append(_tried(settings, folder, between_ns, budget, events, f"{number + 1}/{len(chosen)}"))
        if as_json:
            print_json(trials[-1].as_json())
    if not as_json:
        click.echo("\n".join(lines(trials)))
    if plot_path is not None:
        from daemon.backtest import drawing  # noqa: PLC0415 - not every back-test has a picture

        drawing.save(trials, settings.zone, plot_path)


def lines(trials: Sequence[Trial]) -> list[str]:
    """The table that a person reads."""
    first = trials[0]
    heads = ["budget a day", "incidents", "a day"] + (["found", "false a day", "median delay"] if first.met is not None else [])
    rows = [heads, *(_cells(trial) for trial in trials)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    said = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    watched = f"Watched {first.days:.1f} days, {iso(first.watched_from_ns)} to {iso(first.last_ns)}, {first.rows} rows in all."
    if first.watched_from_ns > first.first_ns:
        watched += f" Before that the detectors were learning, from {iso(first.first_ns)} on; nothing of it is counted."
    if not first.days:
        watched = "Nothing was watched: there are not enough rows for the detectors to learn from."
    return [*said, watched]


def _cells(trial: Trial) -> list[str]:
    per_day = trial.incidents_per_day
    cells = [f"{trial.per_day:g}", str(len(trial.incidents)), "-" if per_day is None else f"{per_day:.2f}"]
    if trial.met is not None:
        false, delay = trial.false_per_day, trial.median_delay_s
        cells += [f"{sum(trial.met.found)} of {len(trial.events)}", "-" if false is None else f"{false:.2f}"]
        cells.append("-" if delay is None else f"{delay:.0f} s")
    return cells


def _tried(
    settings: Settings, folder: Path, between_ns: tuple[int | None, int | None], budget: float, events: list[Event] | None, number: str
) -> Trial:
    try:
        with tqdm(unit=" rows", desc=f"budget {budget:g} ({number})", disable=None, leave=False) as bar:

            def show(rows: int, _at_ns: int) -> None:
                bar.update(rows - bar.n)

            return tried(settings, folder, between_ns, budget, events, show)
    except (BacktestError, ReplayError) as error:
        raise Failure(str(error)) from None


def _settings(config_path: Path, folder: Path) -> Settings:
    text = config_path.read_text(encoding="utf-8")
    escaped = str(folder.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return parse(text.replace("{source}", escaped), str(config_path))


def _check_plot(path: Path) -> None:
    from daemon.backtest.drawing import FORMATS  # noqa: PLC0415 - not every back-test has a picture

    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise Failure(f"--plot {path}: a picture ends in .{', .'.join(FORMATS)}", MISUSED)


def _time_ns(text: str, option: str, zone: tzinfo) -> int | None:
    try:
        return moment_ns(text, zone) if text else None
    except ValueError as error:
        raise Failure(f"{option} {error}", MISUSED) from None
