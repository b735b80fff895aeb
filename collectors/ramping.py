"""Readings that mean little while something ramps: a voltage on its way up is no anomaly.

A high-voltage channel has a status word or a state that says "ramping up". Here its readings get the quality RAMPING for as
long, whatever protocol they came over; detectors pass them over. A status that is not good itself makes nothing ramp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from collectors.collector import Options, Rejected
from collectors.frame import Channel, Frame, Layout, Quality, Updates
from collectors.patterns import expression, fill

_LARGEST_WORD = 2.0**53
"""Status words are read as floating-point numbers, which are exact up to here."""


class RampingRule(Options):
    """Says when readings ramp: { status = "*:Status", readings = ["{1}:VMon", "{1}:IMon"], bits = [1, 2] }."""

    status: str
    """Pattern of the status channels."""
    readings: tuple[str, ...] = Field(min_length=1)
    """Channels that belong to a status; `{1}` is what the pattern's first `*` stands for."""
    bits: tuple[Annotated[int, Field(ge=0, le=31)], ...] = ()
    """Bits of the status word that mean ramping (CAEN: 1 up, 2 down), the lowest is 0."""
    states: tuple[str, ...] = ()
    """Or names of states that mean it."""

    @model_validator(mode="after")
    def _check(self) -> RampingRule:
        if bool(self.bits) == bool(self.states):
            raise ValueError("give either `bits` or `states`")
        return self


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Which column is the status of which reading, in one layout; arrays of shape (pairs,), in the order of `status`.

    `mask`: bits of the status word that mean ramping, or for a state one bit for each of its values.
    """

    status: NDArray[np.int64]
    reading: NDArray[np.int64]
    mask: NDArray[np.int64]
    is_state: NDArray[np.bool_]

    def ramp(self, which: NDArray[np.int64], words: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether pairs ramp with these status words (NaN: they do not); shape of `words`, whose last axis is that of `which`."""
        usable = (words >= 0) & (words < np.where(self.is_state[which], 63, _LARGEST_WORD))
        whole = np.where(usable, words, 0).astype(np.int64)
        bits = np.where(self.is_state[which], np.left_shift(1, np.minimum(whole, 62)), whole)
        ramps: NDArray[np.bool_] = usable & ((bits & self.mask[which]) != 0)
        return ramps


