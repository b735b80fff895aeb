"""Detectors of the watch that take out what conditions account for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from collectors.conditions import ConditionHistory
from collectors.frame import Channel, Frame, Layout
from collectors.wire import Block
from daemon.detect.watch import StreamWatch
from daemon.sections import ConfigurationError
from daemon.settings import Settings, validate
from daemon.store.packing import pack, unpack
from detectors.finding import Certainty
from tests.daemon.judging import Feed
from tests.daemon.reports import S

LUMI = Layout("lumi", (Channel("pile_up", "pile_up", "1", place="DEMO"),))
ROWS, STEP_S = 1_200, 10
CONDITIONED = {"conditions": ["pile_up"]}


def conditions(at_fault: float = 0.0) -> ConditionHistory:
    """Fills of 100 rows in which the pile-up falls from 60 to 20; `at_fault`, where given, is what it is during the fault."""
    row = np.arange(2 * ROWS, dtype=np.int64)
    pile_up = 60.0 - 40.0 * (row % 100) / 99
    pile_up[1850:1880] = at_fault or pile_up[1850:1880]
    history = ConditionHistory()
    history.add(Frame(LUMI, (1000 + row * STEP_S) * S, pile_up[:, None]))
    return history


def settings_of(**options: Any) -> Settings:
    detector = {"method": "robust_z", "raise_rows": 2, "clear_rows": 2} | options
    return validate(
        {
            "experiment": "DEMO",
            "false_alarms_per_day": 0.5,
            "learning": {"rows": ROWS // 2},
            "source": {"hv": {"collector": "pushed", "place": "DEMO/HV", "period_s": STEP_S, "detectors": ["current"]}},
            "detector": {"current": detector},
        }
    )


def blocks(fault: float = 0.0) -> list[Block]:
    """Both currents follow the pile-up; `fault` is added to the first for 30 rows of a fill long after all was learned."""
    history, feed, made = conditions(), Feed(), []
    row = np.arange(2 * ROWS, dtype=np.int64)
    pile_up = history.as_of("pile_up", (1000 + row * STEP_S) * S)
    noise = np.random.default_rng(2).normal(size=(len(row), 2)) * 0.03
    values = 1.0 + 0.1 * pile_up[:, None] + noise
    values[1850:1880, 0] += fault
    for first in range(0, len(row), 100):
        rows = range(first, first + 100)
        made.append(feed.frame(*((float(1000 + i * STEP_S), float(values[i, 0]), float(values[i, 1])) for i in rows)))
    return made


def found(watched: StreamWatch, these: list[Block]) -> list[tuple[str, int]]:
    """Name and first row of each finding of the detector."""
    known = conditions()
    reports = [report for block in these for report in watched.judge(block, known)]
    raised = [r.finding for r in reports if r.finding.cleared_ns is None and "current" in r.finding.detectors]
    return [(finding.unit.name, (finding.since_ns // S - 1000) // STEP_S) for finding in raised]


def test_a_current_that_follows_the_pile_up_is_no_alarm() -> None:
    assert found(StreamWatch("hv", settings_of(**CONDITIONED)), blocks()) == []


def test_a_fault_smaller_than_what_the_pile_up_does_is_found_once_that_is_taken_out() -> None:
    plain = found(StreamWatch("hv", settings_of()), blocks(fault=0.5))
    raised = found(StreamWatch("hv", settings_of(**CONDITIONED)), blocks(fault=0.5))
    assert plain == []
    assert raised[0] == ("voltage of a", 1850)
    assert all(1850 <= row < 1900 for _, row in raised)  # the recent level takes its time to come back


def test_it_says_what_was_taken_out_and_shows_the_reading_itself() -> None:
    watched, known = StreamWatch("hv", settings_of(**CONDITIONED)), conditions()
    reports = [report for block in blocks(fault=0.5) for report in watched.judge(block, known)]
    evidence = next(r.finding.evidence for r in reports if r.finding.cleared_ns is None)
    assert "pile_up" in evidence.summary
    at = evidence.ranked[0]
    assert at.observed > 2.8  # with the pile-up at 20 or more the current is above 3
    assert at.observed - at.expected == pytest.approx(0.5, abs=0.15)


def test_under_a_condition_that_was_never_seen_it_is_unsure() -> None:
    watched, known = StreamWatch("hv", settings_of(**CONDITIONED)), conditions(at_fault=90.0)
    findings = [report.finding for block in blocks(fault=0.5) for report in watched.judge(block, known)]
    first = next(finding for finding in findings if finding.cleared_ns is None)
    assert (first.certainty, first.reason) == (Certainty.UNSURE, "pile_up is outside of 20 to 60, where it was learned")


def test_it_goes_on_after_a_restart_as_if_there_had_been_none() -> None:
    these = blocks(fault=0.5)
    whole = found(StreamWatch("hv", settings_of(**CONDITIONED)), these)
    first = StreamWatch("hv", settings_of(**CONDITIONED))
    before = found(first, these[:17])
    again = StreamWatch("hv", settings_of(**CONDITIONED))
    again.restore(unpack(pack(first.state())))
    assert before + found(again, these[17:]) == whole


def test_the_season_alone_may_be_taken_out() -> None:
    watched = StreamWatch("hv", settings_of(season=True))
    found(watched, blocks()[:10])
    assert watched.status()["state"] == "watching"


def test_a_method_that_does_not_learn_takes_nothing_out_and_the_configuration_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"detector\.current: conditions and season are for methods that learn, limits does not"):
        settings_of(method="limits", **CONDITIONED)
