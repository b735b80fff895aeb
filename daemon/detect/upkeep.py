"""What the framework itself watches: that a source is alive, that its clock is right, that its channels are still there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collectors.frame import Layout, digest_of
from collectors.wire import CLOCK_PROBLEM
from daemon.detect.findings import Event
from daemon.sections import SourceSettings
from detectors.finding import Contribution, Evidence, Severity, Unit

FORGET_NS = 3_600_000_000_000
"""What has been gone for this long counts as taken away on purpose."""


@dataclass(slots=True)
class Standing:
    """Since when a condition holds (0: it does not), and since when it was reported."""

    since_ns: int = 0
    raised_ns: int = 0


class UpkeepRule:
    """Three conditions of a source: source_silent, clock_off, channel_vanished. Not sure of none of them: they are facts."""

    name = "upkeep"

    def __init__(self, source: str, place: str, section: SourceSettings | None) -> None:
        self._source = source
        self._place = place
        self._silence_ns = int((section.silence_s if section is not None else 0.0) * 1e9)
        self._skew_ns = int((section.max_clock_skew_s if section is not None else 300.0) * 1e9)
        self._watch_vanished = section is not None and section.watch_vanished
        self._standing = {condition: Standing() for condition in ("source_silent", "clock_off", "channel_vanished")}
        self._names: set[str] = set()
        self._vanished: dict[str, tuple[int, str]] = {}
        self._late_ns = 0
        self._begun_ns = 0
        self._clock_problem = ""
        self.problem = ""
        """What the source's last heartbeat said went wrong; "" where nothing did."""

    def begin(self, at_ns: int) -> None:
        """A producer was started, perhaps again: while it was down the source may well have been there."""
        self._begun_ns = at_ns

    def see(self, layout: Layout, at_ns: int) -> None:
        """Takes note of the columns that are there."""
        names = {column.name: column.place for column in layout.columns}
        if self._watch_vanished:
            for name in self._names - names.keys():
                self._vanished.setdefault(name, (at_ns, self._place))
        self._names |= names.keys()
        for name in names.keys() & self._vanished.keys():
            del self._vanished[name]
        for name, (since_ns, _) in list(self._vanished.items()):
            if at_ns - since_ns > FORGET_NS:
                del self._vanished[name]
                self._names.discard(name)

    def late(self, behind_ns: int) -> None:
        """How far behind the newest row the rows were that came too late; 0 where none did."""
        self._late_ns = behind_ns

    def judge(self, at_ns: int, heard_ns: int, problem: str, *, fresh: bool) -> list[Event]:
        """What began or ended by `at_ns`; the newest row of the source is of `heard_ns`; `fresh` where data came just now.

        `problem` is that of a heartbeat; blocks of data say nothing of it.
        """
        self._begun_ns = self._begun_ns or at_ns
        if not fresh:
            self.problem = problem
            self._clock_problem = problem if problem.startswith(CLOCK_PROBLEM) else ""
        silence = self._standing["source_silent"]
        silent_since_ns = max(heard_ns, silence.since_ns if silence.raised_ns else self._begun_ns)
        silent = bool(self._silence_ns) and at_ns - silent_since_ns > self._silence_ns and not (fresh and not self._late_ns)
        went_back = self._late_ns > self._skew_ns
        holds = {
            "source_silent": silent_since_ns if silent else 0,
            "clock_off": at_ns if went_back or self._clock_problem else 0,
            "channel_vanished": min((since for since, _ in self._vanished.values()), default=0),
        }
        return [event for condition, since_ns in holds.items() for event in self._change(condition, since_ns, at_ns, problem)]

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "standing": {condition: [s.since_ns, s.raised_ns] for condition, s in self._standing.items()},
            "names": sorted(self._names),
            "vanished": {name: list(entry) for name, entry in self._vanished.items()},
            "late_ns": self._late_ns,
            "begun_ns": self._begun_ns,
            "clock_problem": self._clock_problem,
            "problem": self.problem,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self._standing = {condition: Standing(*entry) for condition, entry in state["standing"].items()}
        self._names = set(state["names"])
        self._vanished = {name: (int(entry[0]), str(entry[1])) for name, entry in state["vanished"].items()}
        self._late_ns, self._begun_ns = int(state["late_ns"]), int(state["begun_ns"])
        self._clock_problem, self.problem = str(state["clock_problem"]), str(state.get("problem", ""))

    def _change(self, condition: str, since_ns: int, at_ns: int, problem: str) -> list[Event]:
        standing = self._standing[condition]
        unit = Unit(digest_of(self._source, condition), self._source, self._place, condition, Severity.WARNING)
        if since_ns and not standing.raised_ns:
            self._standing[condition] = Standing(since_ns, at_ns)
            return [Event(at_ns, unit, self.name, since_ns, at_ns, at_ns, None, self._evidence(condition, since_ns, at_ns, problem))]
        if not since_ns and standing.raised_ns:
            self._standing[condition] = Standing()
            return [Event(at_ns, unit, self.name, standing.since_ns, standing.raised_ns, at_ns, at_ns)]
        return []

    def _evidence(self, condition: str, since_ns: int, at_ns: int, problem: str) -> Evidence:
        if condition == "source_silent":
            silent_s = (at_ns - since_ns) / 1e9
            because = f": {problem}" if problem else ""
            return Evidence(f"{self._source} has sent nothing for {silent_s:.0f} s{because}")
        if condition == "clock_off":
            text = self._clock_problem or f"rows came that are {self._late_ns / 1e9:.0f} s older than the newest; they are not judged"
            return Evidence(f"The clock of {self._source} is wrong: {text}")
        gone = sorted(self._vanished)
        named = ", ".join(gone[:3]) + (f" and {len(gone) - 3} more" if len(gone) > 3 else "")
        ranked = tuple(Contribution(name, self._place, 0.0, 1.0, 1 / len(gone), text="gone") for name in gone[:20])
        return Evidence(f"{self._source} no longer shows {named}", ranked)
