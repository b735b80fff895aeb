"""Why a condition of the DAQ holds: one plain sentence, the readings it rests on, and the places that only suffer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.daq_conditions import FULL_QUEUE, Facts
from detectors.daq_run import DAQ, LEVEL_ZERO
from detectors.daq_view import READY, TTS_NAMES, Bools, of_owner
from detectors.finding import Contribution, Evidence, Unit

NAMED = 5
"""Objects that a sentence names one by one."""
RANKED = 12
"""Contributions that are given."""
DEAD_TIMES = {
    "tts": "TTS",
    "daq_bp": "DAQ back-pressure",
    "retri": "resonant triggers",
    "trg_rules": "trigger rules",
    "calib": "calibration",
    "sw_pause": "pause",
    "fw_pause": "firmware pause",
    "apve": "APV emulator",
    "bx_mask": "bunch-crossing mask",
}


@dataclass(frozen=True, eq=False)
class Case:
    """One condition in one row: `objects` are the indices of what it holds for, by kind ("fed", "partition", "unit", …)."""

    facts: Facts
    row: int
    objects: Mapping[str, list[int]]

    @property
    def feds(self) -> list[int]:
        """FEDs that the condition holds for."""
        return self.objects.get("fed", [])

    @property
    def partitions(self) -> list[int]:
        """Partitions that the condition holds for, else those of its FEDs."""
        own = self.objects.get("partition", [])
        of_feds = self.facts.view.layout.fed_partition[self.feds].tolist() if self.feds else []
        return own or sorted({p for p in of_feds if p >= 0})

    @property
    def units(self) -> list[int]:
        """Readout units that the condition holds for, else those of its FEDs."""
        own = self.objects.get("unit", [])
        of_feds = self.facts.wiring.fed_unit[self.feds].tolist() if self.feds else []
        return own or sorted({u for u in of_feds if u >= 0})

    def pushed(self) -> list[int]:
        """FEDs that are pushed back, of the units concerned where there are any."""
        pushed = self.facts.pushed[self.row]
        if self.objects.get("unit"):
            pushed = pushed & np.isin(self.facts.wiring.fed_unit, self.units)
        return np.flatnonzero(pushed).tolist()

    def value(self, *names: str) -> float:
        """A channel that is there once."""
        return float(self.facts.view.value(*names)[self.row])

    def fed_names(self, feds: Sequence[int]) -> str:
        """ "FED 101", "FEDs 101, 102 and 7 more"."""
        return _listed("FED", "FEDs", [self.facts.view.layout.feds.names[i] for i in feds])

    def partition_names(self) -> str:
        """ "partition TIBTID", "partitions EB+, EB−"."""
        return _listed("partition", "partitions", [self.facts.view.layout.partitions.names[i] for i in self.partitions])

    def unit_names(self) -> str:
        """ "readout unit ru-c2e12-10-01" and so on."""
        return _listed("readout unit", "readout units", [self.facts.view.layout.units.names[i] for i in self.units])

    def fed_states(self, feds: Sequence[int]) -> str:
        """TTS states of FEDs, or of their partitions where no FED's can be seen."""
        view = self.facts.view
        codes = [*view.fed_tts[self.row, list(feds)], *view.fed_tts[self.row, [c for c in self.facts.wiring.fed_carrier[list(feds)] if c >= 0]]]
        codes = [c for c in codes if np.isfinite(c) and c != READY] or [*view.partition_tts[self.row, self.partitions]]
        return "/".join(sorted({TTS_NAMES[int(c)] for c in codes if np.isfinite(c)})) or "an unknown state"

    def partition_states(self) -> str:
        """TTS states of the partitions."""
        codes = self.facts.view.partition_tts[self.row, self.partitions]
        return "/".join(sorted({TTS_NAMES[int(c)] for c in codes if np.isfinite(c)})) or "an unknown state"

    def fed_places(self, feds: Sequence[int] | Bools) -> tuple[str, ...]:
        """Places of FEDs, by index or as a mask."""
        indices = np.flatnonzero(feds) if isinstance(feds, np.ndarray) else feds
        return tuple(self.facts.view.layout.feds.places[i] for i in indices)

    def busy_partitions(self) -> tuple[str, ...]:
        """Places of the other partitions that block the triggers."""
        own = set(self.partitions)
        blocking = np.flatnonzero(self.facts.blocking[self.row]).tolist()
        return tuple(self.facts.view.layout.partitions.places[i] for i in blocking if i not in own)

    def waiting(self) -> Bools:
        """FEDs of which the readout units have no fragments, those of the condition and behind them left out; shape (feds,)."""
        own = np.zeros((1, len(self.facts.view.layout.feds)), dtype=np.bool_)
        own[0, self.feds] = True
        carried = of_owner(own, self.facts.wiring.fed_carrier)
        waiting: Bools = self.facts.without_fragments[self.row] & ~own[0] & ~carried[0]
        return waiting


