"""`shiftwatch run`: the daemon."""

from __future__ import annotations

from pathlib import Path

import click

from daemon import logs
from daemon.commands.common import config_option, json_option, reported
from daemon.notify.console import ConsoleReceiver
from daemon.service import Service
from daemon.settings import load


@click.command()
@config_option
@click.option(
    "--stage", "stages", multiple=True, help="Run only this stage (repeatable): collect, detect, correlate, notify. Needs the Kafka bus."
)
@json_option
@reported
def run(config_path: Path, stages: tuple[str, ...], *, as_json: bool) -> None:
    """Run the daemon until SIGTERM; SIGHUP reloads the configuration.

    Incidents are printed on stdout as they change, logs go to stderr.

    Example: shiftwatch run -c /etc/shiftwatch.toml --stage collect --stage detect
    """
    settings = load(config_path)
    logs.set_up(settings.log)
    Service(settings, stages, [ConsoleReceiver(settings.zone, as_json=as_json)], config_path).run()
