"""The watch over one stream: repeats, late rows, silence, muting, and that it is the same after a restart."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from collectors.conditions import ConditionHistory
from collectors.wire import CLOCK_PROBLEM, END_OF_STREAM_NS, Block
from daemon.detect.watch import StreamWatch
from daemon.messages import FindingReport
from daemon.settings import Settings
from daemon.store.packing import pack, unpack
from tests.daemon.judging import Feed, beam, configuration
from tests.daemon.reports import S

UNKNOWN = ConditionHistory()


def watch(config: Settings | None = None, stream: str = "hv") -> StreamWatch:
    return StreamWatch(stream, config or configuration())


def told(reports: list[FindingReport]) -> list[tuple[str, str, int, int | None]]:
    """Name, condition, and in s since when and when it cleared."""
    return [
        (
            r.finding.unit.name,
            r.finding.unit.condition,
            r.finding.since_ns // S,
            None if r.finding.cleared_ns is None else r.finding.cleared_ns // S,
        )
        for r in reports
    ]


def feed_all(watched: StreamWatch, blocks: list[Block], conditions: ConditionHistory = UNKNOWN) -> list[FindingReport]:
    return [report for block in blocks for report in watched.judge(block, conditions)]


def metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"source": "hv"}) or 0.0


def test_a_finding_is_told_at_the_row_that_raised_it_and_again_at_the_row_that_cleared_it() -> None:
    watched, feed = watch(), Feed()
    block = feed.frame((1000, 1, 1), (1010, 20, 1), (1020, 30, 1), (1030, 1, 1), (1040, 1, 1), (1050, 1, 1))
    began, ended = watched.judge(block, UNKNOWN)
    assert (began.at_ns, ended.at_ns) == (1020 * S, 1040 * S)
    assert told([began, ended]) == [("a", "high", 1010, None), ("a", "high", 1010, 1040)]
    assert began.finding.key == ended.finding.key
    assert (began.finding.detectors, began.finding.unit.place) == (("high",), "DEMO/HV/a")
    assert began.finding.evidence.summary == "a is 30, before at most 0"
    assert (ended.finding.last_ns, watched.progress_ns) == (1020 * S, 1050 * S)


def test_what_becomes_known_later_is_told_after_the_progress_told_before() -> None:
    watched, feed = watch(), Feed()
    watched.judge(feed.frame((1000, 20, 1)), UNKNOWN)
    watched.judge(feed.heartbeat(1015), UNKNOWN)
    (report,) = watched.judge(feed.frame((1010, 20, 1)), UNKNOWN)
    assert (report.at_ns, report.finding.raised_ns) == (1015 * S + 1, 1010 * S)
    assert watched.progress_ns >= report.at_ns


class TestRepeats:
    def test_are_recognised_by_identity_and_not_judged_again(self) -> None:
        watched, feed = watch(), Feed()
        block = feed.frame((1000, 20, 1), (1010, 20, 1))
        before = metric("shiftwatch_repeated_blocks_total")
        assert len(watched.judge(block, UNKNOWN)) == 1
        assert watched.judge(block, UNKNOWN) == []
        assert metric("shiftwatch_repeated_blocks_total") == before + 1

    def test_the_same_rows_in_a_new_block_of_the_same_producer_are_late(self) -> None:
        watched, feed = watch(), Feed()
        watched.judge(feed.frame((1000, 20, 1)), UNKNOWN)
        assert watched.judge(feed.frame((1000, 20, 1)), UNKNOWN) == []

    def test_a_producer_that_was_started_again_goes_on_and_the_one_before_is_not_heard_any_more(self) -> None:
        watched, before, after = watch(), Feed(epoch=1), Feed(epoch=2)
        watched.judge(before.frame((1000, 20, 1)), UNKNOWN)
        assert len(watched.judge(after.frame((1010, 20, 1)), UNKNOWN)) == 1
        assert watched.judge(before.frame((1020, 1, 1), (1030, 1, 1)), UNKNOWN) == []

    def test_what_it_sends_again_is_no_fault_of_a_clock(self) -> None:
        watched, after = watch(), Feed(epoch=2)
        watched.judge(Feed(epoch=1).frame((1000, 1, 1), (5000, 1, 1)), UNKNOWN)
        reports = feed_all(watched, [after.frame((1000, 1, 1), (5000, 1, 1)), after.frame((5010, 1, 1)), after.heartbeat(5011)])
        assert reports == []


class TestClock:
    def test_late_rows_are_counted_and_not_judged(self) -> None:
        watched, feed = watch(), Feed()
        watched.judge(feed.frame((1000, 1, 1)), UNKNOWN)
        before = metric("shiftwatch_late_rows_total")
        assert watched.judge(feed.frame((990, 20, 1), (995, 20, 1), (1010, 1, 1)), UNKNOWN) == []
        assert metric("shiftwatch_late_rows_total") == before + 2

    def test_an_hour_back_is_a_finding_and_clears(self) -> None:
        watched, feed = watch(), Feed()
        watched.judge(feed.frame((5000, 1, 1)), UNKNOWN)
        (began,) = watched.judge(feed.frame((1410, 20, 1), (1420, 20, 1)), UNKNOWN)
        assert told([began]) == [("hv", "clock_off", 5000, None)]
        assert began.finding.evidence.summary == (
            "The clock of hv is wrong: rows came that are 3590 s older than the newest; they are not judged"
        )
        assert watched.judge(feed.heartbeat(5015), UNKNOWN) == []
        (ended,) = watched.judge(feed.frame((5020, 1, 1)), UNKNOWN)
        assert told([ended]) == [("hv", "clock_off", 5000, 5020)]

    def test_what_the_collector_says_of_it_is_one_finding(self) -> None:
        watched, feed = watch(), Feed()
        ahead = f"{CLOCK_PROBLEM} is 3600 s ahead, taken at arrival"
        blocks = [b for at in range(1000, 1050, 10) for b in (feed.frame((at, 1, 1)), feed.heartbeat(at + 1, ahead))]
        assert told(feed_all(watched, blocks)) == [("hv", "clock_off", 1001, None)]


class TestSilence:
    def test_is_a_finding_with_the_problem_of_the_collector_and_clears_with_data(self) -> None:
        watched, feed = watch(), Feed()
        watched.judge(feed.frame((1000, 1, 1)), UNKNOWN)
        reports = feed_all(watched, [feed.heartbeat(at, "connection refused") for at in range(1001, 1100)])
        assert told(reports) == [("hv", "source_silent", 1000, None)]
        assert reports[0].finding.evidence.summary == "hv has sent nothing for 31 s: connection refused"
        assert told(watched.judge(feed.frame((1110, 1, 1)), UNKNOWN)) == [("hv", "source_silent", 1000, 1110)]

    def test_data_that_are_told_late_are_no_silence_once_they_are_there(self) -> None:
        watched, feed = watch(configuration(silent_after_s=100)), Feed()
        blocks = [feed.frame((1000, 1, 1)), feed.heartbeat(1090), feed.frame((1050, 1, 1)), feed.heartbeat(1149)]
        assert feed_all(watched, blocks) == []

    def test_a_source_of_which_only_the_parts_have_data_is_not_silent(self) -> None:
        whole, part = watch(), watch(stream="hv#0")
        beats, parts = Feed(), Feed(part="0")
        whole.judge(beats.heartbeat(1000), UNKNOWN)
        part.judge(parts.frame((1000, 1, 1)), UNKNOWN)
        assert [whole.judge(beats.heartbeat(at, newest=at - 5), UNKNOWN) for at in range(1001, 1100)] == [[]] * 99
        assert feed_all(part, [parts.heartbeat(at) for at in range(1001, 1100)]) == []

    def test_the_end_of_recorded_data_is_none(self) -> None:
        watched, feed = watch(), Feed()
        watched.judge(feed.frame((1000, 1, 1)), UNKNOWN)
        assert watched.judge(feed.heartbeat(END_OF_STREAM_NS / S), UNKNOWN) == []
        assert watched.progress_ns == END_OF_STREAM_NS


def test_a_channel_that_vanishes_is_a_finding_and_what_was_found_of_it_clears() -> None:
    watched, feed = watch(), Feed()
    feed_all(watched, [feed.frame((1000, 20, 1), (1010, 20, 1))])
    fewer = Feed(names=("b",), epoch=2)
    reports = feed_all(watched, [fewer.frame((1020, 1), (1030, 1))])
    assert sorted(told(reports)) == [("a", "high", 1000, 1030), ("a of hv", "channel_vanished", 1030, None)]
    assert "hv no longer shows a" in [r.finding.evidence.summary for r in reports]


class TestGaps:
    CONFIG = configuration(longest_gap_s=60)

    @pytest.mark.parametrize("blocks", [1, 2])
    @pytest.mark.parametrize(("gap_s", "ended"), [(60, False), (61, True)])
    def test_what_lasted_before_a_longer_gap_has_ended_in_it(self, blocks: int, gap_s: int, ended: bool) -> None:
        watched, feed = watch(self.CONFIG), Feed()
        rows = [(1000, 20.0, 1.0), (1010, 20.0, 1.0), (1010 + gap_s, 20.0, 1.0)]
        parts = [rows] if blocks == 1 else [rows[:2], rows[2:]]
        reports = feed_all(watched, [feed.frame(*part) for part in parts])
        assert told(reports) == [("a", "high", 1000, None)] + [("a", "high", 1000, 1070)] * ended

    def test_bad_rows_on_both_sides_of_it_are_not_one_run(self) -> None:
        watched, feed = watch(self.CONFIG), Feed()
        assert watched.judge(feed.frame((1000, 20, 1), (2000, 20, 1)), UNKNOWN) == []


class TestMuting:
    MUTED = configuration(mute=[{"condition": "beam", "values": ["ramp"]}])
    UNLESS = configuration(mute=[{"condition": "beam", "unless": ["stable"]}])

    @pytest.mark.parametrize(
        ("config", "states", "found"),
        [
            (MUTED, ["stable"], True),
            (MUTED, ["ramp"], False),
            (UNLESS, ["stable"], True),
            (UNLESS, ["none"], False),
            (MUTED, [], True),
            (UNLESS, [], True),
        ],
    )
    def test_depends_on_the_condition_as_of_each_row(self, config: Settings, states: list[str], found: bool) -> None:
        conditions = beam(*((900, state) for state in states))
        assert bool(watch(config).judge(Feed().frame((1000, 20, 1), (1010, 20, 1)), conditions)) is found

    def test_rows_that_are_muted_neither_raise_nor_clear(self) -> None:
        watched, feed = watch(self.MUTED), Feed()
        conditions = beam((900, "stable"), (1015, "ramp"), (1115, "stable"))
        rows = [(at, 1.0 if at > 1015 else 20.0, 20.0 if 1015 < at < 1115 else 1.0) for at in range(1000, 1200, 10)]
        reports = watched.judge(feed.frame(*rows), conditions)
        assert told(reports) == [("a", "high", 1000, None), ("a", "high", 1000, 1130)]

    def test_what_is_not_named_in_them_has_not_cleared(self) -> None:
        watched, both, fewer = watch(self.MUTED), Feed(), Feed(names=("b",), epoch=2)
        conditions = beam((900, "stable"), (1015, "ramp"), (1115, "stable"))
        watched.judge(both.frame((1000, 20, 1), (1010, 20, 1)), conditions)
        during = watched.judge(fewer.frame(*((at, 1) for at in range(1020, 1110, 10))), conditions)
        assert [report.finding.unit.condition for report in during] == ["channel_vanished"]
        after = watched.judge(fewer.frame((1120, 1), (1130, 1)), conditions)
        assert told(after) == [("a", "high", 1000, 1130)]


class TestConfigurationThatChanged:
    def test_what_a_detector_found_that_was_taken_out_is_ended(self) -> None:
        before, feed = watch(), Feed()
        before.judge(feed.frame((1000, 20, 1), (1010, 20, 1)), UNKNOWN)
        after = watch(configuration(detectors=[]))
        after.restore(before.state())
        assert told(after.judge(feed.frame((1020, 20, 1)), UNKNOWN)) == [("a", "high", 1000, 1020)]
        assert after.judge(feed.frame((1030, 20, 1)), UNKNOWN) == []

    def test_a_source_that_is_not_configured_is_not_judged(self) -> None:
        watched, feed = watch(stream="weather#ingest0"), Feed("weather", part="ingest0")
        assert feed_all(watched, [feed.frame((1000, 20, 1), (1010, 20, 1)), feed.heartbeat(9000)]) == []


ROWS = st.lists(st.tuples(st.sampled_from([1.0, 1.0, 20.0, float("nan")]), st.sampled_from([1.0, 20.0])), min_size=1, max_size=4)
STEPS = st.lists(st.one_of(ROWS, st.sampled_from(["heartbeat", "pause", "late", "fewer channels", "new producer", "repeat"])), max_size=20)


def blocks_of(steps: list[list[tuple[float, float]] | str]) -> list[Block]:
    """A stream in which things happen."""
    feed, now_s, epoch, blocks = Feed(), 1000, 1, []
    for step in steps:
        if isinstance(step, list):
            names = len(feed.layout.columns)
            blocks.append(feed.frame(*((now_s + 10 * i, *row[:names]) for i, row in enumerate(step))))
            now_s += 10 * len(step)
        elif step == "repeat":
            blocks += blocks[-1:]
        elif step == "late":
            blocks.append(feed.frame((now_s - 500, *([20.0] * len(feed.layout.columns)))))
        elif step in ("fewer channels", "new producer"):
            epoch += 1
            feed = Feed(names=("b",) if step == "fewer channels" else ("a", "b"), epoch=epoch)
        else:
            now_s += 100 if step == "pause" else 1
            blocks.append(feed.heartbeat(now_s, "no route"))
    return blocks


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(STEPS, st.integers(0, 20))
def test_going_on_from_a_saved_state_gives_the_same(steps: list[list[tuple[float, float]] | str], cut: int) -> None:
    conditions = beam((900, "stable"), (1050, "ramp"), (1080, "stable"))
    config = TestMuting.MUTED
    whole, first, second = watch(config), watch(config), watch(config)
    blocks = blocks_of(steps)
    before = feed_all(first, blocks[:cut], conditions)
    second.restore(unpack(pack(first.state())))
    after = feed_all(second, blocks[cut:], conditions)
    assert [*before, *after] == feed_all(whole, blocks, conditions)
    assert second.status() == whole.status()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(STEPS)
def test_reports_lie_beyond_the_progress_told_before(steps: list[list[tuple[float, float]] | str]) -> None:
    watched = watch()
    for block in blocks_of(steps):
        progress_ns = watched.progress_ns
        assert all(report.at_ns > progress_ns for report in watched.judge(block, UNKNOWN))
        assert watched.progress_ns >= progress_ns
