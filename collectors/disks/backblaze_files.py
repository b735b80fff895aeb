"""The daily files of drive statistics, in folders and in the archives that a quarter is published in."""

from __future__ import annotations

import glob
import gzip
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from collectors.collector import CollectError, Rejected

_ENDINGS = (".csv", ".csv.gz", ".zip")


@dataclass(frozen=True, slots=True)
class DayFile:
    """One table; `member` is its name within an archive."""

    path: str
    member: str = ""

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.path}:{self.member}" if self.member else self.path

    @property
    def order(self) -> tuple[str, str]:
        """Tables are named by their date, archives are not: 2023-12-31.csv of data_Q4_2023.zip comes before data_Q1_2024.zip."""
        return PurePosixPath(self.member or self.path).name, self.name

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Its bytes, unpacked. Raises OSError, zipfile.BadZipFile."""
        if self.member:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                yield cast("BinaryIO", stream)
        elif self.path.endswith(".gz"):
            with gzip.open(self.path) as packed:
                yield cast("BinaryIO", packed)
        else:
            with Path(self.path).open("rb", buffering=0) as plain:
                yield cast("BinaryIO", plain)


def day_files(pattern: str) -> tuple[list[DayFile], list[Rejected]]:
    """All tables that a pattern finds, in order of their dates, and the archives that cannot be read. Raises CollectError."""
    if Path(pattern).is_dir():
        paths = sorted(str(path) for path in Path(pattern).rglob("*") if path.name.endswith(_ENDINGS))
    else:
        paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not paths:
        raise CollectError(f"no file matches {pattern}")
    found: list[DayFile] = []
    rejected: list[Rejected] = []
    for path in paths:
        if not path.endswith(".zip"):
            found.append(DayFile(path))
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                found += [DayFile(path, member) for member in archive.namelist() if _is_table(member)]
        except (OSError, zipfile.BadZipFile) as error:
            rejected.append(Rejected(path, getattr(error, "strerror", None) or str(error)))
    return sorted(found, key=lambda file: file.order), rejected


def _is_table(member: str) -> bool:
    """Archives that were packed on a Mac hold a second file beside each, which is none."""
    path = PurePosixPath(member)
    return path.suffix == ".csv" and not path.name.startswith(".") and "__MACOSX" not in path.parts
