"""`shiftwatch config`: check a configuration, print an example."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.commands.common import MISUSED, Failure, config_option, json_option, print_json, reported
from daemon.examples import example_names, example_text
from daemon.pipeline import knowledge_of
from daemon.sections import ConfigurationError
from daemon.settings import load


@click.group()
def config() -> None:
    """Check the configuration, or print an example to start from."""


@config.command()
@config_option
@json_option
@reported
def check(config_path: Path, *, as_json: bool) -> None:
    """Check a configuration as a whole, plugins included, without starting anything.

    Example: shiftwatch config check -c shiftwatch.toml
    """
    try:
        settings = load(config_path)
        knowledge_of(settings)
    except ConfigurationError as error:
        if as_json:
            print_json({"ok": False, "errors": str(error).splitlines()})
        raise Failure(str(error), MISUSED) from None
    sources = {name: list(source.detectors) for name, source in settings.source.items()}
    if as_json:
        print_json({"ok": True, "errors": [], "sources": sources})
        return
    watched = sum(bool(detectors) for detectors in sources.values())
    click.echo(
        f"{config_path}: good. {len(sources)} source{'s' * (len(sources) != 1)}, {watched} of them judged; bus {settings.bus.driver}."
    )


@config.command()
@click.argument("name", default="shiftwatch")
@json_option
@reported
def example(name: str, *, as_json: bool) -> None:
    """Print a configuration that runs (NAME: one of the shipped examples; "list" names them).

    Example: shiftwatch config example > shiftwatch.toml
    """
    if name == "list":
        names = example_names()
        print_json(names) if as_json else click.echo("\n".join(names))
        return
    text = example_text(name)
    print_json({"name": name, "toml": text}) if as_json else click.echo(text, nl=False)
