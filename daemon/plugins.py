"""Plugins by entry point: a third party adds a collector or a detector by installing a package.

A plugin's module is imported only when a configuration names it, so that what it depends on costs nothing otherwise.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from typing import Any

OURS = ("collectors", "detectors", "daemon", "dashboards")


class PluginError(Exception):
    """A plugin that is not installed or cannot be loaded; names it and what there is instead."""


@cache
def names(group: str) -> tuple[str, ...]:
    """Names of the plugins of a group ("collectors", "detectors"), sorted."""
    return tuple(sorted(_points(group)))


@cache
def load(group: str, name: str) -> Any:  # noqa: ANN401 - the class behind the entry point
    """The plugin's class. Raises PluginError."""
    point = _points(group).get(name)
    if point is None:
        raise PluginError(f"no {group[:-1]} {name!r}; there are {', '.join(names(group)) or 'none'}")
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{group[:-1]} {name!r} ({point.value}) cannot be loaded: {error}") from None


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"shiftwatch.{group}")}


def check_packages() -> None:
    """Makes sure that our top-level packages are ours. Raises PluginError.

    Another distribution with a package of the same name (python-daemon brings one called `daemon`) silently overwrites
    files of ours, so this is said at start.
    """
    distributions = packages_distributions()
    for package in OURS:
        others = sorted(set(distributions.get(package, ())) - {"shiftwatch"})
        if others:
            raise PluginError(
                f"package {package!r} of shiftwatch is overwritten by the distribution {', '.join(others)}: "
                "install shiftwatch in a virtual environment of its own"
            )
