"""Pictures as SVG and PNG: what can be read in them, and that no input breaks them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from daemon.plots.drawing import png, svg
from detectors.figure import decode, encode
from tests.daemon.plots import figures

ZURICH = ZoneInfo("Europe/Zurich")
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> str:
    """All words in a picture."""
    return "\n".join("".join(element.itertext()) for element in ET.fromstring(picture).iter(f"{SVG}text"))


def png_size(picture: bytes) -> tuple[int, int]:
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")


@pytest.mark.parametrize("kind", figures.KINDS)
class TestEveryKind:
    def test_title_and_run_are_on_it_as_text(self, kind: str) -> None:
        figure = figures.KINDS[kind]()
        shown = texts(svg(figure, ZURICH))
        assert figure.title in shown
        assert figures.CONTEXT in shown
        assert figures.CONTEXT not in texts(svg(replace(figure, context=""), ZURICH))

    def test_it_is_one_image_with_a_name_and_needs_nothing_from_outside(self, kind: str) -> None:
        picture = svg(figures.KINDS[kind](), ZURICH)
        root = ET.fromstring(picture)
        assert root.tag == f"{SVG}svg"
        assert root.get("role") == "img"
        assert root.get("aria-label") == root.findtext(f"{SVG}title") == figures.KINDS[kind]().title
        assert root.findtext(f"{SVG}desc")
        assert "DOCTYPE" not in picture
        links = [value for element in root.iter() for name, value in element.items() if name.endswith("href")]
        assert all(link.startswith(("#", "data:image/png")) for link in links)
        assert len(picture) < 150_000

    def test_the_same_figure_gives_the_same_bytes(self, kind: str) -> None:
        figure = figures.KINDS[kind]()
        assert svg(figure, ZURICH) == svg(figures.KINDS[kind](), ZURICH)
        assert png(figure, ZURICH, 600) == png(figures.KINDS[kind](), ZURICH, 600)

    @pytest.mark.parametrize("width_px", [601, 1200])
    def test_png_has_the_width_that_was_asked_for(self, kind: str, width_px: int) -> None:
        width, height = png_size(png(figures.KINDS[kind](), ZURICH, width_px))
        assert width == width_px
        assert 0.2 * width < height < 1.5 * width

    def test_what_has_travelled_looks_the_same(self, kind: str) -> None:
        figure = figures.KINDS[kind]()
        assert texts(svg(decode(encode(figure)), ZURICH)) == texts(svg(figure, ZURICH))


@pytest.mark.parametrize(("number", "name"), list(enumerate(figures.ODD)))
def test_odd_values_and_hostile_names_give_pictures(number: int, name: str) -> None:
    for figure in figures.odd(figures.ODD[name], number):
        picture = svg(figure, UTC)
        ET.fromstring(picture)
        assert "<script" not in picture
        assert "inf" not in re.findall(r'[dxy]="([^"]*)"', picture)
        assert png_size(png(figure, UTC, 300))[0] == 300


def test_nothing_in_a_name_is_a_formula_or_markup() -> None:
    hostile = "rate $x^2$ <b>&amp;</b> \\alpha_1"
    figure = replace(figures.series(), title=hostile)
    picture = svg(figure, ZURICH)
    assert hostile in texts(picture)
    assert ET.fromstring(picture).get("aria-label") == hostile


def test_a_long_name_is_cut_in_the_middle_so_that_both_ends_can_be_read() -> None:
    line = replace(figures.series().lines[0], name="BEGIN" + "x" * 3000 + "END")
    shown = texts(svg(replace(figures.series(), lines=(line,)), ZURICH))
    (name,) = re.findall(r"BEGIN\S*", shown)
    assert name.rstrip(":").endswith("END")
    assert "…" in name
    assert len(name) < 60


def test_times_are_those_of_the_zone() -> None:
    assert "found 12:13:40" in texts(svg(figures.series(), ZURICH))
    assert "found 11:13:40" in texts(svg(figures.series(), UTC))
    assert "26 Nov 2016, CET" in texts(svg(figures.series(), ZURICH))


def test_pages_that_draw_at_once_get_their_own_pictures() -> None:
    expected = {kind: svg(make(), ZURICH) for kind, make in figures.KINDS.items()}
    wrong: list[str] = []

    def draw(kind: str) -> None:
        if svg(figures.KINDS[kind](), ZURICH) != expected[kind]:
            wrong.append(kind)

    threads = [threading.Thread(target=draw, args=(kind,)) for kind in list(figures.KINDS) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_map_of_a_calorimeter_is_small_and_is_drawn_whole() -> None:
    rng = np.random.default_rng(1)
    expected = np.full((360, 170), 50.0)
    figure = replace(
        figures.cells(), observed=rng.poisson(expected).astype(float), expected=expected, suspicious=((17, 3),), names=("tower 3",)
    )
    figure = replace(figure, x_edges=np.arange(361.0), y_edges=np.arange(171.0))
    picture = svg(figure, ZURICH)
    assert "tower 3" in texts(picture)
    assert len(picture) < 1_000_000


@pytest.mark.parametrize("width_px", [0, -5, 10**6])
def test_a_width_that_is_no_picture_is_refused(width_px: int) -> None:
    with pytest.raises(ValueError, match="pixels wide"):
        png(figures.plan(), ZURICH, width_px)


def test_matplotlib_is_loaded_with_the_first_picture_and_not_before() -> None:
    code = "import sys, daemon.plots.drawing; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
