"""The readings that a condition of the DAQ rests on, as ranked contributions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from collectors.frame import Channel, Kind
from detectors.daq_case import NAMED, Case
from detectors.daq_conditions import FULL_QUEUE
from detectors.daq_overview import MB_PER_GB
from detectors.finding import Contribution

RANKED = 12
"""Contributions that are given."""
EVENTS, ACCEPTED, AS_IT_IS = "events", "accepted", "as it is"
"""Expected: as many events as the trigger control asked for; the rate that it accepted; whatever is shown, it only tells more."""

# what is read (FEDs, FEDs that are pushed back or faulty, partitions, readout units or the whole), the field, what is expected
# (a number, one of the words above, or the name of the option that limits it), the weight
Reading = tuple[str, str, float | str, float]

_RATE: Reading = ("global", "fb.rate", ACCEPTED, 1)
_REQUESTS: Reading = ("global", "evm.requests", "few_requests", 1)
_PARTITION: tuple[Reading, ...] = (("partition", "tcds_pm_ttsState", 0, 3), ("partition", "ttsState", 0, 1))
_FED_TTS: Reading = ("fed", "ttsState", 0, 4)
_FED_PUSHED: Reading = ("fed", "percentBackpressure", 0, 2)
_PUSHED: Reading = ("pushed", "percentBackpressure", 0, 2)
_MISSING: tuple[Reading, ...] = (("fed", "ruFedWithoutFragments", 0, 3), ("fed", "eventCounter", EVENTS, 3))
_UNIT: tuple[Reading, ...] = (("unit", "requests", 0, 2), ("unit", "fragmentsInRU", AS_IT_IS, 1))
_UNIT_STATE: Reading = ("unit", "stateName", 0, 3)
_DEAD_TIME: tuple[Reading, ...] = (("fed", "percentWarning", 0, 2), ("fed", "percentBusy", 0, 2))
_INPUT: tuple[Reading, ...] = (("global", "tcds.trg_rate_total", "rate_limit_hz", 1), ("global", "tcds.sup_trg_rate_total", 0, 2))
_SOFT_ERROR: tuple[Reading, ...] = (("global", "levelZeroState", AS_IT_IS, 2), ("subsystem", "status", AS_IT_IS, 3), _RATE)
_ALL_DEAD_TIME: tuple[Reading, ...] = (
    _RATE,
    *(("global", f"deadTimes.{cause}", 0, 0.5) for cause in ("total", "tts", "apve", "trg_rules", "sw_pause", "daq_bp")),
)

READINGS: Mapping[str, tuple[Reading, ...]] = {
    "no_rate": _ALL_DEAD_TIME,
    "unidentified": _ALL_DEAD_TIME,
    "partition_problem": (("faulty", "ttsState", 0, 4), *_PARTITION, _RATE),
    "fed_stuck": (_FED_TTS, *_DEAD_TIME, *_PARTITION, ("fed", "percentBackpressure", 0, 1), _RATE),
    "fed_stuck_due_to_daq": (("pushed", "ttsState", 0, 2), _PUSHED, *_UNIT, *_PARTITION, _RATE),
    "fed_disconnected": (_FED_TTS, *_PARTITION, _RATE),
    "fmm_problem": (*_PARTITION, _RATE),
    "pi_problem": (*_PARTITION, _RATE),
    "pi_disconnected": (*_PARTITION, _RATE),
    "out_of_sequence_data": (_UNIT_STATE, ("unit", "errorFed", AS_IT_IS, 3), ("fed", "ruFedOutOfSync", 0, 2), _PUSHED, _RATE),
    "corrupted_data": (("fed", "ruFedDataCorruption", 0, 4), _UNIT_STATE, _RATE),
    "ru_failed": (_UNIT_STATE, _RATE),
    "ru_stuck": (*_UNIT, ("unit", "incompleteSuperFragmentCount", 0, 1), _PUSHED, _RATE),
    "ru_waiting_for_fed": (*_MISSING, *_UNIT, _PUSHED, _RATE),
    "ru_waiting_for_other": (*_MISSING, *_UNIT, _PUSHED, _RATE),
    "link_problem": (*_MISSING, _FED_PUSHED, *_UNIT, _RATE),
    "ferol_fifo_stuck": (*_MISSING, *_UNIT, _PUSHED, _RATE),
    "hlt_problem": (("bu_summary", "n_Enabled", AS_IT_IS, 2), ("bu_summary", "numFUsCrashed", 0, 3), _RATE),
    "fed_deadtime": (*_DEAD_TIME, _FED_TTS, ("fed", "percentBackpressure", 0, 1)),
    "fed_deadtime_due_to_daq": (_PUSHED, ("pushed", "percentBusy", 0, 1), ("pushed", "percentWarning", 0, 1), *_UNIT),
    "partition_deadtime": (("partition", "percentBusy", 0, 2), ("partition", "percentWarning", 0, 2)),
    "deadtime_from_retri": (("global", "deadTimes.retri", 0, 1),),
    "upgraded_fed_backpressured": (_PUSHED, *_UNIT),
    "backpressure_event_building": (_PUSHED, *_UNIT, _REQUESTS),
    "backpressure_from_ferol": (_PUSHED, ("unit", "requests", 0, 2), ("unit", "fragmentsInRU", FULL_QUEUE, 2)),
    "backpressure_from_hlt": (
        _REQUESTS,
        *(("bu_summary", f"n_{state}", 0, 1) for state in ("Throttled", "Blocked", "Failed")),
        ("bu_summary", "n_Enabled", AS_IT_IS, 1),
    ),
    "rate_too_high": (("global", "fb.rate", "rate_limit_hz", 1),),
    "tcds_input_rate_high": _INPUT,
    "tcds_input_rate_very_high": _INPUT,
    "hlt_output_bandwidth_high": (("global", "bu.fuOutputBandwidthInMB", "hlt_output_high_gb_s", 1),),
    "hlt_output_bandwidth_extreme": (("global", "bu.fuOutputBandwidthInMB", "hlt_output_extreme_gb_s", 1),),
    "cloud_mode_wrong": (
        ("bu_summary", "numFUsCloud", 0, 2),
        ("bu_summary", "numFUsHLT", AS_IT_IS, 1),
        ("global", "lhcBeamMode", AS_IT_IS, 1),
    ),
    "soft_error_lengthy": (("global", "levelZeroStateAge", "soft_error_s", 2), *_SOFT_ERROR),
    "soft_error_continuous": _SOFT_ERROR,
    "soft_error_stuck": _SOFT_ERROR,
}
"""What each condition rests on, most important first."""


def contributions(condition: str, case: Case) -> tuple[Contribution, ...]:
    """The readings behind a condition in one row, with their shares; those of which there is no reading are left out."""
    found = [
        (weight, reading)
        for scope, field, expected, weight in READINGS[condition]
        for name in _names(scope, case)[:NAMED]
        if (reading := _reading(f"{name}/{field}", expected, case)) is not None
    ]
    total = sum(weight for weight, _ in found)
    ranked = sorted(found, key=lambda pair: -pair[0])
    return tuple(
        Contribution(c.name, c.place, c.observed, c.expected, round(weight / total, 4), c.unit, c.text) for weight, c in ranked[:RANKED]
    )


def _names(scope: str, case: Case) -> list[str]:
    """First parts of the channels' names of the objects that a reading is taken from."""
    layout = case.facts.view.layout
    match scope:
        case "fed":
            carriers = [c for c in case.facts.wiring.fed_carrier[case.feds].tolist() if c >= 0] if case.feds else []
            return [f"fed/{layout.feds.names[i]}" for i in dict.fromkeys([*case.feds, *carriers])]
        case "pushed" | "faulty":
            return [f"fed/{layout.feds.names[i]}" for i in (case.pushed if scope == "pushed" else case.faulty)]
        case "partition":
            of_pushed = case.partitions_of(case.pushed) if case.objects.get("unit") else []
            return [f"partition/{layout.partitions.names[i]}" for i in case.partitions or of_pushed]
        case "unit":
            return [f"ru/{layout.units.names[i]}" for i in case.units]
        case "subsystem":
            names = layout.subsystems.names
            return [f"subsystem/{names[i]}" for i in case.objects.get("subsystem", []) if i < len(names)]
        case _:
            return [scope]


