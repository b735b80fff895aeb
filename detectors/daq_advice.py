"""What to do about each condition of the DAQ, how bad it is, and which conditions it explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from detectors.finding import Severity


@dataclass(frozen=True, slots=True)
class Advice:
    """What the shift is told: one decision, the name of the runbook, and how bad the condition is."""

    decision: str
    runbook: str
    severity: Severity


_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO

ADVICE: Mapping[str, Advice] = {
    "no_rate": Advice(
        "Look for the cause named with it; with none, stop and start the run and call the DAQ on-call.", "no-rate", _CRITICAL
    ),
    "unidentified": Advice(
        "No known cause: stop and start the run once; if it stays stuck, call the DAQ on-call and keep the snapshot.", "no-rate", _CRITICAL
    ),
    "partition_problem": Advice(
        "Send a hard reset over the trigger link, twice if need be; if the state stays, stop the run, recycle the subsystem and start; "
        "after two tries call its on-call.",
        "partition-problem",
        _CRITICAL,
    ),
    "fed_stuck": Advice(
        "Stop and start the run and recycle the subsystem of the FED; if it comes back, call the subsystem's on-call.",
        "fed-stuck",
        _CRITICAL,
    ),
    "fed_stuck_due_to_daq": Advice(
        "The FED is not to blame, the DAQ takes no data from it: follow the cause on the DAQ side; with none, recycle the DAQ and restart.",
        "fed-stuck-due-to-daq",
        _CRITICAL,
    ),
    "fed_disconnected": Advice(
        "Stop the run and recycle the FED's subsystem; if its TTS link stays down, call the subsystem's on-call.",
        "tts-disconnected",
        _CRITICAL,
    ),
    "fmm_problem": Advice(
        "Stop the run and recycle the DAQ, the FMM of the partition has lost its link; if it stays, call the DAQ on-call.",
        "tts-disconnected",
        _CRITICAL,
    ),
    "pi_problem": Advice(
        "Stop the run and recycle the subsystem's partition interface; if the trigger control still sees no link, call the trigger "
        "control's on-call.",
        "tts-disconnected",
        _CRITICAL,
    ),
    "pi_disconnected": Advice(
        "Check that the subsystem's partition interface is configured, recycle the subsystem; then call its on-call.",
        "tts-disconnected",
        _CRITICAL,
    ),
    "out_of_sequence_data": Advice(
        "Stop the run, recycle the subsystem that sent the data, not the one that is pushed back, and start; then call its on-call.",
        "out-of-sequence-data",
        _CRITICAL,
    ),
    "corrupted_data": Advice(
        "Stop the run, recycle the subsystem that sent the data and start; if it recurs, call its on-call.", "corrupted-data", _CRITICAL
    ),
    "ru_failed": Advice(
        "Stop the run, recycle the DAQ and start; after two tries call the DAQ on-call with the error message.", "ru-failed", _CRITICAL
    ),
    "ru_stuck": Advice(
        "Stop the run, recycle the DAQ and start; call the DAQ on-call if the readout unit hangs again.", "ru-stuck", _CRITICAL
    ),
    "ru_waiting_for_fed": Advice(
        "Stop the run and recycle the subsystem of the silent FED; the FED that is pushed back is not to blame.",
        "ru-waiting-for-fed",
        _CRITICAL,
    ),
    "ru_waiting_for_other": Advice(
        "Stop the run and recycle the subsystem of the silent FEDs; those that are pushed back elsewhere are not to blame.",
        "ru-waiting-for-fed",
        _CRITICAL,
    ),
    "link_problem": Advice(
        "Stop the run, recycle the DAQ and start; if the link fails again, call the DAQ on-call, then the subsystem's.",
        "link-problem",
        _CRITICAL,
    ),
    "ferol_fifo_stuck": Advice(
        "Have the registers of the FEROL dumped for the experts, then stop the run, recycle the DAQ and start.",
        "ferol-fifo-stuck",
        _CRITICAL,
    ),
    "hlt_problem": Advice(
        "The filter units have crashed: call the HLT on-call, and the DAQ on-call to clean up the farm.", "hlt-problem", _CRITICAL
    ),
    "soft_error_stuck": Advice(
        "Stop and start the run; call the on-call of the subsystem in error and have its detector control checked.",
        "soft-error",
        _CRITICAL,
    ),
    "soft_error_lengthy": Advice(
        "Call the on-call of the subsystem that is recovering and have its detector control checked.", "soft-error", _WARNING
    ),
    "soft_error_continuous": Advice(
        "The recovery does not help: stop the run, recycle the subsystem and call its on-call.", "soft-error", _WARNING
    ),
    "fed_deadtime": Advice("Call the on-call of the FED's subsystem if the dead time lasts.", "dead-time", _WARNING),
    "fed_deadtime_due_to_daq": Advice(
        "The DAQ pushes the FED back: follow the back-pressure to its source, the FED is not to blame.", "backpressure", _WARNING
    ),
    "partition_deadtime": Advice("Look for the FED that asserts it; call the subsystem's on-call if it lasts.", "dead-time", _WARNING),
    "deadtime_from_retri": Advice(
        "Resonant triggers are vetoed, which the filling scheme causes: tell the trigger shifter.", "dead-time", _WARNING
    ),
    "backpressure_event_building": Advice(
        "Pause and resume the run; if the back-pressure stays, stop and start, then call the DAQ on-call.", "backpressure", _WARNING
    ),
    "backpressure_from_ferol": Advice("Stop and start the run; call the DAQ on-call if it returns.", "backpressure", _WARNING),
    "backpressure_from_hlt": Advice(
        "Check the farm for crashes and the trigger shifter's prescale column; then call the HLT on-call.", "backpressure", _WARNING
    ),
    "upgraded_fed_backpressured": Advice(
        "Nothing by itself: the DAQ pushes this FED back, look at what explains it.", "backpressure", _INFO
    ),
    "rate_too_high": Advice("Ask the trigger shifter to check the prescales.", "rate-too-high", _WARNING),
    "tcds_input_rate_high": Advice("Ask the trigger shifter to check the prescales.", "rate-too-high", _WARNING),
    "tcds_input_rate_very_high": Advice(
        "Ask the trigger shifter which trigger has run away and to mask or prescale it.", "rate-too-high", _WARNING
    ),
    "hlt_output_bandwidth_high": Advice(
        "Ask the trigger shifter whether the prescale column fits the luminosity; tell the HLT on-call.", "hlt-output", _WARNING
    ),
    "hlt_output_bandwidth_extreme": Advice(
        "Change the prescale column now, or the storage fills up; call the HLT on-call.", "hlt-output", _WARNING
    ),
    "cloud_mode_wrong": Advice(
        "Have the filter farm taken out of cloud mode: it is needed for the trigger now.", "filter-farm-cloud", _WARNING
    ),
}
"""What to do about each condition. Practice of the CMS DAQ shifts of 2016 to 2018, as generic steps."""

_BACKPRESSURE = (
    "backpressure_event_building",
    "backpressure_from_ferol",
    "fed_stuck_due_to_daq",
    "fed_deadtime_due_to_daq",
    "upgraded_fed_backpressured",
    "partition_deadtime",
)
_DATA_STOP = (*_BACKPRESSURE, "no_rate", "fed_stuck", "ru_stuck", "ru_waiting_for_fed", "ru_waiting_for_other")
_TTS_STOP = ("no_rate", "partition_deadtime", "fed_deadtime")

EXPLAINS: Mapping[str, tuple[str, ...]] = {
    "partition_problem": _TTS_STOP,
    "fed_stuck": _TTS_STOP,
    "fed_stuck_due_to_daq": ("no_rate", "partition_deadtime", "fed_deadtime_due_to_daq", "upgraded_fed_backpressured"),
    "fed_disconnected": (*_TTS_STOP, "fed_stuck"),
    "fmm_problem": (*_TTS_STOP, "fed_stuck"),
    "pi_problem": (*_TTS_STOP, "fed_stuck"),
    "pi_disconnected": (*_TTS_STOP, "fed_stuck"),
    "out_of_sequence_data": (*_DATA_STOP, "backpressure_from_hlt", "ru_failed"),
    "corrupted_data": (*_DATA_STOP, "backpressure_from_hlt", "ru_failed"),
    "ru_failed": _DATA_STOP,
    "ru_stuck": (*_BACKPRESSURE, "no_rate"),
    "ru_waiting_for_fed": (*_BACKPRESSURE, "no_rate"),
    "ru_waiting_for_other": (*_BACKPRESSURE, "no_rate"),
    "link_problem": (*_BACKPRESSURE, "no_rate", "fed_stuck"),
    "ferol_fifo_stuck": (*_BACKPRESSURE, "no_rate"),
    "hlt_problem": ("backpressure_from_hlt", *_BACKPRESSURE, "no_rate"),
    "backpressure_from_hlt": (*_BACKPRESSURE, "no_rate"),
    "backpressure_event_building": ("fed_deadtime_due_to_daq", "upgraded_fed_backpressured", "partition_deadtime"),
    "backpressure_from_ferol": ("fed_deadtime_due_to_daq", "upgraded_fed_backpressured", "partition_deadtime"),
    "hlt_output_bandwidth_extreme": ("hlt_output_bandwidth_high", "backpressure_from_hlt"),
    "hlt_output_bandwidth_high": ("backpressure_from_hlt",),
    "cloud_mode_wrong": ("backpressure_from_hlt",),
    "tcds_input_rate_very_high": ("tcds_input_rate_high", "rate_too_high", "fed_deadtime", "partition_deadtime"),
    "tcds_input_rate_high": ("rate_too_high", "fed_deadtime", "partition_deadtime"),
    "rate_too_high": ("fed_deadtime", "partition_deadtime", "backpressure_event_building"),
    "fed_deadtime": ("partition_deadtime",),
    "fed_deadtime_due_to_daq": ("partition_deadtime",),
    "soft_error_stuck": ("no_rate", "soft_error_lengthy"),
    "soft_error_continuous": ("soft_error_lengthy",),
    "unidentified": ("no_rate",),
}
"""What each condition brings about, directly or on the way: of conditions that hold together, those which none of the others explains
are the cause. It has no cycles."""

NO_RATE_CAUSES = frozenset(condition for condition, effects in EXPLAINS.items() if "no_rate" in effects) - {"unidentified"}
"""Conditions that are reason enough for a run to stand still."""