class Ramping:
    """Marks what one source yields. It remembers who ramps, and the standing value of readings that may.

    A monitored voltage that has been reached sends no update any more, so that its standing value is sent again when the ramp
    ends.
    """

    def __init__(self, rules: Sequence[RampingRule]) -> None:
        self._rules = tuple(rules)
        self._digest = ""
        self._pairs = _Pairs(*(np.empty(0, np.int64),) * 3, np.empty(0, bool))
        self._active = np.empty(0, bool)
        self._standing = np.empty(0)
        self._standing_quality = np.empty(0, np.uint8)
        self._standing_ns = np.empty(0, np.int64)
        self._names: tuple[str, ...] = ()
        self._said: set[int] = set()
        self._unsaid: list[Rejected] = []

    def mark(self, item: Frame | Updates) -> Frame | Updates:
        """The same block, with the readings that ramp marked as such where they were good."""
        if not self._rules:
            return item
        self._adopt(item.layout)
        if not len(self._pairs.status):
            return item
        return self._mark_frame(item) if isinstance(item, Frame) else self._mark_updates(item)

    def take_problems(self) -> list[Rejected]:
        """Rules that cannot work, each once: what the states of a channel are called is known only when its server has told."""
        unsaid, self._unsaid = self._unsaid, []
        return unsaid

    def _check_states(self, layout: Layout) -> None:
        for i, rule in enumerate(self._rules):
            for channel in layout.channels if rule.states else ():
                if i in self._said or not channel.states or set(rule.states) & set(channel.states):
                    continue
                if expression(rule.status).fullmatch(channel.name):
                    self._said.add(i)
                    has = f"it has {', '.join(channel.states[:8])}"
                    self._unsaid.append(Rejected(channel.name, f"ramping: no state is called {' or '.join(rule.states)}, {has}"))

    def _mark_frame(self, frame: Frame) -> Frame:
        pairs = self._pairs
        words = frame.readings(pairs.status)
        ramps = pairs.ramp(np.arange(len(pairs.status)), words)
        if not ramps.any():
            return frame
        quality = np.zeros(frame.values.shape, np.uint8) if frame.quality is None else frame.quality.copy()
        row, pair = np.nonzero(ramps)
        good = quality[row, pairs.reading[pair]] == Quality.GOOD
        quality[row[good], pairs.reading[pair[good]]] = Quality.RAMPING
        return Frame(frame.layout, frame.time_ns, frame.values, quality)

    def _mark_updates(self, updates: Updates) -> Updates:
        """Goes through the block from one change of a ramp to the next."""
        event, pair = self._changes(updates)
        if len(event) and (np.diff(updates.time_ns) < 0).any():  # a server sends channel by channel what has changed meanwhile
            updates = _by_time(updates)
            event, pair = self._changes(updates)
        if not len(event):
            return self._stretch(updates, 0, len(updates))
        parts: list[Updates] = []
        start = 0
        for first, last in _runs(event):
            number, changed = int(event[first]), pair[first:last]
            parts.append(self._stretch(updates, start, number + 1))
            start = number + 1
            self._active[changed] = ~self._active[changed]
            parts.append(self._standing_again(updates, np.unique(self._pairs.reading[changed]), int(updates.time_ns[number])))
        parts.append(self._stretch(updates, start, len(updates)))
        return _joined(parts)

    def _changes(self, updates: Updates) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Events at which a pair begins or ends to ramp, and the pair, in the order of the events; both of shape (changes,)."""
        pairs = self._pairs
        first = np.searchsorted(pairs.status, updates.column, side="left")
        times = np.searchsorted(pairs.status, updates.column, side="right") - first  # pairs that each event concerns
        event = np.repeat(np.arange(len(updates)), times)
        pair = np.repeat(first - np.cumsum(times) + times, times) + np.arange(len(event))
        words = np.where(updates.quality == Quality.GOOD, updates.value, np.nan)
        ramps = pairs.ramp(pair, words[event])
        by_pair = np.argsort(pair, kind="stable")
        before = np.roll(ramps[by_pair], 1)
        is_first = np.append(True, np.diff(pair[by_pair]) != 0)[: len(pair)]
        before[is_first] = self._active[pair[by_pair][is_first]]
        changed = np.sort(by_pair[ramps[by_pair] != before])
        return event[changed], pair[changed]

    def _stretch(self, updates: Updates, start: int, stop: int) -> Updates:
        """A part of the block during which nothing begins or ends to ramp."""
        column, quality = updates.column[start:stop], updates.quality[start:stop]
        self._standing[column], self._standing_quality[column] = updates.value[start:stop], quality  # of a column twice, the last stays
        self._standing_ns[column] = updates.time_ns[start:stop]
        marked = np.where(self._is_ramping()[column] & (quality == Quality.GOOD), np.uint8(Quality.RAMPING), quality)
        return Updates(updates.layout, updates.time_ns[start:stop], column, updates.value[start:stop], marked)

    def _standing_again(self, updates: Updates, readings: NDArray[np.int64], time_ns: int) -> Updates:
        known = readings[self._standing_quality[readings] != _UNKNOWN]
        quality = self._standing_quality[known]
        marked = np.where(self._is_ramping()[known] & (quality == Quality.GOOD), np.uint8(Quality.RAMPING), quality)
        # no earlier than the value itself came, or the mark it had then would be taken for the later one
        at_ns = np.maximum(self._standing_ns[known], time_ns)
        return Updates(updates.layout, at_ns, known.astype(np.int32), self._standing[known], marked)

    def _is_ramping(self) -> NDArray[np.bool_]:
        """Shape (frame columns,)."""
        ramping = np.zeros(len(self._standing), dtype=bool)
        ramping[self._pairs.reading[self._active]] = True
        return ramping

    def _adopt(self, layout: Layout) -> None:
        """Finds the pairs in another layout; what ramps and what stands is carried over by name."""
        if layout.digest == self._digest:
            return
        before = {name: i for i, name in enumerate(self._names)}
        active = {(int(s), int(r)) for s, r in zip(self._pairs.status[self._active], self._pairs.reading[self._active], strict=True)}
        names = [""] * layout.width
        for column, start in zip(layout.columns, layout.starts[:-1], strict=True):
            names[int(start)] = column.name
        origin = np.array([before.get(name, -1) if name else -1 for name in names], dtype=np.int64)
        self._standing = np.append(self._standing, np.nan)[origin]
        self._standing_quality = np.append(self._standing_quality, _UNKNOWN)[origin].astype(np.uint8)
        self._standing_ns = np.append(self._standing_ns, np.int64(0))[origin]
        self._pairs = _found(self._rules, layout)
        status, reading = origin[self._pairs.status], origin[self._pairs.reading]
        self._active = np.array([(int(s), int(r)) in active for s, r in zip(status, reading, strict=True)], dtype=bool)
        self._digest, self._names = layout.digest, tuple(names)
        self._check_states(layout)


_UNKNOWN = np.uint8(255)
"""Quality of a reading that has not come yet."""


def _found(rules: Sequence[RampingRule], layout: Layout) -> _Pairs:
    found: list[tuple[int, int, int, bool]] = []
    for rule in rules:
        pattern = expression(rule.status)
        for channel in layout.channels:
            match = pattern.fullmatch(channel.name)
            mask = _mask(rule, channel)
            if match is None or not mask:
                continue
            readings = (fill(template, match) for template in rule.readings)
            status = layout.position(channel.name)
            found += [(status, layout.position(name), mask, bool(rule.states)) for name in readings if name in layout]
    columns = np.array(sorted(found), dtype=np.int64).reshape(-1, 4)
    return _Pairs(columns[:, 0], columns[:, 1], columns[:, 2], columns[:, 3].astype(bool))


def _mask(rule: RampingRule, channel: Channel) -> int:
    if rule.bits:
        return sum(1 << bit for bit in set(rule.bits))
    return sum(1 << i for i, state in enumerate(channel.states[:63]) if state in rule.states)


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Beginning and end of each run of the same value; `values` rises."""
    ends = np.append(np.flatnonzero(np.diff(values)) + 1, len(values))
    yield from zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)


def _by_time(updates: Updates) -> Updates:
    order = np.argsort(updates.time_ns, kind="stable")
    return Updates(updates.layout, updates.time_ns[order], updates.column[order], updates.value[order], updates.quality[order])


def _joined(parts: Sequence[Updates]) -> Updates:
    return Updates(
        parts[0].layout,
        np.concatenate([part.time_ns for part in parts]),
        np.concatenate([part.column for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )
