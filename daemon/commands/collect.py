"""`shiftwatch collect`: what a source sees, before anything is watched; and which collectors there are."""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from collectors.collector import Collector
from collectors.patterns import matches
from daemon import plugins
from daemon.commands.collectors import list_collectors, show_collector
from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.inspection import table
from daemon.inspection.look import LiveLook, Recording, Refused, failure_words, read_recording
from daemon.inspection.reading import Reading
from daemon.inspection.sources import PUSHED, Chosen, ad_hoc, configured
from daemon.records import iso
from daemon.sections import ConfigurationError

log = logging.getLogger(__name__)


class Collect(click.Command):
    """`collect list` and `collect show NAME` are commands of their own; whatever else follows is a source to look at."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object) -> click.Context:
        """The context of the command that is meant. "list --once" and "show -c FILE" are sources of that name."""
        if args and (command := _subcommand(args)) is not None:
            return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args or ["--help"], parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command whose context it is."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def _subcommand(args: Sequence[str]) -> click.Command | None:
    helps = {"-h", "--help"}
    if args[0] == "list" and set(args[1:]) <= {"--json", *helps}:
        return list_collectors
    if args[0] == "show" and len(args) > 1 and (not args[1].startswith("-") or args[1] in {"--json", *helps}):
        return show_collector
    return None


@dataclass(frozen=True, slots=True)
class View:
    """How a source is shown."""

    wait_s: float
    patterns: tuple[str, ...]
    show_all: bool
    as_json: bool

    def wants(self, reading: Reading) -> bool:
        """Whether the name matches a pattern, or contains it where it has no wildcard."""
        name = reading.column.name
        return not self.patterns or any(matches(p if set(p) & set("*?") else f"*{p}*", name) for p in self.patterns)


@click.command(cls=Collect, epilog="shiftwatch collect list: all collectors. shiftwatch collect show NAME: options and an example of one.")
@click.argument("words", nargs=-1, metavar="NAME | --with COLLECTOR KEY=VALUE...")
@config_option
@click.option(
    "--with", "collector", metavar="COLLECTOR", help="Without a configuration: a collector, with its options as KEY=VALUE (TOML values)."
)
@click.option("--once", is_flag=True, help="Look once; otherwise again and again, every period_s, until Ctrl-C.")
@click.option(
    "--wait-s", type=click.FloatRange(0, 3600), default=3.0, show_default=True, help="How long to wait for all channels to have a value."
)
@click.option("--match", "patterns", multiple=True, metavar="PATTERN", help="Only readings whose name matches (* and ?), or contains it.")
@click.option("--all", "show_all", is_flag=True, help=f"All readings, not only the first {table.FOLDED_ROWS}.")
@json_option
@reported
def collect(words: tuple[str, ...], config_path: Path, collector: str | None, once: bool, **view: object) -> None:
    """Show what a source sees: a table with name, value, unit, place, age and quality of each reading.

    NAME is a section [source.NAME] of the configuration, or its collector. Nothing is published or kept; no daemon, bus or
    database is needed. Counters are shown as read. A source that is called list or show: shiftwatch collect --once list.

    \b
    Example: shiftwatch collect ecal-hv --once -c shiftwatch.toml
             shiftwatch collect --once --with prometheus url=http://localhost:9100/metrics 'include=["node_load*"]'
    """  # noqa: D301 - click's mark for lines that stay as they are
    look = View(**view)  # type: ignore[arg-type]  # click gives what its options say
    chosen = _chosen(words, config_path, collector)
    if chosen.settings.collector == PUSHED:
        raise Failure(
            f"{chosen.name} is pushed: there is nothing to ask. Publish to the topic ingest, or to POST /ingest of the page "
            "(shiftwatch collect show pushed); what has arrived is in shiftwatch status"
        )
    with _opened(chosen) as opened:
        if opened.source.finite:
            _show_recording(chosen, opened.source, look)
        elif once:
            _show_once(chosen, LiveLook(opened.source, chosen.ramping()), look)
        else:
            _show_always(chosen, LiveLook(opened.source, chosen.ramping()), look)


class HintedFailure(Failure):
    """One that also shows what to try instead, without anything before it that would be copied too."""

    def __init__(self, error: ConfigurationError) -> None:
        super().__init__(str(error), MISUSED)
        self._hints: list[str] = getattr(error, "__notes__", [])

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        """Writes the message and the hints to stderr."""
        super().show(file)
        for hint in self._hints:
            click.echo(hint, file=file or sys.stderr)


def _chosen(words: tuple[str, ...], config_path: Path, collector: str | None) -> Chosen:
    if collector is None and len(words) != 1:
        hint = f"; for options on the command line: --with {words[0]}" if len(words) > 1 and "=" in words[1] else ""
        raise Failure(f"name one source, not {len(words)}{hint}", MISUSED)
    try:
        return configured(config_path, words[0]) if collector is None else ad_hoc(collector, words)
    except ConfigurationError as error:
        raise HintedFailure(error) from None


@dataclass(slots=True)
class _Opened:
    source: Collector

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()


def _opened(chosen: Chosen) -> _Opened:
    started_s = time.perf_counter()
    try:
        return _Opened(chosen.open())
    except plugins.PluginError:
        raise
    except Exception as error:
        raise _failure(chosen, started_s, error) from error


def _show_once(chosen: Chosen, source: LiveLook, view: View) -> None:
    started_s = time.perf_counter()
    failure = _asked(chosen, source, view.wait_s)
    if not source.standing.is_empty:
        _print_readings(chosen, source, view, started_s)
    elif failure is None:
        _print_refused(chosen, source.refused, view)
        failure = Failure(
            f"{_title(chosen)}: nothing came in {time.perf_counter() - started_s:.1f} s that can be shown; --wait-s 60 waits longer"
        )
    if failure is not None:
        raise failure


def _show_always(chosen: Chosen, source: LiveLook, view: View) -> None:
    """Every period until Ctrl-C. A source that fails is asked again."""
    was_failing, has_answered = False, False
    try:
        while True:
            started_s = time.perf_counter()
            failure = _asked(chosen, source, None if has_answered else view.wait_s)
            if failure is not None:
                click.echo(f"{_now(chosen)} {failure.message}", err=True)
            else:
                if was_failing:
                    click.echo(f"{_now(chosen)} {_title(chosen)} has recovered", err=True)
                has_answered = True
                _print_readings(chosen, source, view, started_s)
            was_failing = failure is not None
            time.sleep(max(0.0, chosen.settings.period_s / chosen.clock.speed - (time.perf_counter() - started_s)))
    except KeyboardInterrupt:
        click.echo(err=True)


def _asked(chosen: Chosen, source: LiveLook, wait_s: float | None) -> Failure | None:
    """Asks once, for the first time with patience; what went wrong."""
    started_s = time.perf_counter()
    try:
        source.again() if wait_s is None else source.first(wait_s)
    except Exception as error:
        log.debug("collector failed", exc_info=True)
        return _failure(chosen, started_s, error)
    return None


def _show_recording(chosen: Chosen, source: Collector, view: View) -> None:
    started_s = time.perf_counter()
    try:
        found = read_recording(source, chosen.ramping(), view.wait_s)
    except Exception as error:
        raise _failure(chosen, started_s, error) from error
    columns = [readings for readings in found.columns if view.wants(readings[0])]
    if view.as_json:
        for readings in columns:
            for reading in readings:
                print_json(table.as_json(chosen.name, reading, chosen.clock.now_ns()))
    elif found.columns:
        click.echo(f"{_title(chosen)}: {_extent(found, view.wait_s)}\n")
        _echo(table.recorded_lines(found, columns, folded=not view.show_all, width=_width()))
    _print_refused(chosen, found.refused, view)
    if not found.columns:
        raise Failure(f"{_title(chosen)}: no row in {time.perf_counter() - started_s:.1f} s")


def _extent(found: Recording, wait_s: float) -> str:
    """How much was recorded: "13421 rows of 9 columns, 2020-03-01T… to …"."""
    what = "readings" if found.is_sparse else "rows"
    counted = f"{found.rows} {what}" if found.is_whole else f"at least {found.rows} {what} (not counted further after {wait_s:g} s)"
    later = f" and {found.later_columns} that come later" if found.later_columns else ""
    return f"{counted} of {len(found.columns)} columns{later}, {table.time_words(found.first_ns)} to {table.time_words(found.last_ns)}"


def _print_readings(chosen: Chosen, source: LiveLook, view: View, started_s: float) -> None:
    readings = [reading for reading in source.standing.readings() if view.wants(reading)]
    now_ns = chosen.clock.now_ns()
    if view.as_json:
        for reading in readings:
            print_json(table.as_json(chosen.name, reading, now_ns))
    else:
        seconds = time.perf_counter() - started_s
        counts = table.summary(readings) or f"none of {len(source.standing.readings())} readings matches"
        click.echo(f"{_now(chosen)} {_title(chosen)}: {counts}; in {seconds:.1f} s\n")
        _echo(table.live_lines(readings, now_ns, folded=not view.show_all, width=_width()) if readings else [])
    _print_refused(chosen, source.refused, view)


def _print_refused(chosen: Chosen, refused: Refused, view: View) -> None:
    if view.as_json:
        for item in refused.kept:
            print_json(table.rejected_json(chosen.name, item))
    else:
        _echo(table.rejected_lines(refused, folded=not view.show_all))


def _width() -> int:
    """Characters in a line of the terminal; 0 where the output is none, so that other programs get a line a reading."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _echo(lines: list[str]) -> None:
    """The lines and an empty one after them."""
    if lines:
        click.echo("\n".join([*lines, ""]))


def _failure(chosen: Chosen, started_s: float, error: Exception) -> Failure:
    return Failure(f"{_title(chosen)} failed after {time.perf_counter() - started_s:.1f} s: {failure_words(error)}")


def _title(chosen: Chosen) -> str:
    return chosen.name if chosen.name == chosen.settings.collector else f"{chosen.name} ({chosen.settings.collector})"


def _now(chosen: Chosen) -> str:
    return iso(chosen.clock.now_ns()) or ""
