"""The DAQ diagnosis on recorded snapshots of a real experiment, against labels checked by hand."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from collectors.collector import Origin
from collectors.daq_tables import DaqTablesCollector, DaqTablesOptions
from collectors.frame import Frame
from detectors.daq import DaqOptions, DaqRule

pytestmark = pytest.mark.data
MS_NS = 1_000_000
RAISE_ROWS = 2
STOP_STARTS_MS = 1480508388371
"""First snapshot of the stop of 2016-11-30 12:19:48 UTC: FED 101 of the tracker's TIBTID goes to WARNING and stays there."""
MANY_FEDS = 5
"""More culprits than this in a label are found as their partitions."""


@dataclass(frozen=True)
class Found:
    """A condition that held in a snapshot: what it is said of, and the objects named with it (words of the evidence)."""

    time_ms: int
    condition: str
    place: str
    words: frozenset[str]


@dataclass(frozen=True)
class Recorded:
    """Everything found in all snapshots; raised: what held in RAISE_ROWS snapshots in a row."""

    found: dict[int, list[Found]]
    raised: list[Found]
    truth: list[dict[str, str]]


@pytest.fixture(scope="module")
def recorded(data: Path) -> Recorded:
    collector = DaqTablesCollector(Origin("daq", "CMS", lambda: 0), DaqTablesOptions(folder=data / "daq"))
    rule = DaqRule("daq", DaqOptions())
    found: dict[int, list[Found]] = {}
    raised: list[Found] = []
    rows_in_a_row: dict[str, int] = {}
    for frame in collector.collect():
        assert isinstance(frame, Frame)
        breaches = rule.judge(frame)
        for row, time_ns in enumerate(frame.time_ns.tolist()):
            holding = np.flatnonzero(breaches.holds[row]).tolist()
            unjudged = {u.key for u, judged in zip(breaches.units, breaches.judged[row], strict=True) if not judged}
            keys = {breaches.units[i].key for i in holding}
            rows_in_a_row = {k: n for k, n in rows_in_a_row.items() if k in keys | unjudged}
            for i in holding:
                unit, evidence = breaches.units[i], rule.explain(frame, row, i)
                words = {word.strip(",;") for word in evidence.summary.split()} | {c.name.split("/")[1] for c in evidence.ranked}
                here = Found(time_ns // MS_NS, unit.condition, unit.place, frozenset(words))
                found.setdefault(here.time_ms, []).append(here)
                rows_in_a_row[unit.key] = rows_in_a_row.get(unit.key, 0) + 1
                if rows_in_a_row[unit.key] == RAISE_ROWS:
                    raised.append(here)
    with (data / "daq" / "truth.csv").open(newline="") as file:
        truth = [row for row in csv.DictReader(file) if row["unusable"] == "0"]
    return Recorded(found, raised, truth)


def during(recorded: Recorded, row: dict[str, str]) -> list[Found]:
    """What was found at the snapshot, or in the window, of a label."""
    if row["kind"] == "snapshot":
        return recorded.found.get(int(float(row["t_ms"])), [])
    start, end = float(row["start_ms"]), float(row["end_ms"])
    return [f for time_ms, of in recorded.found.items() if start <= time_ms <= end for f in of]


def located(row: dict[str, str], candidates: list[Found]) -> bool:
    """Whether findings name the culprit: its FEDs where the label has a few, else partitions, readout units or subsystem."""
    feds, partitions, units, subsystems = (
        [name for name in row[f"culprit_{kind}"].split(";") if name] for kind in ("fed", "partition", "ru", "subsystem")
    )
    places = {f.place for f in candidates}
    parts = {part for place in places for part in place.split("/")}
    if feds and len(feds) <= MANY_FEDS and not row["condition"].startswith(("soft_error", "no_rate")):
        alternatives = [feds, *([["542"]] if "542" in row["accept_also"] else [])]
        return any(all(f"FED {n}" in parts or any(n in f.words for f in candidates) for n in wanted) for wanted in alternatives)
    if partitions and not row["condition"].startswith(("soft_error", "no_rate")):
        return set(partitions) <= parts
    if units:
        return set(units) <= {word for f in candidates for word in f.words} | {p.removeprefix("RU ") for p in parts} or len(units) > 5
    return not subsystems or row["condition"] == "no_rate" or set(subsystems) <= parts


def test_the_stop_of_november_2016_is_pinned_on_its_fed_within_two_snapshots(recorded: Recorded) -> None:
    first = next(f for f in recorded.raised if f.condition == "fed_stuck" and f.time_ms >= STOP_STARTS_MS)
    assert first.place == "CMS/TRACKER/TIBTID/FED 101"
    times = sorted(t for t in recorded.found if t >= STOP_STARTS_MS)
    assert first.time_ms in times[:2]
    at_once = {(f.condition, f.place) for f in recorded.found[STOP_STARTS_MS]}
    assert {("fed_stuck", "CMS/TRACKER/TIBTID/FED 101"), ("no_rate", "CMS/DAQ")} <= at_once


def test_normal_stretches_raise_nothing(recorded: Recorded, data: Path) -> None:
    with (data / "daq" / "normal_intervals.csv").open(newline="") as file:
        intervals = [(float(row["start_ms"]), float(row["end_ms"])) for row in csv.DictReader(file)]
    assert len(intervals) == 6
    assert [f for f in recorded.raised for start, end in intervals if start <= f.time_ms <= end] == []
    critical = {"no_rate", "fed_stuck", "partition_problem", "unidentified", "out_of_sequence_data"}
    single = [f for t, of in recorded.found.items() for f in of for start, end in intervals if start <= t <= end]
    assert not critical & {f.condition for f in single}


def test_labelled_conditions_are_found_with_their_culprits(recorded: Recorded) -> None:
    missed: dict[str, list[str]] = {"primary": [], "secondary": []}
    for row in recorded.truth:
        if row["role"] in missed:
            candidates = [f for f in during(recorded, row) if f.condition == row["condition"]]
            if not candidates or not located(row, candidates):
                missed[row["role"]].append(row["id"])
    assert missed["primary"] == []
    # T080 calls a FED that is pushed back by 100 % a source of dead time; by definition that is dead time due to the DAQ
    assert missed["secondary"] == ["T080"]
    assert sum(row["role"] == "primary" for row in recorded.truth) >= 50


def test_no_condition_is_found_where_its_label_says_that_it_is_not(recorded: Recorded) -> None:
    wrong = [
        (row["id"], found.condition)
        for row in recorded.truth
        for found in during(recorded, row)
        if found.condition in row["negative_conditions"].split(";")
    ]
    assert wrong == []


def test_run_transitions_are_no_findings(recorded: Recorded) -> None:
    transitions = [row for row in recorded.truth if row["condition"] == "run_transition"]
    assert len(transitions) >= 5
    assert [f for row in transitions for f in during(recorded, row)] == []
