"""What commands share: the configuration option, errors as one line with an exit code, output as JSON lines."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from collectors.collector import CollectError
from daemon.bus.bus import BusError
from daemon.plugins import PluginError
from daemon.secret_files import SecretError
from daemon.sections import ConfigurationError
from daemon.store.state import StoreError

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
        except Exception as error:
            if not _is_of_database(error):
                raise
            raise Failure(f"database: {' '.join(str(error).split(chr(10))[0].split())[:300]}") from None

    return wrapped


def _is_of_database(error: Exception) -> bool:
    """Whether SQLAlchemy raised it; a process that never imported it (an agent) need not do so for that."""
    sqlalchemy = sys.modules.get("sqlalchemy.exc")
    return sqlalchemy is not None and isinstance(error, sqlalchemy.SQLAlchemyError)


def print_json(value: object) -> None:
    """One object on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))
