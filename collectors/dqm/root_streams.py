"""Reads the big-endian buffers into which ROOT streams its objects (https://root.cern.ch/doc/master/dobject.html)."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BYTE_COUNT = 0x40000000
_NEW_CLASS = 0xFFFFFFFF


class UnknownLayoutError(ValueError):
    """A streamed object of a version that is not known here."""


class DamagedHistogramError(ValueError):
    """A histogram that contradicts itself, or cannot be judged yet."""


class Numbers(NamedTuple):
    """An array of numbers inside the payload."""

    at: int
    length: int
    number_type: str


class Stream:
    """Reads ROOT's big-endian buffers from front to back."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.at = 0

    def number(self, kind: str) -> Any:  # noqa: ANN401 - int or float, by the format
        """One number of a struct format."""
        (value,) = struct.unpack_from(kind, self.payload, self.at)
        self.at += struct.calcsize(kind)
        return value

    def skip(self, size: int) -> None:
        """Goes on after `size` bytes."""
        self.at += size
        if self.at > len(self.payload):
            raise IndexError

    def enter(self) -> tuple[int, int]:
        """Version and end of an object that begins here."""
        count = self.number(">I")
        if not count & _BYTE_COUNT:
            raise UnknownLayoutError("an object without its length")
        end = self.at + (count & ~_BYTE_COUNT)
        if end > len(self.payload):
            raise IndexError
        return self.number(">H"), end

    def skip_object(self) -> None:
        """Skips an object, or a pointer to one that is empty."""
        count = self.number(">I")
        if count:
            if not count & _BYTE_COUNT:
                raise UnknownLayoutError("an object without its length")
            self.skip(count & ~_BYTE_COUNT)

    def text(self) -> str:
        """A TString: UTF-8, or Latin-1 as older programs wrote it."""
        length = self.payload[self.at]
        self.at += 1
        if length == 255:
            length = self.number(">I")
        begin = self.at
        self.skip(length)
        text = self.payload[begin : self.at]
        try:
            return text.decode()
        except UnicodeDecodeError:
            return text.decode("latin-1")

    def named(self) -> tuple[str, str]:
        """Name and title of a TNamed."""
        _, end = self.enter()
        self._object_id()
        name, title = self.text(), self.text()
        self.at = end
        return name, title

    def _object_id(self) -> int:
        """The unique number of a TObject; its other fields are skipped."""
        self.skip(2)
        unique, bits = self.number(">I"), self.number(">I")
        if bits & 0x10:  # kIsReferenced: a process number follows
            self.skip(2)
        return int(unique)

    def numbers(self, number_type: str) -> Numbers:
        """A TArray: its length, then the numbers."""
        count = self.number(">i")
        at = self.at
        if count < 0:
            raise DamagedHistogramError("an array of negative length")
        self.skip(count * int(number_type[2]))
        return Numbers(at, count, number_type)

    def array(self, numbers: Numbers) -> NDArray[Any]:
        """The numbers as a view of the payload."""
        return np.frombuffer(self.payload, numbers.number_type, numbers.length, numbers.at)

    def labels(self) -> dict[int, str]:
        """Labels by bin, counted from 1, of a pointer to a THashList of TObjString."""
        count = self.number(">I")
        if not count:
            return {}
        if not count & _BYTE_COUNT:
            raise UnknownLayoutError("a reference to a list of labels")
        self._class_tag()
        self.enter()
        self._object_id()
        self.text()
        found = {}
        for _ in range(self.number(">i")):
            if not self.number(">I") & _BYTE_COUNT:
                raise UnknownLayoutError("a reference to a label")
            self._class_tag()
            _, end = self.enter()
            bin_number = self._object_id()
            found[bin_number] = self.text()
            self.at = end
            self.skip(1 + self.payload[self.at])  # the list's option for this entry
        return found

    def _class_tag(self) -> None:
        if self.number(">I") == _NEW_CLASS:
            self.at = self.payload.find(b"\0", self.at) + 1
            if not self.at:
                raise IndexError
