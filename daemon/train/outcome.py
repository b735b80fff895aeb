"""What is asked of a training, and what it says: the lines between the process that trains and the one that asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from daemon.sections import ConfigurationError

RANKING = ("incidents", "ranking")
"""Stands for stream and detector where it is the order of incidents that was trained, from labels; its rows are labels."""


class NothingToTrain(ConfigurationError):  # noqa: N818 - what was found
    """No source is judged by a detector that learns."""


@dataclass(frozen=True, slots=True)
class Request:
    """Which models to train, all where nothing is named; event times of the rows, the last ones by default.

    labels: only what is learned from labels.
    """

    source: str = ""
    detector: str = ""
    from_ns: int | None = None
    to_ns: int | None = None
    labels: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one model.

    state: in_use (it judges from now on), shadow (it runs silently first), kept_out (the one in use is at least as good), failed.
    figures: of the new model on rows held back; before: of the one in use on the same rows, empty without one.
    """

    stream: str
    detector: str
    state: str
    why: str
    version: int = 0
    rows: int = 0
    held_back_rows: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    report: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def read_outcome(line: str) -> Outcome:
    """An outcome from its line. Raises ValueError for another one."""
    found = json.loads(line)
    if not isinstance(found, dict) or "state" not in found:
        raise ValueError("not the outcome of a training")
    try:
        return Outcome(**{**found, "report": tuple(found.get("report", ()))})
    except TypeError as error:
        raise ValueError(f"not the outcome of a training: {error}") from None
