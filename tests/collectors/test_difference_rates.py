"""Counters become rates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from collectors.difference import Differencer
from collectors.frame import Channel, Frame, Kind, Layout, Quality
from tests.collectors.rows import NAN, frame, same

RATE = Layout("daq", (Channel("errors", "CRC errors", "1", Kind.COUNTER, "CMS/DAQ"), Channel("v", "voltage", "V")))


def rates(rows: Any, *, step_s: float = 1.0) -> list[float]:
    result: list[float] = Differencer(histograms=False).difference(frame(RATE, rows, step_s=step_s)).values[:, 0].tolist()
    return result


def test_counters_become_rates_and_gauges_stay() -> None:
    result = Differencer(histograms=False).difference(frame(RATE, [[10, 1], [30, 2], [30, 3]], step_s=2))
    assert same(result.values, [[NAN, 1], [10, 2], [0, 3]])
    assert result.layout.columns == (Channel("errors", "CRC errors rate", "1/s", Kind.GAUGE, "CMS/DAQ"), RATE.columns[1])
    assert result.layout.source == "daq"


@pytest.mark.parametrize(("unit", "rate"), [("1", "1/s"), ("", "1/s"), ("B", "B/s"), ("J", "J/s")])
def test_units_of_rates(unit: str, rate: str) -> None:
    layout = Layout("s", (Channel("n", "n", unit, Kind.COUNTER),), "2")
    result = Differencer(histograms=False).difference(frame(layout, [[1]]))
    assert result.layout.channels[0].unit == rate
    assert result.layout.part == "2"


def test_a_counter_that_starts_again_holds_what_was_counted_since() -> None:
    assert same(rates([[100, 0], [110, 0], [4, 0], [6, 0]], step_s=2), [NAN, 5, 2, 1])


@pytest.mark.parametrize("gap", [NAN, np.inf, -np.inf])
def test_the_rate_after_a_gap_is_the_mean_over_it(gap: float) -> None:
    assert same(rates([[10, 0], [gap, 0], [gap, 0], [16, 0]]), [NAN, NAN, NAN, 2])


def test_a_counter_that_is_not_good_is_a_gap() -> None:
    counted = frame(RATE, [[10, 0], [0, 0], [16, 0]])
    quality = np.zeros(counted.values.shape, dtype=np.uint8)
    quality[1, 0] = Quality.DISCONNECTED
    result = Differencer(histograms=False).difference(Frame(RATE, counted.time_ns, counted.values, quality))
    assert same(result.values[:, 0], [NAN, NAN, 3])
    assert same(result.quality, quality)


def test_the_same_time_twice_gives_no_rate() -> None:
    assert same(rates([[10, 0], [12, 0]], step_s=0), [NAN, NAN])


def test_rates_of_single_precision_counters() -> None:
    result = Differencer(histograms=False).difference(frame(RATE, [[2**24, 0], [2**24 + 2, 0]], dtype=np.float32))
    assert result.values.dtype == np.float64
    assert result.values[1, 0] == 2


def test_rates_are_exact_at_the_present_time() -> None:
    counted = frame(RATE, [[0, 0], [3, 0]], first_s=1.7e9, step_s=0.5)
    assert Differencer(histograms=False).difference(counted).values[1, 0] == 6
