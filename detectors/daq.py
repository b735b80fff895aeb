"""Diagnosis of a data acquisition: which FED, link, readout unit or farm takes the rate away, and who only suffers.

A rule: it needs no history and judges a single snapshot, except for what is defined over minutes (repeated and lengthy soft
errors, settling after a start, the hold-off of cloud jobs), for which it remembers run control states. It reads the channels of
a DAQ snapshot source by name (see `collectors.daq_tables`, where they are listed); other frames have no units.

Method: the conditions of the expert system of the CMS DAQ ("DAQExpert: an expert system to increase CMS data-taking efficiency",
ACAT 2017; "DAQExpert the service …", CHEP 2019), judged over whole frames. All that hold are reported;
`detectors.daq_advice.EXPLAINS` tells the cause from what it brings about.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame, digest_of
from detectors.daq_advice import ADVICE, EXPLAINS, Advice
from detectors.daq_case import Case
from detectors.daq_conditions import Facts, Verdict, data_flow, dead_time, trigger_throttling
from detectors.daq_evidence import evidence_of
from detectors.daq_overview import overview, stop
from detectors.daq_picture import picture_of
from detectors.daq_run import Run, RunMemory, RunRows
from detectors.daq_view import Bools, DaqLayout, DaqView, same_wiring
from detectors.figure import Figure
from detectors.finding import Breaches, Evidence, Unit
from detectors.picturing import Moment

KEPT_LAYOUTS = 8
PENDING_NS = 300 * 1_000_000_000
"""A condition that held within this time and cannot be judged now is shown as not judged."""


class DaqOptions(Options):
    """Options of the rule `daq`: the thresholds of its conditions."""

    no_rate_hz: float = 0
    """No rate is a rate of built events at or below this."""
    settle_s: float = 5
    """Nothing is said in the first seconds after a start, a pause or a recovery."""
    fed_dead_time_percent: float = 2
    """A FED takes too much time in WARNING and BUSY above this."""
    partition_dead_time_percent: float = 5
    """A partition takes too much time in WARNING and BUSY above this."""
    retri_percent: float = 1
    """The protection against resonant triggers takes too much time above this."""
    backpressure_percent: float = 2
    """The DAQ pushes a FED back where the back-pressure on its link is above this."""
    no_backpressure_percent: float = 0.1
    """Back-pressure up to this is none: a FED that blocks the triggers does so by itself."""
    stuck_backpressure_percent: float = 80
    """Above this a FED that blocks the triggers is stuck because of the DAQ."""
    few_requests: float = 100
    """The event manager has few requests below this: the builder units do not ask for events."""
    limited_builders_ratio: float = 0.3
    """The filter farm holds up the builder units where more than this part of them is throttled, blocked or failed."""
    rate_limit_hz: float = 100_000
    """The rate of built events is too high above this, the design of the readout."""
    input_rate_high_hz: float = 100_000
    """Triggers accepted and suppressed are too many above this."""
    input_rate_very_high_hz: float = 200_000
    """Triggers accepted and suppressed are far too many above this."""
    admissible_dead_time_ratio: float = 0.05
    """Part of the triggers that ordinary dead time suppresses; it does not count towards the two limits above."""
    hlt_output_high_gb_s: float = 4.5
    """The output of the filter farm is high above this."""
    hlt_output_extreme_gb_s: float = 6
    """The output of the filter farm is more than the storage can take above this."""
    cloud_ratio: float = 0.03
    """Filter units in cloud mode are too many above this part of all."""
    cloud_hold_off_s: float = 1800
    """Time that cloud jobs are given to end when the beam mode no longer allows them."""
    soft_error_s: float = 30
    """A recovery from a soft error is lengthy above this."""
    soft_error_limits_s: dict[str, float] = Field(default={"TRACKER": 60})
    """The same for subsystems that take longer."""
    soft_error_entries: int = 3
    """Soft errors of a subsystem are continuous where there are more than this within the window."""
    soft_error_window_s: float = 600
    """The window in which soft errors are counted."""
    many: int = 4
    """More FEDs of a partition than this, or more readout units, are one finding at the partition, or at the DAQ."""


@dataclass(frozen=True, eq=False)
class _Judged:
    """The outcome for a frame: its parts of equal wiring with their verdicts, first row of each, and the units of all."""

    facts: list[Facts]
    verdicts: list[list[Verdict]]
    starts: list[int]
    breaches: Breaches

    def case(self, what: Unit, row: int) -> Case:
        """What a unit stands for in a row."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        facts, within = self.facts[part], row - self.starts[part]
        objects: dict[str, list[int]] = {}
        for verdict in self.verdicts[part]:
            if verdict.condition == what.condition:
                places = _places(facts.view.layout, verdict.kind)
                held = np.flatnonzero(verdict.holds[within]).tolist()
                objects.setdefault(verdict.kind, []).extend(i for i in held if _belongs(places[i], verdict.kind, what.place))
        return Case(facts, within, objects)

    def row_at(self, time_ns: int) -> int:
        """The row of this time, -1 where there is none."""
        times = np.concatenate([facts.view.frame.time_ns for facts in self.facts])
        row = int(np.searchsorted(times, time_ns))
        return row if row < len(times) and times[row] == time_ns else -1


