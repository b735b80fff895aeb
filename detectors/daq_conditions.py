"""The conditions of a DAQ, as logic over FEDs, partitions and readout units; all rows of a frame at once.

Definitions and thresholds are those with which CMS ran its DAQ in 2016 to 2018 (DAQExpert, ACAT 2017). A FED's dead time has
two causes that look alike: the FED itself, or the DAQ behind it that takes no data. What tells them apart is the
back-pressure on its link. In a back-pressure problem the FED that is pushed back is a victim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from detectors.daq_run import Run
from detectors.daq_view import BUSY, DISCONNECTED, ERROR, OUT_OF_SYNC, WARNING, Bools, DaqView, Floats, of_owner

if TYPE_CHECKING:
    from detectors.daq import DaqOptions

FULL_QUEUE = 256
"""Super-fragments that fit into a readout unit."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """One condition for all objects of a kind; holds: shape (n, objects), or (n, 1) for a kind of which there is one; judged: (n,).

    `kind` is "fed", "partition", "unit", "subsystem" (with one column more for none of them), "DAQ", "HLT" or "TRG".
    """

    condition: str
    kind: str
    holds: Bools
    judged: Bools


class Facts:
    """What several conditions ask of a frame, worked out when it is asked for; arrays have one row for each row."""

    def __init__(self, view: DaqView, run: Run, options: DaqOptions) -> None:
        self.view = view
        self.run = run
        self.options = options
        self.wiring = view.wiring

    @cached_property
    def rate_hz(self) -> Floats:
        """Rate of built events, shape (n,)."""
        return self.view.value("global/fb.rate")

    @cached_property
    def no_rate(self) -> Bools:
        """Events are due and none come; shape (n,)."""
        return self.run.on & (self.rate_hz <= self.options.no_rate_hz)

    @cached_property
    def backpressure(self) -> Floats:
        """Back-pressure on the FEDs' links in %, 0 where there is none to read; shape (n, feds)."""
        reading = self.view.fed("percentBackpressure")
        return np.where(np.isnan(reading), 0.0, reading)

    @cached_property
    def linked(self) -> Bools:
        """FEDs whose data link is in the run; shape (n, feds)."""
        return np.isfinite(self.view.fed("percentBackpressure")) | np.isfinite(self.view.fed("eventCounter"))

    @cached_property
    def pushed(self) -> Bools:
        """FEDs that the DAQ pushes back; shape (n, feds)."""
        return self.backpressure > self.options.backpressure_percent

    @cached_property
    def without_fragments(self) -> Bools:
        """FEDs of which their readout unit has no fragments; shape (n, feds)."""
        result: Bools = self.linked & (self.view.fed("ruFedWithoutFragments") == 1)
        return result

    @cached_property
    def expected_events(self) -> Floats:
        """Events that every FED has been asked for: the counter of the trigger control's own FED, else the median; shape (n,)."""
        counter = np.where(self.linked, self.view.fed("eventCounter"), np.nan)
        result = np.full(len(self.view), np.nan)
        readable = np.isfinite(counter).any(axis=1)
        if readable.any():
            result[readable] = np.nanmedian(counter[readable], axis=1)
        manager = (self.view.unit("isEVM")[:1] == 1).any(axis=0)
        own = np.flatnonzero(of_owner(manager[None, :], self.wiring.fed_unit)[0])
        if len(own):
            reference = np.nan_to_num(counter[:, own], nan=-1).max(axis=1)
            result = np.where(reference >= 0, reference, result)
        return result

    @cached_property
    def lagging(self) -> Bools:
        """FEDs that sent fewer events than they were asked for; shape (n, feds)."""
        return self.linked & (self.view.fed("eventCounter") < self.expected_events[:, None])

    @cached_property
    def complete(self) -> Bools:
        """FEDs that sent all events that they were asked for; shape (n, feds)."""
        return self.linked & (self.view.fed("eventCounter") >= self.expected_events[:, None])

    @cached_property
    def enabled(self) -> Bools:
        """Readout units at work; shape (n, units)."""
        return self.view.unit_is(("Enabled",))

    @cached_property
    def requested(self) -> Bools:
        """Readout units that hold requests for events and could answer them; shape (n, units)."""
        result: Bools = self.enabled & (self.view.unit("requests") > 0) & ~(self.view.unit("isEVM") == 1)
        return result

    @cached_property
    def pushing(self) -> Bools:
        """Readout units that push back one of their FEDs; shape (n, units)."""
        return self.wiring.on_unit.any(self.pushed)

    @cached_property
    def asserts_dead_time(self) -> Bools:
        """FEDs in WARNING or BUSY; shape (n, feds)."""
        result: Bools = (self.view.fed_tts == WARNING) | (self.view.fed_tts == BUSY)
        return result

    @cached_property
    def blocking(self) -> Bools:
        """Partitions that block the triggers with WARNING or BUSY; shape (n, partitions)."""
        result: Bools = (self.view.partition_tts == WARNING) | (self.view.partition_tts == BUSY)
        return result

    @cached_property
    def pushed_itself_or_behind(self) -> Bools:
        """FEDs that are pushed back, or that stand for one which is; shape (n, feds)."""
        return self.pushed | self.wiring.behind.any(self.pushed)

    @cached_property
    def tts_matters(self) -> Bools:
        """No rate, and it is not the event builder that has blocked the run; shape (n, 1)."""
        return (self.no_rate & ~self.run.blocked)[:, None]

    def verdict(self, condition: str, kind: str, holds: Bools) -> Verdict:
        """A verdict that can be given wherever the run control says enough."""
        return Verdict(condition, kind, holds & self.run.judged[:, None], self.run.judged)


