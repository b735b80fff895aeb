"""`shiftwatch label`: what a person says of an incident."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from urllib.parse import urlencode

import click
import urllib3

from collectors.frame import digest_of
from daemon import messages
from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.pipeline import open_bus, open_clock
from daemon.records import Label, LabelKind
from daemon.secret_files import read_secret
from daemon.settings import Settings, load
from daemon.store.store import Store

PAGE_TIMEOUT_S = 10.0
TAKEN = 303
"""What the page answers to a label that it has taken."""


@click.command()
@click.argument("incident_id")
@click.argument("kind", type=click.Choice([str(kind) for kind in LabelKind]))
@config_option
@click.option("--who", default=getpass.getuser, help="Your name; the log-in name by default.")
@click.option("--comment", default="", help="Why.")
@click.option("--hours", type=click.FloatRange(0, 168), default=1.0, show_default=True, help="How long a silence lasts; 0 ends it.")
@json_option
@reported
def label(incident_id: str, kind: str, config_path: Path, who: str, comment: str, hours: float, *, as_json: bool) -> None:
    """Say that you are on it, that it is real, not a problem or over, or ask for quiet. INCIDENT_ID may be its first characters.

    Goes through Kafka, or through the page of a daemon that has the memory bus.

    Example: shiftwatch label 3fa4 acknowledge --comment "calling the Tracker on-call"
    """
    settings = load(config_path)
    incident = _incident(settings, incident_id)
    if settings.bus.driver == "memory":
        _through_page(settings, incident, {"kind": kind, "who": who, "comment": comment, "hours": f"{hours:g}"})
    else:
        now_ns = open_clock(settings).now_ns()
        until_ns = now_ns + int(hours * 3.6e12) if kind == LabelKind.SILENCE else None
        key = digest_of(incident, kind, who, time.time_ns())
        _through_bus(settings, Label(key, incident, LabelKind(kind), who, now_ns, comment, until_ns))
    print_json({"incident": incident, "label": kind}) if as_json else click.echo(f"{incident}: {kind.replace('_', ' ')} by {who}")


def _incident(settings: Settings, beginning: str) -> str:
    """The id that begins so."""
    store = Store(settings.store.resolve())
    matching = [i for i in store.incidents(limit=100_000) if i.id.startswith(beginning)]
    store.close()
    if len(matching) != 1:
        raise Failure(f"{len(matching)} incidents begin with {beginning!r}", MISUSED)
    return matching[0].id


def _through_bus(settings: Settings, said: Label) -> None:
    bus = open_bus(settings)
    bus.publish("feedback", said.incident, messages.encode(said))
    bus.flush(10.0)
    bus.close()


def _through_page(settings: Settings, incident: str, fields: dict[str, str]) -> None:
    """The memory bus is inside the daemon's process; its page is the door to it."""
    web = settings.web
    if not web.enabled:
        raise Failure("the memory bus is inside the daemon's process: set web.enabled, or bus.driver to kafka")
    page = f"http://{web.host}:{web.port}"
    if web.token_file is not None:
        fields = fields | {"token": read_secret(web.token_file, "web.token_file")}
    headers = {"Origin": page, **({web.user_header: fields["who"]} if web.user_header else {})}
    try:
        answer = urllib3.request(
            "POST",
            f"{page}/incidents/{incident}/labels",
            body=urlencode(fields),
            headers={"Content-Type": "application/x-www-form-urlencoded", **headers},
            timeout=PAGE_TIMEOUT_S,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError:
        raise Failure(f"no daemon answers at {page}") from None
    if answer.status != TAKEN:
        raise Failure(f"the page at {page} answered {answer.status}")
