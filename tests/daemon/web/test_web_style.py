"""Colours can be told from their ground, in both themes (WCAG 2.2: 4.5 for text, 3 for marks)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = files("daemon.web.static").joinpath("page.css").read_text(encoding="utf-8")
DARK, LIGHT = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL))
TEXT = ("text", "quiet", "strong", "link")
MARKS = ("critical", "warning", "unsure", "focus")


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("ground", ["ground", "panel", "critical-ground", "button", "button-over"])
def test_contrast(theme: str, ground: str) -> None:
    colours = DARK if theme == "dark" else DARK | LIGHT
    for name in TEXT:
        assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in MARKS:
        assert contrast(colours[name], colours[ground]) >= 3, (name, ground)
