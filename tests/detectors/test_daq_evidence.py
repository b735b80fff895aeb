"""Evidence and advice of the DAQ diagnosis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.frame import Frame
from detectors.daq_advice import ADVICE, EXPLAINS, NO_RATE_CAUSES
from detectors.daq_readings import READINGS
from tests.detectors.daq_cases import CASES
from tests.detectors.daq_snapshots import (
    HELD_UP,
    blocked,
    changed,
    found,
    frame,
    healthy,
    pushed_back,
    rule,
)


def test_many_feds_of_a_partition_are_one_finding() -> None:
    silent = pushed_back("1386", "ru_c", **HELD_UP, fed__1200__eventCounter=0, fed__1201__eventCounter=0, fed__1202__eventCounter=0)
    few, many = rule(), rule(many=2)
    assert {place for condition, place in found(few, frame(silent)) if condition == "ru_waiting_for_other"} == {
        f"PIXEL/BPIXP/FED {n}" for n in (1200, 1201, 1202)
    }
    snapshots = frame(silent)
    breaches = many.judge(snapshots)
    (unit,) = [i for i, u in enumerate(breaches.units) if u.condition == "ru_waiting_for_other"]
    assert breaches.units[unit].place == "CMS/PIXEL/BPIXP"
    evidence = many.explain(snapshots, 0, unit)
    assert evidence.summary.startswith("FEDs 1200, 1201, 1202 sent no events")
    assert {"CMS/TRG/MUTF/FED 1386", "CMS/TRG/MUTF"} == set(evidence.victims)


def test_evidence_for_a_stuck_fed() -> None:
    snapshot = blocked("TIBTID", "WARNING", fed__101__ttsState="WARNING", fed__101__percentWarning=100)
    snapshot = changed(snapshot, fed__102__ruFedWithoutFragments=1, fed__1200__ruFedWithoutFragments=1)
    daq, snapshots = rule(), frame(healthy(), snapshot)
    breaches = daq.judge(snapshots)
    (unit,) = [i for i, u in enumerate(breaches.units) if u.condition == "fed_stuck"]
    evidence = daq.explain(snapshots, 1, unit)
    assert evidence.summary == (
        "FED 101 is stuck in WARNING; partition TIBTID blocks the triggers and the DAQ does not push back; 2 FEDs only wait for it"
    )
    assert evidence.victims == ("CMS/TRACKER/TIBTID/FED 102", "CMS/PIXEL/BPIXP/FED 1200")
    first = evidence.ranked[0]
    assert (first.name, first.text, first.place) == ("fed/101/ttsState", "WARNING, expected READY", "CMS/TRACKER/TIBTID/FED 101")
    assert [c.share for c in evidence.ranked] == sorted((c.share for c in evidence.ranked), reverse=True)
    assert sum(c.share for c in evidence.ranked) == pytest.approx(1, abs=0.01)


def test_evidence_behind_a_pseudo_fed() -> None:
    daq, snapshots = rule(), frame(blocked("BPIXP", "BUSY", fed__11200__ttsState="BUSY", fed__1201__eventCounter=4000))
    breaches = daq.judge(snapshots)
    (unit,) = [i for i, u in enumerate(breaches.units) if u.condition == "fed_stuck"]
    assert daq.explain(snapshots, 0, unit).summary.startswith("FED 1201 is stuck in BUSY, as seen on pseudo-FED 11200; partition BPIXP")


def test_evidence_names_the_victim_of_back_pressure() -> None:
    daq, snapshots = rule(), frame(pushed_back("1386", "ru_c", **HELD_UP, fed__1200__eventCounter=0))
    breaches = daq.judge(snapshots)
    (unit,) = [i for i, u in enumerate(breaches.units) if u.condition == "ru_waiting_for_other"]
    evidence = daq.explain(snapshots, 0, unit)
    assert evidence.summary == "FED 1200 sent no events and readout unit ru_b waits in vain; FED 1386 only suffers"
    assert "CMS/TRG/MUTF/FED 1386" in evidence.victims
    counter = next(c for c in evidence.ranked if c.name == "fed/1200/eventCounter")
    assert (counter.observed, counter.expected) == (0, 5000)


@pytest.mark.parametrize("name", CASES)
def test_every_finding_can_be_explained(name: str) -> None:
    daq, snapshots = rule(), frame(CASES[name][0])
    breaches = daq.judge(snapshots)
    for unit in range(len(breaches.units)):
        evidence = daq.explain(snapshots, 0, unit)
        assert not evidence.summary[0].islower()
        assert "{" not in evidence.summary
        assert " nan" not in evidence.summary
        assert evidence.ranked
        assert all(np.isfinite([c.observed, c.expected, c.share]).all() for c in evidence.ranked)
        assert breaches.units[unit].place not in evidence.victims


def test_advice_is_complete_and_causality_has_no_cycles() -> None:
    assert set(READINGS) == set(ADVICE)
    assert set(EXPLAINS) | {e for effects in EXPLAINS.values() for e in effects} <= set(ADVICE)
    assert "fed_stuck" in NO_RATE_CAUSES
    assert "unidentified" not in NO_RATE_CAUSES
    for condition in EXPLAINS:
        reached: set[str] = set()
        pending = [condition]
        while pending:
            effects = set(EXPLAINS.get(pending.pop(), ())) - reached
            reached |= effects
            pending += effects
        assert condition not in reached


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_any_readings_can_be_judged_and_explained(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    template = frame(*[healthy()] * rows)
    values = random.choice([np.nan, -1, 0, 1, 2, 3, 5, 10, 100, 300, 1e9], size=template.values.shape)
    snapshots = Frame(template.layout, template.time_ns, values)
    daq = rule()
    breaches = daq.judge(snapshots)
    assert breaches.holds.shape == breaches.judged.shape == (rows, len(breaches.units))
    assert not (breaches.holds & ~breaches.judged).any()
    for row, unit in np.argwhere(breaches.holds)[:20]:
        assert daq.explain(snapshots, int(row), int(unit)).summary
