"""`shiftwatch label`: say something about an incident."""

from __future__ import annotations

import getpass
import time
from pathlib import Path

import click

from collectors.frame import digest_of
from daemon import messages
from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.pipeline import open_bus
from daemon.records import Label, LabelKind
from daemon.settings import load
from daemon.store.store import Store


@click.command()
@click.argument("incident_id")
@click.argument("kind", type=click.Choice(["acknowledge", "real", "not_a_problem"]))
@config_option
@click.option("--who", default=getpass.getuser, help="Your name; the login by default.")
@click.option("--comment", default="", help="Why.")
@json_option
@reported
def label(incident_id: str, kind: str, config_path: Path, who: str, comment: str, *, as_json: bool) -> None:
    """Say that you are on it, that it is real, or that it is not a problem. INCIDENT_ID may be its first characters.

    Needs a bus that a running daemon reads (Kafka).

    Example: shiftwatch label 3fa4 acknowledge --comment "calling the Tracker on-call"
    """
    settings = load(config_path)
    store = Store(settings.store.resolve())
    matching = [i for i in store.incidents(limit=100_000) if i.id.startswith(incident_id)]
    store.close()
    if len(matching) != 1:
        raise Failure(f"{len(matching)} incidents begin with {incident_id!r}", MISUSED)
    if settings.bus.driver == "memory":
        raise Failure("the memory bus is inside the daemon's process and cannot be reached from here: set bus.driver to kafka")
    now_ns = time.time_ns()
    said = Label(digest_of(matching[0].id, kind, who, now_ns), matching[0].id, LabelKind(kind), who, now_ns, comment)
    bus = open_bus(settings)
    bus.publish("feedback", said.incident, messages.encode(said))
    bus.flush(10.0)
    bus.close()
    print_json({"incident": said.incident, "label": kind}) if as_json else click.echo(f"{said.incident}: {kind.replace('_', ' ')} by {who}")
