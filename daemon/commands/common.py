"""What commands share: the configuration option, errors as one line with an exit code, output as JSON lines."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from collectors.collector import CollectError
from daemon.bus.bus import BusError
from daemon.plugins import PluginError
from daemon.secret_files import SecretError
from daemon.sections import ConfigurationError
from daemon.store.engine import StoreError, one_line

P = ParamSpec("P")
R = TypeVar("R")

FAILED, MISUSED = 1, 2

config_option = click.option(
    "-c", "--config", "config_path", type=click.Path(dir_okay=False, path_type=Path), default=Path("shiftwatch.toml"), show_default=True,
    help="Configuration file.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output, one object a line.")


class Failure(click.ClickException):
    """Ends a command with one clear line (or a few) on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        """Writes the message to stderr."""
        for line in self.message.splitlines():
            click.echo(f"shiftwatch: {line}", file=file or sys.stderr)


def reported(function: Callable[P, R]) -> Callable[P, R]:
    """Turns the errors that a user can do something about into a Failure."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:

        try:
            return function(*args, **kwargs)
        except ConfigurationError as error:
            raise Failure(str(error), MISUSED) from None
        except (BusError, CollectError, PluginError, SecretError, StoreError, OSError) as error:
            raise Failure(" ".join(str(error).split())) from None
        except SQLAlchemyError as error:
            raise Failure(f"database: {one_line(error)}") from None

    return wrapped


def print_json(value: object) -> None:
    """One object on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))
