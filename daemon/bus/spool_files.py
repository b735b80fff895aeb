"""The files of a lane: its segments, with an end that may be torn, and the note of how far they are delivered."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from daemon.bus.spool_segment import MAGIC, DamagedRecord, length_of, whole_records

NOTE = "delivered"


@dataclass(slots=True)
class Segment:
    """A file of a lane: the number of its first record, how many it has and its size."""

    path: Path
    first: int
    count: int = 0
    size: int = len(MAGIC)

    @property
    def end(self) -> int:
        """Number of the record after its last one."""
        return self.first + self.count


def cut_torn_end(segment: Segment) -> None:
    """Counts the records of a segment and cuts it after the last whole one. Raises OSError."""
    data = segment.path.read_bytes()
    segment.size = len(MAGIC)
    if data.startswith(MAGIC):
        for _, end in whole_records(data, len(MAGIC)):
            segment.count += 1
            segment.size = end
    if segment.size < len(data):
        os.truncate(segment.path, segment.size)


def skip(file: int, records: int, size: int) -> int:
    """Offset after so many records of a segment of `size` bytes. Raises DamagedRecord, OSError."""
    offset = len(MAGIC)
    for _ in range(records):
        length = length_of(os.pread(file, 64, offset))
        if not length or offset + length > size:
            raise DamagedRecord("fewer records than there should be")
        offset += length
    return offset


def read_delivered(folder: Path) -> int:
    """Number of the first record that is not delivered, as it was noted; 0 where there is no note that can be believed."""
    try:
        number, crc = (folder / NOTE).read_bytes().split()
        return int(number) if zlib.crc32(number) == int(crc) else 0
    except (OSError, ValueError):
        return 0


def write_delivered(folder: Path, number: int) -> None:
    """Notes it, all or nothing. Raises OSError."""
    text = b"%d" % number
    path = folder / f"{NOTE}.new"
    path.write_bytes(b"%s %d\n" % (text, zlib.crc32(text)))
    path.replace(folder / NOTE)
