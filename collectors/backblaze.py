"""Drive statistics of Backblaze: millions of daily rows as a recorded source."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from collectors.collector import Collected, Options, Origin, Rejected
from collectors.disks.backblaze_drives import ATTRIBUTES, FAILURE, Attribute, Day, Drives
from collectors.disks.backblaze_files import DayFile, day_files
from collectors.disks.backblaze_rows import LayoutOfFileError, RowReader, Rows
from collectors.disks.disk_attributes import ATA_COUNTS
from collectors.patterns import Selection

ROWS_HELD = 1_000_000
"""Rows of a file that are put in order of their days; of a larger file, days are taken as they come."""


class BackblazeOptions(Options):
    """Which files, which drives, and what of them."""

    files: str = Field(min_length=1)
    """Glob of daily files, or a folder of them: .csv, .csv.gz, or .zip as a quarter is published."""
    models: tuple[str, ...] = ("*",)
    """Patterns of models. All of them together are 300,000 drives since 2024 and take a gigabyte of memory: ["ST12000NM*"]."""
    exclude_models: tuple[str, ...] = ()
    """Patterns of models that are left out."""
    attributes: tuple[str, ...] = (*ATA_COUNTS.values(), "temperature")
    """Names as the smartctl collector gives them, or those of columns ("smart_7_raw", "smart_9_normalized")."""

    @field_validator("attributes")
    @classmethod
    def _known(cls, attributes: tuple[str, ...]) -> tuple[str, ...]:
        for name in attributes:
            if name not in ATTRIBUTES and not (name.startswith("smart_") and name.endswith(("_raw", "_normalized"))):
                raise ValueError(
                    f"no attribute {name!r}; there are {', '.join(ATTRIBUTES)}, and columns smart_N_raw and smart_N_normalized"
                )
        if twice := {name for name in attributes if attributes.count(name) > 1}:
            raise ValueError(f"{min(twice)!r} is there twice")
        return attributes


class BackblazeCollector:
    """Recorded drive statistics as Backblaze publishes them, a quarter at a time, for disk detectors to be tried on.

    Download a quarter from https://www.backblaze.com/cloud-storage/resources/hard-drive-test-data and name the archive or the
    folder. Channels are `SERIAL/attribute` at `<place>/MODEL-SERIAL`, as those of the smartctl collector; `SERIAL/failure` is
    FAILED on the last day of a drive that failed. Counts that vendors pack are taken apart (Seagate's 1, 7 and 188).

    Attributes that run like clocks are left out unless they are named: 4 and 12 (starts and power cycles), 7 (seeks), 9 and 240
    (hours), 193 (loads), 241 and 242 (blocks written and read). They tell how old a drive is and when it was read; a method
    that sees them learns which drives were read on their last day, and not which ones fail.

    Each day is a snapshot: a frame of one row for each group of 250 drives of a model, which is a stream of its own (`Layout.part`).
    Frames rather than updates, because every drive is in every day's file, so that there is nothing sparse about it. A drive that
    is not in a day's file while others of its group are is disconnected; its columns stay, so that only new drives change a
    layout. One day at a time is in memory, and what is known of the drives: it does not grow with the number of days. Lines
    that cannot be read are rejected and counted, and the rest goes on.

    Example:
        [source.drives]
        collector = "backblaze"
        files = "/data/backblaze/data_Q1_2024.zip"
        models = ["ST12000NM*"]
        place = "Backblaze"
        period_s = 86400
        detectors = ["disk_forecast"]

    """

    options_model: ClassVar[type[Options]] = BackblazeOptions
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: BackblazeOptions) -> None:
        self._origin = origin
        self._options = options
        self._attributes = [ATTRIBUTES.get(name) or Attribute(name, name) for name in options.attributes]

    def collect(self) -> Iterator[Collected]:
        """All files in order of their dates. Raises CollectError where there is none."""
        files, rejected = day_files(self._options.files)
        yield from rejected
        models = Selection(self._options.models, self._options.exclude_models)
        drives = Drives(self._origin.source, self._origin.place, models, self._attributes)
        for file in files:
            yield from self._file(file, drives)

    def close(self) -> None:
        """Nothing stays open."""

    def _file(self, file: DayFile, drives: Drives) -> Iterator[Collected]:
        held = _Days()  # RuntimeError is what zipfile raises of a member that is encrypted, or packed as it does not know
        reader = RowReader(file.name, {FAILURE: FAILURE, **{attribute.column: attribute.name for attribute in self._attributes}})
        try:
            with file.opened() as stream:
                for block in reader.rows(stream):
                    if isinstance(block, Rejected):
                        yield block
                        continue
                    held.add(block)
                    while held.rows > ROWS_HELD and len(held) > 1:
                        yield from drives.frames(held.earliest(), file.name)
        except (OSError, EOFError, LayoutOfFileError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            yield Rejected(file.name, " ".join((getattr(error, "strerror", None) or str(error)).split()))
        while len(held):
            yield from drives.frames(held.earliest(), file.name)


class _Days:
    """Rows by day."""

    def __init__(self) -> None:
        self._blocks: dict[int, list[Rows]] = {}
        self.rows = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, block: Rows) -> None:
        """Takes rows in, which are mostly of one day."""
        self.rows += len(block.day)
        days = [int(block.day[0])] if (block.day == block.day[0]).all() else np.unique(block.day).tolist()
        for day in days:
            some = block
            if len(days) > 1:
                which = block.day == day
                some = Rows(block.day[which], block.key.filter(pa.array(which)), block.values[which])
            self._blocks.setdefault(day, []).append(some)

    def earliest(self) -> Day:
        """Takes all rows of the earliest day out."""
        day = min(self._blocks)
        blocks = self._blocks.pop(day)
        self.rows -= sum(len(block.day) for block in blocks)
        return Day(day, pa.concat_arrays([block.key for block in blocks]), np.concatenate([block.values for block in blocks]))
