"""What the detector `novelty` says about a reading, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from collectors.frame import Channel
from detectors.finding import Contribution, Evidence
from detectors.wording import amount, lasting

DAY_S = 86_400.0
DAYS_LEAST = 2.0
"""From here on, lengths of time are told in days."""


@dataclass(frozen=True, slots=True)
class News:
    """A reading that is new. Values in the unit of the channel.

    level: the recent one; nearest: what it is compared with, the most similar that is remembered; lowest, highest: of all readings
    before; known_s: since when the channel is known; readings: length of the sequence that is new, 0 where the level is.
    """

    channel: Channel
    name: str
    value: float
    level: float
    nearest: float
    lowest: float
    highest: float
    known_s: float
    readings: int

    def evidence(self) -> Evidence:
        """One sentence, and the value beside what is nearest to it of all that is known."""
        ago, unit = f"in the last {span(self.known_s)}", self.channel.unit
        observed, nearest = self.value, self.nearest
        if not self.lowest <= self.value <= self.highest and math.isfinite(self.highest - self.lowest):
            above = self.value > self.highest
            nearest = self.highest if above else self.lowest
            what = f"is {amount(self.value, unit)}, {'higher' if above else 'lower'} than anything {ago}"
        elif self.readings == 0:
            observed = self.level
            what = f"has come to a level of {amount(self.level, unit)}, unlike any {ago}"
        elif self.readings == 1:
            what = f"is {amount(self.value, unit)}, a value that it did not have {ago}"
        else:
            what = f"has come to {amount(self.value, unit)} in a way unlike any {ago}"
        compared = f"; the nearest was {amount(nearest, unit)}" if math.isfinite(nearest) else ""
        ranked = (Contribution(self.name, self.channel.place, observed, nearest, 1.0, unit),)
        return Evidence(f"{self.name} {what}{compared}", ranked)


def span(seconds: float) -> str:
    """A length of time up to many days: "12 days", "3.5 h"."""
    return f"{seconds / DAY_S:.3g} days" if seconds >= DAYS_LEAST * DAY_S else lasting(seconds)
