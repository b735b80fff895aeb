"""Plugins by entry point: a third party adds a collector or a detector by installing a package.

A plugin's module is imported only when a configuration names it, so that what it depends on costs nothing otherwise.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, entry_points, packages_distributions
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
    point = entry_point(group, name)
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        if isinstance(error, ImportError) and point.extras and not _is_own(point, error.name or ""):
            raise PluginError(f"{group[:-1]} {name!r} needs {install_command(point)} ({error})") from None
        raise PluginError(f"{group[:-1]} {name!r} ({point.value}) cannot be loaded: {error}") from None


def entry_point(group: str, name: str) -> EntryPoint:
    """Where a plugin's class is; nothing is imported. Raises PluginError."""
    point = _points(group).get(name)
    if point is None:
        raise PluginError(unknown(group, name))
    return point


def unknown(group: str, name: str) -> str:
    """That there is no plugin of this name, what was perhaps meant, and what there is."""
    similar = difflib.get_close_matches(name, names(group), n=1)
    meant = f"; {similar[0]!r} is perhaps meant" if similar else ""
    return f"no {group[:-1]} {name!r}; there are {', '.join(names(group)) or 'none'}{meant}"


def install_command(point: EntryPoint) -> str:
    """What installs all that a plugin depends on: "pip install 'shiftwatch[opcua]'"; "" where it has no extra."""
    return f"pip install '{_distribution(point)}[{','.join(point.extras)}]'" if point.extras else ""


def missing(point: EntryPoint) -> tuple[str, ...]:
    """Distributions that a plugin's extras ask for and that are not installed; nothing is imported."""
    wanted = {name for line in distribution(_distribution(point)).requires or () for name in _asked_for(line, point.extras)}
    return tuple(sorted(name for name in wanted if not _is_installed(name)))


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "shiftwatch"


def _asked_for(requirement: str, extras: list[str]) -> list[str]:
    """The name in a line of a distribution's metadata ('asyncua>=1.1.8; extra == "opcua"'), if one of the extras asks for it."""
    described, _, marker = requirement.partition(";")
    name = re.match(r"[A-Za-z0-9._-]+", described)
    asks = re.search(r"""extra\s*==\s*["']([^"']+)["']""", marker)
    return [name[0]] if name and asks and asks[1] in extras else []


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _is_own(point: EntryPoint, module: str) -> bool:
    """Whether a module that cannot be imported is the plugin's own, and not one that it depends on."""
    return module.partition(".")[0] == point.module.partition(".")[0]


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
