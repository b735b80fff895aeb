"""Files of histograms that somebody else keeps writing: which of them are due, what was seen before, and what they are called."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol, Self

from pydantic import AfterValidator, Field

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.dqm.run_files import DEFAULT_RUN_PATTERN, RunFile, check_run_pattern, of_past_runs, series_of
from collectors.frame import Frame
from collectors.patterns import Places, PlaceTemplates, Selection


class FileFormatError(ValueError):
    """Bytes that are not what a complete file of its kind has at this point."""


class Signature(NamedTuple):
    """Changes whenever the file is written to or replaced."""

    modified_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The signature of a file from its status."""
        return cls(status.st_mtime_ns, status.st_size, status.st_ino)


class Snapshot(NamedTuple):
    """What one reading of a file gave; no frame where nothing in it could be used."""

    frame: Frame | None
    rejected: list[Rejected]
    signature: Signature


class SnapshotReader(Protocol):
    """Reads the files of one series."""

    def read(self, file: RunFile) -> Snapshot:
        """One snapshot at the file's time of modification. Raises OSError or FileFormatError where the file is unusable."""


def _check_rename(rename: dict[str, str]) -> dict[str, str]:
    for pattern, replacement in rename.items():
        try:
            re.compile(pattern).sub(replacement, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"{pattern!r} = {replacement!r}: {error}") from None
    return rename


Rename = Annotated[dict[str, str], AfterValidator(_check_rename)]
"""Regular expression = replacement."""
Glob = Annotated[str, Field(min_length=1)]


class FollowedFilesOptions(Options):
    """What to read, what it is called, and where it lies."""

    files: Glob | Annotated[tuple[Glob, ...], Field(min_length=1)]
    """Glob of the files ("/data/dqm/DQM_V*_R000*.root"; `**` is any number of folders), or a list of them."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the histogram's path after `rename`; `*` also stands for "/". One of them must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of histograms that are left out."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the histogram's path = place below the source's, in this order; `{1}` is what the first `*` stands for."""
    rename: Rename = Field(default_factory=dict)
    """Regular expression = replacement, on the object's path in the file. What changes from run to run must go, or every run
    has histograms of its own."""
    run_pattern: Annotated[str, AfterValidator(check_run_pattern)] = DEFAULT_RUN_PATTERN
    """Regular expression with the group `run`, searched in the file's path; by default for names as CMS gives them, and "run_0123".

    Also `lumisection` where each file is the snapshot of one, and `version` where a file is written again. What its other named groups
    match also differs between files of one series. Run and lumisection become channels of these names."""
    past_runs: int = Field(default=0, ge=0)
    """How many earlier runs are read first at start, oldest first, so that there are references from the beginning."""

    @property
    def globs(self) -> tuple[str, ...]:
        """`files`, always as several."""
        return (self.files,) if isinstance(self.files, str) else self.files


class Naming(NamedTuple):
    """From an object's path in the file to the histogram's path and place."""

    rename: Sequence[tuple[re.Pattern[str], str]]
    selection: Selection
    places: Places

    @classmethod
    def of(cls, place: str, options: FollowedFilesOptions) -> Self:
        """As the options say."""
        rename = tuple((re.compile(pattern), replacement) for pattern, replacement in options.rename.items())
        return cls(rename, Selection(options.include, options.exclude), Places(place, options.places))

    def name(self, object_path: str) -> str | None:
        """The histogram's path; None where it is not wanted."""
        for pattern, replacement in self.rename:
            object_path = pattern.sub(replacement, object_path)
        return object_path if object_path in self.selection else None


Claim = Callable[[str], bool]
"""Whether a series may use a histogram's path: no two series show the same one."""
OpenSeries = Callable[[str, str, Naming, Claim], SnapshotReader]
"""The reader of one series, from the source's name, the layout's part, the naming and the claim."""


