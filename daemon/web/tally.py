"""How often it was for nothing: incidents that people called "not a problem", against the budget that the operator set."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from daemon.records import Incident, LabelKind

DAY_NS = 86_400_000_000_000
WINDOW_DAYS = 30
LEAST_DAYS = 1.0
"""Below this there is no rate to speak of."""
TAIL = 0.05
"""On each side of the interval: 90 % of the probability lies inside."""


class Verdict(StrEnum):
    """What people said an incident was."""

    REAL = "real"
    FALSE = "false"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Incidents opened for nothing, over some days. rate, low, high: a day, None where less than a day was watched.

    The interval (90 %, exact for a Poisson process) knows nothing of incidents that nobody labelled: they are counted beside.
    """

    false: int
    unlabelled: int
    opened: int
    days: float
    rate: float | None
    low: float | None
    high: float | None


class Tally:
    """When each incident of the last month was opened, and what people said of it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Verdict]] = {}

    def take(self, incident: Incident) -> None:
        """Takes an incident in, as it is now; what became part of another one counts there."""
        if incident.merged_into:
            self._known.pop(incident.id, None)
        else:
            self._known[incident.id] = (incident.opened_ns, verdict(incident))

    def measured(self, now_ns: int) -> FalseAlarms:
        """The last 30 days up to now, or as long as there are incidents."""
        limit_ns = now_ns - WINDOW_DAYS * DAY_NS
        recent = [(opened_ns, said) for opened_ns, said in list(self._known.values()) if limit_ns <= opened_ns <= now_ns]
        first_ns = min((opened_ns for opened_ns, _ in list(self._known.values())), default=now_ns)
        days = max(now_ns - max(first_ns, limit_ns), 0) / DAY_NS
        false = sum(said is Verdict.FALSE for _, said in recent)
        unlabelled = sum(said is Verdict.NONE for _, said in recent)
        if days < LEAST_DAYS:
            return FalseAlarms(false, unlabelled, len(recent), days, None, None, None)
        low, high = poisson_interval(false)
        return FalseAlarms(false, unlabelled, len(recent), days, false / days, low / days, high / days)


def verdict(incident: Incident) -> Verdict:
    """The last word of a person on whether it was real; resolving it by hand or working on it says neither."""
    said = Verdict.NONE
    words = {LabelKind.NOT_A_PROBLEM.replace("_", " "): Verdict.FALSE, str(LabelKind.REAL): Verdict.REAL}
    for entry in incident.timeline:
        if entry.who != "shiftwatch":
            said = words.get(entry.what.partition(":")[0], said)
    return said


def poisson_interval(count: int) -> tuple[float, float]:
    """Exact 90 % interval of a Poisson mean after `count` events (F. Garwood, Biometrika 28 (1936) 437)."""
    from scipy.special import gammaincinv  # noqa: PLC0415 - slow to import, and only the page needs it

    low = float(gammaincinv(count, TAIL)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1 - TAIL))
