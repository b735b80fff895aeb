"""Which injected faults the daemon found, which it missed, and what it raised for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from collectors.frame import is_within
from daemon.demo.geometry import LUMISECTION_NS
from daemon.demo.truth import InjectedFault

GRACE_NS = 10 * LUMISECTION_NS
"""How long after a fault has been repaired an incident may still be opened for it, and the least time a fault needs to be found."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReportedIncident:
    """What the daemon says, as far as it is judged. Times in data time, ns; resolved_ns is None while it is open."""

    id: str
    sentence: str
    decision: str
    cause_place: str
    places: tuple[str, ...]
    opened_ns: int
    resolved_ns: int | None = None
    merged: bool = False

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """An incident as `--json` prints it. Raises KeyError, TypeError or ValueError where it is not one."""
        cause = said["cause"]["place"]
        places = tuple(dict.fromkeys([cause, *said["places"], *said.get("victims", ())]))
        resolved = said.get("resolved")
        return cls(
            said["id"],
            said["sentence"],
            said.get("decision", ""),
            cause,
            places,
            _nanoseconds(said["opened"]),
            _nanoseconds(resolved) if resolved else None,
            bool(said.get("merged_into")),
        )


def _nanoseconds(iso: str) -> int:
    return (datetime.fromisoformat(iso) - _EPOCH) // timedelta(microseconds=1) * 1_000


class Outcome(StrEnum):
    """What became of an injected fault."""

    FOUND = "found"
    MISSED = "missed"
    TOO_EARLY = "too early"  # the demo ended before it could have been found


@dataclass(frozen=True, slots=True)
class Verdict:
    """One injected fault and the incidents raised for it, earliest first. `remark` says why one that was seen counts as missed."""

    fault: InjectedFault
    outcome: Outcome
    incidents: tuple[ReportedIncident, ...]
    remark: str = ""

    @property
    def delay_ns(self) -> int | None:
        """From the start of the fault to the first incident, data time."""
        return self.incidents[0].opened_ns - self.fault.start_ns if self.incidents else None

    @property
    def cleared_ns(self) -> int | None:
        """When the last incident for it was resolved; None while one is open."""
        resolved = [incident.resolved_ns for incident in self.incidents]
        return None if not resolved or None in resolved else max(moment for moment in resolved if moment is not None)


@dataclass(frozen=True, slots=True)
class Score:
    """The result of a demo."""

    verdicts: tuple[Verdict, ...]
    false: tuple[ReportedIncident, ...]

    def count(self, outcome: Outcome) -> int:
        """Number of faults with this outcome."""
        return sum(verdict.outcome is outcome for verdict in self.verdicts)

    @property
    def passed(self) -> bool:
        """Nothing missed and nothing raised for nothing."""
        return not self.false and not self.count(Outcome.MISSED)


def same_branch(one: str, other: str) -> bool:
    """Whether two places lie on one branch of the tree; the experiment as a whole is too wide to count."""
    return "/" in one and "/" in other and (is_within(one, other) or is_within(other, one))


def touches(fault: InjectedFault, incident: ReportedIncident) -> int:
    """How many of the fault's places the incident names; 0 where its time does not fit."""
    late = fault.stop_ns is not None and incident.opened_ns > fault.stop_ns + GRACE_NS
    if incident.opened_ns < fault.start_ns or late:
        return 0
    return sum(any(same_branch(place, named) for named in incident.places) for place in fault.places)


def best_match(faults: Iterable[InjectedFault], incident: ReportedIncident) -> InjectedFault | None:
    """The fault that an incident was raised for: most places in common, then the latest; None for a false one."""
    touched = [(touches(fault, incident), fault.start_ns, fault) for fault in faults]
    best = max(touched, key=lambda entry: entry[:2], default=None)
    return best[2] if best is not None and best[0] else None


def score(faults: Sequence[InjectedFault], incidents: Iterable[ReportedIncident], now_ns: int) -> Score:
    """Judges the daemon. `incidents` are the last state of each; those merged into others do not count.

    A fault is found when an incident opened in its time names one of its places. One with a cause and victims is
    found only if exactly one incident was opened for it, that names the cause as the cause and all of its places.
    """
    assigned: dict[str, list[ReportedIncident]] = {fault.id: [] for fault in faults}
    false = []
    for incident in sorted(incidents, key=lambda i: i.opened_ns):
        if incident.merged:
            continue
        fault = best_match(faults, incident)
        if fault is None:
            false.append(incident)
        else:
            assigned[fault.id].append(incident)
    return Score(tuple(_verdict(fault, tuple(assigned[fault.id]), now_ns) for fault in faults), tuple(false))


def _verdict(fault: InjectedFault, raised: tuple[ReportedIncident, ...], now_ns: int) -> Verdict:
    remark = _shortcoming(fault, raised)
    if raised and not remark:
        return Verdict(fault, Outcome.FOUND, raised)
    early = now_ns < fault.start_ns + GRACE_NS
    return Verdict(fault, Outcome.TOO_EARLY if early else Outcome.MISSED, raised, remark)


def _shortcoming(fault: InjectedFault, raised: tuple[ReportedIncident, ...]) -> str:
    """What is wrong with the incidents for a fault that has one cause and several effects; empty where nothing is."""
    if fault.cause is None or not raised:
        return ""
    if len(raised) > 1:
        return f"{len(raised)} incidents instead of one"
    if not is_within(raised[0].cause_place, fault.cause):
        return f"{raised[0].cause_place} is named as its cause instead of {fault.cause}"
    absent = [place for place in fault.places if not any(same_branch(place, named) for named in raised[0].places)]
    return f"{', '.join(absent)} not named" if absent else ""
