"""When which fault is put in: drawn by seed, with time to learn first and time to clear after each fault."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from daemon.demo import faults
from daemon.demo.faults import Fault

WARM_UP = 100
"""Lumisections of normal running that the statistical detectors need at least."""
TAIL = 8
"""Lumisections after the last gap, so that the last fault is seen to clear."""
SHORTEST_SLOT, WANTED_SLOT = 27, 48
"""Lumisections for one fault and the gap after it."""
SHORTEST_FAULT, LONGEST_FAULT = 16, 30
_ATTEMPTS = 1_000
_NEIGHBOUR_COST = {faults.HV: 10}
"""What it costs to have two faults in turn in one part of the experiment; currents and voltages take long to look normal again."""


class ScheduleError(ValueError):
    """The time given is too short for any fault."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A fault and its time: from the start of lumisection `start` to the start of lumisection `stop`, counted from 0."""

    fault: Fault
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens in `lumisections` of data: faults in order of their start, and where new runs begin."""

    lumisections: int
    faults: tuple[Scheduled, ...]
    new_runs: tuple[int, ...]


_Factory = Callable[[np.random.Generator], Fault]
_ALWAYS: tuple[_Factory, ...] = (
    faults.SupermoduleTrip,
    faults.DeadRegion,
    faults.BusyFrontEnd,
    faults.MovedPeak,
    faults.ChamberTrip,
    faults.CurrentDrift,
)
"""Most telling first: a short demo shows the first of them."""


def make_schedule(lumisections: int, seed: int) -> Schedule:
    """Draws a schedule for so many lumisections; the same seed gives the same one.

    Every kind of fault appears once a round, in an order in which neighbours touch different parts of the experiment.
    A new run begins in the gap in the middle of each round. Raises ScheduleError where not even one fault fits.
    """
    rng = np.random.default_rng([seed, 3])
    per_round = len(_ALWAYS) + 1
    warm_up = max(WARM_UP, min(lumisections * 3 // 10, 3 * WARM_UP))
    room = lumisections - warm_up - TAIL
    rounds = max(1, room // (per_round * WANTED_SLOT))
    if room < per_round * SHORTEST_SLOT:
        warm_up, room = WARM_UP, lumisections - WARM_UP - TAIL
    slots = min(rounds * per_round, room // SHORTEST_SLOT)
    if slots < 1:
        raise ScheduleError(f"{lumisections} lumisections are too few: {WARM_UP + TAIL + SHORTEST_SLOT} are needed for one fault")
    slot = room // slots
    scheduled: list[Scheduled] = []
    new_runs: list[int] = []
    previous: Fault | None = None
    for first in range(0, slots, per_round):
        quick, slow = _round(rng, min(per_round, slots - first), warm_up + first * slot, slot, previous)
        scheduled += quick + slow
        previous = quick[-1].fault
        if len(quick) > 1:
            new_runs.append(quick[len(quick) // 2].start - (slot - _fault_length(slot)) // 3)
    return Schedule(lumisections, tuple(sorted(scheduled, key=lambda s: s.start)), tuple(new_runs))


def _fault_length(slot: int) -> int:
    return int(np.clip(slot * 6 // 10, SHORTEST_FAULT, LONGEST_FAULT))


def _round(rng: np.random.Generator, count: int, start: int, slot: int, previous: Fault | None) -> tuple[list[Scheduled], list[Scheduled]]:
    """Faults of different kinds in slots from `start`, neighbours apart, and the slow one that lies beside two of them."""
    hot: _Factory = faults.HotTower if rng.random() < 0.5 else faults.HotModule
    ordered = _apart(rng, [make(rng) for make in (*_ALWAYS, hot)[:count]], previous)
    length = _fault_length(slot)
    quick = [Scheduled(fault, start + i * slot, start + i * slot + length) for i, fault in enumerate(ordered)]
    # not beside the fault with several effects: what is said about that one must be plain to read
    beside = [i for i in range(count - 1) if not any(fault.cause for fault in ordered[i : i + 2])]
    if not beside:
        return quick, []
    at = start + beside[rng.integers(len(beside))] * slot
    return quick, [Scheduled(faults.FailingDisk(rng), at + length // 2, at + slot + length)]


def _apart(rng: np.random.Generator, drawn: list[Fault], previous: Fault | None) -> list[Fault]:
    """An order in which neighbours touch different parts of the experiment, as far as there is one."""
    best, fewest = drawn, math.inf
    for _ in range(_ATTEMPTS):
        order = [drawn[i] for i in rng.permutation(len(drawn))]
        chain = [previous, *order] if previous is not None else order
        shared = sum(_NEIGHBOUR_COST.get(part, 1) for a, b in pairwise(chain) for part in a.subsystems & b.subsystems)
        if shared < fewest:
            best, fewest = order, shared
        if not fewest:
            break
    return best
