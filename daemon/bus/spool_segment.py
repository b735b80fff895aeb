"""Records in the files of a spool: how they are written, and how much of what is read can be believed.

A segment begins with MAGIC; each record is a head (CRC-32 of all that follows it, flags, lengths, time of publication), the
topic, the key and the value. A process that is killed while it writes leaves a torn record at the end: it is cut there.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"SWSPOOL1"
HEAD = struct.Struct("<IBBIIq")
"""CRC-32 of the rest, flags, bytes of the topic, of the key and of the value, ns since 1970 at which it was published."""
TOMBSTONE = 1
LONGEST_RECORD = 64 * 1024 * 1024
"""Lengths beyond this are damage, whatever the CRC says."""
_AFTER_CRC = 4


class DamagedRecord(ValueError):  # noqa: N818 - what was found, not an error of the caller
    """Bytes that are no record."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A record of a spool. `number` counts the records of its lane; `time_ns`: when it was published (wall time).

    `value` None is a tombstone, as in `bus.Bus.publish`.
    """

    number: int
    topic: str
    key: str
    value: bytes | None
    time_ns: int

    @property
    def size(self) -> int:
        """Bytes of key and value, about."""
        return len(self.key) + len(self.value or b"")


def encode(topic: str, key: str, value: bytes | None, time_ns: int) -> bytes:
    """The record as it stands in a file."""
    name, key_bytes, data = topic.encode(), key.encode(), value or b""
    flags = TOMBSTONE if value is None else 0
    body = HEAD.pack(0, flags, len(name), len(key_bytes), len(data), time_ns)[_AFTER_CRC:] + name + key_bytes + data
    return struct.pack("<I", zlib.crc32(body)) + body


def length_of(data: bytes | memoryview, start: int = 0) -> int:
    """Bytes of the record that begins at `start`; 0 where not even its head is there. Raises DamagedRecord."""
    if len(data) - start < HEAD.size:
        return 0
    _, _, topic, key, value, _ = HEAD.unpack_from(data, start)
    length: int = HEAD.size + topic + key + value
    if length > LONGEST_RECORD:
        raise DamagedRecord(f"a record of {length} bytes")
    return length


def decode(data: bytes | memoryview, number: int) -> Spooled:
    """The record in exactly these bytes. Raises DamagedRecord."""
    crc, flags, topic_length, key_length, _, time_ns = HEAD.unpack_from(data)
    if zlib.crc32(data[_AFTER_CRC:]) != crc:
        raise DamagedRecord("the check sum is wrong")
    key_at = HEAD.size + topic_length
    value_at = key_at + key_length
    try:
        topic, key = bytes(data[HEAD.size : key_at]).decode(), bytes(data[key_at:value_at]).decode()
    except UnicodeDecodeError:
        raise DamagedRecord("topic and key are no text") from None
    return Spooled(number, topic, key, None if flags & TOMBSTONE else bytes(data[value_at:]), time_ns)


def whole_records(data: bytes | memoryview, start: int) -> Iterator[tuple[int, int]]:
    """Start and end of each record from `start` on, up to the first that is torn or damaged."""
    view = memoryview(data)
    while True:
        try:
            length = length_of(view, start)
            if not length or start + length > len(view):
                return
            decode(view[start : start + length], 0)
        except DamagedRecord:
            return
        yield start, start + length
        start += length
