"""One condition in one row of DAQ snapshots: the objects it holds for, in words and with what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.daq_conditions import Facts
from detectors.daq_view import ERROR, OUT_OF_SYNC, READY, TTS_NAMES, Bools, of_owner

NAMED = 5
"""Objects that a sentence names one by one."""


class Names:
    """Names of objects in a sentence: "{feds}" gives "FEDs 101, 102 and 7 more", "{feds:is|are}" the verb that agrees."""

    def __init__(self, noun: str, names: Sequence[str]) -> None:
        self._noun = noun
        self._names = names

    def __format__(self, verbs: str) -> str:
        if verbs:
            return verbs.split("|")[len(self._names) > 1]
        if not self._names:
            return f"no {self._noun}"
        if len(self._names) == 1:
            return f"{self._noun} {self._names[0]}"
        more = f" and {len(self._names) - NAMED} more" if len(self._names) > NAMED else ""
        return f"{self._noun}s {', '.join(self._names[:NAMED])}{more}"


@dataclass(frozen=True, eq=False)
class Case:
    """`objects` are the indices of what the condition holds for, by kind ("fed", "partition", "unit", "subsystem")."""

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
        return self.objects.get("partition", []) or self.partitions_of(self.feds)

    @property
    def units(self) -> list[int]:
        """Readout units that the condition holds for, else those of its FEDs."""
        of_feds = self.facts.wiring.fed_unit[self.feds].tolist() if self.feds else []
        return self.objects.get("unit", []) or sorted({u for u in of_feds if u >= 0})

    @property
    def pushed(self) -> list[int]:
        """FEDs that are pushed back, those of the condition's readout units where it holds for some; its own FEDs left out."""
        pushed = self.facts.pushed[self.row]
        if self.objects.get("unit"):
            pushed = pushed & np.isin(self.facts.wiring.fed_unit, self.units)
        return [i for i in np.flatnonzero(pushed).tolist() if i not in self.feds]

    @property
    def faulty(self) -> list[int]:
        """FEDs of the partitions that are out of synchronisation or in error."""
        tts = self.facts.view.fed_tts[self.row]
        faulty = ((tts == OUT_OF_SYNC) | (tts == ERROR)) & np.isin(self.facts.view.layout.fed_partition, self.partitions)
        return np.flatnonzero(faulty).tolist()

    @property
    def waiting(self) -> list[int]:
        """FEDs of which the readout units have no fragments, those of the condition and behind them left out."""
        own = np.isin(np.arange(len(self.facts.view.layout.feds)), self.feds)
        carried = of_owner(own[None, :], self.facts.wiring.fed_carrier)[0]
        return np.flatnonzero(self.facts.without_fragments[self.row] & ~own & ~carried).tolist()

    def partitions_of(self, feds: Sequence[int]) -> list[int]:
        """Partitions of FEDs."""
        return sorted({p for p in self.facts.view.layout.fed_partition[list(feds)].tolist() if p >= 0}) if feds else []

    def value(self, *names: str) -> float:
        """A channel that is there once; the first of `names` that has a reading."""
        return float(self.facts.view.value(*names)[self.row])

    def names_of_feds(self, feds: Sequence[int]) -> Names:
        """The numbers of FEDs."""
        return Names("FED", [self.facts.view.layout.feds.names[i] for i in feds])

    def words(self) -> dict[str, Names]:
        """What a sentence can name: feds, partitions, units, pushed."""
        layout = self.facts.view.layout
        return {
            "feds": self.names_of_feds(self.feds),
            "partitions": Names("partition", [layout.partitions.names[i] for i in self.partitions]),
            "units": Names("readout unit", [layout.units.names[i] for i in self.units]),
            "pushed": self.names_of_feds(self.pushed),
        }

    def fed_state(self) -> str:
        """What blocks the triggers: the TTS state of the FEDs, of the pseudo-FEDs that carry it, or else of their partitions."""
        tts = self.facts.view.fed_tts[self.row]
        carriers = [c for c in self.facts.wiring.fed_carrier[self.feds].tolist() if c >= 0] if self.feds else []
        return _words([c for c in tts[[*self.feds, *carriers]] if c != READY]) or self.partition_state()

    def partition_state(self) -> str:
        """TTS state of the partitions."""
        return _words(list(self.facts.view.partition_tts[self.row, self.partitions])) or "an unknown state"

    def fed_places(self, feds: Sequence[int] | Bools) -> tuple[str, ...]:
        """Places of FEDs."""
        return tuple(self.facts.view.layout.feds.places[i] for i in feds)

    def partition_places(self, partitions: Sequence[int]) -> tuple[str, ...]:
        """Places of partitions."""
        return tuple(self.facts.view.layout.partitions.places[i] for i in partitions)

    def other_blocking(self) -> tuple[str, ...]:
        """Places of the other partitions that block the triggers with WARNING or BUSY."""
        own = set(self.partitions)
        return self.partition_places([i for i in np.flatnonzero(self.facts.blocking[self.row]).tolist() if i not in own])


def _words(codes: Sequence[float]) -> str:
    return "/".join(sorted({TTS_NAMES[int(code)] for code in codes if np.isfinite(code)}))
