"""The rule on foreign verdicts: believed until a check has shown that it should not be."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout, Quality
from daemon.store.packing import pack, unpack
from detectors.episodes import Episodes
from detectors.figure import StatesFigure
from detectors.finding import Severity, Unit
from detectors.verdict_history import SAID_ROWS, length_bin, worth_most
from detectors.verdicts import BAD, GOOD, MEDIUM, STATES, VerdictsRule, VerdictsRuleOptions
from tests.detectors import sample_frames as sample

NAME = "TPC/gain"
STEP_S, ROWS_PER_DAY = 600.0, 144
DAY_S = 86_400.0
START_NS = 1_700_000_000_000_000_000
WORDS = ("mean # above #",)


def channel(name: str = NAME, place: str = "ALICE/TPC") -> Channel:
    return Channel(name, name, "", Kind.STATE, place, STATES)


def rows(codes: Any, first_row: int = 0, layout: Layout | None = None, step_s: float = STEP_S) -> Frame:
    """Rows of verdicts, one check by default."""
    values = np.asarray(codes, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    time_ns = START_NS + (np.arange(first_row, first_row + len(values)) * step_s * 1e9).astype(np.int64)
    return Frame(layout or Layout("qc", (channel(),)), time_ns, values)


def rule(**options: Any) -> VerdictsRule:
    return VerdictsRule("verdicts", VerdictsRuleOptions.model_validate(options))


def held(made: VerdictsRule, frame: Frame) -> dict[str, NDArray[np.bool_]]:
    """Rows in which a check is bad, medium and said not to be worth a look."""
    breaches = made.judge(frame)
    assert breaches.holds.shape == breaches.judged.shape == (len(frame), len(breaches.units))
    assert len(breaches.units) == 3
    return dict(zip(("bad", "medium", "unreliable"), (breaches.holds & breaches.judged).T, strict=True))


def episodes(holds: NDArray[np.bool_]) -> int:
    return sum(1 for value, _ in groupby(holds.tolist()) if value)


def raised(made: VerdictsRule, frame: Frame, raise_rows: int = 2) -> list[tuple[Unit, int, int | None]]:
    """Units that the framework would raise and clear, with the row."""
    breaches = made.judge(frame)
    found = Episodes(raise_rows, 3).advance(breaches.units, breaches.holds, breaches.judged, frame.time_ns)
    return [(episode.unit, episode.row, episode.cleared_ns) for episode in found]


def test_a_check_that_was_never_bad_is_raised_as_soon_as_it_is() -> None:
    frame = rows([GOOD] * 50 + [BAD] * 200 + [GOOD] * 10)
    found = raised(rule(), frame)
    assert [(unit.condition, unit.severity, row, cleared is None) for unit, row, cleared in found] == [
        ("check_failed", Severity.WARNING, 51, True),
        ("check_failed", Severity.WARNING, 252, False),
    ]


def test_it_is_believed_from_the_second_row_on() -> None:
    assert held(rule(), rows([GOOD, BAD, BAD]))["bad"].tolist() == [False, True, True]


def test_medium_is_a_finding_of_its_own_for_the_record() -> None:
    found = raised(rule(), rows([GOOD] * 50 + [MEDIUM] * 5 + [BAD] * 5 + [GOOD] * 5))
    assert [(unit.severity, row) for unit, row, cleared in found if cleared is None] == [(Severity.INFO, 51), (Severity.WARNING, 56)]
    assert len({unit.key for unit, _, _ in found}) == 2


def test_a_check_that_is_bad_a_third_of_the_time_is_no_news_after_a_few_times() -> None:
    flicker = np.where(np.random.default_rng(3).random(30 * ROWS_PER_DAY) < 0.3, BAD, GOOD)
    made = rule()
    holds = held(made, rows(flicker))
    flags = episodes(flicker == BAD)
    assert flags > 800
    assert episodes(holds["bad"]) < flags / 30
    found = raised(made, rows(flicker, first_row=len(flicker)))
    lasting = sum(1 for unit, _, cleared in found if unit.severity is Severity.WARNING and cleared is None)
    assert lasting <= 10  # in another thirty days, with a promise of one in four days
    assert (
        sum(1 for unit, _, cleared in found if cleared is not None and unit.severity is Severity.WARNING) == lasting
    )  # nothing stays open


def test_a_check_that_always_flickers_and_now_stays_bad_is_raised_again() -> None:
    flicker = np.tile([BAD, GOOD, GOOD], 20 * ROWS_PER_DAY // 3)
    made = rule()
    made.judge(rows(flicker))
    later = held(made, rows([BAD] * 60, first_row=len(flicker)))["bad"]
    assert later[-1]
    assert 4 <= int(np.argmax(later)) <= 8  # its usual episodes are of one row


def test_a_long_real_fault_does_not_make_its_check_unbelievable() -> None:
    """A week of trouble counts as one episode."""
    codes = [GOOD] * (10 * ROWS_PER_DAY) + [BAD] * (7 * ROWS_PER_DAY) + [GOOD] * (2 * ROWS_PER_DAY) + [BAD] * 10
    holds = held(rule(), rows(codes))["bad"]
    assert holds[10 * ROWS_PER_DAY : 17 * ROWS_PER_DAY].all()
    assert holds[-10:].all()


def test_bad_from_the_first_row_is_said_once_for_the_record() -> None:
    made = rule()
    found = raised(made, rows([BAD] * 500))
    assert [(unit.condition, unit.severity, cleared is None) for unit, _, cleared in found] == [
        ("check_unreliable", Severity.INFO, True),
        ("check_unreliable", Severity.INFO, False),
    ]
    frame = rows([BAD] * 3)
    fresh = rule()
    fresh.judge(frame)
    assert fresh.explain(frame, 1, 2).summary == "TPC/gain of qc is no news: so ever since it is watched"
    assert held(made, rows([GOOD, GOOD, BAD, BAD], first_row=500))["bad"].tolist() == [False, False, True, True]


def test_that_a_check_is_no_news_is_said_once_and_not_each_time() -> None:
    flicker = np.tile([GOOD, GOOD, BAD, BAD], 5 * ROWS_PER_DAY)
    assert held(rule(most_per_day=0.01), rows(flicker))["unreliable"].sum() == SAID_ROWS


def test_what_was_done_long_ago_is_forgotten() -> None:
    flicker = np.tile([BAD, BAD, GOOD, GOOD], ROWS_PER_DAY)
    made = rule(memory_days=2)
    made.judge(rows(flicker))
    first = len(flicker)
    assert not held(made, rows([BAD], first_row=first))["bad"].any()
    made.judge(rows([GOOD] * (30 * ROWS_PER_DAY), first_row=first + 1))
    assert held(made, rows([BAD], first_row=first + 1 + 30 * ROWS_PER_DAY))["bad"].all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), min_size=1, max_size=60), st.sampled_from([0.05, 0.25, 2.0]))
def test_no_check_is_raised_more_often_than_promised(lengths: list[tuple[int, int]], per_day: float) -> None:
    """For episodes that become worth a look at one age, whatever else the check does."""
    codes = np.concatenate([np.repeat([GOOD, BAD], pair) for pair in lengths])
    holds = held(rule(most_per_day=per_day, memory_days=1e6), rows(np.append(GOOD, codes)))["bad"][1:]
    good_s = float((codes == GOOD).sum()) * STEP_S
    count = {0: 0}
    at = 0
    for good, bad in lengths:
        at += good
        worth = np.flatnonzero(holds[at : at + bad])
        if len(worth):
            age = int(length_bin(worth[:1].astype(np.float64) * np.float64(STEP_S))[0])
            count[age] = count.get(age, 0) + 1
        at += bad
    assert max(count.values()) <= worth_most(good_s, per_day)


def test_unknown_stale_and_muted_verdicts_say_nothing() -> None:
    codes = [GOOD] * 20 + [0, np.nan, BAD, BAD, BAD, GOOD]
    frame = rows(codes)
    quality = np.zeros(frame.values.shape, dtype=np.uint8)
    quality[22], quality[23], quality[24] = Quality.STALE, Quality.MUTED, Quality.INVALID
    breaches = rule().judge(Frame(frame.layout, frame.time_ns, frame.values, quality))
    assert breaches.judged[:, 0].tolist() == [True] * 20 + [False] * 5 + [True]
    assert not breaches.holds.any()


def test_a_gap_without_verdicts_does_not_end_an_episode() -> None:
    codes = [GOOD] * 20 + [BAD, 0, 0, BAD, GOOD]
    assert held(rule(), rows(codes))["bad"].tolist() == [False] * 20 + [True, False, False, True, False]


def test_blocks_of_any_size_and_a_restart_give_the_same() -> None:
    rng = np.random.default_rng(5)
    codes = rng.choice([0, GOOD, MEDIUM, BAD], (400, 3), p=[0.1, 0.6, 0.1, 0.2])
    layout = Layout("qc", tuple(channel(f"check{i}") for i in range(3)))
    frame = rows(codes, layout=layout)
    whole = rule().judge(frame).holds
    made, parts = rule(), []
    for first, end in ((0, 1), (1, 7), (7, 250), (250, 251), (251, 400)):
        parts.append(made.judge(frame.rows(slice(first, end))).holds)
        restored = rule()
        restored.restore(unpack(pack(made.state())))
        made = restored
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    again = made.judge(frame.rows(slice(251, 400))).holds  # looked at a second time it changes nothing
    assert again.shape == (149, 9)
    assert pack(made.state()) == pack(restored.state())


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99"):
        rule().restore({**rule().state(), "version": 99})


def test_checks_that_come_and_go_keep_their_history() -> None:
    flicker = np.tile([BAD, GOOD], 300)
    made = rule()
    made.judge(rows(flicker))
    other = Layout("qc", (channel("other"),))
    made.judge(rows([GOOD] * 10, first_row=600, layout=other))
    both = Layout("qc", (channel("other"), channel()))
    holds = made.judge(rows([[BAD, BAD]], first_row=610, layout=both)).holds[0]
    assert (holds[0], holds[3]) == (True, False)


def test_channels_of_other_states_are_no_checks() -> None:
    layout = Layout("hv", (Channel("Status", "Status", "", Kind.STATE, "X", ("OFF", "ON")), sample.gauge("a")))
    assert not rule().judge(rows([[1.0, 2.0]], layout=layout)).units


def test_rules_give_condition_and_severity_by_the_name_of_the_check() -> None:
    layout = Layout("qc", (channel("HV/trip A"), channel("noise")))
    units = (
        rule(rules=[{"check": "*trip*", "condition": "hv_trip", "bad": "critical", "medium": "warning"}])
        .judge(rows([[1.0, 1.0]], layout=layout))
        .units
    )
    assert [(unit.name, unit.condition, str(unit.severity)) for unit in units] == [
        ("HV/trip A", "hv_trip", "critical"),
        ("HV/trip A", "hv_trip", "warning"),
        ("HV/trip A", "check_unreliable", "info"),
        ("noise", "check_failed", "warning"),
        ("noise", "check_failed", "info"),
        ("noise", "check_unreliable", "info"),
    ]


def test_evidence_names_check_source_message_score_and_how_often_it_was_so() -> None:
    message = Channel(f"{NAME}/message", "message", "", Kind.STATE, "ALICE/TPC", WORDS)
    score = Channel(f"{NAME}/score", f"score of {NAME}", "1", Kind.GAUGE, "ALICE/TPC")
    layout = Layout("qc", (channel(), score, message))
    codes = [[GOOD, 0.5, np.nan]] * (3 * ROWS_PER_DAY) + [[BAD, 7.25, 0], [BAD, 7.5, 0], [GOOD, 0.5, np.nan], [GOOD, 0.5, np.nan]]
    frame = rows([*codes, [BAD, 8.0, 0]], layout=layout)
    made = rule(memory_days=1e6)
    made.judge(frame)
    first = made.explain(frame, 3 * ROWS_PER_DAY, 0)
    assert first.summary == "TPC/gain is bad by qc: mean # above # (score 7.25)"
    assert [(c.name, c.text, c.observed) for c in first.ranked] == [
        (NAME, "bad by qc, never before like this in 2.99 days of good time", 3.0),
        (f"{NAME}/score", "", 7.25),
    ]
    second = made.explain(frame, len(frame) - 1, 0)
    assert second.ranked[0].text == "bad by qc, 1 time before like this in 3 days of good time (up to 1.3 a day)"


def test_the_picture_shows_the_check_and_others_that_are_bad_with_it() -> None:
    layout = Layout("qc", tuple(channel(name) for name in ("a", "b", "c")))
    frame = rows([[GOOD, GOOD, GOOD]] * 5 + [[BAD, GOOD, GOOD], [BAD, BAD, GOOD]], layout=layout)
    figure = rule().picture(frame, 6, 0)
    assert isinstance(figure, StatesFigure)
    assert [lane.name for lane in figure.lanes] == ["a", "b"]
    assert (figure.since_ns, figure.found_ns) == (frame.time_ns[5], frame.time_ns[6])
    assert figure.lanes[0].bad == ("bad",)


def test_another_check_is_not_taken_for_the_score_or_message_of_one() -> None:
    layout = Layout("qc", (channel(), channel(f"{NAME}/score"), channel(f"{NAME}/message")))
    made = rule()
    frame = rows([[GOOD, GOOD, GOOD], [BAD, GOOD, MEDIUM]], layout=layout)
    made.judge(frame)
    evidence = made.explain(frame, 1, 0)
    assert evidence.summary == "TPC/gain is bad by qc"
    assert [c.name for c in evidence.ranked] == [NAME]