class FollowedFiles:
    """Reads each file again whenever it has changed, of each series those of the newest run."""

    def __init__(self, origin: Origin, options: FollowedFilesOptions, open_series: OpenSeries) -> None:
        self._source = origin.source
        self._options = options
        self._open_series = open_series
        self._run_pattern = re.compile(options.run_pattern)
        self._naming = Naming.of(origin.place, options)
        self._readers: dict[str, SnapshotReader] = {}
        self._parts: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._refused: dict[str, dict[str, str]] = {}  # by series: the owners of paths that it may not use
        self._untold: list[tuple[str, str, str]] = []  # series, owner and path
        self._away: set[str] = set()
        self._told_late: dict[str, tuple[int, int, int]] = {}
        self._seen: dict[str, Signature] = {}
        self._last: dict[str, RunFile] = {}

    def collect(self) -> Iterator[Collected]:
        """A frame for each file that changed; what cannot be read is rejected and tried again when it changes. Raises CollectError."""
        series = series_of(self._files(), self._run_pattern)
        self._release(series)
        for name, files in series.items():
            yield from self._passed_over(name, files)
            for file in self._due(name, files):
                yield from self._read(name, file)
        present = {file.path for files in series.values() for file in files}
        self._seen = {path: seen for path, seen in self._seen.items() if path in present}

    def _files(self) -> list[tuple[str, int]]:
        found: dict[str, int] = {}
        for pattern in self._options.globs:
            for path in glob.glob(pattern, recursive=True):  # noqa: PTH207 - Path.glob takes no absolute pattern
                try:
                    found[path] = os.stat(path).st_mtime_ns  # noqa: PTH116 - ten thousand files are cheaper without Path
                except OSError:
                    continue  # rotated away since it was listed
        if not found:
            raise CollectError(f"no file matches {', '.join(self._options.globs)}")
        return list(found.items())

    def _release(self, series: dict[str, list[RunFile]]) -> None:
        """Forgets the series whose files are gone, also at the turn before: what they showed is free for others."""
        away = self._parts.keys() - series.keys()
        gone, self._away = away & self._away, away
        if not gone:
            return
        self._owners = {path: owner for path, owner in self._owners.items() if owner not in gone}
        waiting = {name for name, refused in self._refused.items() if not gone.isdisjoint(refused.values())} - gone
        for name in waiting:  # reads its newest file again, with all that it may use now
            self._seen = {path: seen for path, seen in self._seen.items() if path != self._last[name].path}
        for name in waiting | gone:
            self._readers.pop(name, None)
            self._refused.pop(name, None)
        for name in gone:
            self._parts.pop(name)
            self._told_late.pop(name, None)
            if self._last[name].run < 0:  # of the others it says which runs were read
                self._last.pop(name)

    def _due(self, series: str, files: list[RunFile]) -> list[RunFile]:
        """Files to look at: from the run or lumisection that was read last, whose end must not be missed, to the newest."""
        last = self._last.get(series)
        due = of_past_runs(files, self._options.past_runs) if last is None else [f for f in files if f[:3] >= last[:3]]
        if last is not None and not due and files[-1].modified_ns > last.modified_ns:
            due = files[-1:]  # what had a higher number was a mistake and is gone, or runs are counted from the beginning again
        if due:
            self._last[series] = due[-1]
        return due

    def _passed_over(self, series: str, files: list[RunFile]) -> Iterator[Rejected]:
        """Says once of files that are written after one with a higher run or lumisection was read, that they are not read."""
        last = self._last.get(series)
        if last is None or files[-1][:3] < last[:3]:
            return
        late = [f for f in files if f[:3] < last[:3] and f.modified_ns > last.modified_ns and f.path not in self._seen]
        if late and self._told_late.get(series) != last[:3]:
            self._told_late[series] = last[:3]
            yield Rejected(late[-1].path, f"is newer than {last.path} and comes before it by its run and lumisection: it is not read")

    def _read(self, series: str, file: RunFile) -> Iterator[Collected]:
        try:
            signature = Signature.of(Path(file.path).stat())
            if signature == self._seen.get(file.path):
                return
            snapshot = self._reader(series).read(file)
        except FileNotFoundError:
            return  # rotated away since it was listed
        except OSError as error:
            yield Rejected(file.path, error.strerror or str(error))
            return
        except FileFormatError as error:
            self._seen[file.path] = signature
            yield Rejected(file.path, str(error))
            return
        self._seen[file.path] = snapshot.signature
        yield from snapshot.rejected
        yield from self._disputes()
        if snapshot.frame is not None:
            yield snapshot.frame
        elif not snapshot.rejected and not self._refused[series]:
            yield Rejected(file.path, "holds no histogram that `include` and `exclude` let through")

    def _disputes(self) -> Iterator[Rejected]:
        """Which paths a series may not use, once, in a line for each series that uses them."""
        paths: dict[tuple[str, str], list[str]] = {}
        for series, owner, path in self._untold:
            paths.setdefault((series, owner), []).append(path)
        self._untold.clear()
        for (series, owner), names in paths.items():
            what = f"{len(names)} histograms ({min(names)} …) are" if len(names) > 1 else f"{names[0]} is"
            reason = f"{what} in {owner} as well, from where they are read; if both are files of one series, say so by `run_pattern`"
            yield Rejected(series, reason)

    def _reader(self, series: str) -> SnapshotReader:
        if series not in self._readers:
            refused = self._refused.setdefault(series, {})

            def claim(path: str) -> bool:
                owner = self._owners.setdefault(path, series)
                if owner != series and path not in refused:
                    refused[path] = owner
                    self._untold.append((series, owner, path))
                return owner == series

            stem = Path(series).stem
            part = self._parts.setdefault(series, series if stem in self._parts.values() else stem)
            self._readers[series] = self._open_series(self._source, part, self._naming, claim)
        return self._readers[series]
