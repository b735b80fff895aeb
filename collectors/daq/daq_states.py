"""Words of a DAQ snapshot: fixed vocabularies of states, and what a message of a readout unit says.

A state travels as its index into one of these tuples. They may grow at the end; nothing in them is ever moved.
TTS codes: CMS trigger throttling system, a letter for the state and the raw bits behind it ("W_1", "E_c", "X_198").
"""

from __future__ import annotations

import re

TTS_STATES = ("READY", "WARNING", "BUSY", "OUT_OF_SYNC", "ERROR", "DISCONNECTED", "INVALID")
"""States of the trigger throttling system, for FEDs, partitions and the top level."""

RUN_STATES = (
    "Undefined", "Initial", "Initializing", "Initialized", "Connecting", "Halting", "Halted", "Standby", "Configuring", "Configured",
    "Starting", "Running", "RunningDegraded", "RunningSoftErrorDetected", "RunBlocked", "Pausing", "Paused", "Resuming", "Stopping",
    "ForceStopping", "ForceHalting", "Resetting", "ColdResetting", "FixingSoftError", "PerformingDCSPauseResume", "TTCResyncing",
    "TTCResyncingFromRunning", "TTCHardResetting", "TTCHardResettingFromRunning", "Recovering", "TestingTTS", "TTSTestMode",
    "Faulty", "Error", "FatalError", "Failed",
)  # fmt: skip
"""Run control states of level zero, the DAQ and the subsystems."""

UNIT_STATES = (
    "Enabled", "Ready", "Halted", "Configuring", "Configured", "Enabling", "Draining", "Stopping", "SyncLoss", "Failed", "Throttled",
    "Blocked", "Cloud", "Mist", "Paused", "Incomplete", "Halting", "Clearing", "MissingData",
)  # fmt: skip
"""States of readout and builder units."""

BEAM_MODES = (
    "NO BEAM", "SETUP", "INJECTION PROBE BEAM", "INJECTION SETUP BEAM", "INJECTION PHYSICS BEAM", "PREPARE RAMP", "RAMP", "FLAT TOP",
    "SQUEEZE", "ADJUST", "STABLE BEAMS", "UNSTABLE BEAMS", "BEAM DUMP", "RAMP DOWN", "CYCLING", "RECOVERY", "ABORT", "INJECT AND DUMP",
    "CIRCULATE AND DUMP", "BEAM DUMP WARNING",
)  # fmt: skip
"""Beam modes of the LHC."""

MACHINE_MODES = (
    "SHUTDOWN", "COOLDOWN", "MACHINE CHECKOUT", "ACCESS", "MACHINE TEST", "CALIBRATION", "WARM-UP", "RECOVERY", "SECTOR DEPENDENT",
    "BEAM SETUP", "PROTON PHYSICS", "ION PHYSICS", "PROTON-NUCLEUS PHYSICS", "TOTEM PHYSICS", "SPECIAL OPTICS PHYSICS",
    "MACHINE DEVELOPMENT", "COSMICS",
)  # fmt: skip
"""Machine modes of the LHC."""

NO_READING = frozenset({"", "-", "x", "None", "null"})
"""What a snapshot writes where there is nothing to read: no module behind it, or not monitored."""

_TTS_LETTERS = {"R": 0, "W": 1, "B": 2, "S": 3, "E": 4, "D": 5, "X": 6, "I": 6}
_TTS_CODE = re.compile(r"([RWBSEDXI])_[0-9a-fA-F]+")
_FED_IN_MESSAGE = re.compile(r"\bfrom FED (\d{1,5})\b")


def tts_state(code: str) -> int | None:
    """Index into TTS_STATES of a code such as "W_1", None where there is no reading; ValueError where it is no code."""
    if code in NO_READING:
        return None
    match = _TTS_CODE.fullmatch(code)
    if match is None:
        raise ValueError(f"{code!r} is not a TTS state")
    return _TTS_LETTERS[match[1]]


def named_state(text: str, states: tuple[str, ...]) -> int | None:
    """Index of a state's name, None where there is no reading; ValueError where the vocabulary does not have it.

    A state of a state ("Stopping.Recovering") counts as the first of its names, and spelling by case does not matter.
    """
    if text in NO_READING:
        return None
    wanted = text.partition(".")[0].casefold()
    for i, state in enumerate(states):
        if state.casefold() == wanted:
            return i
    raise ValueError(f"{text!r} is not a known state")


def fed_named_in(message: str) -> int | None:
    """Number of the FED that a readout unit's error message blames, None where it names none.

    Messages are those of the CMS event builder ("Received an event out of sequence from FED 774 (DT): …",
    "… in data block from FED 548 (ES)", "Received a corrupted event 1 from FED 843 (CSC): …").
    """
    match = _FED_IN_MESSAGE.search(message)
    return int(match[1]) if match else None
