"""`shiftwatch replay`: recorded data through the same pipeline."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from daemon import logs, plugins
from daemon.commands.common import MISUSED, Failure, json_option, print_json, reported
from daemon.examples import example_for, example_text
from daemon.notify.console import lines
from daemon.pipeline import open_bus
from daemon.replay import Replay, ReplayError
from daemon.sections import LogSettings
from daemon.settings import Settings, parse
from daemon.store.store import Store


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration; by default a shipped one that fits SOURCE.",
)
@click.option("--bus", type=click.Choice(["memory", "kafka"]), help="Overrides bus.driver.")
@click.option("--speed", default="max", show_default=True, help="Times real time, or max.")
@click.option(
    "--id", "name", default="", help="Name of the replay: started again under the same name, it goes on where it was (needs a store)."
)
@click.option("--store", "store_url", help="Database URL; by default a temporary one.")
@json_option
@reported
def replay(source: Path, config_path: Path | None, bus: str | None, speed: str, name: str, store_url: str | None, *, as_json: bool) -> None:
    """Run recorded data from SOURCE (a file or a folder) through the pipeline and print the incidents.

    "{source}" in the configuration stands for SOURCE.

    Example: shiftwatch replay recorded/daq --json
    """
    logs.set_up(LogSettings(level="warning"))
    settings = _settings(source, config_path)
    pace = _pace(speed)
    with tempfile.TemporaryDirectory(prefix="shiftwatch-replay-") as folder:
        url = store_url or f"sqlite:///{folder}/replay.db"
        changes: dict[str, Any] = {"store": settings.store.model_copy(update={"url": url, "url_file": None})}
        changes["models"] = settings.models.model_copy(update={"path": Path(folder) / "models"})  # those in use know what comes
        driver = bus or settings.bus.driver
        kafka = settings.bus.kafka
        prefix = f"{kafka.prefix}.replay.{name or time.time_ns()}"
        changes["bus"] = settings.bus.model_copy(update={"driver": driver, "kafka": kafka.model_copy(update={"prefix": prefix})})
        _run(settings.model_copy(update=changes), pace, as_json=as_json, keep_topics=bool(name))


def _settings(source: Path, config_path: Path | None) -> Settings:

    if config_path is None:
        name = example_for(source)
        text, origin = example_text(name), f"example {name}"
    else:
        if not source.exists():
            raise Failure(f"{source}: no such file or folder", MISUSED)
        text, origin = config_path.read_text(), str(config_path)
    settings = parse(text.replace("{source}", str(source.resolve()).replace("\\", "\\\\").replace('"', '\\"')), origin)

    endless = [n for n, s in settings.source.items() if not plugins.load("collectors", s.collector).finite]
    if endless or not settings.source:
        raise Failure(
            f"{origin}: {'source.' + endless[0] + ' never ends' if endless else 'no source'}; a replay needs recorded sources", MISUSED
        )
    return settings


def _pace(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if pace <= 0:
        raise Failure(f"--speed {speed!r}: a number above 0, or max", MISUSED)
    return pace


def _run(settings: Settings, pace: float | None, *, as_json: bool, keep_topics: bool) -> None:

    store, bus = Store(settings.store.resolve()), open_bus(settings)
    try:
        engine = Replay(settings, bus, store, [], pace)
        with tqdm(unit=" rows", disable=None, leave=False) as bar:
            done = engine.run(lambda rows, _at_ns: _advance(bar, rows))
        engine.close()
        found = store.incidents(limit=1_000_000)
    except ReplayError as error:
        raise Failure(str(error)) from None
    finally:
        if not keep_topics and hasattr(bus, "delete_topics"):
            bus.delete_topics()
        bus.close()
        store.close()
    if as_json:
        for incident in found:
            print_json(incident.as_json())
        return

    for incident in found:
        click.echo(lines(incident, settings.zone))
    click.echo(
        f"{len(found)} {'incident' if len(found) == 1 else 'incidents'} in {done.rows} rows, "
        f"{(done.last_ns - done.first_ns) / 3.6e12:.1f} h of data, in {done.seconds:.1f} s."
    )


def _advance(bar: tqdm[Any], rows: int) -> None:
    bar.update(rows - bar.n)
