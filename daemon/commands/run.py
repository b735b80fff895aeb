"""`shiftwatch run`: the daemon."""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

import click

from daemon import logs
from daemon.commands.common import config_option, json_option, reported
from daemon.notify.console import ConsoleReceiver
from daemon.service import Service
from daemon.settings import load

log = logging.getLogger(__name__)


@click.command()
@config_option
@click.option(
    "--stage",
    "stages",
    multiple=True,
    help="Run only this stage (repeatable): collect, detect, correlate, optimize, notify, history, train, web. Needs the Kafka bus.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    envvar="SHIFTWATCH_HTTP_PORT",
    help="Port of /metrics, /livez and /readyz, instead of http.port: for several processes on one host.",
)
@json_option
@reported
def run(config_path: Path, stages: tuple[str, ...], http_port: int | None, *, as_json: bool) -> None:
    """Run the daemon until SIGTERM; SIGHUP reloads the configuration.

    Incidents are printed on stdout as they change, logs go to stderr.

    Example: shiftwatch run -c /etc/shiftwatch.toml --stage collect --stage detect
    """
    settings = load(config_path)
    if http_port is not None:
        settings = settings.model_copy(update={"http": settings.http.model_copy(update={"port": http_port})})
    logs.set_up(settings.log)
    configured = any((section.receiver or name) == "console" for name, section in settings.receiver.items())
    console = [] if configured and not as_json else [ConsoleReceiver.of(settings.zone, as_json=as_json)]
    Service(settings, stages, console, config_path).run()
    _leave_what_hangs()


def _leave_what_hangs() -> None:
    """Ends the process although a source that hangs has a thread of a pool, which Python would wait for without end."""
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    if left:
        log.warning("ended without waiting threads=%s", ",".join(left))
        sys.stdout.flush()
        logging.shutdown()
        os._exit(0)