def evidence_of(unit: Unit, case: Case) -> Evidence:
    """The evidence for a unit that holds in the row of `case`."""
    sentence, victims = _SENTENCES[unit.condition](case)
    readings = _readings(unit.condition, case)
    weights = np.array([weight for weight, _ in readings])
    shares = weights / weights.sum() if len(weights) else weights
    ranked = sorted(
        (
            Contribution(c.name, c.place, c.observed, c.expected, round(float(share), 4), c.unit, c.text)
            for share, (_, c) in zip(shares, readings, strict=True)
        ),
        key=lambda c: -c.share,
    )
    return Evidence(sentence, tuple(ranked[:RANKED]), tuple(dict.fromkeys(v for v in victims if v != unit.place)))


Said = tuple[str, tuple[str, ...]]


def _listed(one: str, several: str, names: Sequence[str]) -> str:
    if not names:
        return f"no {one}"
    if len(names) == 1:
        return f"{one} {names[0]}"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{several} {', '.join(names[:NAMED])}{more}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _dead_time(case: Case) -> str:
    """ "dead time 100 %, mostly TTS"."""
    total = case.value("global/deadTimesInstant.total", "global/deadTimes.total")
    causes = {word: case.value(f"global/deadTimesInstant.{key}", f"global/deadTimes.{key}") for key, word in DEAD_TIMES.items()}
    known = {word: value for word, value in causes.items() if np.isfinite(value)}
    if not np.isfinite(total):
        return "dead time not known"
    worst = max(known, key=lambda word: known[word], default="")
    return f"dead time {total:.3g} %" + (f", mostly {worst} ({known[worst]:.3g} %)" if known and known[worst] > 0 else "")


def _no_rate(case: Case) -> Said:
    state = case.facts.view.state_word(LEVEL_ZERO, case.row)
    return f"No events are built although the run is on (level zero {state}); {_dead_time(case)}", case.busy_partitions()


def _unidentified(case: Case) -> Said:
    return f"No events are built and no known condition explains it; {_dead_time(case)}", ()


def _partition_problem(case: Case) -> Said:
    view = case.facts.view
    same = np.isin(view.layout.fed_partition, case.partitions) & (view.fed_tts[case.row] >= 3) & (view.fed_tts[case.row] <= 4)
    feds = np.flatnonzero(same).tolist()
    shown = f"{case.fed_names(feds)} show{'s' if len(feds) == 1 else ''} it" if feds else "no FED shows it"
    return f"{_capital(case.partition_names())} is {case.partition_states()} and blocks the triggers; {shown}", case.busy_partitions()


