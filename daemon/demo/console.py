"""The demo's console: what was injected, when the daemon noticed, what it said, and the scoreboard at the end."""

from __future__ import annotations

import json
import statistics
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

import click

from daemon.demo.scoring import Outcome, ReportedIncident, Score, Verdict, best_match, score
from daemon.demo.truth import InjectedFault

WIDTH = 80
_INDENT = " " * 20
_COLUMNS = "{:<30}  {:<8}  {:<8}  {:>6}  {:>8}  {}"


class Console:
    """Takes in what truly happens and what the daemon says, prints both as they come, and keeps the score.

    `write` gets one line at a time; colours are for abnormal things only and are stripped by whoever writes to a file.
    With `as_json` every line is a JSON object instead.
    """

    def __init__(self, write: Callable[[str], None], zone: tzinfo | None = None, *, as_json: bool = False) -> None:
        self._write = write
        self._zone = zone
        self._as_json = as_json
        self._faults: dict[str, InjectedFault] = {}
        self._incidents: dict[str, ReportedIncident] = {}
        self._now_ns = 0

    def happened(self, event: dict[str, Any]) -> None:
        """An event of the simulated experiment (daemon.demo.truth)."""
        self._now_ns = max(self._now_ns, event["time_ns"])
        if event["event"] == "injected":
            fault = InjectedFault.from_event(event)
            self._faults[fault.id] = fault
            self._line(event["time_ns"], "injected", f"{fault.kind}: {fault.sentence}", event)
        elif event["event"] == "repaired":
            fault = self._faults[event["id"]]
            self._faults[fault.id] = replace(fault, stop_ns=event["time_ns"])
            self._line(event["time_ns"], "repaired", fault.kind, event)
        elif event["event"] == "run":
            self._line(event["time_ns"], "new run", f"{event['run']}, all totals begin at zero", event)

    def reported(self, said: dict[str, Any]) -> None:
        """An incident, each time the daemon says something about it. Raises as ReportedIncident.from_json does."""
        incident = ReportedIncident.from_json(said)
        before = self._incidents.get(incident.id)
        self._incidents[incident.id] = incident
        self._now_ns = max(self._now_ns, incident.opened_ns, incident.resolved_ns or 0)
        fault = best_match(self._faults.values(), incident)
        if before is None:
            self._noticed(incident, fault, said)
        elif incident.merged and not before.merged:
            self._line(self._now_ns, "joined", f"another incident took over: {incident.sentence}", {"event": "merged", "incident": said})
        elif incident.sentence != before.sentence or incident.cause_place != before.cause_place:
            self._line(self._now_ns, "now says", incident.sentence, {"event": "changed", "incident": said})
        if incident.resolved_ns is not None and (before is None or before.resolved_ns is None) and not incident.merged:
            self._cleared(incident, fault, said)

    def settle(self, last: Iterable[dict[str, Any]]) -> None:
        """The daemon's own list at the end replaces what it said before; what is no longer in it was merged into another."""
        final = {incident.id: incident for incident in map(ReportedIncident.from_json, last)}
        gone = {name: replace(incident, merged=True) for name, incident in self._incidents.items() if name not in final}
        self._incidents = gone | final

    def score(self) -> Score:
        """The score up to now."""
        return score(list(self._faults.values()), self._incidents.values(), self._now_ns)

    def scoreboard(self) -> Score:
        """Prints the final score and returns it."""
        result = self.score()
        if self._as_json:
            self._write(json.dumps(score_as_json(result), ensure_ascii=False))
            return result
        for line in scoreboard_lines(result, self._clock):
            self._write(line)
        return result

    def _noticed(self, incident: ReportedIncident, fault: InjectedFault | None, said: dict[str, Any]) -> None:
        record = {"event": "noticed", "fault": fault.id if fault else None, "incident": said}
        if fault is None:
            self._line(incident.opened_ns, "false", incident.sentence, record | {"delay_s": None}, colour="magenta")
            return
        delay_s = (incident.opened_ns - fault.start_ns) / 1e9
        text = f"after {_duration(delay_s)}  {incident.sentence}"
        self._line(incident.opened_ns, "noticed", text, record | {"delay_s": delay_s}, colour="yellow")
        if incident.decision and not self._as_json:
            self._wrapped(_INDENT, f"Do: {incident.decision}")

    def _cleared(self, incident: ReportedIncident, fault: InjectedFault | None, said: dict[str, Any]) -> None:
        assert incident.resolved_ns is not None
        record = {"event": "cleared", "fault": fault.id if fault else None, "incident": said}
        since = ""
        if fault is not None and fault.stop_ns is not None:
            since = f"{_duration((incident.resolved_ns - fault.stop_ns) / 1e9)} after repair  "
        self._line(incident.resolved_ns, "cleared", f"{since}{incident.sentence}", record)
        if said.get("victims") and not self._as_json:
            self._wrapped(_INDENT, f"One incident with what it caused: {', '.join(said['victims'])}")

    def _line(self, time_ns: int, word: str, text: str, record: dict[str, Any], colour: str | None = None) -> None:
        if self._as_json:
            self._write(json.dumps(record, ensure_ascii=False))
            return
        shown = click.style(f"{word:<8}", fg=colour) if colour else f"{word:<8}"
        self._wrapped(f"{self._clock(time_ns)}  {shown}  ", text)

    def _wrapped(self, head: str, text: str) -> None:
        first, *others = textwrap.wrap(text, WIDTH - len(_INDENT)) or [""]
        self._write(head + first)
        for line in others:
            self._write(_INDENT + line)

    def _clock(self, time_ns: int) -> str:
        return datetime.fromtimestamp(time_ns / 1e9, self._zone).strftime("%H:%M:%S")


