"""Readings that ramp are marked, whatever form their source has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.align import Aligner
from collectors.frame import Channel, Frame, Kind, Layout, Quality, Updates
from collectors.ramping import Ramping, RampingRule

GOOD, RAMPING, INVALID = int(Quality.GOOD), int(Quality.RAMPING), int(Quality.INVALID)
BITS = RampingRule(status="*:Status", readings=("{1}:VMon", "{1}:IMon"), bits=(1, 2))
STATES = RampingRule(status="*:State", readings=("{1}:VMon",), states=("up", "down"))
SECOND = 1_700_000_000_000_000_000


def layout(*names: str) -> Layout:
    kinds = {"Status": Kind.BITS, "State": Kind.STATE}
    states = {"Status": ("on", "ramp_up", "ramp_down"), "State": ("off", "up", "down", "on")}
    suffixes = [name.rpartition(":")[2] for name in names]
    channels = zip(names, suffixes, strict=True)
    return Layout("hv", tuple(Channel(name, s, "", kinds.get(s, Kind.GAUGE), "HV", states.get(s, ())) for name, s in channels))


ONE = layout("a:VMon", "a:IMon", "a:Status", "b:VMon", "b:Status")


def frame(layout: Layout, *rows: list[float], quality: list[list[int]] | None = None) -> Frame:
    marks = None if quality is None else np.array(quality, np.uint8)
    return Frame(layout, SECOND + np.arange(len(rows), dtype=np.int64), np.array(rows, np.float64), marks)


def updates(layout: Layout, *events: tuple[str, float]) -> Updates:
    columns = np.array([layout.position(name) for name, _ in events], np.int32)
    values = np.array([value for _, value in events], np.float64)
    return Updates(layout, SECOND + np.arange(len(events), dtype=np.int64), columns, values, np.zeros(len(events), np.uint8))


def shown(found: Updates | Frame) -> list[tuple[str, float, int]]:
    assert isinstance(found, Updates)
    names = [found.layout.columns[column].name for column in found.column]
    return list(zip(names, found.value.tolist(), found.quality.tolist(), strict=True))


def test_good_readings_of_a_snapshot_ramp_with_their_own_status_word() -> None:
    rows = [[1.0, 2.0, 0b011, 3.0, 0b001], [1.0, 2.0, 0b001, 3.0, 0b100], [1.0, 2.0, np.nan, 3.0, 1e300]]
    quality = [[GOOD, INVALID, GOOD, GOOD, GOOD], [GOOD] * 5, [GOOD] * 5]
    marked = Ramping([BITS]).mark(frame(ONE, *rows, quality=quality))
    assert isinstance(marked, Frame)
    assert marked.quality is not None
    assert marked.quality.tolist() == [[RAMPING, INVALID, GOOD, GOOD, GOOD], [GOOD, GOOD, GOOD, RAMPING, GOOD], [GOOD] * 5]


def test_names_of_states_mean_ramping_too() -> None:
    marked = Ramping([STATES]).mark(frame(layout("a:VMon", "a:State"), [5.0, 0], [5.0, 1], [5.0, 2], [5.0, 3]))
    assert marked.quality is not None
    assert marked.quality[:, 0].tolist() == [GOOD, RAMPING, RAMPING, GOOD]


def test_a_standing_value_is_sent_again_when_the_ramp_begins_and_when_it_ends() -> None:
    ramping = Ramping([BITS])
    first = ramping.mark(updates(ONE, ("a:VMon", 100), ("b:VMon", 7), ("a:Status", 0b011), ("a:VMon", 400), ("b:VMon", 8)))
    assert shown(first) == [
        ("a:VMon", 100, GOOD),
        ("b:VMon", 7, GOOD),
        ("a:Status", 3, GOOD),
        ("a:VMon", 100, RAMPING),
        ("a:VMon", 400, RAMPING),
        ("b:VMon", 8, GOOD),
    ]
    assert shown(ramping.mark(updates(ONE, ("a:VMon", 700)))) == [("a:VMon", 700, RAMPING)]
    ended = ramping.mark(updates(ONE, ("a:Status", 0b001)))
    assert shown(ended) == [("a:Status", 1, GOOD), ("a:VMon", 700, GOOD)]


def test_a_ramp_goes_on_when_channels_are_added() -> None:
    ramping = Ramping([BITS])
    ramping.mark(updates(ONE, ("a:VMon", 100), ("a:Status", 0b010)))
    wider = layout("c:VMon", "c:Status", "a:IMon", "a:VMon", "a:Status")
    assert shown(ramping.mark(updates(wider, ("a:VMon", 300), ("a:Status", 0)))) == [
        ("a:VMon", 300, RAMPING),
        ("a:Status", 0, GOOD),
        ("a:VMon", 300, GOOD),
    ]


@pytest.mark.parametrize("chosen", [{}, {"bits": [1], "states": ["up"]}])
def test_a_rule_needs_bits_or_states(chosen: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either `bits` or `states`"):
        RampingRule.model_validate({"status": "*:S", "readings": ["{1}:V"], **chosen})


EVENTS = st.lists(st.tuples(st.sampled_from([c.name for c in ONE.columns]), st.sampled_from([0.0, 1.0, 2.0, 4.0, np.nan, 1e300])))


@given(EVENTS, st.integers(0, 20))
def test_blocks_may_be_cut_anywhere(events: list[tuple[str, float]], cut: int) -> None:
    """The same readings in one block or in two give the same marks."""
    whole, parts = Ramping([BITS]), Ramping([BITS])
    together = shown(whole.mark(updates(ONE, *events)))
    apart = [row for piece in (events[:cut], events[cut:]) for row in shown(parts.mark(updates(ONE, *piece)))]
    assert str(apart) == str(together)


def timed(layout: Layout, *events: tuple[str, float, int]) -> Updates:
    """Updates that come in another order than that of their times: a server sends channel by channel what has changed."""
    block = updates(layout, *((name, value) for name, value, _ in events))
    return Updates(layout, SECOND + np.array([at for _, _, at in events], np.int64), block.column, block.value, block.quality)


@pytest.mark.parametrize("split", [False, True])
def test_the_end_of_a_ramp_that_is_told_after_later_readings_leaves_none_of_them_ramping(split: bool) -> None:
    ramping, aligner = Ramping([BITS]), Aligner(10)
    first = ramping.mark(timed(ONE, ("a:Status", 0b010, 1), ("a:VMon", 10.0, 2)))
    readings, status = ("a:VMon", 500.0, 8), ("a:Status", 0b001, 5)
    blocks = [timed(ONE, readings), timed(ONE, status)] if split else [timed(ONE, readings, status)]
    for block in [first, *(ramping.mark(block) for block in blocks)]:
        assert isinstance(block, Updates)
        aligner.add(block)
    (frame,) = aligner.until(SECOND + 10)
    voltage = frame.layout.position("a:VMon")
    assert frame.values[-1, voltage] == 500.0
    assert frame.quality is None or frame.quality[-1, voltage] == GOOD


@pytest.mark.parametrize("quality", [Quality.INVALID, Quality.DISCONNECTED, Quality.STALE])
def test_a_status_that_is_not_to_be_believed_silences_nobody(quality: Quality) -> None:
    marks = [[GOOD, GOOD, int(quality), GOOD, GOOD]]
    marked = Ramping([BITS]).mark(frame(ONE, [1.0, 2.0, 0b010, 3.0, 0b001], quality=marks))
    assert marked.quality is not None
    assert marked.quality.tolist() == marks
    ramping = Ramping([BITS])
    ramping.mark(updates(ONE, ("a:VMon", 1.0), ("a:Status", 0b010)))
    block = updates(ONE, ("a:Status", 0b010))
    block.quality[:] = quality
    assert ("a:VMon", 1.0, GOOD) in shown(ramping.mark(block))


def test_states_that_a_rule_names_wrongly_are_said_once() -> None:
    wrong = RampingRule(status="*:State", readings=("{1}:VMon",), states=("RAMP_UP",))
    ramping = Ramping([STATES, wrong])
    for channels in (layout("a:VMon", "a:State"), layout("a:VMon", "a:State", "b:State")):
        ramping.mark(updates(channels, ("a:State", 1)))
    assert [(problem.subject, problem.reason) for problem in ramping.take_problems()] == [
        ("a:State", "ramping: no state is called RAMP_UP, it has off, up, down, on")
    ]
    assert ramping.take_problems() == []
