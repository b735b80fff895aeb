"""Which of many files belong to the same series, and in which order: run and lumisection are parts of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

DEFAULT_RUN_PATTERN = (
    r"(?:_V(?P<version>\d+))?(?:_[^/]*?)??(?:_R|(?<![A-Za-z])(?:[Rr]un|RUN)[_-]?)0*(?P<run>\d+)"
    r"(?:[^/]*?(?P<snapshot>(?:_L(?=\d{6}(?!\d))|[._](?:ls|LS))0*(?P<lumisection>\d+)(?:_host[^/]*)?))?[^/]*$"
)
"""Run, version and lumisection in the names that CMS gives: DQM_V0001_EcalBarrel_R000297056.root,
DQM_V0002_R000297056__Global__DQMIO.root, and snapshots of a lumisection DQM_V0001_Ecal_R000297056.root.ls00000042_hostX_pid00000123,
DQM_V0001_Ecal_R000297056_L000042.root and run297056_ls0042_streamDQM.root; others: run_0123.root, Run0123.root, histos_run-12.root
(https://github.com/cms-sw/cmssw/tree/master/DQMServices/FileIO/plugins)."""
WHOLE_RUN = 2**31
"""The lumisection of a file that has none in its name: what is written at the end of a run comes after the run's snapshots."""
_HUNDREDS = re.compile(r"(?<=/)\d+x+(?=/)")
"""A folder for the files of many runs ("0002970xx")."""

_RUN_FOLDER = re.compile(r"(?P<prefix>[Rr]un_?|R)?0*(?P<run>\d+)")
_LONG_RUN_DIGITS = 5
"""A folder whose name is a shorter number is not taken for that of a run."""


class RunFile(NamedTuple):
    """One file; files are read in this order. Without a run in its name, `run` is -1 and the file is a series of its own."""

    run: int
    lumisection: int
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
    """Files by series, each in rising order of run, lumisection, version and time. `files`: path and time of modification in ns.

    A series is what is left of the path without what the pattern's named groups match, and without the run in names of folders.
    """
    series: dict[str, list[RunFile]] = {}
    for path, modified_ns in files:
        match = pattern.search(path)
        if match is None or not _number(match, "run").isdecimal():
            series.setdefault(path, []).append(RunFile(-1, WHOLE_RUN, 0, modified_ns, path))
            continue
        run, version, lumisection = int(match["run"]), _number(match, "version") or "0", _number(match, "lumisection") or WHOLE_RUN
        series.setdefault(_series(path, match), []).append(RunFile(run, int(lumisection), int(version), modified_ns, path))
    return {name: sorted(found) for name, found in sorted(series.items())}


def of_past_runs(files: list[RunFile], past_runs: int) -> list[RunFile]:
    """The newest file alone; or all that belong to the newest run and this many before it, of each lumisection the newest version.

    `files`: in the order that `series_of` gives them.
    """
    if not past_runs:
        return files[-1:]
    runs = sorted({file.run for file in files})[-1 - past_runs :]
    newest = {(file.run, file.lumisection): file for file in files if file.run in runs}
    return list(newest.values())


def _number(match: re.Match[str], group: str) -> str:
    return match.groupdict().get(group) or ""


def _series(path: str, match: re.Match[str]) -> str:
    kept, at = "", 0
    for begin, end in sorted(match.span(group) for group, text in match.groupdict().items() if text):
        if begin >= at:  # a group within another is gone with it
            kept += path[at:begin].rstrip("0")
            at = end
    folder, slash, name = (kept + path[at:]).rpartition("/")
    first, *folders = _HUNDREDS.sub("", folder + slash).split("/")
    run = match["run"].lstrip("0")
    return "/".join([first, *("" if _is_of_run(step, run) else step for step in folders)]) + name


def _is_of_run(folder: str, run: str) -> bool:
    """Whether a folder is called after the run ("run297056", "000297056")."""
    match = _RUN_FOLDER.fullmatch(folder)
    return match is not None and match["run"] == run and (match["prefix"] is not None or len(run) >= _LONG_RUN_DIGITS)
