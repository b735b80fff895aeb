"""Which of many ROOT files belong to the same series, and in which order: the run number is part of a file's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

DEFAULT_RUN_PATTERN = r"(?:_V(?P<version>\d+))?(?:_[^/]*?)?_R(?:un)?0*(?P<run>\d+)[^/]*$"
"""Run and version in names such as DQM_V0001_EcalBarrel_R000297056.root or DQM_V0002_R000297056__Global__DQMIO.root."""


class RunFile(NamedTuple):
    """One file; files are read in this order. Without a run in its name, `run` is -1 and the file is a series of its own."""

    run: int
    version: int
    modified_ns: int
    path: str


def check_run_pattern(pattern: str) -> str:
    """The pattern itself. Raises ValueError where it is no regular expression or has no group named run."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if "run" not in groups:
        raise ValueError("no group named run: write (?P<run>\\d+) where the number stands")
    return pattern


def series_of(files: Iterable[tuple[str, int]], pattern: re.Pattern[str]) -> dict[str, list[RunFile]]:
    """Files by series, each in rising order of run, version and time. `files`: path and time of modification in ns.

    A series is what is left of the path without run and version.
    """
    series: dict[str, list[RunFile]] = {}
    for path, modified_ns in files:
        name, run, version = path, -1, 0
        if (match := pattern.search(path)) and match["run"].isdecimal():
            groups = match.groupdict()
            run, version = int(match["run"]), int(groups.get("version") or 0)
            spans = sorted((match.span(group) for group in ("run", "version") if groups.get(group)), reverse=True)
            for begin, end in spans:
                name = name[:begin].rstrip("0") + name[end:]
        series.setdefault(name, []).append(RunFile(run, version, modified_ns, path))
    return {name: sorted(found) for name, found in sorted(series.items())}
