"""What failed is tried again after a pause that grows, so that a batch system that refuses is not asked all night."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PAUSE_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Failure:
    pause_s: float
    due_s: float


class Retries:
    """Failures by key; forgotten by a new process, which tries at once. Times are wall seconds of one clock."""

    def __init__(self, first_pause_s: float) -> None:
        self._first_pause_s = first_pause_s
        self._failures: dict[str, _Failure] = {}

    def failed(self, key: str, now_s: float) -> None:
        """It failed, perhaps once more."""
        known = self._failures.get(key)
        pause_s = self._first_pause_s if known is None else min(2 * known.pause_s, max(LONGEST_PAUSE_S, self._first_pause_s))
        self._failures[key] = _Failure(pause_s, now_s + pause_s)

    def waits(self, key: str, now_s: float) -> bool:
        """Whether it is too early to try again."""
        known = self._failures.get(key)
        return known is not None and now_s < known.due_s

    def forget(self, key: str) -> None:
        """It went well, or is not wanted any more."""
        self._failures.pop(key, None)
