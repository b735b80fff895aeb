"""Whether events are to be expected: run control states, and what they were in the minutes before."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detectors.daq_view import Bools, DaqView, Floats, Indices

if TYPE_CHECKING:
    from detectors.daq import DaqOptions

RECOVERING = (
    "FixingSoftError", "PerformingDCSPauseResume", "Pausing", "Paused", "Resuming", "TTCResyncing", "TTCResyncingFromRunning",
    "TTCHardResetting", "TTCHardResettingFromRunning", "Recovering",
)  # fmt: skip
"""States in which no events come because somebody or something is at work: nothing can be said."""
ON = ("Running", "RunningDegraded", "RunningSoftErrorDetected")
STUCK = ("Error", "FatalError", "RunBlocked", "Failed")
"""States in which a run that was on has come to a halt by itself."""
IN_SOFT_ERROR = ("FixingSoftError", "RunningSoftErrorDetected")
CLOUD_ALLOWED = (
    "NO BEAM", "SETUP", "INJECTION PROBE BEAM", "INJECTION SETUP BEAM", "INJECTION PHYSICS BEAM", "PREPARE RAMP", "RAMP DOWN", "CYCLING",
    "RECOVERY", "ABORT", "UNSTABLE BEAMS", "BEAM DUMP", "INJECT AND DUMP", "CIRCULATE AND DUMP",
)  # fmt: skip
"""Beam modes in which the filter farm may run cloud jobs."""
CLOUD_FORBIDDEN = ("SQUEEZE", "ADJUST", "STABLE BEAMS")
"""Beam modes in which it may not, not even for the time it takes to end them."""
BEAM_MODE = "global/lhcBeamMode"
LEVEL_ZERO, DAQ, LEVEL_ZERO_AGE = "global/levelZeroState", "global/daqState", "global/levelZeroStateAge"
KEPT_NS = 40 * 60 * 1_000_000_000
MAX_GAP_NS = 120 * 1_000_000_000
"""What happened before a longer gap than this between two snapshots says nothing about now."""


class Phase(IntEnum):
    """What the run control says of a row."""

    UNKNOWN = 0  # no states to read
    OFF = 1  # no run, or it is being started or stopped
    RECOVERING = 2
    ON = 3


def phase(view: DaqView) -> NDArray[np.int8]:
    """The phase of each row, of level zero, DAQ and trigger control (TCDS) together; shape (n,).

    The trigger control pauses on an error of level zero, and nobody resumes it: such a run is on, and stuck. A forced stop
    is taken as on while the trigger control still runs, because it is what an operator does about a run that is stuck.
    """
    known_zero, known_daq = (np.isfinite(view.value(name)) for name in (LEVEL_ZERO, DAQ))
    tcds_on, tcds_recovering, tcds_stuck, tcds_known = _trigger_control(view)
    stuck = view.state_is(LEVEL_ZERO, STUCK)
    forced = view.state_is(LEVEL_ZERO, ("ForceStopping",)) & tcds_on
    unclear = ~known_zero | (view.state_is(LEVEL_ZERO, ("Undefined",)) & tcds_on)
    on = view.state_is(LEVEL_ZERO, ON) | stuck | forced | unclear
    on &= view.state_is(DAQ, (*ON, *STUCK)) | ~known_daq
    on &= tcds_on | tcds_recovering | tcds_stuck | ~tcds_known
    recovering = view.state_is(LEVEL_ZERO, RECOVERING) | (on & tcds_recovering & ~stuck)
    result = np.where(recovering, Phase.RECOVERING, np.where(on, Phase.ON, Phase.OFF))
    return np.where(known_zero | known_daq, result, Phase.UNKNOWN).astype(np.int8)


def _trigger_control(view: DaqView) -> tuple[Bools, Bools, Bools, Bools]:
    """Whether the trigger control is on, recovering, stuck, known at all; each of shape (n,)."""
    if "TCDS" not in view.layout.subsystems.names:
        nothing = np.zeros(len(view), dtype=np.bool_)
        return nothing, nothing, nothing, nothing
    column = view.layout.subsystems.names.index("TCDS")
    on, recovering, stuck = (view.subsystem_is(words)[:, column] for words in (ON, RECOVERING, (*STUCK, "Faulty")))
    return on, recovering, stuck, np.isfinite(view.subsystem("status")[:, column])


@dataclass(frozen=True, eq=False)
class RunRows:
    """What the rule remembers of rows: time_ns, phase, fixing (level zero), failed (level zero in error), cloud_allowed: shape (n,).

    soft_errors: shape (n, subsystems), which subsystems are in a soft error; `subsystems` are their places.
    """

    time_ns: NDArray[np.int64]
    phase: NDArray[np.int8]
    fixing: Bools
    failed: Bools
    cloud_allowed: Bools
    soft_errors: Bools
    subsystems: tuple[str, ...]

    @classmethod
    def of(cls, view: DaqView) -> RunRows:
        """The rows of a frame."""
        machine_tests = view.state_is("global/lhcMachineMode", ("MACHINE DEVELOPMENT", "SHUTDOWN"))
        return cls(
            view.frame.time_ns,
            phase(view),
            view.state_is(LEVEL_ZERO, ("FixingSoftError",)),
            view.state_is(LEVEL_ZERO, ("Error", "FatalError")),
            machine_tests | view.state_is(BEAM_MODE, CLOUD_ALLOWED) | ~np.isfinite(view.value(BEAM_MODE)),
            view.subsystem_is(IN_SOFT_ERROR),
            view.layout.subsystems.places,
        )

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, rows: Bools | slice) -> RunRows:
        """Some of the rows."""
        return RunRows(
            self.time_ns[rows],
            self.phase[rows],
            self.fixing[rows],
            self.failed[rows],
            self.cloud_allowed[rows],
            self.soft_errors[rows],
            self.subsystems,
        )

    def followed_by(self, later: RunRows, subsystems: tuple[str, ...]) -> RunRows:
        """These rows and then `later`, with the soft errors of some subsystems."""
        return RunRows(
            np.concatenate([self.time_ns, later.time_ns]),
            np.concatenate([self.phase, later.phase]),
            np.concatenate([self.fixing, later.fixing]),
            np.concatenate([self.failed, later.failed]),
            np.concatenate([self.cloud_allowed, later.cloud_allowed]),
            np.concatenate([self._soft_errors_of(subsystems), later._soft_errors_of(subsystems)]),
            subsystems,
        )

    def _soft_errors_of(self, subsystems: tuple[str, ...]) -> Bools:
        if subsystems == self.subsystems:
            return self.soft_errors
        result = np.zeros((len(self), len(subsystems)), dtype=np.bool_)
        for i, place in enumerate(subsystems):
            if place in self.subsystems:
                result[:, i] = self.soft_errors[:, self.subsystems.index(place)]
        return result


class RunMemory:
    """The last forty minutes of run control states of each source.

    Rows are kept by their time: a frame that is judged again gives the same answer.
    """

    def __init__(self) -> None:
        self._rows: dict[str, RunRows] = {}

    def state(self) -> dict[str, dict[str, Any]]:
        """The rows of each source, as plain values and arrays."""
        return {source: {field.name: getattr(rows, field.name) for field in fields(rows)} for source, rows in self._rows.items()}

    def restore(self, state: dict[str, dict[str, Any]]) -> None:
        """Goes on from a `state`."""
        self._rows = {
            source: RunRows(
                np.asarray(rows["time_ns"], dtype=np.int64),
                np.asarray(rows["phase"], dtype=np.int8),
                np.asarray(rows["fixing"], dtype=np.bool_),
                np.asarray(rows["failed"], dtype=np.bool_),
                np.asarray(rows["cloud_allowed"], dtype=np.bool_),
                np.asarray(rows["soft_errors"], dtype=np.bool_).reshape(len(rows["time_ns"]), len(rows["subsystems"])),
                tuple(rows["subsystems"]),
            )
            for source, rows in state.items()
        }

    def context(self, source: str, rows: RunRows) -> RunRows:
        """The rows, preceded by those that were seen before them; `rows` are remembered."""
        kept = self._rows.get(source)
        if kept is None:
            self._rows[source] = rows
            return rows
        before = kept.take((kept.time_ns < rows.time_ns[0]) & (kept.time_ns >= rows.time_ns[0] - KEPT_NS))
        after = kept.take((kept.time_ns > rows.time_ns[-1]) & (kept.time_ns <= rows.time_ns[-1] + KEPT_NS))
        context = before.followed_by(rows, rows.subsystems)
        known = context.followed_by(after, rows.subsystems)
        self._rows[source] = known.take(known.time_ns >= known.time_ns[-1] - KEPT_NS)
        return context


@dataclass(frozen=True, eq=False)
class Run:
    """What the run control says of each row of a frame.

    on: the run is on and has settled; judged: something can be said; blocked: the event builder itself has blocked the run;
    cloud_forbidden: cloud jobs must be gone by now: shape (n,). lengthy, continuous, stuck: soft errors, shape (n,
    subsystems + 1), the last column for those of which no subsystem is known. fixing_s: seconds in FixingSoftError;
    entries: how often subsystems entered it within the window; shape (n,) and (n, subsystems).
    """

    on: Bools
    judged: Bools
    blocked: Bools
    cloud_forbidden: Bools
    lengthy: Bools
    continuous: Bools
    stuck: Bools
    fixing_s: Floats
    entries: Indices

    @classmethod
    def of(cls, view: DaqView, context: RunRows, options: DaqOptions) -> Run:
        """The run in each row of a frame; `context` ends with the rows of the frame."""
        rows = slice(len(context) - len(view), None)
        age_s = view.value(LEVEL_ZERO_AGE)
        stretch = _Stretch.of(context.time_ns, context.phase)
        settling = ~stretch.begins_unseen[rows] & (stretch.lasts_s[rows] < options.settle_s)
        settling |= view.state_is(LEVEL_ZERO, ON) & (age_s < options.settle_s)
        phases = context.phase[rows]
        on = (phases == Phase.ON) & ~settling
        lengthy, continuous, stuck, fixing_s, entries = _soft_errors(view, context, rows, age_s, options)
        cloud = _Stretch.of(context.time_ns, context.cloud_allowed)
        return cls(
            on,
            on | (phases == Phase.OFF),
            view.state_is(DAQ, ("RunBlocked",)),
            ~context.cloud_allowed[rows] & (view.state_is(BEAM_MODE, CLOUD_FORBIDDEN) | (cloud.lasts_s[rows] > options.cloud_hold_off_s)),
            lengthy,
            continuous,
            stuck,
            fixing_s,
            entries,
        )


@dataclass(frozen=True, eq=False)
class _Stretch:
    """The stretch of equal state that each row is in: its first row, how long it has lasted, whether its beginning was not seen."""

    first: Indices
    lasts_s: Floats
    begins_unseen: Bools

    @classmethod
    def of(cls, time_ns: NDArray[np.int64], state: NDArray[np.int8] | Bools) -> _Stretch:
        gap = np.concatenate([[True], np.diff(time_ns) > MAX_GAP_NS])
        starts = gap | np.concatenate([[True], state[1:] != state[:-1]])
        first = np.maximum.accumulate(np.where(starts, np.arange(len(state)), 0))
        return cls(first, (time_ns - time_ns[first]) / 1e9, gap[first])


def _soft_errors(
    view: DaqView, context: RunRows, rows: slice, age_s: Floats, options: DaqOptions
) -> tuple[Bools, Bools, Bools, Floats, Indices]:
    """Soft errors that last too long, that come again and again, and that ended in an error; see Run."""
    at = np.arange(len(context))
    stretch = _Stretch.of(context.time_ns, context.fixing)
    flagged = context.soft_errors & context.fixing[:, None]
    last_flag = np.maximum.accumulate(np.where(flagged, at[:, None], -1), axis=0)
    involved = (last_flag >= stretch.first[:, None]) & context.fixing[:, None]
    entered = involved & ~np.concatenate([np.zeros_like(involved[:1]), involved[:-1]]) | (involved & (at == stretch.first)[:, None])
    counted = np.concatenate([np.zeros((1, entered.shape[1]), np.int64), np.cumsum(entered, axis=0)])
    window_start = np.searchsorted(context.time_ns, context.time_ns - int(options.soft_error_window_s * 1e9), side="right")
    entries = (counted[at + 1] - counted[window_start])[rows]
    fixing_s = np.where(context.fixing[rows], np.fmax(stretch.lasts_s[rows], age_s), 0.0)
    limits_s = np.array([options.soft_error_limits_s.get(p.rpartition("/")[2], options.soft_error_s) for p in context.subsystems])
    lengthy = involved[rows] & (fixing_s[:, None] > limits_s)
    running = context.phase[rows] != Phase.OFF
    failure = _Stretch.of(context.time_ns, context.failed)
    after_fixing = context.fixing[np.maximum(failure.first - 1, 0)] & ~failure.begins_unseen & context.failed
    in_error = view.subsystem_is(("Error", "FatalError")) & after_fixing[rows, None]
    return (
        _with_rest(lengthy, (fixing_s > options.soft_error_s) & ~involved[rows].any(axis=1)),
        _with_rest((entries > options.soft_error_entries) & running[:, None], np.zeros(len(view), np.bool_)),
        _with_rest(in_error, after_fixing[rows] & ~in_error.any(axis=1)),
        fixing_s,
        entries,
    )


def _with_rest(of_subsystems: Bools, rest: Bools) -> Bools:
    return np.concatenate([of_subsystems, rest[:, None]], axis=1)