def trigger_throttling(facts: Facts) -> list[Verdict]:
    """Partitions and FEDs that block the triggers by their own TTS state."""
    view = facts.view
    blocked = (view.partition_tts == OUT_OF_SYNC) | (view.partition_tts == ERROR)
    stuck_feds, stuck_partitions = _stuck(facts)
    return [
        facts.verdict("partition_problem", "partition", blocked & facts.tts_matters),
        facts.verdict("fed_stuck", "fed", stuck_feds),
        facts.verdict("fed_stuck", "partition", stuck_partitions),
        *_disconnected(facts),
    ]


def _stuck(facts: Facts) -> tuple[Bools, Bools]:
    """FEDs stuck in WARNING or BUSY that nobody pushes back, and partitions of which no FED's state can be seen.

    One FED of the partition that is pushed back makes the DAQ the likelier cause for all of them. Behind a pseudo-FED it
    is those that stopped sending, where some did; else the pseudo-FED stands for all of them.
    """
    view, wiring, partition = facts.view, facts.wiring, facts.view.layout.fed_partition
    in_partition = view.layout.in_partition
    any_backpressure = facts.backpressure > facts.options.no_backpressure_percent
    excused = in_partition.any(facts.asserts_dead_time & (any_backpressure | wiring.behind.any(any_backpressure)))
    stuck = facts.asserts_dead_time & of_owner(facts.blocking & facts.tts_matters & ~excused, partition)
    silent = (facts.lagging | facts.without_fragments) & of_owner(stuck, wiring.fed_carrier)
    stuck = (stuck & ~wiring.behind.any(silent)) | silent
    unseen = ~in_partition.any(np.isfinite(view.fed_tts)) & in_partition.any(facts.linked)
    broken = view.unit_is(("SyncLoss", "Failed")).any(axis=1, keepdims=True)
    alone = unseen & ~in_partition.any(any_backpressure) & facts.blocking & facts.tts_matters & ~broken
    return stuck, alone