class DaqRule:
    """The DAQ diagnosis; see the module."""

    options_model: ClassVar[type[Options]] = DaqOptions
    advice: ClassVar[Mapping[str, Advice]] = ADVICE
    explains: ClassVar[Mapping[str, tuple[str, ...]]] = EXPLAINS

    def __init__(self, name: str, options: DaqOptions) -> None:
        self.name = name
        self._options = options
        self._memory = RunMemory()
        self._layouts: dict[str, DaqLayout] = {}
        self._held: dict[str, dict[tuple[str, str], int]] = {}
        self._last: tuple[weakref.ref[Frame], _Judged] | None = None

    def judge(self, frame: Frame) -> Breaches:
        """Conditions with their places that hold in at least one row; none for frames of other sources.

        Those that held in the minutes before and that no row of the frame can judge are there as well.
        """
        layout = self._layout(frame)
        if not layout.known or not len(frame):
            nothing = np.zeros((len(frame), 0), dtype=np.bool_)
            return Breaches((), nothing, nothing)
        judged = self._judged(layout, frame)
        self._last = weakref.ref(frame), judged
        return judged.breaches

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """The objects that the condition holds for in this row, what they show, and who suffers."""
        if self._last is None or self._last[0]() is not frame:
            self.judge(frame)
        if self._last is None:
            raise IndexError(f"rule {self.name}: the frame has no unit {unit}")
        judged = self._last[1]
        what = judged.breaches.units[unit]
        return evidence_of(what, judged.case(what, row))

    def picture(self, recent: Frame, row: int, unit: int) -> Figure | None:
        """Dead time by cause with the culprit's, else TTS states, else readings; see `detectors.daq_picture`.

        `unit` is one of the frame that was judged last, which must have the row; None where it has not.
        """
        judged = self._last[1] if self._last is not None else None
        row_there = -1 if judged is None else judged.row_at(int(recent.time_ns[row]))
        if judged is None or row_there < 0 or unit >= len(judged.breaches.units):
            return None
        what = judged.breaches.units[unit]
        return picture_of(what, judged.case(what, row_there), Moment.of(recent, row))

    def state(self) -> dict[str, Any]:
        """Run control states and conditions of the last minutes, by source."""
        held = {stream: [[*key, last_ns] for key, last_ns in of.items()] for stream, of in self._held.items()}
        return {"rows": self._memory.state(), "held": held}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._memory.restore(state["rows"])
        self._held = {stream: {(condition, place): int(ns) for condition, place, ns in of} for stream, of in state["held"].items()}
        self._last = None

    def _layout(self, frame: Frame) -> DaqLayout:
        digest = frame.layout.digest
        if digest not in self._layouts:
            if len(self._layouts) >= KEPT_LAYOUTS:
                del self._layouts[next(iter(self._layouts))]
            self._layouts[digest] = DaqLayout(frame.layout)
        return self._layouts[digest]

    def _judged(self, layout: DaqLayout, frame: Frame) -> _Judged:
        starts = same_wiring(DaqView(layout, frame)).tolist()
        all_facts, all_verdicts = [], []
        columns: dict[tuple[str, str], tuple[Bools, Bools]] = {}
        for start, end in zip(starts, [*starts[1:], len(frame)], strict=True):
            view = DaqView(layout, frame.rows(slice(start, end)))
            context = self._memory.context(frame.layout.stream, RunRows.of(view))
            facts = Facts(view, Run.of(view, context, self._options), self._options)
            verdicts = [*trigger_throttling(facts), *data_flow(facts), *dead_time(facts), *overview(facts)]
            verdicts += stop(facts, verdicts)
            for verdict in verdicts:
                self._collect(layout, verdict, slice(start, end), len(frame), columns)
            all_facts.append(facts)
            all_verdicts.append(verdicts)
        self._keep_pending(frame, columns, np.concatenate([facts.run.judged for facts in all_facts]))
        return _Judged(all_facts, all_verdicts, starts, _breaches(frame, columns))

    def _keep_pending(self, frame: Frame, columns: dict[tuple[str, str], tuple[Bools, Bools]], judged: Bools) -> None:
        """Shows conditions that held a moment ago as not judged while a recovery goes on, so that they do not seem to be over."""
        held = self._held.setdefault(frame.layout.stream, {})
        start_ns = int(frame.time_ns[0])
        for key in [key for key, last_ns in held.items() if last_ns < start_ns - PENDING_NS]:
            del held[key]
        if not judged.all():
            for key, last_ns in held.items():
                if key not in columns and last_ns < start_ns:
                    columns[key] = np.zeros(len(frame), dtype=np.bool_), judged.copy()
        for key, (holds, _) in columns.items():
            if holds.any() and not key[0].startswith("soft_error"):
                held[key] = max(held.get(key, 0), int(frame.time_ns[np.flatnonzero(holds)[-1]]))

    def _collect(
        self, layout: DaqLayout, verdict: Verdict, rows: slice, n: int, columns: dict[tuple[str, str], tuple[Bools, Bools]]
    ) -> None:
        """Enters a verdict's columns under condition and place; many objects of one owner become one column of the owner."""
        holds = verdict.holds
        if not holds.any():
            return
        owner_places: Iterable[str] = ()
        of_owner = np.zeros((len(holds), 0), dtype=np.bool_)
        if verdict.kind == "fed":
            of_owner = layout.in_partition.count(holds) > self._options.many
            owner_places = layout.partitions.places
            holds = holds & ~(of_owner[:, layout.fed_partition] & (layout.fed_partition >= 0)) if of_owner.size else holds
        elif verdict.kind == "unit":
            of_owner = holds.sum(axis=1, keepdims=True) > self._options.many
            owner_places = (layout.daq_place,)
            holds = holds & ~of_owner
        for places, columns_of in ((_places(layout, verdict.kind), holds), (list(owner_places), of_owner)):
            for i in np.flatnonzero(columns_of.any(axis=0)).tolist():
                key = verdict.condition, places[i]
                if key not in columns:
                    columns[key] = np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)
                columns[key][0][rows] |= columns_of[:, i]
                columns[key][1][rows] &= verdict.judged


