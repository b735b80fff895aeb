"""What each kind of picture points at."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.plots import style
from daemon.plots.drawing import svg
from detectors.figure import Bar, Line
from tests.daemon.plots import figures
from tests.daemon.plots.test_drawing import SVG, texts

ZURICH = ZoneInfo("Europe/Zurich")


def marks(picture: str) -> int:
    """Shapes in the colour of what is abnormal."""
    shapes = (element for element in ET.fromstring(picture).iter() if element.tag != f"{SVG}text")
    return sum(any(style.ABNORMAL in value for value in shape.attrib.values()) for shape in shapes)


class TestHistogram:
    def test_suspicious_bins_are_marked_and_named_with_their_pull_and_the_limit(self) -> None:
        picture = svg(figures.histogram(), ZURICH)
        shown = texts(picture)
        assert "40 to 44 ke: too low, pull −29.9" in shown
        assert "limit ±3.8" in shown
        assert marks(picture) > marks(svg(replace(figures.histogram(), suspicious=()), ZURICH)) == 0

    def test_bins_of_an_index_are_called_by_it(self) -> None:
        figure = replace(figures.histogram(), edges=np.linspace(0.5, 50.5, 51), x_label="module", suspicious=(20,))
        assert "module 21: too low" in texts(svg(figure, ZURICH))

    def test_bins_with_names_are_called_by_them(self) -> None:
        shown = texts(svg(figures.histogram(names=tuple(f"module {i}" for i in range(50))), ZURICH))
        assert "module 20 to module 21: too low" in shown

    def test_bins_of_very_different_content_are_on_a_logarithmic_axis(self) -> None:
        figure = figures.histogram()
        steep = 10.0 ** np.linspace(6, 0, 50)
        picture = texts(
            svg(replace(figure, observed=steep, expected=steep, observed_error=np.sqrt(steep), expected_error=steep / 50), ZURICH)
        )
        assert "(log)" in picture
        assert "(log)" not in texts(svg(figure, ZURICH))


class TestMap:
    def test_regions_are_outlined_and_named_with_what_was_seen_and_expected(self) -> None:
        picture = svg(figures.cells(), ZURICH)
        shown = texts(picture)
        assert "1  eta -2, phi 3, eta -1.5, phi 3: 0 seen, 100 expected, 0 %" in shown
        assert "2  eta 1.5, phi 6: 400 seen, 50 expected, 8 times" in shown
        assert marks(picture) > 0
        assert marks(svg(replace(figures.cells(), suspicious=(), names=()), ZURICH)) == 0

    def test_one_name_is_that_of_the_whole_region(self) -> None:
        figure = replace(figures.cells(), suspicious=((2, 3), (3, 3)), names=("sector 5",))
        assert "1  sector 5: 0 seen, 100 expected" in texts(svg(figure, ZURICH))

    def test_a_region_without_a_name_is_told_by_its_coordinates(self) -> None:
        assert "eta −2 to −1, phi 3 to 4" in texts(svg(replace(figures.cells(), suspicious=((2, 3), (3, 3)), names=()), ZURICH))

    def test_of_many_regions_some_are_named_and_the_others_counted(self) -> None:
        spread = tuple((ix, iy) for ix in range(0, 12, 2) for iy in range(0, 8, 2))
        assert "and 20 more, outlined" in texts(svg(replace(figures.cells(), suspicious=spread, names=()), ZURICH))


class TestSeries:
    def test_readings_are_told_beside_what_was_expected_and_the_limit(self) -> None:
        shown = texts(svg(figures.series(), ZURICH))
        assert "IMon of ch03: 4 µA, expected 1.9 to 2.1 µA, limit 3 µA  (80 % of the alarm)" in shown
        assert "VMon of ch03: 400 V, expected 399 to 401 V  (20 % of the alarm)" in shown
        assert "since 12:13:20" in shown
        assert "run 382711" in shown

    def test_what_is_normal_has_no_colour(self) -> None:
        figure = figures.series()
        quiet = replace(figure.lines[0], values=np.full(100, 2.0))
        normal = replace(figure, lines=(quiet,), limit_high=float("nan"))
        assert marks(svg(figure, ZURICH)) > 0
        assert marks(svg(normal, ZURICH)) == 0

    def test_six_lines_are_shown_those_with_the_highest_share(self) -> None:
        n = 100
        lines = tuple(Line(f"channel {i}", "V", np.full(n, i), figures.nowhere(n), figures.nowhere(n), i / 36) for i in range(9))
        shown = texts(svg(replace(figures.series(), lines=lines), ZURICH))
        assert [i for i in range(9) if f"channel {i}:" in shown] == [3, 4, 5, 6, 7, 8]

    def test_a_reading_that_is_missing_is_said_to_be(self) -> None:
        figure = figures.series()
        values = figure.lines[0].values.copy()
        values[82] = np.nan
        assert "IMon of ch03: no reading" in texts(svg(replace(figure, lines=(replace(figure.lines[0], values=values),)), ZURICH))

    def test_a_finding_without_a_row_before_it_has_one_moment(self) -> None:
        figure = figures.series()
        shown = texts(svg(replace(figure, since_ns=figure.found_ns), ZURICH))
        assert "found 12:13:40" in shown
        assert "since" not in shown


def test_the_culprit_of_a_stack_is_named_with_its_part() -> None:
    picture = svg(figures.stack(), ZURICH)
    assert "TTS: FED 101  98 %" in texts(picture)
    assert marks(picture) > 0


def test_a_bad_state_is_told_in_words() -> None:
    shown = texts(svg(figures.states(), ZURICH))
    assert "■ WARNING" in shown
    assert "READY" in shown


def test_a_disk_shows_its_value_the_rate_and_the_trend() -> None:
    shown = texts(svg(figures.disk(), ZURICH))
    assert "197 pending sectors: 5 · 68 % a year fail · ▲ up from 0 in 4 days" in shown
    assert "34 % a year" in shown


def test_a_disk_that_is_well_has_no_colour() -> None:
    figure = figures.disk()
    assert marks(svg(replace(figure, attributes=(replace(figure.attributes[0], values=np.zeros(5)),)), ZURICH)) == 0


def test_a_plan_shows_both_schedules_and_the_gain() -> None:
    shown = texts(svg(figures.plan(), ZURICH))
    for words in ("If nothing is done", "Proposed", "drained", "node02", "mean wait 41 min instead of 44 min", "changed by the plan"):
        assert words in shown


def test_lanes_that_change_are_shown_where_there_are_too_many() -> None:
    bars = tuple(Bar(f"node{i:02d}", "", 0, 10, changed=i == 39) for i in range(40))
    shown = texts(svg(replace(figures.plan(), default=bars, proposed=bars), ZURICH))
    assert "node39" in shown
    assert "node38" not in shown


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (0.0, 0.0, "0"),
        (12500.0, 0.0, "12\u202f500"),
        (23.75, 0.25, "23.75"),
        (400.0, 5.0, "400"),
        (-0.31, 0.0, "−0.31"),
        (2.5e7, 0.0, "2.5×10⁷"),
        (3e-9, 0.0, "3×10⁻⁹"),
        (97.46, 0.1, "97.5"),
        (float("nan"), 0.0, "none"),
        (float("inf"), 0.0, "∞"),
    ],
)
def test_numbers_have_sensible_digits(value: float, step: float, text: str) -> None:
    assert style.number(value, step) == text