def _duration(seconds: float) -> str:
    """Seconds up to five minutes, then minutes: "47 s", "12 min"."""
    return f"{seconds:.0f} s" if abs(seconds) < 300 else f"{seconds / 60:.0f} min"


def scoreboard_lines(result: Score, clock: Callable[[int], str]) -> list[str]:
    """The table of all faults, what was false, and one line that sums it up; at most 80 columns."""
    lines = ["", _COLUMNS.format("fault", "injected", "noticed", "after", "cleared", "result").rstrip()]
    for verdict in result.verdicts:
        lines += _row(verdict, clock)
    lines += [""]
    for incident in result.false:
        lines += textwrap.wrap(f"False: {clock(incident.opened_ns)} {incident.sentence}", WIDTH, subsequent_indent="  ")
    delays = [verdict.delay_ns / 1e9 for verdict in result.verdicts if verdict.delay_ns is not None and verdict.outcome is Outcome.FOUND]
    median = f"; median delay {_duration(statistics.median(delays))} of data time" if delays else ""
    early = f", {result.count(Outcome.TOO_EARLY)} too early" if result.count(Outcome.TOO_EARLY) else ""
    found, missed = result.count(Outcome.FOUND), result.count(Outcome.MISSED)
    summary = f"{found} of {len(result.verdicts)} found, {missed} missed, {len(result.false)} false{early}{median}"
    return [*lines, click.style(summary, fg="red") if not result.passed else summary]


def _row(verdict: Verdict, clock: Callable[[int], str]) -> list[str]:
    fault, delay_ns, cleared_ns = verdict.fault, verdict.delay_ns, verdict.cleared_ns
    noticed = clock(verdict.incidents[0].opened_ns) if verdict.incidents else "-"
    after = "-" if delay_ns is None else _duration(delay_ns / 1e9)
    cleared = clock(cleared_ns) if cleared_ns is not None else ("open" if verdict.incidents else "-")
    outcome = str(verdict.outcome)
    shown = click.style(outcome, fg="red") if verdict.outcome is Outcome.MISSED else outcome
    row = _COLUMNS.format(fault.kind, clock(fault.start_ns), noticed, after, cleared, shown)
    return [row, *textwrap.wrap(verdict.remark, WIDTH, initial_indent="  ", subsequent_indent="  ")]


def score_as_json(result: Score) -> dict[str, Any]:
    """The score as plain JSON values."""
    faults = [
        {
            "id": verdict.fault.id,
            "kind": verdict.fault.kind,
            "outcome": str(verdict.outcome),
            "remark": verdict.remark,
            "delay_s": None if verdict.delay_ns is None else verdict.delay_ns / 1e9,
            "incidents": [incident.id for incident in verdict.incidents],
        }
        for verdict in result.verdicts
    ]
    counts = {outcome.name.lower(): result.count(outcome) for outcome in Outcome}
    return {"event": "score", "faults": faults, "false": [i.id for i in result.false], **counts, "passed": result.passed}
