"""What keeps an incident small enough for a message, however much is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.records import TimelineEntry

MAX_ENTRIES = 200
"""Entries of a timeline beyond which the oldest ones of the daemon itself are left out, but for the first."""
FIRST_ENTRIES = 20
MAX_PLACES = 1000
"""Places and victims that an incident names one by one; where there are more, it names what contains them."""


def shortened(entries: Sequence[TimelineEntry]) -> tuple[TimelineEntry, ...]:
    """A timeline of bounded length: what people said stays, and so do its beginning and its end."""
    if len(entries) <= MAX_ENTRIES:
        return tuple(entries)
    last = MAX_ENTRIES - FIRST_ENTRIES - 1
    between = entries[FIRST_ENTRIES:-last]
    gap = TimelineEntry(between[0].time_ns, "shiftwatch", "more of the same is left out here")
    return (*entries[:FIRST_ENTRIES], gap, *(entry for entry in between if entry.who != "shiftwatch"), *entries[-last:])


def rolled_up(places: Iterable[str]) -> tuple[str, ...]:
    """The places, sorted; what contains them, level by level, where there are too many to name."""
    named = set(places)
    while len(named) > MAX_PLACES:
        deepest = max(place.count("/") for place in named)
        if not deepest:
            break
        named = {place.rpartition("/")[0] if place.count("/") == deepest else place for place in named}
    return tuple(sorted(named))[:MAX_PLACES]
