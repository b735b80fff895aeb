"""The pictures that a watch sends with its findings: with the rows before, with the run, and once more when there is more to see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from collectors.conditions import ConditionHistory
from collectors.frame import Channel, Frame, Kind, Layout
from collectors.wire import Block
from daemon.detect.redrawing import AGAIN_ROWS
from daemon.detect.watch import StreamWatch
from daemon.messages import FindingReport, Progress
from daemon.settings import parse
from detectors.figure import Figure, SeriesFigure, decode
from tests.daemon.correlating import Site
from tests.daemon.judging import Feed
from tests.daemon.reports import S

SETTINGS = parse("""
experiment = "DEMO"
[source.hv]
collector = "pushed"
place = "DEMO/HV"
detectors = ["limits"]
[detector.limits]
raise_rows = 2
clear_rows = 2
[[detector.limits.rules]]
channel = "*"
high = 10
condition = "overvoltage"
[conditions]
run = "run_number"
beam_mode = "mode"
""")


@pytest.fixture
def watched() -> StreamWatch:
    return StreamWatch("hv", SETTINGS)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def conditions() -> ConditionHistory:
    history = ConditionHistory()
    layout = Layout(
        "lhc", (Channel("run_number", "run", ""), Channel("mode", "mode", "", kind=Kind.STATE, states=("NO BEAM", "STABLE BEAMS")))
    )
    history.add(Frame(layout, np.array([900 * S]), np.array([[382711.0, 1.0]])))
    return history


def rows(feed: Feed, first: int, *volts: float) -> Block:
    return feed.frame(*((1000 + 10 * (first + i), v, 1.0) for i, v in enumerate(volts)))


def series(report: FindingReport) -> SeriesFigure:
    figure: Figure = decode(report.figure)
    assert isinstance(figure, SeriesFigure)
    return figure


def test_it_shows_the_rows_before_and_says_in_which_run(watched: StreamWatch) -> None:
    feed = Feed()
    assert watched.judge(rows(feed, 0, 1, 2, 3), conditions()) == []
    (raised,) = watched.judge(rows(feed, 3, 20, 21), conditions())
    assert raised.conditions == "run 382711 · stable beams"
    figure = series(raised)
    assert figure.context == raised.conditions
    assert figure.lines[0].values.tolist() == [1, 2, 3, 20, 21]


def test_it_is_drawn_again_when_there_is_more_to_see_and_at_the_end(watched: StreamWatch) -> None:
    feed, nothing = Feed(), ConditionHistory()
    (raised,) = watched.judge(rows(feed, 0, 1, 20, 21), nothing)
    assert watched.judge(rows(feed, 3, *[22.0] * (AGAIN_ROWS - 1)), nothing) == []
    (again,) = watched.judge(rows(feed, 2 + AGAIN_ROWS, 23, 24), nothing)
    assert (again.finding.key, again.finding.cleared_ns) == (raised.finding.key, None)
    assert series(again).lines[0].values[-1] >= 23
    assert {(f.since_ns, f.found_ns) for f in (series(raised), series(again))} == {(1010 * S, 1020 * S)}
    assert watched.judge(rows(feed, 40, *[25.0] * 50), nothing) == []
    (cleared,) = watched.judge(rows(feed, 100, 1, 1), nothing)
    assert cleared.finding.cleared_ns is not None
    assert series(cleared).lines[0].values[-1] == 1


def test_a_picture_that_has_lost_the_beginning_does_not_replace_one_that_has_it(watched: StreamWatch) -> None:
    feed, nothing = Feed(), ConditionHistory()
    (raised,) = watched.judge(rows(feed, 0, 1, 2, 20, 21), nothing)
    assert raised.figure
    restarted = StreamWatch("hv", SETTINGS)
    restarted.restore(watched.state())
    (cleared,) = restarted.judge(rows(feed, 4, 1, 1), nothing)
    assert (cleared.finding.cleared_ns is None, cleared.figure) == (False, "")


def test_what_clears_before_is_not_drawn_again(watched: StreamWatch) -> None:
    feed, nothing = Feed(), ConditionHistory()
    assert len(watched.judge(rows(feed, 0, 20, 21, 1, 1), nothing)) == 2
    assert watched.judge(rows(feed, 4, *[1.0] * 30), nothing) == []


def test_what_ended_in_a_gap_of_the_data_does_not_come_back() -> None:
    gappy = StreamWatch(
        "hv", SETTINGS.model_copy(update={"source": {"hv": SETTINGS.source["hv"].model_copy(update={"longest_gap_s": 60.0})}})
    )
    feed, nothing = Feed(), ConditionHistory()
    (raised,) = gappy.judge(rows(feed, 0, 20, 21), nothing)
    (ended,) = gappy.judge(rows(feed, 500, 1), nothing)
    assert (ended.finding.key, ended.finding.cleared_ns is None) == (raised.finding.key, False)
    assert gappy.judge(rows(feed, 501, *[1.0] * 30), nothing) == []


def test_the_incident_has_the_newest_picture_of_its_cause(watched: StreamWatch, site: Site) -> None:
    feed, nothing = Feed(), ConditionHistory()
    site.say(*watched.judge(rows(feed, 0, 20, 21), nothing), Progress("hv", 1010 * S))
    (incident,) = site.incidents
    first = site.store.figures(incident.id)
    assert [key for key, _ in first] == [incident.cause_finding]
    site.say(*watched.judge(rows(feed, 2, *[30.0] * 20), nothing), Progress("hv", 1300 * S))
    (later,) = site.incidents
    assert later.pictured_ns > incident.pictured_ns > 0
    assert site.store.figures(incident.id) != first
    assert len(site.store.figures(incident.id)) == 1
