"""The contract of a collector. The framework (daemon) decides when it runs, times it and judges it; a collector does not.

A collector may not: start threads that outlive `close`, sleep for pacing, keep what it read before in order to compare
(differencing, ageing and alignment are the framework's; which objects there are, and what a monitor last said, it may keep),
write anywhere, or put a secret into a name, a value or an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, field_validator

from collectors.frame import Frame, Updates


class CollectError(Exception):
    """A run that yielded nothing: the message names the file, address or channel and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Input that could not be used: it goes to the dead-letter topic with its reason, and the rest goes on.

    `subject` names the file, key or channel; `payload` is the input itself as far as it is known (cut by the caller).
    """

    subject: str
    reason: str
    payload: bytes = b""
    time_ns: int | None = None


Collected = Frame | Updates | Rejected


class Options(BaseModel):
    """Base of every plugin's options: an unknown key is an error, values are checked once and never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @field_validator("*")
    @classmethod
    def _with_variables_expanded(cls, value: object) -> object:
        """A path may begin with a variable: systemd tells only by `$CREDENTIALS_DIRECTORY` where the secrets of a unit are."""
        return Path(os.path.expandvars(value)) if isinstance(value, Path) else value


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a collector reads for: the source's name, the place its columns lie under, and the clock.

    `is_look`: somebody only looks at the source (`shiftwatch collect`). How far it was read must not be stored with the source,
    or the daemon would pass over what was looked at.
    """

    source: str
    place: str
    now_ns: Callable[[], int]
    is_look: bool = False


@runtime_checkable
class Collector(Protocol):
    """One source behind one protocol. Built as `Class(origin, options)`; the class names its `options_model`."""

    options_model: ClassVar[type[Options]]
    finite: ClassVar[bool]
    """True for recorded data: one call of `collect` reads all of it and the source is then at its end."""

    def collect(self) -> Iterable[Collected]:
        """What the source shows now, or what arrived since the last call. Raises CollectError when it cannot be read."""

    def close(self) -> None:
        """Ends connections; called once, also after an error."""
