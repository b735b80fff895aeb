"""What judging says of a block of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.episodes import Episode
from detectors.level_shift import Question

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Judged:
    """What a block of rows says. Arrays have the shape (n, units).

    episodes: raised or cleared, in order of time; doubtful: the same where it is not sure that the promise allows for it,
    each with the reason; questions: level shifts for a person to answer; tail: chance that a row of normal data brings an
    episode as high, NaN where not judged; alpha: that chance at the threshold, shape (units,); thresholds: the scores above which
    a row is bad; bad: whether it was.
    """

    episodes: tuple[Episode, ...]
    doubtful: tuple[tuple[Episode, str], ...]
    questions: tuple[Question, ...]
    tail: Array
    thresholds: Array
    bad: Flags
    alpha: Array

    def highest(self) -> float:
        """The highest surprise of the last row, such that 1 is the threshold and 0 nothing at all: in logarithms of chances."""
        judged = np.isfinite(self.tail[-1]) if len(self.tail) else np.zeros(0, dtype=np.bool_)
        if not judged.any():
            return 0.0
        return float((np.log(self.tail[-1][judged]) / np.log(self.alpha[judged])).max())


def joined(parts: Sequence[Judged], units: int) -> Judged:
    """What successive rows say, as one."""
    if not parts:
        nothing = np.empty((0, units))
        return Judged((), (), (), nothing, nothing, np.empty((0, units), dtype=np.bool_), np.empty(units))
    tail, thresholds, bad = (np.concatenate([getattr(part, name) for part in parts]) for name in ("tail", "thresholds", "bad"))
    episodes, doubtful = (tuple(e for part in parts for e in getattr(part, name)) for name in ("episodes", "doubtful"))
    questions = tuple(question for part in parts for question in part.questions)
    return Judged(episodes, doubtful, questions, tail, thresholds, bad, parts[-1].alpha)
