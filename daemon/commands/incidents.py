"""`shiftwatch incidents`: list them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from daemon.commands.common import config_option, json_option, print_json, reported
from daemon.notify.console import lines
from daemon.records import Incident, IncidentState
from daemon.settings import Settings, load
from daemon.store.store import Store


@click.command()
@config_option
@click.option("--state", "states", multiple=True, type=click.Choice(["open", "acknowledged", "resolved"]), help="Only these (repeatable).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000_000), help="The newest so many.")
@click.option(
    "--order", type=click.Choice(["time", "attention"]), default="time", show_default=True, help="Oldest first, or what deserves attention."
)
@json_option
@reported
def incidents(config_path: Path, states: tuple[str, ...], limit: int, order: str, *, as_json: bool) -> None:
    """List incidents, oldest first or by attention.

    By attention: first what nobody is on, of that the severe, of these what is likely to be real by the labels of those like it.
    Where labels are not used, that is the rarest; the last line says whether they are, and why.

    Example: shiftwatch incidents --state open --order attention
    """
    settings = load(config_path)
    store = Store(settings.store.resolve())
    try:
        found = store.incidents([IncidentState(state) for state in states], limit=limit)
        if order == "attention":
            _list_by_attention(settings, store, found, as_json=as_json)
            return
    finally:
        store.close()
    for incident in found:
        print_json(incident.as_json()) if as_json else click.echo(lines(incident, settings.zone))
    if not found and not as_json:
        click.echo("No incidents.")


def _list_by_attention(settings: Settings, store: Store, found: Sequence[Incident], *, as_json: bool) -> None:
    from daemon.pipeline import open_clock  # noqa: PLC0415 - this order is asked for seldom, and the rest is to be quick
    from daemon.ranking.attention import by_attention, real_percent  # noqa: PLC0415
    from daemon.ranking.standing import Ranking  # noqa: PLC0415
    from daemon.store.cases import cases_of  # noqa: PLC0415

    standing, cases = Ranking(store).now(), cases_of(store, [incident.id for incident in found])
    for incident in by_attention(found, cases, standing.reranker, open_clock(settings).now_ns()):
        case = cases.get(incident.id)
        percent = None if case is None else real_percent(standing, case)
        if as_json:
            print_json({**incident.as_json(), "real_percent": percent})
            continue
        click.echo(lines(incident, settings.zone))
        if percent is not None:
            click.echo(f"          Labels: {percent} % likely real")
    if not as_json:
        click.echo(f"By attention; labels {standing.why}" if found else "No incidents.")
