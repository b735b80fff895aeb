"""`shiftwatch incidents`: list them."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.commands.common import config_option, json_option, print_json, reported
from daemon.notify.console import lines
from daemon.records import IncidentState
from daemon.settings import load
from daemon.store.store import Store


@click.command()
@config_option
@click.option("--state", "states", multiple=True, type=click.Choice(["open", "acknowledged", "resolved"]), help="Only these (repeatable).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="The newest so many.")
@json_option
@reported
def incidents(config_path: Path, states: tuple[str, ...], limit: int, *, as_json: bool) -> None:
    """List incidents, oldest first.

    Example: shiftwatch incidents --state open --json
    """
    settings = load(config_path)
    store = Store(settings.store.resolve())
    found = store.incidents([IncidentState(state) for state in states], limit=limit)
    store.close()
    for incident in found:
        print_json(incident.as_json()) if as_json else click.echo(lines(incident, settings.zone))
    if not found and not as_json:
        click.echo("No incidents.")
