"""Histograms in UHI JSON, as the Python libraries of the field write them."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from collectors.collector import Collected, Options, Origin, Rejected
from collectors.dqm.followed_files import Claim, FileFormatError, FollowedFiles, FollowedFilesOptions, Naming, Signature, Snapshot
from collectors.dqm.histogram_frames import Found, HistogramFrames
from collectors.dqm.run_files import RunFile
from collectors.dqm.uhi_histograms import UhiFormatError, histograms_in, parse
from collectors.frame import Histogram

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Unpacked; a file that claims to be larger than this is damage, not data."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_GZIP_MAGIC = b"\x1f\x8b"


class UhiOptions(FollowedFilesOptions):
    """What to read, what it is called, and where it lies."""


class UhiCollector:
    """Histograms of hist, boost-histogram and others in UHI JSON files, one snapshot whenever a file has changed.

    A file holds one histogram, or lists and dictionaries of them in any depth, whose keys make the path ("tracker/layer1/charge");
    it may be packed with gzip. Write them with `json.dumps(histograms, default=uhi.io.json.default)`, into a file beside it that is then
    renamed; one that is half written is read again when it has changed. All axes and storages of the schema are read: means with
    their variances become sums, so that totals can be differenced; a histogram without a count of its entries has the sum of its weights.
    The snapshot's time is the file's time of modification. Example:

        [source.tracker-dqm]
        collector = "uhi"
        place = "LAB/tracker"
        files = "/data/dqm/tracker_run*.json.gz"
        places = { "*/*" = "{1}" }
    """

    options_model: ClassVar[type[Options]] = UhiOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: UhiOptions) -> None:
        self._files = FollowedFiles(origin, options, UhiSnapshotReader)

    def collect(self) -> Iterator[Collected]:
        """A frame for each file that changed; what cannot be read is rejected and tried again when it changes."""
        return self._files.collect()

    def close(self) -> None:
        """Nothing stays open between two calls."""


class UhiSnapshotReader:
    """Reads the files of one series."""

    def __init__(self, source: str, part: str, naming: Naming, claim: Claim) -> None:
        self._default_name = Path(part).name.partition(".")[0]
        self._naming = naming
        self._claim = claim
        self._frames = HistogramFrames(source, part, naming.places)
        self._known: dict[str, Histogram] = {}

    def read(self, file: RunFile) -> Snapshot:
        """One snapshot at the file's time of modification. Raises OSError or FileFormatError where the file is unusable."""
        document, signature = _load(file.path)
        found: dict[str, Found] = {}
        rejected: list[Rejected] = []
        for path, form in histograms_in(document, self._default_name):
            name = self._naming.name(path)
            if name is None or not self._claim(name):
                continue
            if name in found or self._frames.is_taken(name, file):
                rejected.append(Rejected(f"{file.path}:{path}", f"something else is named {name!r} as well"))
                continue
            try:
                parsed = parse(form)
            except UhiFormatError as error:
                rejected.append(Rejected(f"{file.path}:{path}", str(error)))
                if name in self._known:
                    found[name] = Found(self._known[name], None)
                continue
            histogram = self._frames.histogram(self._known.get(name), name, parsed.axes, parsed.storage, flow=parsed.flow)
            found[name] = Found(histogram, parsed)
        self._known = {name: histogram for name, (histogram, _) in found.items()}
        if not found:
            return Snapshot(None, rejected, signature)
        frame, untrue = self._frames.frame(file, signature.modified_ns, [found[name] for name in sorted(found)])
        return Snapshot(frame, rejected + untrue, signature)


def _load(path: str) -> tuple[Any, Signature]:
    """The document, and the signature of the file as it was read. Raises OSError or FileFormatError."""
    with Path(path).open("rb") as file:
        signature = Signature.of(os.fstat(file.fileno()))
        if signature.size > MAX_FILE_BYTES:
            raise FileFormatError(f"{signature.size} bytes, more than {MAX_FILE_BYTES}")
        content = file.read(MAX_FILE_BYTES + 1)
        if Signature.of(os.fstat(file.fileno())) != signature:
            raise FileFormatError("it was written to while it was read; read again at the next turn")
    try:
        plain = _unpacked(content)
        document = json.loads(plain)
        if _SURROGATE.search(plain):  # perhaps half of a pair, which is no text that could be sent on
            document = json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
        return document, signature
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileFormatError):
            raise
        reason = "it is empty" if not content.strip() else f"not a whole JSON document: {' '.join(str(error).split())[:160]}"
        raise FileFormatError(reason) from None


def _unpacked(content: bytes) -> bytes:
    if not content.startswith(_GZIP_MAGIC):
        return content
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(content, MAX_FILE_BYTES)
    except zlib.error as error:
        raise FileFormatError(f"not a whole gzip file: {error}") from None
    if not unpacker.eof:
        raise FileFormatError("the gzip file ends early, or holds too much")
    return plain
