"""What detectors say: Scores of units, Breaches of rules, and the Findings made of them, with their Evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from collectors.collector import Options
from collectors.frame import Frame, Layout


class Severity(StrEnum):
    """How bad: info is for the record, warning for the shift, critical wakes somebody."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Certainty(StrEnum):
    """Words that are defined once. Rules are sure; a calibrated tail probability within what was seen makes likely."""

    SURE = "sure"
    LIKELY = "likely"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Unit:
    """What a detector judges: a channel, a histogram or a group of them under one condition.

    `key` is stable (made of column keys and the condition); `name` is what a person reads ("Vmon of ch03").
    """

    key: str
    name: str
    place: str
    condition: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Contribution:
    """One bin, channel or attribute that an alarm rests on. `share` is its part of the score, 0 to 1."""

    name: str
    place: str
    observed: float
    expected: float
    share: float
    unit: str = ""
    text: str = ""  # used instead of the numbers for states ("WARNING", expected "READY")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why: one sentence for the reader, and what it rests on, most important first.

    `victims` are the places that only suffer from it, as far as the method itself can tell.
    """

    summary: str
    ranked: tuple[Contribution, ...] = ()
    victims: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Scores:
    """Raw scores, higher is more anomalous; NaN where a unit could not be judged. values: shape (n, units), float64."""

    units: tuple[Unit, ...]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Breaches:
    """Whether rules are broken. holds: shape (n, units), bool; judged: the same shape, False where nothing can be said."""

    units: tuple[Unit, ...]
    holds: NDArray[np.bool_]
    judged: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How far a tail probability can be trusted, part by part, in decades: the standard deviation of its common logarithm.

    training_run: as models trained with other seeds disagree; training_data: as samples of the normal rows that it was
    calibrated with disagree (bootstrap); statistics: of the data at hand (few entries, few channels with a reading);
    out_of_range: how far the readings lie outside all that was learned, in parts of their learned range, 0 within.
    NaN: not known.
    """

    training_run: float
    training_data: float
    statistics: float
    out_of_range: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One unit that is anomalous over an interval. The key is deterministic: found twice, it is the same finding once.

    since_ns: first bad row; raised_ns: row at which it was raised; last_ns: last row judged bad; cleared_ns: row at
    which it was cleared, None while it lasts. Event time throughout. tail_probability: chance of such a score on
    normal data, None for rules.
    """

    key: str
    source: str
    unit: Unit
    detectors: tuple[str, ...]
    severity: Severity
    certainty: Certainty
    since_ns: int
    raised_ns: int
    last_ns: int
    cleared_ns: int | None
    tail_probability: float | None
    evidence: Evidence
    reason: str = ""  # why it is unsure
    uncertainty: Uncertainty | None = None  # None for rules


@dataclass(frozen=True, slots=True)
class Need:
    """What a detector that cannot judge yet still needs, in rows of normal data."""

    rows_seen: int
    rows_needed: int


@runtime_checkable
class Rule(Protocol):
    """A check that needs no history and judges a single snapshot. Built as `Class(name, options)`."""

    options_model: ClassVar[type[Options]]
    name: str

    def judge(self, frame: Frame) -> Breaches:
        """Which units break the rule in which rows."""

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Why the unit (index into the units of `judge` for the same frame) breaks it in this row."""


@runtime_checkable
class Remembering(Protocol):
    """A rule or detector that keeps something from row to row: it is saved with the stage's state and restored."""

    def state(self) -> dict[str, Any]:
        """What it keeps, as plain values and NumPy arrays."""

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""


@runtime_checkable
class Habitual(Protocol):
    """A rule that learns what is usual: rows in which the source is muted come to it with the quality MUTED."""

    blind_while_muted: ClassVar[bool]
    """True."""


@runtime_checkable
class Detector(Protocol):
    """A method that learns what is normal. Built as `Class(name, options)`; scoring is vectorised over the frame."""

    options_model: ClassVar[type[Options]]
    name: str
    rows_needed: ClassVar[int]
    """Rows of normal history without which `fit` cannot say anything useful."""

    def applies(self, layout: Layout) -> bool:
        """Whether the layout has anything that this method can judge."""

    def fit(self, history: Frame) -> Self:
        """Learns from normal rows; returns itself. What it learned belongs to column keys."""

    def score(self, frame: Frame) -> Scores:
        """Scores every unit in every row, with what was learned; columns it has not learned give NaN or no unit."""

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Why the unit (index into the units of `score` for the same frame) scores high in this row."""

    def state(self) -> dict[str, Any]:
        """What was learned, as plain values and NumPy arrays; never code."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`. Raises ValueError where another version wrote it."""


@runtime_checkable
class Persisting(Protocol):
    """A method that is made for a persistence of its own, such as one with scores that already look at many rows."""

    raise_rows: ClassVar[int]
    """Bad rows in a row before there is a finding, where nothing else is configured."""
    clear_rows: ClassVar[int]
    """Good rows in a row before it has cleared, where nothing else is configured."""
    quiet_hours: ClassVar[float]
    """How long these must last besides, where no number of rows is configured."""


@runtime_checkable
class Attributing(Protocol):
    """A detector that ranks all channels of a unit by how likely each is the cause, over several rows at once."""

    def attribute(self, frame: Frame, first: int, last: int, unit: int) -> tuple[Contribution, ...]:
        """All channels of the unit (index into the units of `score` for the same frame), the likeliest cause first.

        frame: the one scored last; first, last: its rows of the episode, both included. Observed and expected values are
        those of the row in which the channel is furthest off.
        """


@runtime_checkable
class Uncertain(Protocol):
    """A detector that knows how far its own scores can be trusted."""

    def uncertainty(self, frame: Frame, row: int, unit: int) -> Uncertainty:
        """Of a unit (index into the units of `score` for the frame scored last) in a row; NaN for the parts it does not know."""
