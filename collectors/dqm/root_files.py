"""Reads keys and payloads out of a ROOT file: only what is asked for, without mapping the file into memory.

A mapped file that its writer truncates kills the process that reads it; `pread` only comes back short. The format is
described in https://root.cern.ch/doc/master/classTFile.html (file header, TKey, TDirectory).
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import uproot.compression
import xxhash

from collectors.dqm.followed_files import FileFormatError, Signature

MAX_OBJECT_BYTES = 256 * 1024 * 1024
"""An object that claims to be larger than this is damage, not data."""
_MAX_DEPTH = 64

_HEADER = struct.Struct(">4sii")
_KEY = struct.Struct(">ihiIhhii")
_KEY_BIG = struct.Struct(">ihiIhhqq")
_DIRECTORY = struct.Struct(">hIIiiiii")
_DIRECTORY_BIG = struct.Struct(">hIIiiqqq")
_SURROGATE = re.compile("[\udc80-\udcff]")
"""What stands for a byte that is not UTF-8."""
_BLOCK_HEADER_BYTES = 9
_LZ4_CHECKSUM_BYTES = 8


class RootFormatError(FileFormatError):
    """Bytes that are not what a complete ROOT file has at this point."""


@dataclass(frozen=True, slots=True)
class Key:
    """Where one object of a directory lies in the file."""

    name: str
    class_name: str
    cycle: int
    seek: int
    stored_bytes: int
    header_bytes: int
    object_bytes: int


def parse_keys(data: bytes, count: int, at: int = 0) -> tuple[list[Key], int]:
    """`count` key headers one after the other, and where they end. Raises RootFormatError."""
    keys = []
    try:
        for _ in range(count):
            begin = at
            stored, version, size, _, header, cycle, seek, _ = _KEY.unpack_from(data, at)
            at += _KEY.size
            if version > 1000:
                stored, version, size, _, header, cycle, seek, _ = _KEY_BIG.unpack_from(data, begin)
                at = begin + _KEY_BIG.size
            class_name, at = _string(data, at)
            name, at = _string(data, at)
            _, at = _string(data, at)
            if at > len(data) or stored < header or header <= 0 or not 0 <= size <= MAX_OBJECT_BYTES or seek < 0:
                raise RootFormatError(f"the key of {name!r} contradicts itself")
            keys.append(Key(name, class_name, cycle, seek, stored, header, size))
    except (struct.error, IndexError):
        raise RootFormatError("a list of keys ends early") from None
    return keys, at


def _string(data: bytes, at: int) -> tuple[str, int]:
    length = data[at]
    at += 1
    if length == 255:
        (length,) = struct.unpack_from(">i", data, at)
        at += 4
    if length < 0:
        raise RootFormatError("a text of negative length")
    return data[at : at + length].decode("utf-8", "surrogateescape"), at + length


def _shown(name: str) -> str:
    """The name as a text that can be sent: one that is not UTF-8 is Latin-1, as older programs wrote it."""
    return name if name.isascii() or not _SURROGATE.search(name) else name.encode("utf-8", "surrogateescape").decode("latin-1")


def decompress(data: bytes, size: int) -> bytes:
    """The object's bytes from the compressed blocks they are stored in. Raises RootFormatError."""
    if len(data) == size:
        return data
    blocks: list[bytes] = []
    at, missing = 0, size
    while missing > 0 and at + _BLOCK_HEADER_BYTES <= len(data):
        method = data[at : at + 2]
        compressed = int.from_bytes(data[at + 3 : at + 6], "little")
        uncompressed = int.from_bytes(data[at + 6 : at + 9], "little")
        at += _BLOCK_HEADER_BYTES
        if not 0 < uncompressed <= missing or at + compressed > len(data):
            raise RootFormatError("a compressed block contradicts its header")
        block = _decompress_block(method, data[at : at + compressed], uncompressed)
        if len(block) != uncompressed:
            raise RootFormatError("a compressed block holds another number of bytes than its header says")
        blocks.append(block)
        at += compressed
        missing -= uncompressed
    if missing:
        raise RootFormatError(f"{missing} bytes of the object are missing")
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _decompress_block(method: bytes, data: bytes, size: int) -> bytes:
    try:
        if method == b"ZL":
            return zlib.decompressobj().decompress(data, size)
        if method == b"XZ":
            return bytes(uproot.compression.LZMA(1).decompress(data, size))
        if method == b"L4":
            if xxhash.xxh64_digest(data[_LZ4_CHECKSUM_BYTES:]) != data[:_LZ4_CHECKSUM_BYTES]:
                raise RootFormatError("a compressed block does not match its checksum")
            return bytes(uproot.compression.LZ4(1).decompress(data[_LZ4_CHECKSUM_BYTES:], size))
        if method == b"ZS":
            return bytes(uproot.compression.ZSTD(1).decompress(data, size))
    except RootFormatError:
        raise
    except Exception as error:  # noqa: BLE001 - four libraries, each with exceptions of its own for damaged data
        raise RootFormatError(f"a compressed block cannot be unpacked: {error}") from None
    raise RootFormatError(f"a block is compressed by an unknown method {method!r}")


