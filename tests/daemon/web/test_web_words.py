"""Times, durations and numbers."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.web.words import S_NS, Times, clean, lasted, number, plural, rate

ZURICH = ZoneInfo("Europe/Zurich")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * S_NS


TIMES = Times(ZURICH, at("2016-11-30T13:25:48+01:00"))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (89, "1 min"), (360, "6 min"), (3600, "1 h"), (7500, "2 h 5 min"), (273_600, "3 d 4 h"), (864_000, "10 d")],
)
def test_durations(seconds: int, said: str) -> None:
    assert lasted(seconds * S_NS) == said


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2016-11-30T13:19:48+01:00", "13:19 (6 min)"),
        ("2016-11-29T12:00:00+01:00", "29 Nov 12:00 (1 d 1 h)"),
        ("2015-11-30T13:25:48+01:00", "30 Nov 2015 13:25 (366 d)"),
        ("2016-11-30T14:05:48+01:00", "14:05 (in 40 min)"),
    ],
)
def test_moments_are_short_and_have_an_age(moment: str, said: str) -> None:
    assert TIMES.since(at(moment)) == said


def test_night_is_not_a_date() -> None:
    assert Times(ZURICH, at("2016-12-01T00:12:00+01:00")).moment(at("2016-11-30T23:58:00+01:00")) == "23:58"


def test_exact_times_name_their_zone() -> None:
    assert TIMES.exact(at("2016-07-30T13:19:48+02:00")) == "2016-07-30 13:19:48 CEST"
    assert (TIMES.clock(), TIMES.zone_name()) == ("13:25", "CET")


def test_utc_in_a_sentence_becomes_local() -> None:
    assert TIMES.localised("silence until 2016-11-30T13:19:48.371Z: pump") == "silence until 14:19: pump"
    assert TIMES.localised("at 2016-99-30T12:19:48Z") == "at 2016-99-30T12:19:48Z"


@given(st.integers(-(2**62), 2**62))
def test_no_time_breaks_a_page(time_ns: int) -> None:
    assert TIMES.since(time_ns)
    assert TIMES.exact(time_ns)


@pytest.mark.parametrize(
    ("value", "said"), [(0.8214, "0.821"), (12.14, "12.1"), (382711, "382\u202f711"), (0.0, "0"), (float("nan"), "unknown")]
)
def test_numbers(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(("value", "said"), [(0.8214, "0.82"), (1.21, "1.2"), (0.0331, "0.03"), (0.001, "0")])
def test_rates(value: float, said: str) -> None:
    assert rate(value) == said


def test_plurals() -> None:
    assert [plural(count, "incident") for count in (0, 1, 2)] == ["0 incidents", "1 incident", "2 incidents"]


def test_text_loses_what_turns_or_breaks_it() -> None:
    assert clean("a\u202eb\x00c\ud800d\te\nf<g>") == "abcd\te\nf<g>"
