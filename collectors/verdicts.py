"""Verdicts of checks that exist already: quality objects and flags of other monitoring systems."""

from __future__ import annotations

import glob
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.fetched.http_options import HttpOptions, HttpSource
from collectors.fetched.json_readings import parse
from collectors.fetched.verdict_documents import Said, VerdictMapping, VerdictReader, Verdicts, generalised
from collectors.fetched.verdict_words import VERDICTS
from collectors.frame import Channel, Frame, Kind, Quality
from collectors.patterns import Places, PlaceTemplates, Selection, join_place
from collectors.snapshot import SnapshotFrames

MESSAGES_MOST = 8
"""Different messages of one check that are kept; all others are "another message"."""
MESSAGE_CHARACTERS = 120
ANOTHER = "another message"
AHEAD_NS = 300_000_000_000
"""A document from further in the future is not what later ones are compared with: they would all count as old."""


class VerdictsOptions(VerdictMapping, HttpOptions):
    """Where the documents are, and what in them says what."""

    url: str = ""
    """http:// or https://."""
    files: str = ""
    """Instead of an address: glob of JSON files. A file is read again when it was written anew."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the name of the check; one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of checks that are left out."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the name of the check = place below the source's; `{1}` is what the first `*` stands for."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.url) == bool(self.files):
            raise ValueError("give either `url` or `files`")
        if self.url.startswith("file:"):
            raise ValueError("name files in `files`")
        return self


class _Document(NamedTuple):
    """A text, where it is from, and when it was written or fetched."""

    origin: str
    time_ns: int
    text: bytes


class VerdictsCollector:
    """Takes over what other checks say, each as a channel with the states unknown, good, medium and bad.

    Known words and colours: those of ALICE QualityControl (Good, Medium, Bad, Null), ATLAS DQMF (Green, Yellow, Red, Grey,
    Undefined), CMS quality tests, Nagios, Icinga, Grafana, Prometheus and EPICS; others are given a meaning in `words`. A word that
    nobody has given one is reported with the name of its check and is no verdict. Where another system has only a score, limits
    make the verdict. A number behind the verdict is a channel NAME/score, what the check says a channel NAME/message, whose states
    are the messages without their numbers.

    The detector `verdicts` raises what these checks find, as far as they are worth it.

    Example:
        [source.qc]
        collector = "verdicts"
        place = "ALICE/TPC"
        url = "https://qc.example.org/api/qualities"
        rows = "objects"
        name = "{path}"
        verdict = "quality.name"
        message = "quality.message"
        detectors = ["verdicts"]

    """

    options_model: ClassVar[type[Options]] = VerdictsOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: VerdictsOptions) -> None:
        self._origin = origin
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._places = Places("", options.places)
        self._reader = VerdictReader(options)
        self._parts = [part for part, path in (("score", options.score), ("message", options.message)) if path is not None]
        self._http = HttpSource(options) if options.url else None
        self._snapshots = SnapshotFrames(origin.source)
        self._seen: dict[str, tuple[int, int]] = {}
        self._shown: dict[str, frozenset[str]] = {}
        self._origins: Counter[str] = Counter()
        self._channels: dict[str, Channel] = {}
        self._times_ns: dict[str, int] = {}
        self._messages: dict[str, list[str]] = {}
        self._newest_ns = 0

    def collect(self) -> Iterator[Collected]:
        """A frame for each document that is new, in the order of their times: what it says, and nothing of other documents' checks."""
        found: list[tuple[int, str, Verdicts]] = []
        for document in self._documents():
            verdicts = document if isinstance(document, Rejected) else self._read(document)
            if isinstance(verdicts, Rejected):
                yield verdicts
            elif not isinstance(document, Rejected):
                found.append((document.time_ns if verdicts.time_ns is None else verdicts.time_ns, document.origin, verdicts))
        for time_ns, origin, verdicts in sorted(found, key=lambda item: item[:2]):
            yield from self._told(time_ns, origin, verdicts)

    def close(self) -> None:
        """Ends the connection."""
        if self._http is not None:
            self._http.close()

    def _read(self, document: _Document) -> Verdicts | Rejected:
        """What a document says. Raises CollectError for the only one there is, that of a server."""
        try:
            return self._reader.read(parse(document.text), document.time_ns)
        except ValueError as error:  # a MalformedDocumentError too
            reason = str(error) if document.text.strip() else "it is empty"
            if self._http is not None:
                raise CollectError(f"{document.origin}: {reason}") from None
            return Rejected(document.origin, reason, document.text)

    def _told(self, time_ns: int, origin: str, verdicts: Verdicts) -> Iterator[Collected]:
        """The frame of one document; none where it is not newer than what its origin has shown before."""
        before_ns = self._times_ns.get(origin, 0)
        if time_ns <= before_ns:
            if time_ns < before_ns:
                yield Rejected(origin, f"is {(before_ns - time_ns) / 1e9:.0f} s older than what it showed before")
            return
        self._times_ns[origin] = self._believable(time_ns)
        yield from verdicts.rejected(origin)
        channels: dict[str, Channel] = {}
        values: dict[str, float] = {}
        bad: dict[str, Quality] = {}
        wanted = {name: said for name, said in verdicts.said.items() if name in self._selection}
        for name, said in wanted.items():
            parts = [part for part in self._parts if f"{name}/{part}" not in wanted]
            yield from (
                Rejected(origin, f"{name}/{part} is a check, and would be the {part} of {name}")
                for part in self._parts
                if part not in parts
            )
            self._add(name, said, parts, channels, values, bad)
        self._show(origin, channels)
        if channels:
            yield self._frame(time_ns, values, bad)

    def _frame(self, time_ns: int, values: dict[str, float], bad: dict[str, Quality]) -> Frame:
        """Another origin may have been read a moment earlier with a later time: a stream does not go back for that."""
        self._newest_ns = max(self._believable(time_ns), self._newest_ns + 1_000)
        return self._snapshots.frame(max(time_ns, self._newest_ns), list(self._channels.values()), values, bad)

    def _believable(self, time_ns: int) -> int:
        """The time of a document, now where it is far in the future."""
        now_ns = self._origin.now_ns()
        return time_ns if time_ns <= now_ns + AHEAD_NS else now_ns

    def _show(self, origin: str, channels: dict[str, Channel]) -> None:
        """Takes note of the channels that an origin shows; those that none shows any more are gone."""
        names = frozenset(channels)
        before = self._shown.pop(origin, frozenset())
        if channels:
            self._shown[origin] = before if before == names else names
        self._origins.update(names - before)
        self._origins.subtract(before - names)
        for name in before - names:
            if not self._origins[name]:
                del self._origins[name], self._channels[name]
                self._messages.pop(name, None)
        self._channels.update(channels)

    def _add(
        self,
        name: str,
        said: Said,
        parts: Sequence[str],
        channels: dict[str, Channel],
        values: dict[str, float],
        bad: dict[str, Quality],
    ) -> None:
        """Channels, values and qualities of one check; `parts`: which of its score and message it has."""
        options = self._options
        place = join_place(self._origin.place, self._places.of(name), *said.place.split("/"))
        channels[name] = Channel(name, name, "", Kind.STATE, place, VERDICTS)
        values[name] = math.nan if said.verdict is None else float(VERDICTS.index(said.verdict))
        quality = Quality.INVALID if said.problem else Quality.STALE if said.is_stale else None
        names = [name]
        if "score" in parts:
            names.append(f"{name}/score")
            channels[names[-1]] = Channel(names[-1], f"score of {name}", options.score_unit, Kind.GAUGE, place)
            values[names[-1]] = said.score
        if "message" in parts:
            names.append(f"{name}/message")
            values[names[-1]] = self._message(name, said)
            words = tuple(self._messages.get(name, ()))
            channels[names[-1]] = Channel(names[-1], f"message of {name}", "", Kind.STATE, place, words)
        if quality is not None:
            bad.update(dict.fromkeys(names, quality))

    def _message(self, name: str, said: Said) -> float:
        """The number of what the check says, NaN where it is good or says nothing."""
        text = generalised(said.message, MESSAGE_CHARACTERS)
        if not text or said.verdict in (None, "good"):
            return math.nan
        known = self._messages.setdefault(name, [])
        if text not in known and len(known) >= MESSAGES_MOST:
            text = ANOTHER
        if text not in known:
            known.append(text)
        return float(known.index(text))

    def _documents(self) -> Iterator[_Document | Rejected]:
        """What the server answers, or the files that were written since the last turn. Raises CollectError."""
        if self._http is not None:
            time_ns = self._origin.now_ns()
            yield _Document(self._http.address, time_ns, self._http.get().body)
            return
        pattern = self._options.files
        paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not paths:
            raise CollectError(f"no file matches {pattern}")
        for gone in self._seen.keys() - set(paths):
            del self._seen[gone]
            self._show(gone, {})
            self._times_ns.pop(gone, None)
        for path in paths:
            try:
                status = Path(path).stat()
                signature = status.st_mtime_ns, status.st_size
                if self._seen.get(path) == signature:
                    continue
                self._seen[path] = signature
                if status.st_size > self._options.max_bytes:
                    raise OSError(0, f"a file of more than {self._options.max_bytes} bytes")
                yield _Document(path, status.st_mtime_ns, Path(path).read_bytes())
            except OSError as error:
                yield Rejected(path, error.strerror or str(error))
