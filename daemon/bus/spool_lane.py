"""One queue of a spool on disk: append-only segments in a folder, and how far they are delivered.

Order holds. A record is on the disk (in the system's cache, which outlives the process) when `append` returns, and its
segment goes when all of it is delivered. How far that is stands in the file `delivered`, written now and then: what is sent
again after a crash was sent before, in the same order. Not thread safe; `daemon.bus.spool_disk` holds the lock.
"""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path

from daemon.bus.spool_files import Segment, cut_torn_end, read_delivered, skip, write_delivered
from daemon.bus.spool_segment import MAGIC, DamagedRecord, Spooled, decode, encode, length_of, whole_records

SUFFIX = ".segment"
CHUNK_BYTES = 256 * 1024
RETRY_S = 5.0
"""How long a disk that refused is left alone."""


@dataclass(slots=True)
class Waiting:
    """Records that the disk does not take for now."""

    records: deque[Spooled] = field(default_factory=deque)
    bytes: int = 0
    tried_s: float = 0.0


class Lane:
    """A queue of records. `damaged` counts those that were lost to damage of the files."""

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        """Opens the queue in a folder, new or as it was left; a torn end is cut. Raises OSError."""
        self.name = folder.name
        self.damaged = 0
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segments: deque[Segment] = deque()
        self._waiting = Waiting()
        self._file = -1  # of the last segment, where it is being written
        self._unsynced = False
        self._offset = 0  # in the first segment, of the first record that is not delivered; 0: not known
        self._ends: dict[int, int] = {}  # of the records read last: the offset after each in the first segment
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._delivered = self._saved = read_delivered(folder)
        self._open_segments()

    @property
    def records(self) -> int:
        """How many are not delivered, damaged ones included."""
        return self._next - self._delivered

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the disk did not take, in memory."""
        return self._waiting.bytes

    def append(self, topic: str, key: str, value: bytes | None, time_ns: int) -> OSError | None:
        """Adds a record. Where the disk refuses, it waits in memory, as do those after it; the reason is returned."""
        record = Spooled(self._next, topic, key, value, time_ns)
        if self._waiting.records and time.monotonic() - self._waiting.tried_s < RETRY_S:
            self._wait(record)
            return None
        try:
            while self._waiting.records:
                self._write(self._waiting.records[0])
                self._waiting.bytes -= self._waiting.records.popleft().size
            self._write(record)
        except OSError as error:
            self._waiting.tried_s = time.monotonic()
            self._wait(record)
            return error
        return None

    def read(self, max_records: int, max_bytes: int) -> list[Spooled]:
        """The next records that are not delivered, at least one where there is any; the same again until `delivered`."""
        self._ends.clear()
        while self._segments and self._delivered < self._segments[-1].end:
            found = self._read_segment(self._segments[0], max_records, max_bytes)
            if found:
                return found
            self._pass_over(self._segments[0])
        found, size = [], 0
        for record in self._waiting.records:
            if found and (size + record.size > max_bytes or len(found) == max_records):
                break
            found.append(record)
            size += record.size
        return found

    def delivered(self, record: Spooled) -> None:
        """All up to this one, which `read` gave, need not be kept any more."""
        if record.number < self._delivered:
            return  # it was dropped meanwhile
        self._delivered = record.number + 1
        self._offset = self._ends.get(record.number, 0)
        while self._waiting.records and self._waiting.records[0].number <= record.number:
            self._waiting.bytes -= self._waiting.records.popleft().size
        while self._segments and self._delivered >= self._segments[0].end and self._may_go(self._segments[0]):
            self._remove_first()

    def drop_oldest(self) -> int:
        """Gives the oldest segment up, or the oldest half of what waits in memory; how many records are lost by it."""
        before = self._delivered
        if self._segments:
            self._delivered = max(self._delivered, self._segments[0].end)
            self._remove_first()
        elif self._waiting.records:
            for _ in range((len(self._waiting.records) + 1) // 2):
                dropped = self._waiting.records.popleft()
                self._waiting.bytes -= dropped.size
                self._delivered = dropped.number + 1
        self._ends.clear()
        return self._delivered - before

    def drop_waiting(self, max_bytes: int) -> int:
        """Gives up the oldest of what waits in memory beyond `max_bytes`, where nothing older is on the disk; how many."""
        dropped = 0
        while self._waiting.bytes > max_bytes:
            record = self._waiting.records.popleft()
            self._waiting.bytes -= record.size
            dropped += 1
        if dropped and not self._segments:
            self._delivered = max(self._delivered, self._next - len(self._waiting.records))
        return dropped

    def oldest_ns(self) -> int:
        """When the oldest record that is not delivered was published; 0 where there is none. Reads it."""
        found = self.read(1, 1)
        return found[0].time_ns if found else 0

    def keys(self) -> set[str]:
        """The keys of all records that are not delivered."""
        found = {record.key for record in self._waiting.records}
        for segment in self._segments:
            data = segment.path.read_bytes()
            records = islice(whole_records(data, len(MAGIC)), max(0, self._delivered - segment.first), None)
            found |= {decode(data[start:end], 0).key for start, end in records}
        return found

    def sync(self) -> None:
        """Has the disk keep what was written, also through a loss of power. Raises OSError."""
        if self._unsynced and self._file >= 0:
            os.fdatasync(self._file)
        self._unsynced = False

    def save_delivered(self) -> None:
        """Notes how far it is delivered; on a full disk, the note before stays."""
        if self._saved != self._delivered:
            with suppress(OSError):
                write_delivered(self._folder, self._delivered)
                self._saved = self._delivered

    def close(self) -> None:
        """Notes how far it is and lets go. What waits in memory is tried once more. Raises OSError where it is lost."""
        try:
            while self._waiting.records:
                self._write(self._waiting.records[0])
                self._waiting.bytes -= self._waiting.records.popleft().size
            self.sync()
        finally:
            self.save_delivered()
            self._close_file()

    @property
    def _next(self) -> int:
        """Number of the next record to be added."""
        if self._waiting.records:
            return self._waiting.records[-1].number + 1
        return max(self._delivered, self._segments[-1].end if self._segments else 0)

    def _wait(self, record: Spooled) -> None:
        self._waiting.records.append(record)
        self._waiting.bytes += record.size

    def _may_go(self, segment: Segment) -> bool:
        """The last one goes on being written until it is full."""
        return segment is not self._segments[-1] or segment.size >= self._segment_bytes

    def _write(self, record: Spooled) -> None:
        """Writes a whole record, or none of it. Raises OSError."""
        data = encode(record.topic, record.key, record.value, record.time_ns)
        last = self._segments[-1] if self._segments else None
        if last is None or self._file < 0 or last.size >= self._segment_bytes or last.end != record.number:
            last = self._begin_segment(record.number)
        try:
            written = 0
            while written < len(data):
                written += write(self._file, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, last.size)
            self._close_file()  # the next one begins a segment of its own, whatever stands at the end of this one
            raise
        last.size += len(data)
        last.count += 1
        self._unsynced = True

    def _begin_segment(self, first: int) -> Segment:
        if self._unsynced:
            self.sync()
        self._close_file()
        if self._segments and not self._segments[-1].count:
            self._segments.pop().path.unlink(missing_ok=True)
        path = self._folder / f"{first:020d}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if write(self._file, MAGIC) != len(MAGIC):
                raise OSError(28, "No space left on device", str(path))
        except OSError:
            self._close_file()
            path.unlink(missing_ok=True)
            raise
        self._segments.append(Segment(path, first))
        return self._segments[-1]

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        if not self._segments:
            self._close_file()
        segment.path.unlink(missing_ok=True)
        self._offset = 0
        self._ends.clear()

    def _pass_over(self, segment: Segment) -> None:
        """The rest of a segment cannot be read, or there is none: on to the next one."""
        self.damaged += max(0, segment.end - max(self._delivered, segment.first))
        self._delivered = max(self._delivered, segment.end)
        self._remove_first()

    def _read_segment(self, segment: Segment, max_records: int, max_bytes: int) -> list[Spooled]:
        """Records of the first segment from the first that is not delivered on; none at its end, or at damage."""
        self._delivered = max(self._delivered, segment.first)  # what is missing before it was given up
        try:
            with segment.path.open("rb") as file:
                self._offset = self._offset or skip(file.fileno(), self._delivered - segment.first, segment.size)
                return self._parse(file.fileno(), segment, max_records, max_bytes)
        except (OSError, DamagedRecord):
            return []

    def _parse(self, file: int, segment: Segment, max_records: int, max_bytes: int) -> list[Spooled]:
        found: list[Spooled] = []
        offset, size = self._offset, 0
        data = os.pread(file, min(CHUNK_BYTES, segment.size - offset), offset)
        start = 0
        while len(found) < max_records and self._delivered + len(found) < segment.end:
            try:
                length = length_of(data, start)
                if not length or start + length > len(data):
                    offset, start = offset + start, 0
                    data = os.pread(file, min(max(CHUNK_BYTES, length), segment.size - offset), offset)
                    length = length_of(data)
                    if not length or length > len(data):
                        break
                record = decode(memoryview(data)[start : start + length], self._delivered + len(found))
            except DamagedRecord:
                break
            size += length
            if found and size > max_bytes:
                break
            found.append(record)
            start += length
            self._ends[record.number] = offset + start
        return found

    def _open_segments(self) -> None:
        """Takes over what an earlier process left. Only in its last segment a record can be torn; the others are full."""
        paths = sorted(path for path in self._folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())
        for path, after in zip_longest(paths, paths[1:]):
            segment = Segment(path, int(path.stem), size=path.stat().st_size)
            if after is None:
                cut_torn_end(segment)
            else:
                segment.count = int(after.stem) - segment.first
            if segment.count and segment.end > self._delivered:
                self._segments.append(segment)
            else:
                path.unlink(missing_ok=True)


def write(file: int, data: bytes) -> int:
    """As os.write: in one place, so that a full disk can be simulated."""
    return os.write(file, data)
