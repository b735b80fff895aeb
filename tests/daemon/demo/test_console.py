"""What a person reads in the demo, and what a script reads."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

import click
import pytest

from daemon.demo.console import Console
from daemon.demo.scoring import Outcome
from daemon.demo.truth import InjectedFault

S = 1_000_000_000
T0_NS = 1_480_508_400 * S  # 2016-11-30 12:20:00 UTC
TRIP = InjectedFault("fault-1", "high-voltage trip", "crate1 ch11 trips", ("DEMO/HV/crate1/ch11",), None, T0_NS)


class Screen:
    """A console and what it wrote, without colours."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.raw: list[str] = []
        self.console = Console(self.raw.append, UTC, as_json=as_json)

    @property
    def lines(self) -> list[str]:
        return [click.unstyle(line) for line in self.raw]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.raw]

    def inject(self, fault: InjectedFault = TRIP) -> None:
        self.console.happened(fault.as_event())

    def repair(self, at_s: int) -> None:
        self.console.happened({"event": "repaired", "time_ns": T0_NS + at_s * S, "id": TRIP.id})

    def report(self, name: str = "a", *, opened: str = "12:20:47", resolved: str | None = None, **changes: object) -> None:
        said = {
            "id": name,
            "cause": {"place": "DEMO/HV/crate1/ch11", "channel": "Status"},
            "places": ["DEMO/HV/crate1/ch11"],
            "victims": [],
            "opened": f"2016-11-30T{opened}.000Z",
            "resolved": f"2016-11-30T{resolved}.000Z" if resolved else None,
            "sentence": "ch11 has tripped",
            "decision": "Clear the trip and ramp up; call the HV on-call if it trips again.",
        }
        self.console.reported(said | changes)


def test_a_fault_from_injection_to_clearance() -> None:
    screen = Screen()
    screen.inject()
    screen.report()
    screen.repair(400)
    screen.report(resolved="12:28:00")
    assert screen.lines == [
        "12:20:00  injected  high-voltage trip: crate1 ch11 trips",
        "12:20:47  noticed   after 47 s  ch11 has tripped",
        "                    Do: Clear the trip and ramp up; call the HV on-call if it",
        "                    trips again.",
        "12:26:40  repaired  high-voltage trip",
        "12:28:00  cleared   80 s after repair  ch11 has tripped",
    ]
    result = screen.console.scoreboard()
    assert result.passed
    assert screen.lines[6:] == [
        "",
        "fault                           injected  noticed    after   cleared  result",
        "high-voltage trip               12:20:00  12:20:47    47 s  12:28:00  found",
        "",
        "1 of 1 found, 0 missed, 0 false; median delay 47 s of data time",
    ]


def test_nothing_is_said_twice() -> None:
    screen = Screen()
    screen.inject()
    for _ in range(3):
        screen.report()
    assert sum("noticed" in line for line in screen.lines) == 1


def test_a_changed_verdict_is_said() -> None:
    screen = Screen()
    screen.inject()
    screen.report()
    screen.report(sentence="ch11 has tripped after a spark of 96 uA")
    assert screen.lines[-1] == "12:20:47  now says  ch11 has tripped after a spark of 96 uA"


def test_missed_and_false_are_named_in_the_scoreboard() -> None:
    screen = Screen()
    screen.inject()
    screen.report(
        "b", cause={"place": "DEMO/TRACKER", "channel": ""}, places=["DEMO/TRACKER"], sentence="cluster charge differs from its reference"
    )
    assert screen.lines[-1] == "12:20:47  false     cluster charge differs from its reference"
    screen.repair(400)
    screen.console.happened({"event": "ended", "time_ns": T0_NS + 3_600 * S})
    result = screen.console.scoreboard()
    assert not result.passed
    assert screen.lines[-4:] == [
        "high-voltage trip               12:20:00  -              -         -  missed",
        "",
        "False: 12:20:47 cluster charge differs from its reference",
        "0 of 1 found, 1 missed, 1 false",
    ]


def test_an_open_incident_and_an_early_end_are_told_apart() -> None:
    screen = Screen()
    screen.inject()
    screen.report()
    screen.inject(InjectedFault("fault-2", "dead region", "dead", ("DEMO/ECAL/EB/EB-05",), None, T0_NS + 60 * S))
    result = screen.console.scoreboard()
    assert [verdict.outcome for verdict in result.verdicts] == [Outcome.FOUND, Outcome.TOO_EARLY]
    assert screen.lines[-4:] == [
        "high-voltage trip               12:20:00  12:20:47    47 s      open  found",
        "dead region                     12:21:00  -              -         -  too early",
        "",
        "1 of 2 found, 0 missed, 0 false, 1 too early; median delay 47 s of data time",
    ]


def test_all_lines_fit_the_terminal() -> None:
    screen = Screen()
    screen.inject(InjectedFault("f", "high-voltage trip with victims", "long " * 40, ("DEMO/HV/x", "DEMO/ECAL/y"), "DEMO/HV/x", T0_NS))
    screen.report(sentence="word " * 60, cause={"place": "DEMO/ECAL/y", "channel": ""})
    screen.report("b", sentence="word " * 60, places=["DEMO/TRACKER"], cause={"place": "DEMO/TRACKER", "channel": ""})
    screen.console.scoreboard()
    assert max(len(line) for line in screen.lines) <= 80


def test_json_lines_name_the_fault_and_the_delay() -> None:
    screen = Screen(as_json=True)
    screen.inject()
    screen.report()
    screen.report(resolved="12:28:00")
    screen.console.scoreboard()
    injected, noticed, cleared, final = screen.objects
    assert (injected["event"], injected["id"]) == ("injected", "fault-1")
    assert (noticed["event"], noticed["fault"], noticed["delay_s"]) == ("noticed", "fault-1", 47.0)
    assert noticed["incident"]["sentence"] == "ch11 has tripped"
    assert cleared["event"] == "cleared"
    assert final["event"] == "score"
    assert (final["found"], final["missed"], final["false"], final["passed"]) == (1, 0, [], True)
    assert final["faults"][0]["delay_s"] == 47.0


def test_a_new_run_is_said() -> None:
    screen = Screen()
    screen.console.happened({"event": "run", "time_ns": T0_NS, "run": 382_712})
    assert screen.lines == ["12:20:00  new run   382712, all totals begin at zero"]


def test_what_is_no_incident_is_refused() -> None:
    with pytest.raises(KeyError, match="cause"):
        Screen().console.reported({"id": "a"})


def test_the_last_list_of_the_daemon_counts() -> None:
    screen = Screen()
    screen.inject()
    screen.report("a")
    screen.report("b", sentence="current of ch11 is zero")
    final = {
        "id": "a",
        "cause": {"place": "DEMO/HV/crate1/ch11"},
        "places": [],
        "opened": "2016-11-30T12:20:47.000Z",
        "resolved": "2016-11-30T12:28:00.000Z",
        "sentence": "ch11 has tripped",
    }
    screen.console.settle([final])
    (verdict,) = screen.console.score().verdicts
    assert [incident.id for incident in verdict.incidents] == ["a"]
    assert verdict.cleared_ns == T0_NS + 480 * S
