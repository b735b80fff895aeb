"""How readings are written for a person."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.frame import Axis, Channel, Column, Histogram, Kind, Quality, Storage
from daemon.inspection.reading import Reading
from daemon.inspection.words import age_words, clean, number, value_words


def reading(column: Column, *values: float) -> Reading:
    return Reading(column, np.array(values), Quality.GOOD, 1)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0, "V", "0"),
        (1400.0, "V", "1400"),
        (-2.5, "uA", "-2.5"),
        (0.1 + 0.2, "1", "0.3"),
        (float(np.float32(0.1)), "V", "0.1"),
        (1013.25, "hPa", "1013.25"),
        (123456.789, "V", "123457"),
        (1234567.5, "V", "1234568"),
        (512110190592.0, "B", "512.11 G"),
        (1.5e-7, "A", "150 n"),
        (-3e9, "Hz", "-3 G"),
        (1.5e-7, "mA", "1.5e-07"),
        (1795370123.0, "s", "1795370123"),
        (1e-4, "1", "0.0001"),
        (1e300, "V", "1e+300"),
        (math.nan, "V", "-"),
        (math.inf, "V", "inf"),
        (1e7, "V", "10 M"),
        (9999999.0, "V", "9999999"),
        (9999999.9, "V", "10000000"),
    ],
)
def test_numbers_have_the_digits_that_they_carry(value: float, unit: str, words: str) -> None:
    assert number(value, unit) == words


_FACTORS = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12}


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["V", "B", "1", "", "mV", "s"]))
def test_every_number_reads_back_to_six_digits(value: float, unit: str) -> None:
    words = number(value, unit)
    digits, _, prefix = words.partition(" ")
    assert float(digits) * _FACTORS.get(prefix, 1.0) == pytest.approx(value, rel=6e-6)
    assert not prefix or unit in ("V", "B")


STATE = Channel("power", "power", "", Kind.STATE, states=("OFF", "ON", "TRIPPED"))
BITS = Channel("status", "status", "", Kind.BITS, states=("on", "ramp_up", "ramp_down"))
COUNTER = Channel("errors", "errors", "1", Kind.COUNTER)


@pytest.mark.parametrize(
    ("channel", "value", "words"),
    [
        (STATE, 2, "TRIPPED"),
        (STATE, 3, "3"),
        (STATE, 0.5, "0.5"),
        (STATE, -1, "-1"),
        (BITS, 0, "none set"),
        (BITS, 0b11, "on + ramp_up"),
        (BITS, 0b1001, "on + bit 3"),
        (BITS, -1, "-1"),
        (COUNTER, 12345678901, "12345678901 (counter)"),
        (COUNTER, 17438.72, "17438.72 (counter)"),
        (COUNTER, math.nan, "-"),
    ],
)
def test_states_and_bits_have_names_and_counters_all_their_digits(channel: Channel, value: float, words: str) -> None:
    assert value_words(reading(channel, value)) == words


def test_a_histogram_is_entries_bins_and_mean() -> None:
    counted = Histogram("h", (Axis("pt", "GeV", 2, 0.0, 4.0),))
    assert value_words(reading(counted, 10, 5, 1, 3, 1)) == "10 entries, 2 bins, mean 2.5"
    assert value_words(reading(counted, 0, 0, 0, 0, 0)) == "0 entries, 2 bins, mean -"
    assert value_words(reading(counted, *[math.nan] * 5)) == "- entries, 2 bins, mean -"
    flat = Histogram("m", (Axis("x", "", 2, 0.0, 2.0), Axis("y", "", 1, 0.0, 10.0)), flow=False)
    assert value_words(reading(flat, 4, 1, 3)) == "4 entries, 2×1 bins, mean (1.25, 5)"
    profile = Histogram("p", (Axis("x", "", 2, 0.0, 2.0),), Storage.PROFILE, flow=False)
    assert value_words(reading(profile, 4, 1, 3, 1, 3, 2, 6, 4, 12)) == "4 entries, 2 bins, mean 2"


@pytest.mark.parametrize(
    ("age_s", "words"),
    [
        (0.2, "<1 s"),
        (-0.5, "<1 s"),
        (12.4, "12 s"),
        (59.9, "60 s"),
        (300, "5 min"),
        (11_520, "3.2 h"),
        (86_400 * 40, "40 d"),
        (-90, "in 2 min"),
    ],
)
def test_ages(age_s: float, words: str) -> None:
    assert age_words(age_s) == words


@given(st.text())
def test_nothing_that_commands_a_terminal_is_printed(text: str) -> None:
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", clean(text))
