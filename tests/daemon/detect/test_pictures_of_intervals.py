"""Pictures that show one interval, such as a map: the bad one is the evidence, whatever comes after it."""

from __future__ import annotations

import numpy as np
import pytest

from collectors.conditions import ConditionHistory
from collectors.frame import Frame
from daemon import plugins
from daemon.detect.redrawing import AGAIN_ROWS
from daemon.detect.watch import StreamWatch
from detectors.figure import MapFigure, decode
from tests.daemon.judging import Feed, HighRule, configuration

NOTHING = ConditionHistory()


class MappingRule(HighRule):
    """Shows the row that it is asked for as a map of one cell."""

    def picture(self, recent: Frame, row: int, unit: int) -> MapFigure:
        value = np.array([[recent.values[row, unit]]])
        edges = np.array([0.0, 1.0])
        return MapFigure("occupancy", "x", "y", "hits", edges, edges, value, np.zeros((1, 1)))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> StreamWatch:
    monkeypatch.setattr(plugins, "load", lambda _group, _name: MappingRule)
    return StreamWatch("hv", configuration())


def test_the_picture_stays_that_of_the_bad_interval(watched: StreamWatch) -> None:
    feed = Feed(names=("a",))
    (raised,) = watched.judge(feed.frame((1000, 1), (1010, 20), (1020, 21)), NOTHING)
    shown = decode(raised.figure)
    assert isinstance(shown, MapFigure)
    assert shown.observed.item() == 21
    lasting = [(1030 + 10 * i, 1.0 if i % 2 else 20.0) for i in range(AGAIN_ROWS + 3)]
    ended = [(2000, 1.0), (2010, 1.0)]
    later = [report for row in (*lasting, *ended) for report in watched.judge(feed.frame(row), NOTHING)]
    assert later[-1].finding.cleared_ns is not None
    assert {report.figure for report in later} == {""}, "a picture of what is good again would replace the evidence"
