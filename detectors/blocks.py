"""What a running computation (a moving mean, a time since the last reading) carries from block to block."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame

T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]


class Carried:
    """Named arrays as they were before the block that is being scored.

    Blocks of any size give the same scores: a block that begins after the last one goes on from it; the same block scored
    again begins where it did the first time; a block from the past (a replay) begins as if it were the first.
    """

    def __init__(self, initial: Arrays) -> None:
        self._initial = initial
        self._before = initial
        self._after = initial
        self._first_ns = np.iinfo(np.int64).min
        self._last_ns = np.iinfo(np.int64).min

    def before(self, frame: Frame) -> Arrays:
        """The arrays to begin a block with; they must not be changed."""
        first_ns = int(frame.time_ns[0])
        if first_ns > self._last_ns:
            return self._after
        return self._before if first_ns == self._first_ns else self._initial

    def latest(self) -> Arrays:
        """The arrays as they are after the block scored last; they must not be changed."""
        return self._after

    def latest_in(self, frame: Frame) -> tuple[int, Arrays]:
        """First row of a frame that belongs to the block scored last (its length where none does), and the arrays before that block.

        For pictures of what went before: it changes nothing.
        """
        first = len(frame) if self._first_ns == np.iinfo(np.int64).min else int(np.searchsorted(frame.time_ns, self._first_ns))
        return first, self._before

    def after(self, frame: Frame, arrays: Arrays) -> None:
        """Keeps the arrays at the end of a block that was begun with `before`."""
        self._before = self.before(frame)
        self._after = arrays
        self._first_ns, self._last_ns = int(frame.time_ns[0]), int(frame.time_ns[-1])

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"initial": self._initial, "after": self._after, "last_ns": self._last_ns}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Carried:
        """Goes on from a `state`, with the next block."""
        made = cls({name: np.asarray(array) for name, array in state["initial"].items()})
        made._after = {name: np.asarray(array) for name, array in state["after"].items()}
        made._last_ns = int(state["last_ns"])
        return made


class Latest(Generic[T]):
    """What was worked out for the latest frame, so that explaining it does not work it out again."""

    def __init__(self) -> None:
        self._kept: tuple[weakref.ref[Frame], T] | None = None

    def of(self, frame: Frame) -> T | None:
        """What was kept for exactly this frame."""
        return self._kept[1] if self._kept is not None and self._kept[0]() is frame else None

    def keep(self, frame: Frame, value: T) -> T:
        """Keeps it and gives it back."""
        self._kept = (weakref.ref(frame), value)
        return value
