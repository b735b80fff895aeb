"""Anything that shows JSON by HTTP: pages of a DAQ, services of the grid, a file that something rewrites."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np

from collectors.collector import Collected, CollectError, Options, Origin
from collectors.fetched.http_options import HttpOptions, HttpSource
from collectors.fetched.http_text import file_path, shown
from collectors.fetched.json_mapping import RequiredJsonOptions
from collectors.fetched.json_readings import MalformedDocumentError, Mapper, Readings, parse
from collectors.frame import Frame, Quality, Updates
from collectors.snapshot import SnapshotFrames

ACCEPT = "application/json, application/x-json-stream;q=0.9, */*;q=0.1"


class HttpJsonOptions(RequiredJsonOptions, HttpOptions):
    """Where the JSON is, who may read it, and what of it becomes what."""

    body: str = ""
    """What is sent, as application/json, to a server that wants to be asked by POST."""


class Document(NamedTuple):
    """A text and when it was shown: when it was asked for, or when its file was written."""

    text: bytes
    time_ns: int


class HttpJsonCollector:
    """JSON from any address or file. Start with `flatten = true`, look, then name what you want in `values` and `tables`.

    Paths are JMESPath (https://jmespath.org). Members of a `tables` entry make a channel each: below, `ECAL/rate` and
    `ECAL/tts`, at the place CMS/DAQ/ECAL. A text is looked up in `states`; null is no reading; where a number is expected, any
    other text is invalid and reported. Answers with a document on each line (Rucio) are a list.

    Example:
        [source.daq-page]
        collector = "http_json"
        place = "CMS/DAQ"
        url = "http://localhost:8080/daq.json"
        time = "lastUpdate"
        values = { "deadtime" = "daq.deadTime.total", "rate" = "daq.rate" }
        tables = [{ rows = "subSystems", name = "{name}", place = "{name}", columns = { rate = "rate", tts = "ttsState" } }]
        states = { "*/tts" = ["READY", "WARNING", "BUSY", "OUT_OF_SYNC", "ERROR", "DISCONNECTED"] }
        units = { "deadtime" = "%", "*rate" = "Hz" }

    """

    options_model: ClassVar[type[Options]] = HttpJsonOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: HttpJsonOptions) -> None:
        self._origin = origin
        self._options = options
        self._address = shown(options.url)
        self._mapper = Mapper(origin, options)
        self._snapshots = SnapshotFrames(origin.source)
        self._http = HttpSource(options, accept=ACCEPT)
        self._file_seen_ns = -1
        self._shown_ns = 0

    def collect(self) -> Iterator[Collected]:
        """One snapshot, none where the document's time stands still. Raises CollectError."""
        document = self._file() if self._options.url.startswith("file:") else self._ask()
        if document is None:
            return
        readings = self._read(document.text)
        self._file_seen_ns = document.time_ns  # a file that could not be used is said to be so until it is written anew
        if readings.time_ns is not None:
            if readings.time_ns == self._shown_ns:
                return
            self._shown_ns = readings.time_ns
        yield from readings.rejected(self._address)
        if readings.channels:
            yield self._block(readings, document.time_ns if readings.time_ns is None else readings.time_ns)

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def _read(self, text: bytes) -> Readings:
        """What the mapping finds. Raises CollectError."""
        if not text.strip():
            raise CollectError(f"{self._address}: an empty answer")
        try:
            content = parse(text)
        except MalformedDocumentError as error:
            raise CollectError(f"{self._address}: {error}") from None
        readings = self._mapper.read(content)
        if not readings.is_found:
            raise CollectError(f"{self._address}: there is nothing at any of the paths")
        return readings

    def _block(self, readings: Readings, time_ns: int) -> Frame | Updates:
        """A frame; where rows have times of their own, updates."""
        channels = tuple(readings.channels.values())
        frame = self._snapshots.frame(time_ns, channels, readings.values, readings.bad)
        if not readings.times_ns:
            return frame
        names = [column.name for column in frame.layout.columns]
        times_ns = np.array([readings.times_ns.get(name, time_ns) for name in names], dtype=np.int64)
        quality = np.full(len(names), Quality.GOOD, dtype=np.uint8) if frame.quality is None else frame.quality[0]
        return Updates(frame.layout, times_ns, np.arange(len(names), dtype=np.int32), frame.values[0].astype(np.float64), quality)

    def _ask(self) -> Document:
        """What the server answers. Raises CollectError."""
        time_ns = self._origin.now_ns()
        answer = self._http.post(self._options.body.encode()) if self._options.body else self._http.get()
        if "html" in answer.content_type:
            raise CollectError(f"{self._address}: answers with a page ({answer.content_type}), not with JSON")
        return Document(answer.body, time_ns)

    def _file(self) -> Document | None:
        """What the file holds, at the time of its last modification; None where it did not change. Raises CollectError."""
        path = file_path(self._options.url)
        try:
            status = path.stat()
            if status.st_mtime_ns == self._file_seen_ns:
                return None
            if status.st_size > self._options.max_bytes:
                raise CollectError(f"{path}: a file of more than {self._options.max_bytes} bytes")
            text = path.read_bytes()
        except OSError as error:
            raise CollectError(f"{path}: {error.strerror or error}") from None
        return Document(text, status.st_mtime_ns)
