"""The text of all metrics of one address, by HTTP or from a file, and never a part of it taken for the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from collectors.collector import CollectError
from collectors.fetched.http_options import HttpOptions, HttpSource
from collectors.fetched.http_text import file_path, shown

ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


class Exposition(NamedTuple):
    """The text of all metrics at one time; `cut_line` is what stands after the last end of a line."""

    text: str
    is_openmetrics: bool
    time_ns: int
    cut_line: str = ""


class Expositions:
    """What an exporter shows, whenever it is asked."""

    def __init__(self, options: HttpOptions, now_ns: Callable[[], int]) -> None:
        self._options = options
        self._now_ns = now_ns
        self._file_seen_ns = 0
        self._http = HttpSource(options, accept=ACCEPT)
        self.address = shown(options.url)
        """As it may be shown."""

    def newest(self) -> Exposition | None:
        """What it shows now; None where a file did not change. Raises CollectError."""
        return self._file() if self._options.url.startswith("file:") else self._scrape()

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def _scrape(self) -> Exposition:
        """What the server answers. Raises CollectError."""
        address, time_ns = self.address, self._now_ns()
        answer = self._http.get()
        text = answer.body.decode("utf-8", "replace")
        if not text.strip():
            raise CollectError(f"{address}: an empty answer")
        if "html" in answer.content_type:
            raise CollectError(f"{address}: answers with a page ({answer.content_type}), not with metrics")
        is_openmetrics = "openmetrics" in answer.content_type
        if (is_openmetrics and not text.rstrip().endswith("# EOF")) or not (answer.is_whole or text.endswith("\n")):
            raise CollectError(f"{address}: the answer ended early")
        return Exposition(text, is_openmetrics, time_ns)

    def _file(self) -> Exposition | None:
        """What the file holds, at the time of its last modification; None where it did not change. Raises CollectError."""
        path = file_path(self._options.url)
        try:
            status = path.stat()
            if status.st_mtime_ns == self._file_seen_ns:
                return None
            if status.st_size > self._options.max_bytes:
                raise CollectError(f"{path}: a file of more than {self._options.max_bytes} bytes")
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise CollectError(f"{path}: {error.strerror or error}") from None
        if not text.strip():
            raise CollectError(f"{path}: it is empty")
        self._file_seen_ns = status.st_mtime_ns
        whole, newline, cut_line = text.rpartition("\n")
        return Exposition(whole + newline, whole.endswith("# EOF"), status.st_mtime_ns, cut_line)
