"""What every collector promises, whatever its protocol."""

from __future__ import annotations

import re
import textwrap
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.collector import Collected, CollectError, Collector, Origin, Rejected
from collectors.frame import Frame, Histogram, Quality, Updates, is_within
from tests.collectors.case import ORIGIN, SECRET, Case
from tests.collectors.cases import CASES

FRAMEWORK_KEYS = {"collector", "period_s", "place", "role", "accumulation", "detectors", "extremes", "ramping"}
PATIENCE_S = 30
Blocks = list[Frame | Updates]


@pytest.fixture(params=CASES, ids=lambda case: case.kind.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    built: Case = request.param(tmp_path)
    yield built
    built.stop()


@pytest.fixture
def collector(case: Case) -> Iterator[Collector]:
    built = case.build()
    yield built
    built.close()


def collect(collector: Collector) -> tuple[Blocks, list[Rejected], str]:
    """Blocks, rejections and the error of one turn."""
    blocks: Blocks = []
    rejected: list[Rejected] = []
    try:
        for item in collector.collect():
            if isinstance(item, Rejected):
                rejected.append(item)
            else:
                blocks.append(item)
    except CollectError as error:
        return blocks, rejected, str(error)
    return blocks, rejected, ""


def readings(blocks: Blocks, name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The last values and qualities of a column in the newest block that has it."""
    for block in reversed(blocks):
        column = block.layout.column(name)
        start = block.layout.position(name)
        columns = np.arange(start, start + column.width)
        if isinstance(block, Frame):
            quality = np.zeros(block.values.shape, np.uint8) if block.quality is None else block.quality
            return block.values[-1, columns], quality[-1, columns]
        found = np.flatnonzero(block.column == start)
        if len(found):
            return block.value[found[-1:]], block.quality[found[-1:]]
    raise AssertionError(f"no reading of {name}")


def until(collector: Collector, name: str, *, good: bool) -> tuple[Blocks, list[Rejected]]:
    """Turns until a column is good or bad; sources that push need more than one."""
    all_rejected: list[Rejected] = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        blocks, rejected, _ = collect(collector)
        all_rejected += rejected
        try:
            values, quality = readings(blocks, name)
        except (AssertionError, KeyError):
            time.sleep(0.02)
            continue
        is_good = bool(np.isfinite(values).all()) and not quality.any()
        if is_good is good:
            return blocks, all_rejected
    raise AssertionError(f"{name} did not become {'good' if good else 'bad'}")


@pytest.mark.parametrize("kind", [case.kind for case in CASES])
def test_documented_example_is_valid(kind: Any) -> None:
    example = textwrap.dedent(re.sub(r"(?s).*Example:\n", "", kind.__doc__ or "")).split("\n\n")[0]
    ((name, section),) = tomllib.loads(example)["source"].items()
    assert f"{section['collector']}:{kind.__name__}" == f"{kind.__module__.rpartition('.')[2]}:{kind.__name__}"
    options = kind.options_model.model_validate({key: value for key, value in section.items() if key not in FRAMEWORK_KEYS})
    built = kind(Origin(name, section.get("place", ""), lambda: 0), options)
    assert isinstance(built, Collector)
    built.close()


def test_good_source_gives_blocks_of_this_source_below_its_place(case: Case, collector: Collector) -> None:
    case.good()
    blocks, rejected, error = collect(collector)
    assert (rejected, error) == ([], "")
    assert blocks
    for block in blocks:
        assert block.layout.source == ORIGIN.source
        assert all(is_within(column.place, ORIGIN.place) for column in block.layout.columns)
        assert (block.time_ns > 0).all()
    for name in (case.victim, case.survivor):
        values, quality = readings(blocks, name)
        assert np.isfinite(values).all()
        assert not quality.any()


def test_layout_stays_from_turn_to_turn(case: Case, collector: Collector) -> None:
    case.good()
    first, _, _ = collect(collector)
    case.good()
    second, _ = until(collector, case.survivor, good=True)
    assert {block.layout.digest for block in second} == {block.layout.digest for block in first}


def test_empty_source_gives_no_reading(case: Case, collector: Collector) -> None:
    case.empty()
    blocks, rejected, error = collect(collector)
    assert not any(len(block) for block in blocks)
    assert error or rejected or collector.finite  # a table without rows is at its end; others say why there is nothing


def test_dead_source_is_an_error_that_names_it(case: Case, collector: Collector) -> None:
    case.good()
    named = case.dead()
    blocks, _, error = collect(collector)
    assert not blocks
    assert named in error
    assert "\n" not in error


def test_half_an_answer_is_never_taken_for_a_whole_one(case: Case, collector: Collector) -> None:
    case.half()
    _, rejected, error = collect(collector)
    assert rejected or error
    case.good()
    until(collector, case.survivor, good=True)


@pytest.mark.parametrize("what", ["nan", "absurd", "text"])
def test_bad_value_is_no_reading_and_the_rest_goes_on(case: Case, collector: Collector, what: str) -> None:
    case.good()
    until(collector, case.survivor, good=True)
    case.bad(what)
    blocks, rejected = until(collector, case.victim, good=False)
    if what != "nan":
        assert any(case.victim in f"{item.subject} {item.reason} {item.payload!r}" for item in rejected)
    for item in rejected:
        assert item.reason
        assert "\n" not in item.reason
    values, quality = readings(blocks, case.victim)
    assert not np.isinf(values).any()
    if isinstance(blocks[-1].layout.column(case.survivor), Histogram) or isinstance(blocks[-1], Frame):
        values, quality = readings(blocks, case.survivor)
        assert np.isfinite(values).all()
        assert not (quality == Quality.INVALID).any()


def test_secret_is_never_shown(case: Case, collector: Collector) -> None:
    shown: list[Collected | str] = []
    for spoil in (case.good, case.half, lambda: case.bad("text"), case.dead):
        spoil()
        blocks, rejected, error = collect(collector)
        shown += [repr(block.layout) for block in blocks]
        shown += [repr(item) for item in rejected]
        shown.append(error)
    assert SECRET not in repr(shown) + repr(collector) + repr(vars(collector))


def test_closing_twice_and_before_the_first_turn_is_safe(case: Case) -> None:
    unused = case.build()
    unused.close()
    unused.close()
    used = case.build()
    case.good()
    collect(used)
    used.close()
    used.close()
