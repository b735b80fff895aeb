"""How often it was for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from daemon.records import Incident, TimelineEntry
from daemon.web.tally import DAY_NS, Tally, Verdict, poisson_interval, verdict
from tests.page import S, incident

NOW = 1_700_000_000 * S


def labelled(number: int, *said: str, age_days: float = 5) -> Incident:
    made = incident(f"i{number}", now_ns=NOW, age_s=age_days * 86_400)
    return replace(made, timeline=(*made.timeline, *(TimelineEntry(NOW, "J.", what) for what in said)))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ((), Verdict.NONE),
        (("acknowledge", "resolve"), Verdict.NONE),
        (("not a problem: a test",), Verdict.FALSE),
        (("not a problem", "real: it came back"), Verdict.REAL),
        (("really bad",), Verdict.NONE),
    ],
)
def test_the_last_word_counts(said: tuple[str, ...], meant: Verdict) -> None:
    assert verdict(labelled(1, *said)) == meant


def test_rate_over_the_days_watched() -> None:
    tally = Tally()
    for made in (labelled(0, "real", age_days=10), labelled(1, "not a problem"), labelled(2, "not a problem"), labelled(3)):
        tally.take(made)
    measured = tally.measured(NOW)
    assert (measured.false, measured.unlabelled, measured.opened) == (2, 1, 4)
    assert measured.rate == pytest.approx(0.2, rel=1e-3)
    assert measured.low == pytest.approx(0.0355, abs=5e-4)
    assert measured.high == pytest.approx(0.63, abs=5e-3)


def test_only_the_last_month_counts() -> None:
    tally = Tally()
    tally.take(labelled(0, "not a problem", age_days=100))
    tally.take(labelled(1, "not a problem"))
    measured = tally.measured(NOW)
    assert (measured.false, measured.days) == (1, 30)


def test_a_day_is_too_short_for_a_rate() -> None:
    tally = Tally()
    tally.take(labelled(0, "not a problem", age_days=0.5))
    assert tally.measured(NOW).rate is None
    assert Tally().measured(NOW).days == 0


def test_what_became_part_of_another_one_counts_there() -> None:
    tally = Tally()
    tally.take(labelled(0, "not a problem"))
    tally.take(replace(labelled(0, "not a problem"), merged_into="other"))
    assert tally.measured(NOW + 9 * DAY_NS).opened == 0


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_interval_is_the_exact_one(count: int) -> None:
    low, high = poisson_interval(count)
    assert low == pytest.approx(stats.chi2.ppf(0.05, 2 * count) / 2 if count else 0.0)
    assert high == pytest.approx(stats.chi2.ppf(0.95, 2 * count + 2) / 2)
