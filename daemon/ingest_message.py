"""One message of the `ingest` topic: what third parties publish to the bus, or push to the page.

`{"source": "weather", "time": "2026-01-31T02:14:07Z", "values": {"temperature": 21.5}, "units": {"temperature": "C"}, "place": "CMS/HALL"}`

`time` is ISO 8601 with a zone, or seconds since 1970. A value that is null is no reading. `units` and `place` may be left out.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from collectors.wire import END_OF_STREAM_NS

SOURCE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
"""As in the configuration: "#" tells the parts of a source from one another."""
MAX_BYTES = 1_000_000
MAX_VALUES = 20_000
MAX_TEXT_CHARACTERS = 500
"""Of a name, a unit and the place, which is repeated in the layout for every channel."""
AHEAD_NS = 300_000_000_000
"""A message from further in the future is refused: what came after it would count as late."""


class IngestError(ValueError):
    """A message that cannot be used; says what is missing or wrong."""


class IngestMessage(NamedTuple):
    """What a message says. `place` is empty where it names none; a value that is no reading is NaN; `units` by name."""

    source: str
    place: str
    time_ns: int
    values: dict[str, float]
    units: dict[str, str]

    def check_time(self, now_ns: int) -> None:
        """Raises IngestError where the message is from further in the future than clocks differ."""
        if self.time_ns > now_ns + AHEAD_NS:
            raise IngestError(f"message of source {self.source!r} is {(self.time_ns - now_ns) / 1e9:.0f} s ahead of the clock")


def read_message(data: bytes) -> IngestMessage:
    """The message in these bytes. Raises IngestError."""
    message = _object(data)
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
    if not all(name.strip() for name in values):
        raise IngestError(f"a value of source {source!r} has no name")
    numbers = {name: _number(source, name, value) for name, value in values.items()}
    return IngestMessage(source, "/".join(step for step in place.split("/") if step), _time_ns(source, message["time"]), numbers, units)


def _object(data: bytes) -> dict[str, Any]:
    """The object in these bytes. Raises IngestError."""
    if len(data) > MAX_BYTES:
        raise IngestError(f"{len(data)} bytes, more than {MAX_BYTES}")
    try:
        message = json.loads(data, object_pairs_hook=each_once)
    except IngestError:
        raise
    except (ValueError, RecursionError) as error:
        raise IngestError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise IngestError("not an object")
    return message


def each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object of JSON. Raises IngestError where a name is there twice: nobody knows which of the two is meant."""
    found = dict(members)
    if len(found) < len(members):
        name = next(name for name, times in Counter(name for name, _ in members).items() if times > 1)
        raise IngestError(f"the name {name[:40]!r} is there twice in one object")
    return found


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
