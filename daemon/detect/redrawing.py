"""Draws the picture of a finding once more, some rows after it was raised: at first there is little to see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from collectors.frame import Frame
from daemon.detect.findings import Event
from daemon.detect.recent import later
from detectors.episodes import Episode
from detectors.figure import Figure
from detectors.finding import Unit

AGAIN_ROWS = 12
"""Rows after the one that raised it."""
MAX_WAITING = 64
"""Findings of one judge that wait for it; where there are more, the first ones tell the story."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A finding that lasts: its event, and the rows until it is drawn again."""

    event: Event
    rows: int


class Redrawing:
    """Belongs to one judge. What waits is forgotten with the process: only a picture is missing then."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Waiting] = {}

    def note(self, episode: Episode, event: Event) -> None:
        """A finding was raised in this frame, or has cleared."""
        key = (episode.unit.key, episode.unit.condition)
        if episode.cleared_ns is not None:
            self._waiting.pop(key, None)
        elif len(self._waiting) < MAX_WAITING and event.figure is not None:
            self._waiting[key] = Waiting(event, episode.row + 1 + AGAIN_ROWS)

    def forget(self) -> None:
        """Everything has ended, as after a gap in the data."""
        self._waiting.clear()

    def due(self, frame: Frame, units: Sequence[Unit], picture: Callable[[int, int], Figure | None]) -> list[Event]:
        """The events with new pictures, once the frame was judged. `picture` draws a unit (index into `units`) in a row of the frame."""
        events: list[Event] = []
        if not self._waiting:
            return events
        index = {(unit.key, unit.condition): i for i, unit in enumerate(units)}
        for key, waiting in list(self._waiting.items()):
            if waiting.rows > len(frame):
                self._waiting[key] = replace(waiting, rows=waiting.rows - len(frame))
                continue
            del self._waiting[key]
            row = waiting.rows - 1
            at_ns = int(frame.time_ns[row])
            figure = later(picture(row, index[key]), waiting.event.since_ns) if key in index else None
            if figure is not None:
                events.append(replace(waiting.event, at_ns=at_ns, last_ns=at_ns, figure=figure))
        return events
