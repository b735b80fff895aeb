"""Jobs of a batch system as arrays, and traces in the Standard Workload Format (SWF).

The format is that of the Parallel Workloads Archive (Chapin et al., "Benchmarks and standards for the evaluation of parallel job
schedulers", 1999; version 2.2): 18 numbers a line, -1 where a value is not known, header comments `; Name: value`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FIELDS = 18
ID, SUBMIT, RUN, ALLOCATED, REQUESTED_PROCESSORS, REQUESTED_TIME = 0, 1, 3, 4, 7, 8


@dataclass(frozen=True, slots=True, eq=False)
class Jobs:
    """Jobs, one at each index; all arrays of shape (n,). Times are seconds from one origin, the same for all."""

    id: Integers
    submit_s: Array
    run_s: Array
    requested_s: Array
    processors: Integers

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if getattr(self, name).shape != self.id.shape:
                raise ValueError(f"jobs: {name} has shape {getattr(self, name).shape}, id has {self.id.shape}")

    def __len__(self) -> int:
        return len(self.id)

    def part(self, which: slice | Integers) -> Jobs:
        """Some of the jobs, in the order given."""
        return Jobs(self.id[which], self.submit_s[which], self.run_s[which], self.requested_s[which], self.processors[which])


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A recorded workload, sorted by submission.

    processors: of the whole machine, None where the header does not say. unusable: jobs that were left out because they have no run
    time or no number of processors (cancelled before they started). header: the comments of the form `Name: value`.
    """

    jobs: Jobs
    processors: int | None
    unusable: int
    header: Mapping[str, str]


def read_swf(path: Path) -> Trace:
    """Reads a trace, also one compressed with gzip (`.gz`).

    The processors of a job are those it requested, or was given where that is not known; the requested time is the run time where it
    is not known. Raises ValueError that names file and line where a line is not 18 finite numbers, or the file where it is not what gzip
    wrote, and OSError.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", errors="replace") as lines:
            return parse_swf(lines, str(path))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a whole file of gzip: {error}") from None


def parse_swf(lines: Iterable[str], name: str) -> Trace:
    """The trace in lines of text; `name` is what errors call it."""
    header: dict[str, str] = {}
    rows = list(_rows(lines, name, header))
    table = np.array(rows, dtype=np.float64).reshape(len(rows), FIELDS)
    run_s = table[:, RUN]
    requested_processors = table[:, REQUESTED_PROCESSORS]
    processors = np.where(requested_processors > 0, requested_processors, table[:, ALLOCATED])
    requested_s = np.where(table[:, REQUESTED_TIME] > 0, table[:, REQUESTED_TIME], run_s)
    usable = (run_s >= 0) & (processors >= 1) & (table[:, SUBMIT] >= 0)
    jobs = Jobs(
        id=table[usable, ID].astype(np.int64),
        submit_s=table[usable, SUBMIT],
        run_s=run_s[usable],
        requested_s=requested_s[usable],
        processors=processors[usable].astype(np.int64),
    )
    ordered = jobs.part(np.argsort(jobs.submit_s, kind="stable"))
    return Trace(ordered, _machine(header, name), int(np.count_nonzero(~usable)), MappingProxyType(header))


def _rows(lines: Iterable[str], name: str, header: dict[str, str]) -> Iterator[list[float]]:
    """The numbers of each line; comments go into the header, the first of a name stays."""
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith(";"):
            key, colon, value = text.lstrip("; \t").partition(":")
            if colon:
                header.setdefault(key.strip(), value.strip())
        elif text:
            yield _numbers(text, f"{name}:{number}")


def _numbers(text: str, where: str) -> list[float]:
    words = text.split()
    if len(words) != FIELDS:
        fields = f"{len(words)} field{'s' if len(words) > 1 else ''}"
        raise ValueError(f"{where}: {fields} where the Standard Workload Format has {FIELDS}")
    try:
        row = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    for position, value in enumerate(row, start=1):
        if not isfinite(value) or abs(value) > 2**53:
            raise ValueError(f"{where}: field {position} is {words[position - 1]}")
    return row


def _machine(header: Mapping[str, str], name: str) -> int | None:
    for key in ("MaxProcs", "MaxNodes"):
        if key in header:
            try:
                count = int(header[key].split()[0])
            except (ValueError, IndexError):
                raise ValueError(f"{name}: header {key} is {header[key]!r}, not a number") from None
            if count > 0:
                return count
    return None