def _fed_stuck(case: Case) -> Said:
    if not case.feds:
        text = f"A FED of {case.partition_names()} is stuck in {case.partition_states()}; its state is not monitored, the DAQ pushes none back"
        return text, case.busy_partitions()
    waiting = case.waiting()
    only_wait = f"; {int(waiting.sum())} FEDs only wait for it" if waiting.any() else ""
    many = "is" if len(case.feds) == 1 else "are"
    through = [c for c in case.facts.wiring.fed_carrier[case.feds] if c >= 0]
    seen = f" (seen on pseudo-{case.fed_names(sorted(set(through)))})" if through else ""
    stands = np.flatnonzero(np.isin(case.facts.wiring.fed_carrier, case.feds)).tolist()
    behind = f"; behind it are {case.fed_names(stands)}" if stands else ""
    return (
        f"{case.fed_names(case.feds)} {many} stuck in {case.fed_states(case.feds)}{seen}; {case.partition_names()} blocks the triggers "
        f"and the DAQ does not push back{behind}{only_wait}",
        (*case.fed_places(waiting), *case.busy_partitions()),
    )


def _pushed_back(text: str) -> Callable[[Case], Said]:
    """A condition of readout units; the FEDs that they push back are victims."""

    def said(case: Case) -> Said:
        pushed = case.pushed()
        partitions = sorted({p for p in case.facts.view.layout.fed_partition[pushed].tolist() if p >= 0})
        places = case.facts.view.layout.partitions.places
        sentence = text.format(units=case.unit_names(), feds=case.fed_names(pushed), requests=case.value("global/evm.requests"))
        return _capital(sentence), (*case.fed_places(pushed), *(places[p] for p in partitions))

    return said


def _of_feds(text: str) -> Callable[[Case], Said]:
    """A condition of FEDs; those that are pushed back elsewhere and the partitions that block because of it are victims."""

    def said(case: Case) -> Said:
        others = [i for i in case.pushed() if i not in case.feds]
        sentence = text.format(
            feds=case.fed_names(case.feds), units=case.unit_names(), partitions=case.partition_names(), pushed=case.fed_names(others)
        )
        return _capital(sentence), (*case.fed_places(others), *case.busy_partitions())

    return said


def _of_partitions(text: str) -> Callable[[Case], Said]:
    def said(case: Case) -> Said:
        return _capital(text.format(partitions=case.partition_names())), case.busy_partitions()

    return said


def _ru_failed(case: Case) -> Said:
    return f"{_capital(case.unit_names())} failed, DAQ and level zero are in Error", ()


def _out_of_sequence(case: Case) -> Said:
    if not case.feds:
        return f"{_capital(case.unit_names())} lost synchronisation; no FED is named", case.busy_partitions()
    return _of_feds("{feds} sent data out of sequence; {units} lost synchronisation")(case)


def _overall(text: str, *channels: str, scale: float = 1) -> Callable[[Case], Said]:
    """A condition of the whole; the sum of some channels is filled in."""

    def said(case: Case) -> Said:
        return text.format(sum(case.value(*name.split("|")) for name in channels) * scale), ()

    return said


def _cloud(case: Case) -> Said:
    cloud, hlt = case.value("bu_summary/numFUsCloud"), case.value("bu_summary/numFUsHLT")
    mode = case.facts.view.state_word("global/lhcBeamMode", case.row)
    return f"{cloud:.0f} of {cloud + hlt:.0f} filter units are in cloud mode, beam mode is {mode}", ()


def _soft_error(text: str) -> Callable[[Case], Said]:
    def said(case: Case) -> Said:
        run, names = case.facts.run, case.facts.view.layout.subsystems.names
        which = case.objects.get("subsystem", [])
        entries = int(run.entries[case.row, which[0]]) if which and which[0] < run.entries.shape[1] else 0
        subsystems = ", ".join(names[i] if i < len(names) else "an unknown subsystem" for i in which)
        return text.format(subsystem=subsystems, seconds=float(run.fixing_s[case.row]), entries=entries), ()

    return said


_INPUT = ("global/triggerRatesInstant.trg_rate_total|global/tcds.trg_rate_total", "global/triggerRatesInstant.sup_trg_rate_total|global/tcds.sup_trg_rate_total")
_BANDWIDTH = "global/bu.fuOutputBandwidthInMB"

