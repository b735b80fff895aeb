"""What the detector `novelty` finds in single channels, and what it keeps quiet about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Frame, Quality
from detectors.figure import SeriesFigure
from detectors.novelty import OPERATING_POINT, NoveltyDetector, NoveltyOptions
from detectors.novelty_evidence import span
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]

HISTORY_ROWS, ROWS = 400, 600
AT = 300
RNG_SEED = 5


def noise(rows: int = HISTORY_ROWS + ROWS, seed: int = RNG_SEED) -> Values:
    return np.asarray(20.0 + np.random.default_rng(seed).standard_normal(rows), dtype=np.float64)


def loop(rows: int = HISTORY_ROWS + ROWS) -> Values:
    """0, 1, 2, … 7, 0, 1, …: every value is usual, and so is every step."""
    return np.arange(rows, dtype=np.float64) % 8.0


def frames(values: Values) -> tuple[Frame, Frame]:
    """History and what comes after it."""
    whole = sample.gauges(values[:, None])
    return whole.rows(slice(0, HISTORY_ROWS)), whole.rows(slice(HISTORY_ROWS, None))


def detector(**options: float) -> NoveltyDetector:
    return NoveltyDetector("novelty", NoveltyOptions.model_validate(options))


def scores(values: Values, **options: float) -> Values:
    history, later = frames(values)
    return detector(**options).fit(history).score(later).values[:, 0]


def said(values: Values, row: int = AT) -> str:
    history, later = frames(values)
    fitted = detector().fit(history)
    fitted.score(later)
    return fitted.explain(later, row, 0).summary


def changed(values: Values, rows: slice | int, by: float | Values) -> Values:
    """From HISTORY_ROWS + AT on, counted from there."""
    later = values.copy()
    later[HISTORY_ROWS + AT :][rows] = by
    return later


class TestFinds:
    def test_a_new_extreme(self) -> None:
        values = changed(noise(), 0, 40.0)
        assert scores(values)[AT] > OPERATING_POINT
        assert "higher than anything in the last 117 min; the nearest was" in said(values)

    def test_a_new_minimum(self) -> None:
        assert "lower than anything" in said(changed(noise(), 0, 3.0))

    def test_a_value_in_a_gap_of_its_range(self) -> None:
        rng = np.random.default_rng(3)
        two_states = rng.integers(0, 2, HISTORY_ROWS + ROWS) * 50.0 + 0.1 * rng.standard_normal(HISTORY_ROWS + ROWS)
        values = changed(two_states, 0, 25.0)
        assert scores(values)[AT] > OPERATING_POINT
        assert "a value that it did not have" in said(values)

    def test_usual_values_in_a_wrong_order(self) -> None:
        values = changed(loop() + 0.01 * noise(), slice(0, 8), 0.2 + np.arange(8.0)[::-1])
        found = scores(values)
        row = int(np.argmax(found))
        assert AT <= row < AT + 8
        assert "in a way unlike any" in said(values, row)

    def test_a_level_that_no_reading_shows_alone(self) -> None:
        wide = 20.0 * np.random.default_rng(2).random(HISTORY_ROWS + ROWS)
        values = changed(wide, slice(0, 60), 14.0 + wide[:60] / 4)
        found = scores(values)[AT : AT + 60]
        assert found.max() > OPERATING_POINT
        assert "level" in said(values, AT + int(np.argmax(found)))


class TestIsQuiet:
    @pytest.mark.parametrize("values", [np.full(HISTORY_ROWS + ROWS, 3.0), loop()], ids=["constant", "loop"])
    def test_about_what_repeats_exactly(self, values: Values) -> None:
        assert not scores(values).any()

    def test_about_noise(self) -> None:
        alarms = sum(int((scores(noise(seed=seed)) >= OPERATING_POINT).sum()) for seed in range(10))
        assert alarms <= 12  # of 6,000 readings

    def test_about_what_was_news_before(self) -> None:
        once = changed(noise(), 0, 40.0)
        twice = changed(once, 200, 40.0)
        assert scores(once)[AT] > OPERATING_POINT
        assert scores(twice)[AT + 200] < OPERATING_POINT

    def test_for_a_while_after_a_score(self) -> None:
        values = changed(changed(noise(), 0, 60.0), 10, 40.0)
        assert scores(values, rest_rows=150)[AT + 10] == 0
        assert scores(values, rest_rows=5)[AT + 10] > OPERATING_POINT

    def test_about_a_flat_line_that_was_always_one_and_ends_in_a_reading_that_is_news(self) -> None:
        flat = np.full(HISTORY_ROWS + ROWS, 3.0)
        assert scores(changed(flat, 0, 4.0))[AT] > 0
        assert not scores(changed(flat, 0, 4.0))[AT + 60 :].any()


class TestIsNotMisled:
    def test_an_incident_does_not_blind_it_for_what_comes_after(self) -> None:
        values = changed(noise(), slice(0, 40), 1e9)
        values = changed(values, 280, 60.0)
        assert scores(values)[AT + 280] > OPERATING_POINT

    def test_infinite_readings_are_news_and_no_error(self) -> None:
        values = changed(noise(), 0, np.inf)
        found = scores(values)
        assert found[AT] > OPERATING_POINT
        assert np.isfinite(found).all()

    def test_missing_readings_are_passed_over(self) -> None:
        values = noise()
        history, later = frames(values)
        gaps = np.repeat(later.values, 2, axis=0)
        gaps[1::2] = np.nan
        half_step = later.time_ns[0] + sample.STEP_NS // 2 * np.arange(len(gaps), dtype=np.int64)
        found = detector().fit(history).score(replace(later, time_ns=half_step, values=gaps)).values[:, 0]
        assert np.isnan(found[1::2]).all()
        np.testing.assert_array_equal(found[::2], scores(values))

    def test_no_sequence_leads_over_a_long_gap(self) -> None:
        """After the gap the loop goes on with another number; every value of it is usual."""
        values = np.concatenate([loop(HISTORY_ROWS + AT), loop()[3 : 3 + ROWS - AT]]) + 0.01 * noise()
        history, later = frames(values)
        gone_on = detector().fit(history).score(later).values[AT : AT + 3, 0]
        times = later.time_ns.copy()
        times[AT:] += 1000 * sample.STEP_NS
        after_gap = detector().fit(history).score(replace(later, time_ns=times)).values[AT : AT + 3, 0]
        assert gone_on.max() > 1.5
        assert after_gap.max() < 0.5

    def test_rows_that_are_not_good_do_not_count(self) -> None:
        history, later = frames(changed(noise(), 0, 40.0))
        found = detector().fit(history).score(sample.with_quality(later, AT, Quality.STALE)).values[:, 0]
        assert np.isnan(found[AT])
        assert np.nanmax(found[AT:]) < OPERATING_POINT

    def test_a_row_at_a_time_gives_the_same_scores(self) -> None:
        values = changed(noise(), slice(0, 5), 30.0)
        history, later = frames(values)
        fitted = detector().fit(history)
        single = [fitted.score(later.rows(slice(i, i + 1))).values[0, 0] for i in range(AT + 10)]
        np.testing.assert_array_equal(single, scores(values)[: AT + 10])

    def test_a_channel_is_judged_as_if_it_were_alone(self) -> None:
        one, other = noise(), changed(loop(), 0, 100.0)
        both = sample.gauges(np.column_stack([one, other]))
        found = detector().fit(both.rows(slice(0, HISTORY_ROWS))).score(both.rows(slice(HISTORY_ROWS, None))).values
        np.testing.assert_array_equal(found[:, 0], scores(one))
        np.testing.assert_array_equal(found[:, 1], scores(other))

    def test_a_small_memory_still_finds_new_extremes(self) -> None:
        assert scores(changed(noise(), 0, 40.0), memory=32)[AT] > OPERATING_POINT


def test_the_picture_shows_the_range_before() -> None:
    history, later = frames(changed(noise(), 0, 40.0))
    fitted = detector().fit(history)
    fitted.score(later)
    figure = fitted.picture(later, AT, 0)
    assert isinstance(figure, SeriesFigure)
    (shown,) = figure.lines
    assert figure.found_ns == figure.since_ns == later.time_ns[AT]
    assert shown.high[0] == pytest.approx(history.values.max())
    assert shown.low[0] == pytest.approx(history.values.min())
    assert shown.values.max() == 40.0


@pytest.mark.parametrize(("seconds", "text"), [(30.0, "30 s"), (7200.0, "2 h"), (86_400.0 * 12, "12 days")])
def test_lengths_of_time_in_words(seconds: float, text: str) -> None:
    assert span(seconds) == text
