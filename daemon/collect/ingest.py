"""Third parties publish plain JSON to the `ingest` topic; it becomes frames like those of any collector.

`{"source": "weather", "time": "2026-01-31T02:14:07Z", "values": {"temperature": 21.5}, "units": {"temperature": "C"}, "place": "CMS/HALL"}`

`time` is ISO 8601 with a zone, or seconds since 1970. What cannot be used goes to the dead letters with its reason.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from collectors.collector import Rejected
from collectors.frame import Channel
from collectors.snapshot import SnapshotFrames
from collectors.wire import END_OF_STREAM_NS
from daemon.bus.bus import Bus, Record, TopicPartition
from daemon.clock import Clock
from daemon.collect.publisher import Publisher

SOURCE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
"""As in the configuration: "#" tells the parts of a source from one another."""
MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_TEXT_CHARACTERS = 500
"""Of a name, a unit and the place, which is repeated in the layout for every channel."""
AHEAD_NS = 300_000_000_000
"""A message from further in the future is refused: what came after it would count as late."""
INGEST_EPOCH = 1
"""The producer's epoch of all blocks that are numbered by the offset of their message."""


class IngestError(ValueError):
    """A message that cannot be used; says what is missing or wrong."""


class Ingest:
    """Reads the ingest topic. A message is committed once its frame has been acknowledged by the bus.

    Each partition of the topic is a stream of its own ("weather#ingest3"), and the offset of a message is the sequence of
    its block: read twice after a crash, it is recognised. Publish with the source as key, so that its order holds.
    """

    def __init__(
        self, bus: Bus, publishers: Mapping[str, Publisher], places: Mapping[str, str], clock: Clock, *, epoch: int = INGEST_EPOCH
    ) -> None:
        """`publishers`: those of the configured sources, which are told that their source is alive; `places`: where they lie.

        A bus whose offsets begin anew with each process needs another `epoch` each time.
        """
        self._epoch = epoch
        self._bus = bus
        self._clock = clock
        self._configured = publishers
        self._places = places
        self._subscription = bus.subscribe(["ingest"], "collect", on_revoke=self._revoked)
        self._frames: dict[tuple[str, int], SnapshotFrames] = {}
        self._publishers: dict[str, Publisher] = {}
        self.heard: set[str] = set()

    def step(self, timeout_s: float) -> int:
        """Reads what has arrived; the number of messages."""
        records = self._subscription.poll(timeout_s)
        for record in records:
            self._take(record)
        if records:
            self._bus.flush(10.0)
            self._subscription.commit({TopicPartition(r.topic, r.partition): r.offset + 1 for r in records})
        return len(records)

    def close(self) -> None:
        """Leaves the topic."""
        self._subscription.close()

    def _take(self, record: Record) -> None:
        try:
            source, place, time_ns, values, units = read_message(record.value)
            if time_ns > self._clock.now_ns() + AHEAD_NS:
                raise IngestError(f"message of source {source!r} is {(time_ns - self._clock.now_ns()) / 1e9:.0f} s ahead of the clock")
        except IngestError as error:
            subject = f"ingest message {record.partition}/{record.offset}"
            self._publisher("ingest").rejected(Rejected(subject, str(error), record.value))
            return
        place = place or self._places.get(source, source)
        channels = [Channel(name, name, units.get(name, ""), place=place) for name in values]
        frames = self._frames.setdefault((source, record.partition), SnapshotFrames(source, f"ingest{record.partition}"))
        frame = frames.frame(time_ns, channels, values)
        self._publisher(source).numbered(frame, record.offset)
        self.heard.add(source)
        if source in self._configured:
            self._configured[source].note(time_ns)

    def _publisher(self, source: str) -> Publisher:
        if source not in self._publishers:
            self._publishers[source] = Publisher(self._bus, source, "frames", self._epoch, self._clock.now_ns)
        return self._publishers[source]

    def _revoked(self, _partitions: frozenset[TopicPartition]) -> None:
        self.heard.clear()  # whoever reads them now knows whether their sources are alive


def read_message(data: bytes) -> tuple[str, str, int, dict[str, float], dict[str, str]]:
    """Source, place (empty where it names none), time, values and units of a message. Raises IngestError."""
    if len(data) > MAX_BYTES:
        raise IngestError(f"{len(data)} bytes, more than {MAX_BYTES}")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IngestError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise IngestError("not an object")
    source = message.get("source")
    if not isinstance(source, str) or not re.fullmatch(SOURCE_NAME, source):
        raise IngestError("source is missing, or is no name of letters, digits, '_', '.' and '-'")
    if "time" not in message:
        raise IngestError(f"message of source {source!r} has no time")
    values, units = message.get("values"), message.get("units", {})
    if not isinstance(values, dict) or not values or len(values) > MAX_VALUES:
        raise IngestError(f"message of source {source!r} needs values, an object of 1 to {MAX_VALUES} numbers")
    if not isinstance(units, dict):
        raise IngestError(f"units of source {source!r} must be an object")
    place = message.get("place", "")
    for text in (place, *values, *units.values()):
        if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS or not text.isprintable():
            limit = f"a text of at most {MAX_TEXT_CHARACTERS} printable characters"
            raise IngestError(f"{_shown(text)} of source {source!r} is not {limit}: it cannot be a name, a unit or a place")
    numbers = {name: _number(source, name, value) for name, value in values.items()}
    return source, place, _time_ns(source, message["time"]), numbers, units


def _shown(value: object) -> str:
    return repr(str(value)[:40]) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _number(source: str, name: str, value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IngestError(f"value {name!r} of source {source!r} is {_shown(value)}, not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isinf(number):
        raise IngestError(f"value {name!r} of source {source!r} is too large")
    return number


def _time_ns(source: str, value: object) -> int:
    time_ns = 0
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                time_ns = (moment - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
        elif isinstance(value, int | float) and not isinstance(value, bool):
            time_ns = int(value * 1_000_000_000)
    except (ValueError, OverflowError):
        pass
    if not 0 < time_ns < END_OF_STREAM_NS:
        raise IngestError(f"time {_shown(value)} of source {source!r} is neither ISO 8601 with a zone nor seconds since 1970")
    return time_ns