_SENTENCES: Mapping[str, Callable[[Case], Said]] = {
    "no_rate": _no_rate,
    "unidentified": _unidentified,
    "partition_problem": _partition_problem,
    "fed_stuck": _fed_stuck,
    "fed_stuck_due_to_daq": _pushed_back("{feds} block the triggers because {units} takes no data from them"),
    "fed_disconnected": _of_feds("{feds} lost the TTS link; {partitions} is disconnected and blocks the triggers"),
    "fmm_problem": _of_partitions("the FMM of {partitions} is disconnected although its FEDs are not"),
    "pi_problem": _of_partitions("the trigger control sees {partitions} disconnected although the FMM has its input"),
    "pi_disconnected": _of_partitions("the trigger control sees the partition interface of {partitions} disconnected"),
    "out_of_sequence_data": _out_of_sequence,
    "corrupted_data": _of_feds("{feds} sent corrupted data; {units} failed"),
    "ru_failed": _ru_failed,
    "ru_stuck": _pushed_back("{units} holds requests and has data of all its FEDs, but nothing moves; it pushes back {feds}"),
    "ru_waiting_for_fed": _of_feds("{feds} stopped sending and {units} waits for it; {pushed} pushed back only for that"),
    "ru_waiting_for_other": _of_feds("{feds} sent no events and {units} waits in vain; {pushed} pushed back only for that"),
    "link_problem": _of_feds("{feds} is pushed back while {units} gets nothing from it: the link or its FEROL fails"),
    "ferol_fifo_stuck": _of_feds("the FEROL of {feds} has all events but {units} gets none of them"),
    "hlt_problem": _overall("No builder unit is enabled and {:.0f} filter units have crashed", "bu_summary/numFUsCrashed"),
    "fed_deadtime": _of_feds("{feds} of {partitions} takes dead time, and the DAQ does not push back"),
    "fed_deadtime_due_to_daq": _pushed_back("{feds} takes dead time because {units} pushes back"),
    "partition_deadtime": _of_partitions("{partitions} takes dead time"),
    "deadtime_from_retri": _overall(
        "Vetoed resonant triggers take {:.3g} % dead time", "global/deadTimesInstant.retri|global/deadTimes.retri"
    ),
    "upgraded_fed_backpressured": _pushed_back("{units} pushes back {feds}, which cannot measure dead time"),
    "backpressure_event_building": _pushed_back(
        "{units} is full, has no requests and pushes back {feds}; the event manager has {requests:.0f} requests although the farm is free"
    ),
    "backpressure_from_ferol": _pushed_back("{units} has requests and room, yet {feds} is pushed back: the FEROL holds the data up"),
    "backpressure_from_hlt": _overall("The filter farm holds up the builder units; the event manager has {:.0f} requests", "global/evm.requests"),
    "rate_too_high": _overall("Events are built at {:.1f} kHz, more than the readout is made for", "global/fb.rate", scale=1e-3),
    "tcds_input_rate_high": _overall("{:.4g} kHz of triggers are asked for", *_INPUT, scale=1e-3),
    "tcds_input_rate_very_high": _overall("{:.4g} kHz of triggers are asked for, far more than any readout takes", *_INPUT, scale=1e-3),
    "hlt_output_bandwidth_high": _overall("The filter farm writes {:.1f} GB/s", _BANDWIDTH, scale=1 / 1024),
    "hlt_output_bandwidth_extreme": _overall("The filter farm writes {:.1f} GB/s, more than the storage can take", _BANDWIDTH, scale=1 / 1024),
    "cloud_mode_wrong": _cloud,
    "soft_error_continuous": _soft_error("{subsystem} had {entries} soft errors in ten minutes"),
    "soft_error_lengthy": _soft_error("{subsystem} has been recovering from a soft error for {seconds:.0f} s"),
    "soft_error_stuck": _soft_error("Level zero went from a soft error into Error; {subsystem} is in Error"),
}