def _breaches(frame: Frame, columns: dict[tuple[str, str], tuple[Bools, Bools]]) -> Breaches:
    units = tuple(_unit(frame.layout.source, condition, place) for condition, place in columns)
    if not units:
        nothing = np.zeros((len(frame), 0), dtype=np.bool_)
        return Breaches((), nothing, nothing)
    return Breaches(units, np.stack([h for h, _ in columns.values()], axis=1), np.stack([j for _, j in columns.values()], axis=1))


def _unit(source: str, condition: str, place: str) -> Unit:
    leaf = place.rpartition("/")[2]
    return Unit(
        digest_of("daq", source, condition, place), f"{leaf}: {condition.replace('_', ' ')}", place, condition, ADVICE[condition].severity
    )


def _places(layout: DaqLayout, kind: str) -> list[str]:
    match kind:
        case "fed":
            return list(layout.feds.places)
        case "partition":
            return list(layout.partitions.places)
        case "unit":
            return list(layout.units.places)
        case "subsystem":
            return [*layout.subsystems.places, layout.daq_place]
        case "DAQ":
            return [layout.daq_place]
        case _:
            return [layout.place(kind)]


def _belongs(place: str, kind: str, unit_place: str) -> bool:
    """Whether an object is part of a unit: it lies within its place, or the unit stands for all readout units."""
    return (
        place == unit_place
        or place.startswith(unit_place + "/")
        or (kind == "unit" and not unit_place.rpartition("/")[2].startswith("RU "))
    )
