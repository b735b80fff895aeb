"""What each detector may raise, and after how many rows: as configured, else as the method is made for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from collectors.conditions import ConditionHistory
from collectors.frame import Channel, Frame, Layout
from collectors.wire import Block, Identity
from daemon import plugins
from daemon.detect.judges import covered
from daemon.detect.learning import share_of_budget
from daemon.detect.persistence import persistence, quiet_hours
from daemon.detect.watch import StreamWatch
from daemon.settings import Settings, detector_settings, parse
from detectors.conditioned import conditioned
from detectors.episodes import Episode
from detectors.finding import Detector, Severity, Unit
from detectors.judged import Judged

SOURCES = """
experiment = "LAB"
false_alarms_per_day = 1.2
[source.hv]
collector = "pushed"
detectors = ["robust_z", "channel_health", "limits"]
[source.nodes]
collector = "pushed"
detectors = ["ensemble", "novelty", "wild"]
[detector.wild]
method = "robust_z"
shadow = true
[[detector.limits.rules]]
channel = "*"
low = 90
condition = "low"
severity = "critical"
"""


@pytest.fixture(autouse=True)
def high_rule() -> None:
    """The real plugins, not the small rule of this folder."""


def built(settings: Settings, name: str) -> Any:
    section = detector_settings(settings, name)
    return plugins.load("detectors", section.method or name)(name, section.options)


def test_the_budget_is_shared_by_what_learns_and_is_not_silent() -> None:
    assert share_of_budget(parse(SOURCES)) == pytest.approx(1.2 / 4), "robust_z, channel_health, ensemble and novelty"


def test_the_same_detector_on_two_sources_has_two_shares() -> None:
    twice = parse(SOURCES.replace('"channel_health", "limits"', '"ensemble"'))
    assert share_of_budget(twice) == pytest.approx(1.2 / 4)


@pytest.mark.parametrize(
    ("name", "section", "rows"),
    [
        ("robust_z", "", (2, 3, None)),
        ("limits", "", (2, 3, None)),
        ("ensemble", "", (1, 20, None)),
        ("novelty", "", (1, 3, None)),
        ("ensemble", "raise_rows = 4", (4, 20, None)),
        ("ensemble", "clear_rows = 5\ncritical_raise_rows = 2", (1, 5, 2)),
    ],
)
def test_persistence_is_what_is_configured_or_what_the_method_is_made_for(
    name: str, section: str, rows: tuple[int, int, int | None]
) -> None:
    settings = parse(f"{SOURCES}\n[detector.{name}]\n{section}" if section else SOURCES)
    assert persistence(built(settings, name), detector_settings(settings, name)) == rows


def test_a_detector_of_conditioned_gauges_keeps_its_persistence() -> None:
    settings = parse(SOURCES)
    section = detector_settings(settings, "ensemble")
    wrapped = conditioned(built(settings, "ensemble"), section.options, ("pile_up",), season=False)
    assert persistence(wrapped, section) == (1, 20, None)


@pytest.mark.parametrize(("name", "section", "hours"), [("ensemble", "", 1.0), ("novelty", "", 0.0), ("ensemble", "clear_rows = 5", 0.0)])
def test_what_judges_whole_groups_waits_for_an_hour_of_quiet_unless_rows_are_configured(name: str, section: str, hours: float) -> None:
    settings = parse(f"{SOURCES}\n[detector.{name}]\n{section}" if section else SOURCES)
    method = built(settings, name)
    assert isinstance(method, Detector)
    assert quiet_hours(method, detector_settings(settings, name)) == hours


def episode(row: int, *, cleared: bool) -> Episode:
    return Episode(Unit("a", "a", "LAB", "outlier", Severity.WARNING), 0, row, 1, 2, 3, 4 if cleared else None)


def judged(bad: list[int], *episodes: Episode) -> Judged:
    flags = np.array(bad, dtype=bool)[:, None]
    nothing = np.zeros(flags.shape)
    return Judged(episodes, (), (), nothing, nothing, flags, np.zeros(1))


@pytest.mark.parametrize(
    ("got", "active", "rows"),
    [
        (judged([0, 0, 0, 0]), 0, "...."),
        (judged([0, 0, 0, 0]), 1, "####"),
        (judged([0, 1, 0, 0]), 0, ".#.."),
        (judged([0, 1, 0, 0], episode(1, cleared=False)), 0, ".###"),
        (judged([0, 0, 0, 0], episode(2, cleared=True)), 1, "##.."),
        (judged([0, 0, 0, 0], episode(-1, cleared=True)), 1, "...."),
        (judged([1, 0, 1, 1], episode(0, cleared=False), episode(1, cleared=True), episode(3, cleared=False)), 0, "#.##"),
    ],
)
def test_rows_that_an_alarm_covers_are_not_learned(got: Judged, active: int, rows: str) -> None:
    assert "".join(".#"[int(flag)] for flag in covered(got, active)) == rows


def test_streams_of_one_source_share_what_it_may_raise() -> None:
    text = SOURCES.replace("[source.hv]", "[learning]\nrows = 200\n[source.hv]").replace('"channel_health", "limits"', '"limits"')
    rng = np.random.default_rng(1)
    promised = []
    for streams in ([1], [1, 2, 3]):
        watch = StreamWatch("hv#1", parse(text), siblings=streams.__len__)
        layout = Layout("hv", (Channel("ch0", "voltage", "V", place="LAB/ch0"),), "1")
        time_ns = 1_700_000_000_000_000_000 + np.arange(300, dtype=np.int64) * 10_000_000_000
        block = Block(Identity("hv#1", 1, 0), Frame(layout, time_ns, 100 + rng.normal(size=(300, 1))), int(time_ns[-1]))
        watch.judge(block, ConditionHistory())
        promised += [alarms["promised_per_day"] for alarms in watch.status()["alarms"]]
    assert promised == pytest.approx([0.4, 0.4 / 3])
