"""Why a condition of the DAQ holds: one plain sentence, the readings it rests on, and the places that only suffer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from detectors.daq_case import Case, Names
from detectors.daq_overview import MB_PER_GB
from detectors.daq_readings import contributions
from detectors.daq_run import LEVEL_ZERO
from detectors.finding import Evidence, Unit

Said = tuple[str, tuple[str, ...]]
"""The sentence, and the places of the victims."""
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
"""Causes of dead time that the trigger control tells apart."""


def evidence_of(unit: Unit, case: Case) -> Evidence:
    """The evidence for a unit that holds in the row of `case`."""
    sentence, victims = _SENTENCES[unit.condition](case)
    sentence = sentence[:1].upper() + sentence[1:]
    return Evidence(sentence, contributions(unit.condition, case), tuple(dict.fromkeys(v for v in victims if v != unit.place)))


def _of_feds(text: str) -> Callable[[Case], Said]:
    """A condition of FEDs; others that are pushed back, and partitions that block because of it, are victims."""
    return lambda case: (text.format(**case.words()), (*case.fed_places(case.pushed), *case.other_blocking()))


def _of_units(text: str) -> Callable[[Case], Said]:
    """A condition of readout units; the FEDs that they push back, and their partitions, are victims."""

    def said(case: Case) -> Said:
        sentence = text.format(**case.words(), requests=case.value("global/evm.requests"))
        return sentence, (*case.fed_places(case.pushed), *case.partition_places(case.partitions_of(case.pushed)))

    return said


def _of_partitions(text: str) -> Callable[[Case], Said]:
    return lambda case: (text.format(**case.words()), case.other_blocking())


def _of_all(text: str, *channels: str, scale: float = 1) -> Callable[[Case], Said]:
    """A condition of the whole; the sum of some channels is filled in ("a|b": the first that has a reading)."""
    return lambda case: (text.format(sum(case.value(*names.split("|")) for names in channels) * scale), ())


def _dead_time(case: Case) -> str:
    """Such as "dead time 100 %, mostly TTS (98 %)"."""
    total = case.value("global/deadTimesInstant.total", "global/deadTimes.total")
    if not np.isfinite(total):
        return "its dead time is not known"
    causes = {word: case.value(f"global/deadTimesInstant.{key}", f"global/deadTimes.{key}") for key, word in DEAD_TIMES.items()}
    worst = max(causes, key=lambda word: float(np.nan_to_num(causes[word])))
    mostly = f", mostly {worst} ({causes[worst]:.3g} %)" if causes[worst] > 0 else ""
    return f"dead time {total:.3g} %{mostly}"


def _no_rate(case: Case) -> Said:
    state = case.facts.view.state_word(LEVEL_ZERO, case.row)
    return f"no events are built although the run is on (level zero: {state}); {_dead_time(case)}", case.other_blocking()


def _unidentified(case: Case) -> Said:
    return f"no events are built and no known condition explains it; {_dead_time(case)}", ()


def _partition_problem(case: Case) -> Said:
    feds = case.names_of_feds(case.faulty)
    said = f"{case.words()['partitions']} is {case.partition_state()} and blocks the triggers; {feds} {feds:shows|show} it"
    return said, case.other_blocking()


def _fed_stuck(case: Case) -> Said:
    if not case.feds:
        text = f"a FED of {{partitions}} is stuck in {case.partition_state()}; which one is not monitored, and the DAQ pushes none back"
        return text.format(**case.words()), case.other_blocking()
    carrier = case.facts.wiring.fed_carrier
    through = case.names_of_feds(sorted({c for c in carrier[case.feds].tolist() if c >= 0}))
    behind = np.flatnonzero(np.isin(carrier, case.feds)).tolist()
    text = f"{{feds}} {{feds:is|are}} stuck in {case.fed_state()}"
    if case.partitions and (carrier[case.feds] >= 0).any():
        text += f", as seen on pseudo-{through}"
    text += "; {partitions} {partitions:blocks|block} the triggers and the DAQ does not push back"
    if behind:
        text += f"; behind it {case.names_of_feds(behind):is|are} {case.names_of_feds(behind)}"
    if case.waiting:
        text += f"; {len(case.waiting)} FEDs only wait for it"
    return text.format(**case.words()), (*case.fed_places(case.waiting), *case.other_blocking())


def _out_of_sequence(case: Case) -> Said:
    if not case.feds:
        return _of_units("{units} lost synchronisation; no FED is named")(case)
    return _of_feds("{feds} sent data out of sequence and {units} lost synchronisation")(case)


def _cloud(case: Case) -> Said:
    cloud, hlt = case.value("bu_summary/numFUsCloud"), case.value("bu_summary/numFUsHLT")
    mode = case.facts.view.state_word("global/lhcBeamMode", case.row)
    return f"{cloud:.0f} of {cloud + hlt:.0f} filter units are in cloud mode in beam mode {mode}", ()


def _soft_error(text: str) -> Callable[[Case], Said]:
    def said(case: Case) -> Said:
        run, names = case.facts.run, case.facts.view.layout.subsystems.names
        which = [i for i in case.objects.get("subsystem", []) if i < len(names)]
        entries = int(run.entries[case.row, which[0]]) if which else 0
        subsystem = Names("subsystem", [names[i] for i in which]) if which else "an unknown subsystem"
        return text.format(subsystem=subsystem, seconds=float(run.fixing_s[case.row]), entries=entries), ()

    return said


_ASKED = tuple(f"global/triggerRatesInstant.{name}|global/tcds.{name}" for name in ("trg_rate_total", "sup_trg_rate_total"))
_BANDWIDTH = "global/bu.fuOutputBandwidthInMB"

_SENTENCES: Mapping[str, Callable[[Case], Said]] = {
    "no_rate": _no_rate,
    "unidentified": _unidentified,
    "partition_problem": _partition_problem,
    "fed_stuck": _fed_stuck,
    "fed_stuck_due_to_daq": _of_units("{pushed} {pushed:is|are} stuck because {units} {units:takes|take} no data from {pushed:it|them}"),
    "fed_disconnected": _of_feds("{feds} lost the TTS link; {partitions} {partitions:is|are} disconnected and no trigger passes"),
    "fmm_problem": _of_partitions("the FMM of {partitions} is disconnected although the FEDs are not"),
    "pi_problem": _of_partitions("the trigger control sees {partitions} disconnected although the FMM has its inputs"),
    "pi_disconnected": _of_partitions("the trigger control sees the partition interface of {partitions} disconnected"),
    "out_of_sequence_data": _out_of_sequence,
    "corrupted_data": _of_feds("{feds} sent corrupted data and {units} failed"),
    "ru_failed": _of_units("{units} failed; DAQ and level zero are in Error"),
    "ru_stuck": _of_units(
        "{units} {units:is|are} stuck: requests and the data of all FEDs are there, yet nothing moves; "
        "{pushed} only {pushed:suffers|suffer}"
    ),
    "ru_waiting_for_fed": _of_feds("{feds} stopped sending and {units} {units:waits|wait} for it; {pushed} only {pushed:suffers|suffer}"),
    "ru_waiting_for_other": _of_feds("{feds} sent no events and {units} {units:waits|wait} in vain; {pushed} only {pushed:suffers|suffer}"),
    "link_problem": _of_feds("{feds} {feds:is|are} pushed back while {units} gets nothing from it: its link or FEROL fails"),
    "ferol_fifo_stuck": _of_feds("the FEROL of {feds} has counted all events but {units} gets none of them"),
    "hlt_problem": _of_all("no builder unit is enabled and {:.0f} filter units have crashed", "bu_summary/numFUsCrashed"),
    "fed_deadtime": _of_feds("{feds} of {partitions} {feds:causes|cause} dead time, and the DAQ does not push back"),
    "fed_deadtime_due_to_daq": _of_units("{units} {units:pushes|push} back {pushed}, which costs dead time"),
    "partition_deadtime": _of_partitions("{partitions} {partitions:causes|cause} dead time"),
    "deadtime_from_retri": _of_all(
        "vetoed resonant triggers take {:.3g} % dead time", "global/deadTimesInstant.retri|global/deadTimes.retri"
    ),
    "upgraded_fed_backpressured": _of_units("{units} {units:pushes|push} back {pushed}, which {pushed:has|have} no dead-time counter"),
    "backpressure_event_building": _of_units(
        "{units} {units:is|are} full, without requests, and {units:pushes|push} back {pushed}; the event manager has {requests:.0f}"
        " requests although the farm is free"
    ),
    "backpressure_from_ferol": _of_units(
        "{units} {units:has|have} requests and room, yet {pushed} {pushed:is|are} pushed back by the FEROL"
    ),
    "backpressure_from_hlt": _of_all(
        "the filter farm holds up the builder units; the event manager has {:.0f} requests", "global/evm.requests"
    ),
    "rate_too_high": _of_all("events are built at {:.1f} kHz, more than the readout is made for", "global/fb.rate", scale=1e-3),
    "tcds_input_rate_high": _of_all("{:.4g} kHz of triggers are asked for", *_ASKED, scale=1e-3),
    "tcds_input_rate_very_high": _of_all("{:.4g} kHz of triggers are asked for, far more than any readout takes", *_ASKED, scale=1e-3),
    "hlt_output_bandwidth_high": _of_all("the filter farm writes {:.1f} GB/s", _BANDWIDTH, scale=1 / MB_PER_GB),
    "hlt_output_bandwidth_extreme": _of_all(
        "the filter farm writes {:.1f} GB/s, more than the storage takes", _BANDWIDTH, scale=1 / MB_PER_GB
    ),
    "cloud_mode_wrong": _cloud,
    "soft_error_continuous": _soft_error("{subsystem} had {entries} soft errors within minutes"),
    "soft_error_lengthy": _soft_error("{subsystem} has been recovering from a soft error for {seconds:.0f} s"),
    "soft_error_stuck": _soft_error("level zero went from a soft error into Error; {subsystem} is in Error"),
}
