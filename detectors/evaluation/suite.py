"""What a suite is: labelled public data, the detectors that are measured on them, and how results become figures.

To add one, write a module in `detectors/evaluation/suites` with a `SUITE`, or a package with an entry point in the group
`shiftwatch.suites`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from detectors.evaluation import suites


class SuiteError(Exception):
    """Data of a suite that are missing or broken; names the file or the item and what is wrong."""


@dataclass(frozen=True, slots=True)
class Published:
    """A figure that others have published, and where."""

    detector: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Task:
    """One detector on one item: what a process is given."""

    suite: str
    folder: Path
    item: str
    detector: str
    seed: int
    budget: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a task. metrics: by name, NaN where it makes no sense; parts: what means over all items are made of."""

    item: str
    detector: str
    metrics: Mapping[str, float]
    parts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """All results of one detector: by item and metric, the mean or what stands for it over all items, and what else there is."""

    items: Mapping[str, Mapping[str, float]]
    mean: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict)


class Suite(Protocol):
    """A suite. Everything about an item is read anew where it is used: tasks run in processes of their own."""

    name: str
    title: str
    citation: str
    default: str
    """The detector that is the default for such data."""
    baseline: str
    """The detector that gains are measured against."""
    detectors: Sequence[str]
    """What is measured where nobody names any."""
    metrics: Sequence[str]
    """In the order of the table; the first one is the figure of merit."""
    budget_per_day: float
    """False alarms a day that are promised where nobody says otherwise."""
    published: Sequence[Published]

    def items(self, folder: Path) -> tuple[str, ...]:
        """Names of all items below a folder. Raises SuiteError where there is none, or one is not complete."""

    def version(self, folder: Path) -> str:
        """What tells these data from others: a digest of all files that are read."""

    def measure(self, task: Task) -> Result:
        """Runs a detector on an item. Raises SuiteError where the item is broken."""

    def summarise(self, results: Sequence[Result]) -> Summary:
        """The figures of one detector over all items."""


def suite_names() -> tuple[str, ...]:
    """Names of all suites there are, sorted; nothing of them is imported."""
    own = [module.name for module in pkgutil.iter_modules(suites.__path__)]
    return tuple(sorted({*own, *(point.name for point in entry_points(group="shiftwatch.suites"))}))


def load_suite(name: str) -> Suite:
    """The suite of this name. Raises SuiteError."""
    for point in entry_points(group="shiftwatch.suites"):
        if point.name == name:
            foreign: Suite = point.load()
            return foreign
    if name not in suite_names():
        raise SuiteError(f"no suite {name!r}; there are {', '.join(suite_names())}")
    suite: Suite = import_module(f"{suites.__name__}.{name}").SUITE
    return suite