def _disconnected(facts: Facts) -> list[Verdict]:
    """Partitions that the trigger control sees as disconnected: by a FED, the FMM, or the partition interface (PI)."""
    view = facts.view
    lost = (view.partition_pm == DISCONNECTED) & facts.tts_matters
    at_fmm = lost & (view.partition_fmm == DISCONNECTED)
    has_fmm = np.isfinite(view.partition_fmm)
    feds = view.fed_tts == DISCONNECTED
    return [
        facts.verdict("fed_disconnected", "fed", feds & of_owner(at_fmm, view.layout.fed_partition)),
        facts.verdict("fmm_problem", "partition", at_fmm & ~view.layout.in_partition.any(feds)),
        facts.verdict("pi_problem", "partition", lost & has_fmm & ~at_fmm),
        facts.verdict("pi_disconnected", "partition", lost & ~has_fmm),
    ]


def data_flow(facts: Facts) -> list[Verdict]:
    """What stops the data between the FEDs and the builder units."""
    wiring = facts.wiring
    stopped = facts.no_rate[:, None]
    waited_for = stopped & facts.without_fragments & of_owner(facts.requested, wiring.fed_unit)
    incomplete = facts.view.unit("incompleteSuperFragmentCount") > 0
    on_time = incomplete & ~wiring.on_unit.any(facts.lagging)
    lacking = wiring.on_unit.any(facts.without_fragments)
    pushed_and_missing = stopped & facts.pushed & facts.without_fragments & of_owner(facts.enabled, wiring.fed_unit)
    stuck_in_fifo = waited_for & ~facts.pushed & facts.complete & of_owner(on_time, wiring.fed_unit)
    same_builder = waited_for & ~facts.pushed & facts.lagging & of_owner(facts.pushing, wiring.fed_unit)
    return [
        *_bad_data(facts),
        facts.verdict("link_problem", "fed", pushed_and_missing),
        facts.verdict("ferol_fifo_stuck", "fed", stuck_in_fifo),
        facts.verdict("ru_waiting_for_fed", "fed", same_builder),
        facts.verdict("ru_waiting_for_other", "fed", stopped & _silent_elsewhere(facts)),
        facts.verdict("ru_stuck", "unit", stopped & facts.requested & facts.pushing & ~lacking),
        facts.verdict("fed_stuck_due_to_daq", "unit", _stuck_by_daq(facts)),
    ]


def _bad_data(facts: Facts) -> list[Verdict]:
    """Readout units that stopped at what a FED sent: the FED in their message, else the one they count errors of."""
    view, wiring, on = facts.view, facts.wiring, facts.run.on[:, None]
    out_of_sync, failed = on & view.unit_is(("SyncLoss",)), on & view.unit_is(("Failed",))
    named_by_unit = view.unit("errorFed")[:, wiring.fed_unit] if len(view.layout.units) else np.full(facts.linked.shape, np.nan)
    named = of_owner(out_of_sync, wiring.fed_unit) & (named_by_unit == view.layout.fed_numbers)
    unnamed = of_owner(out_of_sync & ~wiring.on_unit.any(named), wiring.fed_unit)
    senders = named | (unnamed & facts.linked & (view.fed("ruFedOutOfSync") > 0))
    corrupt = facts.linked & (view.fed("ruFedDataCorruption") > 0) & of_owner(failed, wiring.fed_unit)
    both_in_error = view.state_is("global/levelZeroState", ("Error",)) & view.state_is("global/daqState", ("Error",))
    return [
        facts.verdict("out_of_sequence_data", "fed", senders),
        facts.verdict("out_of_sequence_data", "unit", out_of_sync & ~wiring.on_unit.any(senders)),
        facts.verdict("corrupted_data", "fed", corrupt),
        facts.verdict("ru_failed", "unit", failed & both_in_error[:, None]),
    ]