def _reading(name: str, expectation: float | str, case: Case) -> Contribution | None:
    layout, frame = case.facts.view.layout.layout, case.facts.view.frame
    if name not in layout:
        return None
    channel = layout.column(name)
    observed = float(frame.readings(np.array([layout.position(name)]))[case.row, 0])
    if not isinstance(channel, Channel) or not np.isfinite(observed):
        return None
    text, expected = "", _expected(expectation, observed, case)
    if channel.kind is Kind.STATE:
        words = [channel.states[int(v)] if 0 <= v < len(channel.states) else "" for v in np.nan_to_num([observed, expected], nan=-1)]
        text = f"{words[0]}, expected {words[1]}" if words[1] and words[1] != words[0] else words[0]
    return Contribution(name, channel.place, observed, expected, 0.0, channel.unit, text)


def _expected(expectation: float | str, observed: float, case: Case) -> float:
    """What a reading should have been; always a number."""
    match expectation:
        case str() if expectation == AS_IT_IS:
            return observed
        case str() if expectation == EVENTS:
            events = float(case.facts.expected_events[case.row])
            return events if np.isfinite(events) else observed
        case str() if expectation == ACCEPTED:
            accepted_hz = case.value("global/triggerRatesInstant.trg_rate_total", "global/tcds.trg_rate_total")
            return accepted_hz if accepted_hz > 0 else 1.0
        case str():
            limit = float(getattr(case.facts.options, expectation))
            return limit * MB_PER_GB if expectation.endswith("_gb_s") else limit
    return expectation
