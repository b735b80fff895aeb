"""Data-quality histograms in ROOT files, as a data-quality system writes them during a run."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.patterns import Places, PlaceTemplates, Selection
from collectors.root_files import RootFormatError, Signature
from collectors.root_runs import DEFAULT_RUN_PATTERN, RunFile, check_run_pattern, series_of
from collectors.root_snapshots import Naming, SnapshotReader

DEFAULT_RENAME = {r"^DQMData/Run \d+/": "", r"/Run summary(?=/)": ""}
"""Takes out what CMS puts into every path and what changes from run to run."""


def _check_rename(rename: dict[str, str]) -> dict[str, str]:
    for pattern, replacement in rename.items():
        try:
            re.compile(pattern).sub(replacement, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"{pattern!r} = {replacement!r}: {error}") from None
    return rename


class RootOptions(Options):
    """What to read, what it is called, and where it lies."""

    files: str = Field(min_length=1)
    """Glob of the files ("/data/dqm/DQM_V*_R000*.root"; `**` is any number of folders)."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the histogram's path after `rename`; `*` also stands for "/". One of them must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of histograms that are left out."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the histogram's path = place below the source's, in this order; `{1}` is what the first `*` stands for."""
    rename: Annotated[dict[str, str], AfterValidator(_check_rename)] = Field(default_factory=DEFAULT_RENAME.copy)
    """Regular expression = replacement, on the object's path in the file. What changes from run to run must go, or every run
    has histograms of its own."""
    run_pattern: Annotated[str, AfterValidator(check_run_pattern)] = DEFAULT_RUN_PATTERN
    """Regular expression with the group `run` (and `version` where a file is written again), searched in the file's path."""
    past_runs: int = Field(default=0, ge=0)
    """How many earlier runs are read first at start, oldest first, so that there are references from the beginning."""


class RootCollector:
    """Histograms TH1, TH2, TH3 and TProfile of all number types out of ROOT files, one snapshot whenever a file has changed.

    The snapshot's time is the file's time of modification. Of a series of files (one a run) the newest run is read; the
    channel `run` tells which one that is. Example:

        [source.ecal-dqm]
        collector = "root"
        place = "CMS/ECAL"
        accumulation = "since_start"
        files = "/data/dqm/DQM_V*_Ecal*_R000*.root"
        include = ["Ecal*/EBOccupancyTask/*"]
        places = { "EcalBarrel/* EB*" = "EB{2}" }
    """

    options_model: ClassVar[type[Options]] = RootOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: RootOptions) -> None:
        self._origin = origin
        self._options = options
        self._run_pattern = re.compile(options.run_pattern)
        rename = tuple((re.compile(pattern), replacement) for pattern, replacement in options.rename.items())
        self._naming = Naming(rename, Selection(options.include, options.exclude), Places(origin.place, options.places))
        self._readers: dict[str, SnapshotReader] = {}
        self._owners: dict[str, str] = {}
        self._disputed: list[Rejected] = []
        self._seen: dict[str, Signature] = {}
        self._last: dict[str, RunFile] = {}

    def collect(self) -> Iterator[Collected]:
        """A frame for each file that changed; what cannot be read is rejected and tried again when it changes."""
        series = series_of(self._files(), self._run_pattern)
        for name, files in series.items():
            for file in self._due(name, files):
                yield from self._read(name, file)
        present = {file.path for files in series.values() for file in files}
        self._seen = {path: seen for path, seen in self._seen.items() if path in present}

    def close(self) -> None:
        """Nothing stays open between two calls."""

    def _files(self) -> list[tuple[str, int]]:
        found = []
        for path in glob.glob(self._options.files, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
            try:
                found.append((path, os.stat(path).st_mtime_ns))  # noqa: PTH116 - ten thousand files are cheaper without Path
            except OSError:
                continue  # rotated away since it was listed
        if not found:
            raise CollectError(f"no file matches {self._options.files}")
        return found

    def _due(self, series: str, files: list[RunFile]) -> list[RunFile]:
        """Files to look at: from the run that was read last, whose end must not be missed, to the newest."""
        last = self._last.get(series)
        due = files[-1 - self._options.past_runs :] if last is None else [f for f in files if f[:2] >= last[:2]]
        if due:
            self._last[series] = due[-1]
        return due

    def _read(self, series: str, file: RunFile) -> Iterator[Collected]:
        try:
            signature = Signature.of(Path(file.path).stat())
            if signature == self._seen.get(file.path):
                return
            snapshot = self._reader(series).read(file.path, file.run)
        except FileNotFoundError:
            return  # rotated away since it was listed
        except OSError as error:
            yield Rejected(file.path, error.strerror or str(error))
            return
        except RootFormatError as error:
            self._seen[file.path] = signature
            yield Rejected(file.path, str(error))
            return
        self._seen[file.path] = snapshot.signature
        yield from snapshot.rejected
        yield from self._disputed
        self._disputed.clear()
        if snapshot.frame is not None:
            yield snapshot.frame

    def _reader(self, series: str) -> SnapshotReader:
        if series not in self._readers:
            part = Path(series).stem

            def claim(name: str) -> bool:
                owner = self._owners.setdefault(name, series)
                if owner != series:
                    self._disputed.append(Rejected(f"{series}:{name}", f"the files of {owner} hold a histogram of this path as well"))
                return owner == series

            self._readers[series] = SnapshotReader(self._origin.source, part, self._naming, claim)
        return self._readers[series]
