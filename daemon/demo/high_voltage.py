"""A crate of high-voltage channels: voltages, currents, trips and ramps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from daemon.demo.geometry import CHANNELS, CRATE

SPARK_FACTOR = 12.0
SPARK_NS = 100_000_000
"""How long the current of a spark flows before the channel switches itself off."""
RAMP_LUMISECTIONS = 2


class Status(IntEnum):
    """State of a channel; the names are the strings of the enumerated PV."""

    OFF = 0
    ON = 1
    RAMP_UP = 2
    RAMP_DOWN = 3
    TRIPPED = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """A new value of one process variable, with the crate's own time."""

    pv: str
    value: float
    time_ns: int
    alarm: bool = False


def pv_name(channel: int, parameter: str) -> str:
    """Name of a process variable, as crate:channel:parameter."""
    return f"{CRATE}:{CHANNELS[channel].name}:{parameter}"


class HighVoltageCrate:
    """The channels of the crate. `leakage` is what drifting currents change: a factor for each channel, shape (12,)."""

    def __init__(self) -> None:
        self._set_volts = np.array([channel.set_volts for channel in CHANNELS])
        self._base_ua = np.array([channel.current_ua for channel in CHANNELS])
        self._volts = self._set_volts.copy()
        self._status = [Status.ON] * len(CHANNELS)
        self._shown = list(self._status)
        self.leakage = np.ones(len(CHANNELS))

    def status(self, channel: int) -> Status:
        """State of one channel."""
        return self._status[channel]

    @property
    def powered(self) -> NDArray[np.float64]:
        """Voltage of each channel as a fraction of what was set, shape (12,)."""
        return np.asarray(self._volts / self._set_volts)

    def trip(self, channel: int) -> None:
        """The channel draws too much and switches itself off."""
        self._status[channel] = Status.TRIPPED
        self._volts[channel] = 0.0

    def recover(self, channel: int) -> None:
        """An operator clears the trip and ramps up."""
        if self._status[channel] is Status.TRIPPED:
            self._status[channel] = Status.RAMP_UP

    def transitions(self, time_ns: int) -> list[Reading]:
        """What the monitors post at `time_ns` because states have changed since the last call, in order of time."""
        changed = [channel for channel, status in enumerate(self._status) if status is not self._shown[channel]]
        self._shown = list(self._status)
        tripped = [channel for channel in changed if self._status[channel] is Status.TRIPPED]
        sparks_ua = {channel: round(float(SPARK_FACTOR * self._base_ua[channel]), 3) for channel in tripped}
        sparks = [Reading(pv_name(channel, "IMon"), current_ua, time_ns, alarm=True) for channel, current_ua in sparks_ua.items()]
        after_ns = time_ns + SPARK_NS
        return sparks + [Reading(pv_name(channel, "Status"), self._status[channel], after_ns, channel in tripped) for channel in changed]

    def advance(self, rng: np.random.Generator, time_ns: int, luminosity_ratio: float) -> list[Reading]:
        """One lumisection that ends at `time_ns`: channels ramp, and voltages and currents are measured."""
        for channel, status in enumerate(self._status):
            if status is not Status.RAMP_UP:
                continue
            if self.powered[channel] >= 1.0:
                self._status[channel] = Status.ON
            self._volts[channel] = min(self._volts[channel] + self._set_volts[channel] / RAMP_LUMISECTIONS, self._set_volts[channel])
        return self._measure(rng, time_ns, luminosity_ratio)

    def _measure(self, rng: np.random.Generator, time_ns: int, luminosity_ratio: float) -> list[Reading]:
        noise = rng.standard_normal((2, len(CHANNELS)))
        volts = np.round(np.abs(self._volts + noise[0] * (0.02 + 6e-5 * self._volts)), 2)
        beam = 0.7 + 0.3 * luminosity_ratio
        current_ua = np.round(np.abs(self._base_ua * self.powered * self.leakage * beam * (1.0 + 0.008 * noise[1])), 3)
        shown = []
        for channel, status in enumerate(self._status):
            alarm = status is Status.TRIPPED
            shown.append(Reading(pv_name(channel, "VMon"), float(volts[channel]), time_ns, alarm))
            shown.append(Reading(pv_name(channel, "IMon"), float(current_ua[channel]), time_ns))
        return shown
