"""The newest rows of a stream, for the pictures of what is found in them."""

from __future__ import annotations

import logging
from collections import deque

from collectors.frame import Frame, concatenate
from detectors.figure import DiskFigure, Figure, FigureError, Picturing, SeriesFigure, StackFigure, StatesFigure, encode

log = logging.getLogger(__name__)

ROWS = 240
"""Rows that a picture over time can show."""
MAX_BYTES = 8_000_000
"""Fewer rows are kept of a stream with so many columns that they would be more than this."""
MAX_FIGURES = 16
"""Pictures of one block: where more is found at once, the first ones tell the story."""


class Recent:
    """The last rows of one stream, of one layout. What was kept is gone after a restart: pictures then begin there."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._left = MAX_FIGURES
        self._whole: Frame | None = None

    def take(self, frame: Frame) -> None:
        """The frame that is about to be judged; the rows of another layout are dropped."""
        if self._frames and self._frames[-1].layout.digest != frame.layout.digest:
            self._frames.clear()
        self._frames.append(frame)
        rows = sum(len(kept) for kept in self._frames)
        wanted = max(1, min(ROWS, MAX_BYTES // max(1, frame.values.itemsize * frame.values.shape[1])))
        while len(self._frames) > 1 and rows - len(self._frames[0]) >= wanted:
            rows -= len(self._frames.popleft())
        self._left, self._whole = MAX_FIGURES, None

    def picture(self, method: object, frame: Frame, row: int, unit: int) -> Figure | None:
        """What a rule or detector shows of a unit in a row of the frame taken last (or a part of it, beginning at its row 0)."""
        if not isinstance(method, Picturing) or not self._left or not self._frames or min(row, unit) < 0:
            return None  # a unit that is not there any more has index -1
        self._left -= 1
        if self._whole is None:
            self._whole = concatenate(list(self._frames)) if len(self._frames) > 1 else self._frames[0]
        first = len(self._whole) - len(frame)
        try:
            return method.picture(self._whole, first + row, unit)
        except Exception as error:  # noqa: BLE001 - a finding without a picture is still a finding
            log.warning("picture failed detector=%s reason=%r", type(method).__name__, f"{type(error).__name__}: {error}")
            return None


def later(figure: Figure | None, since_ns: int) -> Figure | None:
    """A picture that was drawn after that of the row which raised the finding, None where it shows less.

    It takes the place of that one, so it must show the beginning too: after a restart rows are missing, and a picture of one
    interval, such as a map, would show what is good again.
    """
    if not isinstance(figure, SeriesFigure | StackFigure | StatesFigure | DiskFigure):
        return None
    return figure if len(figure.time_ns) and figure.time_ns[0] <= since_ns else None


def encoded(figure: Figure | None) -> str:
    """The picture as it travels; "" where there is none or it is too large."""
    if figure is None:
        return ""
    try:
        return encode(figure)
    except FigureError as error:
        log.warning("picture left out reason=%r", str(error))
        return ""