class RootFile:
    """One open file. All methods raise OSError or RootFormatError."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self.signature = Signature.of(os.fstat(self.descriptor))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self.descriptor)

    def is_unchanged(self) -> bool:
        """Whether nobody wrote to the file since it was opened."""
        return Signature.of(os.fstat(self.descriptor)) == self.signature

    def objects(self) -> Iterator[tuple[str, Key]]:
        """Path ("Ecal/Occupancy") and key of every object in every directory, the newest cycle of each name."""
        head = self._read(0, 64)
        magic, version, begin = _HEADER.unpack_from(head)
        if magic != b"root":
            raise RootFormatError("not a ROOT file")
        is_big = version >= 1_000_000
        (end,) = struct.unpack_from(">q" if is_big else ">i", head, 12)
        (name_bytes,) = struct.unpack_from(">i", head, 36 if is_big else 28)
        if end > self.signature.size:
            raise RootFormatError(f"truncated: {self.signature.size} bytes of {end}")
        yield from self._walk("", begin + name_bytes, 0)

    def payload(self, key: Key) -> bytes:
        """The streamed object, uncompressed."""
        stored = self._read(key.seek + key.header_bytes, key.stored_bytes - key.header_bytes)
        return decompress(stored, key.object_bytes)

    def _walk(self, path: str, directory_at: int, depth: int) -> Iterator[tuple[str, Key]]:
        if depth > _MAX_DEPTH:
            raise RootFormatError(f"directories below {path!r} never end")
        newest: dict[str, Key] = {}
        for key in self._directory(directory_at, is_root=not depth):
            known = newest.get(key.name)
            if known is None or known.cycle < key.cycle:
                newest[key.name] = key
        for key in newest.values():
            if key.class_name in ("TDirectory", "TDirectoryFile"):
                yield from self._walk(f"{path}{key.name}/", key.seek + key.header_bytes, depth + 1)
            else:
                yield _shown(path + key.name), key

    def _directory(self, at: int, *, is_root: bool) -> list[Key]:
        record = self._read(at, _DIRECTORY_BIG.size, least=_DIRECTORY.size)
        version, _, _, list_bytes, _, _, _, keys_at = _DIRECTORY.unpack_from(record)
        if version > 1000:
            if len(record) < _DIRECTORY_BIG.size:
                raise RootFormatError("a directory ends early")
            version, _, _, list_bytes, _, _, _, keys_at = _DIRECTORY_BIG.unpack_from(record)
        if keys_at == 0 and not is_root:
            return []
        if keys_at <= 0 or list_bytes <= 0:
            raise RootFormatError("no list of keys: the file was not closed")
        data = self._read(keys_at, list_bytes)
        _, after = parse_keys(data, 1)
        if after + 4 > len(data):
            raise RootFormatError("a list of keys ends early")
        (count,) = struct.unpack_from(">i", data, after)
        return parse_keys(data, count, after + 4)[0]

    def _read(self, at: int, size: int, least: int | None = None) -> bytes:
        if at < 0 or not 0 <= size <= MAX_OBJECT_BYTES:
            raise RootFormatError("a position outside of the file")
        data = os.pread(self.descriptor, size, at)
        if len(data) < (size if least is None else least):
            raise RootFormatError(f"truncated: nothing at byte {at + len(data)}")
        return data
