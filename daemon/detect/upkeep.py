"""What the framework itself watches: that a source is alive, that its clock is right, that its channels are still there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from collectors.frame import Layout, digest_of
from collectors.wire import CLOCK_PROBLEM
from daemon.detect.findings import Event
from daemon.detect.vanished import SOURCE, VanishedColumns
from daemon.sections import SourceSettings
from detectors.finding import Evidence, Severity, Unit

VANISHED = "channel_vanished"


@dataclass(slots=True)
class Standing:
    """Since when a condition holds (0: it does not), and since when it was reported."""

    since_ns: int = 0
    raised_ns: int = 0


class UpkeepRule:
    """Three conditions of a source: source_silent, clock_off, channel_vanished. Not sure of none of them: they are facts.

    What has vanished is reported where it was: one finding for each place.
    """

    name = "upkeep"

    def __init__(self, source: str, place: str, section: SourceSettings | None) -> None:
        self._source = source
        self._place = place
        self._silence_ns = int((section.silence_s if section is not None else 0.0) * 1e9)
        self._skew_ns = int((section.max_clock_skew_s if section is not None else 300.0) * 1e9)
        self._standing = {condition: Standing() for condition in ("source_silent", "clock_off")}
        self._columns = VanishedColumns(place) if section is not None and section.watch_vanished else None
        self._bare: dict[str, Standing] = {}
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
        if self._columns is not None:
            self._columns.see(layout, at_ns)

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
        }
        events: list[Event] = []
        for condition, since_ns in holds.items():
            standing = self._standing[condition]
            evidence = self._evidence(condition, since_ns, at_ns, problem) if since_ns and not standing.raised_ns else None
            events += self._change(standing, self._unit(condition), since_ns, at_ns, evidence)
        return events + self._judge_vanished(at_ns)

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "standing": {condition: [s.since_ns, s.raised_ns] for condition, s in self._standing.items()},
            "bare": {place: [s.since_ns, s.raised_ns] for place, s in self._bare.items()},
            "columns": {} if self._columns is None else self._columns.state(),
            "late_ns": self._late_ns,
            "begun_ns": self._begun_ns,
            "clock_problem": self._clock_problem,
            "problem": self.problem,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        standing = {condition: Standing(*entry) for condition, entry in state["standing"].items()}
        bare = {place: Standing(*entry) for place, entry in state.get("bare", {}).items()}
        if (whole := standing.pop(VANISHED, Standing())).raised_ns:  # of versions that reported it at the source's own place
            bare[SOURCE] = whole
        self._standing, self._bare = standing, bare
        if self._columns is not None:
            self._columns.restore(state.get("columns", state))
        self._late_ns, self._begun_ns = int(state["late_ns"]), int(state["begun_ns"])
        self._clock_problem, self.problem = str(state["clock_problem"]), str(state.get("problem", ""))

    def _judge_vanished(self, at_ns: int) -> list[Event]:
        """What has vanished at places where all was there, and where all is back."""
        gone = {} if self._columns is None else self._columns.since_ns()
        events: list[Event] = []
        for place in sorted({*gone, *self._bare}):
            standing = self._bare.setdefault(place, Standing())
            evidence = None if self._columns is None or standing.raised_ns else self._columns.evidence(self._source, place)
            events += self._change(standing, self._unit(VANISHED, place), gone.get(place, 0), at_ns, evidence)
            if not standing.raised_ns:
                del self._bare[place]
        return events

    def _unit(self, condition: str, place: str = SOURCE) -> Unit:
        """The source as a whole, or what it shows at a place."""
        if place == SOURCE:
            return Unit(digest_of(self._source, condition), self._source, self._place, condition, Severity.WARNING)
        name = f"{place.rpartition('/')[2]} of {self._source}"
        return Unit(digest_of(self._source, condition, place), name, place, condition, Severity.WARNING)

    def _change(self, standing: Standing, unit: Unit, since_ns: int, at_ns: int, evidence: Evidence | None) -> list[Event]:
        """The event of a condition that began or ended; `since_ns` is 0 where it does not hold."""
        if since_ns and not standing.raised_ns:
            standing.since_ns, standing.raised_ns = since_ns, at_ns
            return [Event(at_ns, unit, self.name, since_ns, at_ns, at_ns, None, evidence)]
        if not since_ns and standing.raised_ns:
            event = Event(at_ns, unit, self.name, standing.since_ns, standing.raised_ns, at_ns, at_ns)
            standing.since_ns, standing.raised_ns = 0, 0
            return [event]
        return []

    def _evidence(self, condition: str, since_ns: int, at_ns: int, problem: str) -> Evidence:
        if condition == "source_silent":
            silent_s = (at_ns - since_ns) / 1e9
            because = f": {problem}" if problem else ""
            return Evidence(f"{self._source} has sent nothing for {silent_s:.0f} s{because}")
        text = self._clock_problem or f"rows came that are {self._late_ns / 1e9:.0f} s older than the newest; they are not judged"
        return Evidence(f"The clock of {self._source} is wrong: {text}")
