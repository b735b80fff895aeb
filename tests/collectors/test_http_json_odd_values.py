"""Expressions that come to an error of arithmetic, and status words that a float cannot hold: each costs its own channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collectors.collector import Rejected
from collectors.frame import Frame, Quality
from tests.collectors.json_pages import build, show, shown


def read(page: Path, text: str, **options: object) -> tuple[Frame, list[Rejected]]:
    show(page, text)
    *rejected, frame = build(page, **options).collect()
    assert isinstance(frame, Frame)
    return frame, [item for item in rejected if isinstance(item, Rejected)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ceil(x)", "1e999"),
        ("floor(x)", "NaN"),
        ("x[::0]", "[1]"),
        ("sum(x)", f"[1{'0' * 400}, 2.5]"),
        ("avg(x)", f"[1{'0' * 400}, 2]"),
        ("max(x)", '[1, "a"]'),
    ],
)
def test_an_expression_that_cannot_be_worked_out_costs_its_channel_alone(tmp_path: Path, path: str, value: str) -> None:
    frame, (rejected,) = read(tmp_path / "a.json", f'{{"x": {value}, "y": 5}}', values={"odd": path, "even": "y"})
    assert shown(frame)["even"] == 5
    assert np.isnan(shown(frame)["odd"])
    assert rejected.subject.endswith("odd")
    assert rejected.reason.startswith(path)


@pytest.mark.parametrize("word", [str(2**53), str(2**53 + 1), '"0x8000000000000001"'])
def test_a_status_word_that_has_lost_its_lowest_bits_is_not_shown_as_good(tmp_path: Path, word: str) -> None:
    frame, (rejected,) = read(tmp_path / "a.json", f'{{"status": {word}}}', values={"status": "status"}, bits={"status": ["on"]})
    assert np.isnan(shown(frame)["status"])
    assert frame.quality is not None
    assert frame.quality.tolist() == [[Quality.INVALID]]
    assert "of at most 53 bits" in rejected.reason


def test_the_largest_word_is_whole(tmp_path: Path) -> None:
    frame, rejected = read(tmp_path / "a.json", f'{{"status": {2**53 - 1}}}', values={"status": "status"}, bits={"status": ["on"]})
    assert (shown(frame)["status"], rejected) == (2**53 - 1, [])
