"""The command line. A command's module is imported when it is called, so that each starts quickly."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import ClassVar

import click

from daemon.version import VERSION


class Commands(click.Group):
    """A group whose commands are imported on demand."""

    places: ClassVar[dict[str, str]] = {
        "backtest": "daemon.commands.backtest",
        "collect": "daemon.commands.collect",
        "config": "daemon.commands.config",
        "demo": "daemon.commands.demo",
        "evaluate": "daemon.commands.evaluate",
        "grafana": "daemon.commands.grafana",
        "incidents": "daemon.commands.incidents",
        "label": "daemon.commands.label",
        "models": "daemon.commands.models",
        "optimizer": "daemon.commands.optimizer",
        "replay": "daemon.commands.replay",
        "run": "daemon.commands.run",
        "status": "daemon.commands.status",
        "train": "daemon.commands.train",
    }

    def list_commands(self, _context: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted(self.places)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command of this name."""
        if name not in self.places:
            return None
        command: click.Command = getattr(import_module(self.places[name]), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(VERSION, "--version", prog_name="shiftwatch")
def cli() -> None:
    """Watches an experiment and its computing: finds faults, explains them, folds alarms into one incident.

    Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage or configuration, 3 a demonstration missed a
    fault or raised a false incident.
    """


def main() -> None:
    """Entry point of the console command."""
    sys.exit(cli(prog_name="shiftwatch"))


if __name__ == "__main__":
    main()
