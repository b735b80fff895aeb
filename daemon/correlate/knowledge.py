"""What detectors know of their conditions, beside what the configuration says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from daemon.sections import CausalitySettings, CausePattern


@dataclass(frozen=True, slots=True)
class Knowledge:
    """decisions: what to do about a condition, a sentence and the name of a runbook; explains: what it brings about.

    further: edges of the causality graph that say more than `explains` can.
    """

    decisions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    explains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    further: Sequence[CausalitySettings] = ()

    def edges(self) -> list[CausalitySettings]:
        """All that is known as edges of the causality graph."""
        return [*self.further, *self._explained()]

    def _explained(self) -> list[CausalitySettings]:
        return [
            CausalitySettings(cause=CausePattern(condition=(condition,)), effect=CausePattern(condition=tuple(effects)))
            for condition, effects in self.explains.items()
            if effects
        ]