def _silent_elsewhere(facts: Facts) -> Bools:
    """FEDs whose units wait for them in vain while units without requests push back others; shape (n, feds)."""
    waiting = facts.requested & ~facts.pushing
    idle_and_pushing = facts.pushing & ~(facts.view.unit("requests") > 0)
    silent: Bools = facts.lagging & ~facts.pushed & (facts.without_fragments | (facts.view.fed("eventCounter") == 0))
    silent &= of_owner(waiting, facts.wiring.fed_unit) & idle_and_pushing.any(axis=1, keepdims=True)
    return silent


def _stuck_by_daq(facts: Facts) -> Bools:
    """Readout units that push back FEDs of a partition which blocks the triggers; shape (n, units)."""
    view, wiring = facts.view, facts.wiring
    own_or_carrier = facts.asserts_dead_time | of_owner(facts.asserts_dead_time, wiring.fed_carrier)
    seen = np.isfinite(view.fed_tts) | of_owner(np.isfinite(view.fed_tts), wiring.fed_carrier)
    in_blocking = of_owner(facts.blocking, view.layout.fed_partition) & (own_or_carrier | ~seen)
    pushed_hard = facts.backpressure > facts.options.stuck_backpressure_percent
    return facts.no_rate[:, None] & wiring.on_unit.any(in_blocking & pushed_hard)


def dead_time(facts: Facts) -> list[Verdict]:
    """Who takes time away from the triggers while the run goes on."""
    view, wiring, options = facts.view, facts.wiring, facts.options
    on = facts.run.on[:, None]
    dead = on & (view.fed("percentWarning") + view.fed("percentBusy") > options.fed_dead_time_percent)
    by_daq = facts.pushed & (dead | of_owner(dead, wiring.fed_carrier))
    of_partition = view.partition("percentWarning") + view.partition("percentBusy")
    no_fmm = np.isnan(view.partition_fmm) & np.isfinite(view.partition_pm)
    by_tts = view.value("global/deadTimesInstant.tts", "global/deadTimes.tts") > options.fed_dead_time_percent
    upgraded = facts.pushed & of_owner(no_fmm, view.layout.fed_partition) & by_tts[:, None]
    retri = view.value("global/deadTimesInstant.retri", "global/deadTimes.retri") > options.retri_percent
    return [
        facts.verdict("fed_deadtime", "fed", dead & ~facts.pushed_itself_or_behind),
        facts.verdict("fed_deadtime_due_to_daq", "unit", wiring.on_unit.any(by_daq)),
        facts.verdict("partition_deadtime", "partition", on & (of_partition > options.partition_dead_time_percent)),
        facts.verdict("upgraded_fed_backpressured", "unit", on & wiring.on_unit.any(upgraded)),
        facts.verdict("deadtime_from_retri", "TRG", (facts.run.on & retri)[:, None]),
        *_backpressure(facts),
    ]


def _backpressure(facts: Facts) -> list[Verdict]:
    """Where back-pressure comes from: the event building, the FEROL, or the filter farm."""
    view, options = facts.view, facts.options
    working = facts.run.on[:, None] & facts.pushing & facts.enabled
    fragments = view.unit("fragmentsInRU")
    starved = working & (view.unit("requests") == 0) & (fragments >= FULL_QUEUE) & (facts.rate_hz > options.no_rate_hz)[:, None]
    few_requests = view.value("global/evm.requests") < options.few_requests
    builders = view.value("bu_summary/n_bu")
    all_enabled = view.value("bu_summary/n_Enabled") >= builders
    held = sum(np.nan_to_num(view.value(f"bu_summary/n_{state}")) for state in ("Throttled", "Blocked", "Failed", "Cloud"))
    limited = np.asarray(held) > options.limited_builders_ratio * builders
    return [
        facts.verdict("backpressure_event_building", "unit", starved & (few_requests & all_enabled)[:, None]),
        facts.verdict("backpressure_from_ferol", "unit", working & facts.requested & (fragments < FULL_QUEUE)),
        facts.verdict("backpressure_from_hlt", "HLT", (facts.run.on & few_requests & limited)[:, None]),
    ]
