"""Disks by the failure rate of disks like them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from collectors.disks.disk_attributes import CRITICAL_WARNINGS
from collectors.frame import Channel, Frame, Kind, Layout, Quality
from detectors.disk_forecast import ANNUAL_FAILURE_RATIO, DiskForecastOptions, DiskForecastRule
from detectors.failure_rates import RATES
from detectors.figure import DiskFigure, Picturing, decode, encode
from detectors.finding import Rule, Severity
from tests.detectors import sample_frames as sample

ATTRIBUTES = ("reallocated_sectors", "reported_uncorrectable", "command_timeouts", "pending_sectors", "offline_uncorrectable")
NVME = ("media_errors", "percentage_used", "critical_warning")


def rule(**options: float) -> DiskForecastRule:
    return DiskForecastRule("disk_forecast", DiskForecastOptions.model_validate(options))


def channel(serial: str, attribute: str) -> Channel:
    kind = Kind.BITS if attribute == "critical_warning" else Kind.GAUGE
    states = CRITICAL_WARNINGS if kind is Kind.BITS else ()
    return Channel(f"{serial}/{attribute}", attribute, "1", kind, f"T2/rack4/ST8000-{serial}", states)


def disks(**values: float) -> Frame:
    """Two ATA disks Z1 and Z2 and an NVMe drive N1; values of Z1 by attribute, of N1 as n_attribute."""
    described = [channel("Z1", a) for a in ATTRIBUTES] + [channel("Z2", a) for a in ATTRIBUTES] + [channel("N1", a) for a in NVME]
    layout = Layout("disks", (sample.gauge("Z1/temperature", unit="degC"), *described))
    frame = sample.frame(layout, np.zeros((3, layout.width)))
    for name, value in values.items():
        serial = "N1" if name.startswith("n_") else "Z1"
        frame.values[-1, layout.position(f"{serial}/{name.removeprefix('n_')}")] = value
    return frame


def reported(frame: Frame, **options: float) -> list[tuple[str, str]]:
    """Places and severities that hold in the last row."""
    breaches = rule(**options).judge(frame)
    return [(u.place.rpartition("/")[2], u.severity.value) for u, holds in zip(breaches.units, breaches.holds[-1], strict=True) if holds]


def rate(frame: Frame, unit: int = 0) -> float:
    """The rate that the finding carries."""
    return next(c.observed for c in rule().explain(frame, len(frame) - 1, unit).ranked if c.name == ANNUAL_FAILURE_RATIO)


def test_it_is_a_rule_that_shows_pictures_and_has_advice() -> None:
    assert isinstance(rule(), Rule)
    assert isinstance(rule(), Picturing)
    (advice,) = rule().advice.values()
    assert advice.decision == "Drain the node and have the disk replaced."
    assert advice.runbook == "disk-failing"


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("reallocated_sectors", 0, 0.025),
        ("reallocated_sectors", 4, 0.027),
        ("reallocated_sectors", 5, 0.075),
        ("reallocated_sectors", 16, 0.075),
        ("reallocated_sectors", 17, 0.236),
        ("reallocated_sectors", 70, 0.236),
        ("reallocated_sectors", 71, 0.36),
        ("reallocated_sectors", 260, 0.36),
        ("reallocated_sectors", 1e12, 1.0),
        ("reported_uncorrectable", 0, 0.028),
        ("reported_uncorrectable", 1, 0.339),
        ("pending_sectors", 1, 0.34),
        ("pending_sectors", 2, 0.34),
        ("offline_uncorrectable", 1, 0.81),
        ("offline_uncorrectable", 2, 0.81),
        ("command_timeouts", 100, 0.025),
        ("command_timeouts", 101, 0.10),
    ],
)
def test_rates_are_those_that_were_published(attribute: str, value: float, expected: float) -> None:
    assert float(RATES[attribute].of(np.array([value]))[0]) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("attribute", RATES)
def test_more_errors_never_mean_a_lower_rate(attribute: str) -> None:
    rates = RATES[attribute].of(np.arange(0.0, 70_000.0))
    assert (np.diff(rates) >= 0).all()
    assert 0 < rates.min() <= rates.max() <= 1
    assert len(RATES[attribute].edges) == len(RATES[attribute].annual_ratio) + 1


def test_disks_without_errors_are_well() -> None:
    assert reported(disks()) == []
    breaches = rule().judge(disks())
    assert breaches.judged.all()
    assert len(breaches.units) == 6


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"pending_sectors": 2}, [("ST8000-Z1", "warning")]),
        ({"pending_sectors": 3}, [("ST8000-Z1", "warning"), ("ST8000-Z1", "critical")]),
        ({"offline_uncorrectable": 1}, [("ST8000-Z1", "warning"), ("ST8000-Z1", "critical")]),
        ({"reported_uncorrectable": 1}, [("ST8000-Z1", "warning")]),
        ({"reallocated_sectors": 16}, []),
        ({"reallocated_sectors": 17}, [("ST8000-Z1", "warning")]),
        ({"command_timeouts": 5000}, []),
        ({"n_media_errors": 1}, [("ST8000-N1", "warning")]),
        ({"n_percentage_used": 99}, []),
        ({"n_percentage_used": 100}, [("ST8000-N1", "warning")]),
        ({"n_critical_warning": 0b0100}, [("ST8000-N1", "warning"), ("ST8000-N1", "critical")]),
        ({"n_critical_warning": 0b0010}, []),
    ],
)
def test_what_is_reported(values: dict[str, float], expected: list[tuple[str, str]]) -> None:
    assert reported(disks(**values)) == expected


def test_thresholds_are_options() -> None:
    assert reported(disks(reallocated_sectors=16), warn_at_ratio=0.07) == [("ST8000-Z1", "warning")]
    assert reported(disks(pending_sectors=2), warn_at_ratio=0.3, critical_at_ratio=0.3)[1][1] == Severity.CRITICAL
    with pytest.raises(ValidationError, match="critical_at_ratio"):
        DiskForecastOptions(warn_at_ratio=0.7)


def test_the_highest_rate_wins_and_is_told() -> None:
    frame = disks(pending_sectors=2, reallocated_sectors=20)
    evidence = rule().explain(frame, 2, 0)
    assert evidence.summary == "ST8000-Z1: 197 pending sectors 2: disks like this fail at 34 % a year"
    assert [c.name for c in evidence.ranked] == ["197 pending sectors", "5 reallocated sectors", ANNUAL_FAILURE_RATIO]
    assert evidence.ranked[0].observed == 2
    assert rate(frame) == pytest.approx(0.342)
    assert sum(c.share for c in evidence.ranked) == pytest.approx(1)


def test_what_has_no_statistics_is_said_to_have_none() -> None:
    frame = disks(n_percentage_used=105)
    summary = rule().explain(frame, 2, 2).summary
    assert summary == "ST8000-N1: NVMe rated life used 105 %: counted as a failure rate of 25 % a year, there are no published statistics"
    assert rate(frame, 2) == 0.25


def test_a_disk_that_sleeps_is_not_judged() -> None:
    frame = disks(pending_sectors=2)
    quality = np.zeros(frame.values.shape, dtype=np.uint8)
    quality[-1, 1:6] = Quality.STALE
    breaches = rule().judge(Frame(frame.layout, frame.time_ns, frame.values, quality))
    assert not breaches.judged[-1, [0, 3]].any()
    assert breaches.judged[-1, [1, 2, 4, 5]].all()
    assert not breaches.holds.any()


def test_an_attribute_that_cannot_be_read_does_not_hide_another() -> None:
    assert reported(disks(pending_sectors=2, reallocated_sectors=np.nan)) == [("ST8000-Z1", "warning")]


def test_other_sources_have_no_disks() -> None:
    breaches = rule().judge(sample.gauges(np.ones((4, 3))))
    assert breaches.units == ()
    assert breaches.holds.shape == breaches.judged.shape == (4, 0)
    assert rule().picture(sample.gauges(np.ones((4, 3))), 1, 0) is None


def test_units_of_a_disk_stay_the_same_when_others_come_and_go() -> None:
    frame = disks()
    layout = frame.layout.select([c for c in frame.layout.columns if c.name.startswith("Z2/")])
    alone = rule().judge(sample.selected(frame, layout))
    whole = {u.key: u for u in rule().judge(frame).units}
    assert all(whole[u.key] == u for u in alone.units)


def test_the_picture_shows_the_attributes_that_are_raised_worst_first() -> None:
    frame = disks(pending_sectors=2, reallocated_sectors=20)
    figure = rule().picture(frame, 2, 0)
    assert isinstance(figure, DiskFigure)
    assert [a.name for a in figure.attributes] == ["197 pending sectors", "5 reallocated sectors"]
    np.testing.assert_array_equal(figure.attributes[0].values, [0, 0, 2])
    assert figure.title == "ST8000-Z1: disks like this fail at 34 % a year"
    again = decode(encode(figure))
    assert isinstance(again, DiskFigure)
    assert again.attributes[0].bucket_edges[-1] == np.inf
