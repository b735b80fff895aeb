"""One source: whatever its collector does, what can be used is published and what is wrong is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.collector import Collected, CollectError, Rejected
from collectors.frame import Axis, Channel, Frame, Histogram, Kind, Layout, Quality, Updates
from collectors.wire import CLOCK_PROBLEM
from daemon.bus.memory import MemoryBus
from daemon.collect.publisher import Publisher
from daemon.collect.source import Source
from daemon.sections import SourceSettings
from tests.daemon.collecting import ManualClock, Output, ScriptedCollector
from tests.daemon.reports import S

VOLTS = Layout("hv", (Channel("a", "voltage", "V"), Channel("b", "voltage", "V")))
COUNTS = Layout("hv", (Channel("n", "packets", "", Kind.COUNTER), Histogram("h", (Axis("x", "", 2, 0, 2),), flow=False)))


def frame(*rows: Sequence[float], layout: Layout = VOLTS) -> Frame:
    """Rows of time in s and values."""
    return Frame(layout, np.array([int(row[0] * S) for row in rows], dtype=np.int64), np.array([row[1:] for row in rows], dtype=np.float64))


def updates(*readings: tuple[float, int, float]) -> Updates:
    """Readings of time in s, column and value."""
    time_ns, column, value = zip(*readings, strict=True)
    return Updates(
        VOLTS,
        np.array([int(t * S) for t in time_ns], dtype=np.int64),
        np.array(column, dtype=np.int32),
        np.array(value, dtype=np.float64),
        np.zeros(len(value), dtype=np.uint8),
    )


class Bench:
    """A source with a scripted collector; the clock stands at 10 000 s."""

    def __init__(self, **section: Any) -> None:
        self.bus, self.clock = MemoryBus(), ManualClock()
        self.output = Output(self.bus)
        self.next: list[Collected | Exception] = []
        self.collector = ScriptedCollector(lambda: self.next)
        publisher = Publisher(self.bus, "hv", "frames", 1, self.clock.now_ns)
        self.source = Source("hv", SourceSettings(collector="any", **section), self.collector, publisher, self.clock)

    def run(self, *items: Collected | Exception) -> None:
        self.next = list(items)
        self.source.run()

    @property
    def problem(self) -> str:
        """What a heartbeat says now."""
        self.source.heartbeat()
        return self.output.beats[-1].problem

    @property
    def frames(self) -> list[Frame]:
        return [block.content for block in self.output.data if isinstance(block.content, Frame)]

    @property
    def times_s(self) -> list[float]:
        return [t / S for f in self.frames for t in f.time_ns.tolist()]

    def values(self, name: str) -> list[float]:
        return [float(v) for f in self.frames for v in f.values[:, f.layout.position(name)]]

    def close(self) -> None:
        self.output.close()
        self.bus.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(period_s=10)
    yield made
    made.close()


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**section: Any) -> Bench:
        made.append(Bench(**section))
        return made[-1]

    yield make
    for one in made:
        one.close()


class TestRecordedDataReadLive:
    """A table that somebody adds lines to."""

    def test_rows_that_were_taken_are_not_taken_again(self, bench: Bench) -> None:
        bench.collector.finite = True  # type: ignore[misc]  # this one's, not the class's
        bench.run(frame((9_970, 1, 2), (9_980, 3, 4)))
        bench.clock.now_s += 10
        bench.run(frame((9_970, 1, 2), (9_980, 3, 4), (9_990, 5, 6)))
        bench.clock.now_s += 10
        bench.run(frame((9_970, 1, 2), (9_980, 3, 4), (9_990, 5, 6)))
        assert bench.times_s == [9_970, 9_980, 9_990]

    def test_a_bad_line_is_one_dead_letter(self, bench: Bench) -> None:
        bench.collector.finite = True  # type: ignore[misc]  # this one's, not the class's
        for _ in range(3):
            bench.run(Rejected("table.csv", "line 7: 3 columns"), frame((9_970, 1, 2)))
        bench.run(Rejected("table.csv", "line 7: 3 columns"), Rejected("table.csv", "line 9: 1 columns"))
        assert [letter.reason for letter in bench.output.letters] == ["line 7: 3 columns", "line 9: 1 columns"]


class TestFailures:
    @pytest.mark.parametrize(
        ("failure", "problem"),
        [
            (CollectError("10.0.0.1: connection\n  refused"), "10.0.0.1: connection refused"),
            (KeyError("VMon"), "KeyError: 'VMon'"),
        ],
    )
    def test_a_collector_that_fails_is_a_problem_until_it_works_again(self, bench: Bench, failure: Exception, problem: str) -> None:
        bench.run(failure)
        assert bench.problem == problem
        bench.run(frame((9999, 1, 2)))
        assert bench.problem == ""

    def test_it_is_tried_again_soon_then_less_and_less_often(self, make_bench: Callable[..., Bench]) -> None:
        bench = make_bench(period_s=400)
        bench.run()
        assert bench.source.retry_s is None
        delays: list[float | None] = []
        for _ in range(8):
            bench.run(CollectError("down"))
            delays.append(bench.source.retry_s)
        for delay, expected in zip(delays, [5, 10, 20, 40, 80, 160, None, None], strict=True):
            assert delay == (None if expected is None else pytest.approx(expected, rel=0.21))
        bench.run(CollectError("down"))
        bench.run()
        assert bench.source.retry_s is None

    def test_one_that_is_read_often_has_no_need_of_it(self, bench: Bench) -> None:
        bench.run(CollectError("down"))
        bench.run(CollectError("down"))
        assert bench.source.retry_s is None

    def test_how_long_it_was_gone_is_said(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        bench.run(CollectError("down"))
        bench.clock.now_s += 60
        bench.run(CollectError("down"))
        bench.clock.now_s += 7
        bench.run()
        assert "source recovered source=hv failed_runs=2 failed_for_s=67" in caplog.text

    def test_what_it_yielded_before_is_published(self, bench: Bench) -> None:
        bench.run(frame((9999, 1, 2)), CollectError("then it broke"))
        assert bench.times_s == [9999]

    def test_what_it_rejects_is_a_dead_letter_and_the_rest_goes_on(self, bench: Bench) -> None:
        bench.run(Rejected("file.root", "truncated", b"abc"), frame((9999, 1, 2)))
        (letter,) = bench.output.letters
        assert (letter.origin, letter.subject, letter.reason, letter.payload) == ("hv", "file.root", "truncated", "YWJj")
        assert (bench.times_s, bench.problem) == ([9999], "")

    def test_one_that_yields_nothing_is_no_problem(self, bench: Bench) -> None:
        bench.run()
        assert (bench.frames, bench.problem) == ([], "")


class TestClock:
    def test_times_that_are_merely_old_are_believed(self, bench: Bench) -> None:
        bench.run(frame((1000, 1, 2), (1010, 1, 2)))
        assert (bench.times_s, bench.problem) == ([1000, 1010], "")

    @pytest.mark.parametrize(("off_s", "word"), [(3600, "ahead"), (-3600, "behind")])
    def test_an_hour_off_is_taken_at_arrival_and_said_until_it_is_right(self, bench: Bench, off_s: int, word: str) -> None:
        bench.run(frame((9995, 1, 2)))
        bench.clock.now_s += 10
        bench.run(frame((10_005 + off_s, 3, 4), (10_008 + off_s, 5, 6)))
        assert bench.times_s == [9995, 10_007, 10_010]
        assert bench.problem.startswith(f"{CLOCK_PROBLEM} is 3")
        assert bench.problem.endswith(f" s {word}, taken at arrival")
        bench.clock.now_s += 10
        bench.run(frame((10_015, 7, 8)))
        assert (bench.times_s[-1], bench.problem) == (10_015, "")

    def test_rows_that_are_ahead_do_not_take_those_that_are_behind_still_further_back(self, bench: Bench) -> None:
        bench.run(frame((9995, 1, 2)))
        bench.run(frame((1000, 3, 4), (9996, 5, 6), (13_600, 7, 8)))
        assert bench.times_s == [9995, 10_000, 9996, 10_000]

    @pytest.mark.parametrize("ahead_s", [299, 301])
    def test_what_is_off_by_less_than_allowed_is_believed(self, bench: Bench, ahead_s: int) -> None:
        bench.run(frame((10_000 + ahead_s, 1, 2)))
        assert bench.times_s == [10_299 if ahead_s == 299 else 10_000]

    def test_one_frame_of_a_run_is_enough_to_say_it(self, bench: Bench) -> None:
        bench.run(frame((20_000, 1, 2)), frame((9_999, 1, 2)))
        assert "10000 s ahead" in bench.problem

    def test_a_run_without_data_says_nothing_new_of_it(self, bench: Bench) -> None:
        bench.run(frame((20_000, 1, 2)))
        bench.run()
        assert "ahead" in bench.problem

    def test_updates_from_the_future_do_not_wait_for_it(self, bench: Bench) -> None:
        bench.run(updates((13_597, 0, 1.0), (13_600, 1, 2.0)))
        assert "3600 s ahead" in bench.problem
        bench.clock.now_s += 10
        bench.run(updates((10_009, 0, 3.0)))
        assert (bench.times_s, bench.values("a"), bench.values("b")) == ([10_010], [3.0], [2.0])
        assert bench.problem == ""

    @pytest.mark.parametrize("ahead_s", [20, 299])
    def test_updates_of_a_clock_that_is_a_little_ahead_are_not_shown_later_for_it(self, bench: Bench, ahead_s: int) -> None:
        bench.run(updates((10_000 + ahead_s, 0, 1.0), (10_001 + ahead_s, 0, 2.0)))
        bench.clock.now_s += 10
        bench.run(updates((10_010 + ahead_s, 0, 3.0)))
        bench.clock.now_s += 10
        bench.run()
        assert (bench.times_s, bench.values("a"), bench.problem) == ([10_010, 10_020], [3.0, 3.0], "")

    def test_of_one_channel_what_came_last_stands_also_where_its_clock_crosses_what_is_allowed(self, bench: Bench) -> None:
        bench.run(updates((10_299, 0, 1.0), (10_301, 0, 2.0)))
        bench.clock.now_s += 400
        bench.run()
        assert set(bench.values("a")) == {2.0}

    def test_updates_of_long_ago_are_what_stands_when_it_is_first_read(self, bench: Bench) -> None:
        bench.run(updates((100, 0, 1.0), (5000, 1, 2.0)))
        bench.clock.now_s += 20
        bench.run()
        assert (bench.times_s, bench.values("b"), bench.problem) == ([10_010, 10_020], [2.0, 2.0], "")


class TestIntervals:
    def test_counters_become_rates_and_totals_of_the_run_intervals(self, make_bench: Callable[..., Bench]) -> None:
        bench = make_bench(accumulation="since_start")
        for at, count, low, high in ((9980, 100, 1, 2), (9990, 150, 4, 2)):
            bench.run(frame((at, count, low + high, low, high), layout=COUNTS))
        assert np.isnan(bench.values("n")[0])
        assert (bench.values("n")[1], bench.frames[1].layout.channels[0].unit) == (5.0, "1/s")
        assert bench.frames[1].layout.view(bench.frames[1], "h").tolist() == [[3.0, 0.0]]

    def test_histograms_of_an_interval_stay_as_they_are(self, bench: Bench) -> None:
        bench.run(frame((9980, 100, 3, 1, 2), (9990, 150, 6, 4, 2), layout=COUNTS))
        assert bench.frames[0].layout.view(bench.frames[0], "h").tolist() == [[1.0, 2.0], [4.0, 2.0]]

    def test_updates_become_rows_at_regular_times(self, bench: Bench) -> None:
        bench.run(updates((9_991, 0, 1.0), (9_999, 1, 2.0)))
        assert bench.frames == []
        bench.clock.now_s += 25
        bench.run(updates((10_012, 0, 5.0)))
        assert bench.times_s == [10_010, 10_020]
        assert (bench.values("a"), bench.values("b")) == ([1.0, 5.0], [2.0, 2.0])

    def test_a_spark_between_two_rows_is_seen_and_what_is_old_is_stale(self, make_bench: Callable[..., Bench]) -> None:
        bench = make_bench(period_s=10, extremes=True, stale_after_s=15)
        bench.run(updates((9_999, 0, 1.0), (9_999, 1, 1.0)))
        bench.clock.now_s += 25
        bench.run(updates((10_012, 0, 1.0), (10_013, 0, 90.0), (10_014, 0, 1.0)))
        assert (bench.values("a"), bench.values("a:max")) == ([1.0, 1.0], [1.0, 90.0])
        quality = bench.frames[0].quality
        assert quality is not None
        assert quality[:, :2].tolist() == [[Quality.GOOD, Quality.GOOD], [Quality.GOOD, Quality.STALE]]

    def test_readings_ramp_while_their_status_says_so(self, make_bench: Callable[..., Bench]) -> None:
        rule = {"status": "*:Status", "readings": ["{1}:VMon"], "bits": [1]}
        bench = make_bench(period_s=10, ramping=[rule])
        layout = Layout("hv", (Channel("a:VMon", "VMon", "V"), Channel("a:Status", "Status", "", Kind.BITS, states=("on", "up"))))
        for status in (1.0, 3.0, 1.0):
            bench.clock.now_s += 10
            bench.run(Frame(layout, np.array([bench.clock.now_ns()]), np.array([[5.0, status]])))
        ramps = [f.quality is not None and f.quality[0, 0] == Quality.RAMPING for f in bench.frames]
        assert ramps == [False, True, False]

    def test_recorded_data_are_prepared_in_the_same_way(self, make_bench: Callable[..., Bench]) -> None:
        bench = make_bench(accumulation="since_start")
        bench.next = [Rejected("line 3", "7 columns", b""), frame((80, 100, 3, 1, 2), (90, 150, 6, 4, 2), layout=COUNTS)]
        (prepared,) = bench.source.frames()
        assert prepared.values[1].tolist() == [5.0, 3.0, 3.0, 0.0]
        assert [letter.subject for letter in bench.output.letters] == ["line 3"]
        assert bench.output.blocks == []


class TestHeartbeats:
    def test_say_that_the_source_is_complete_up_to_now_between_runs(self, bench: Bench) -> None:
        bench.run(frame((9_990, 1, 2)))
        bench.source.heartbeat()
        (beat,) = bench.output.beats
        assert (beat.complete_ns, beat.newest_ns) == (10_000 * S, 9_990 * S)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
    @given(st.lists(st.tuples(st.sampled_from(["run", "beat", "beat in a run"]), st.integers(0, 40)), max_size=12))
    def test_never_pass_the_start_of_a_run_in_flight(self, steps: list[tuple[str, int]]) -> None:
        bench = Bench(timeout_s=30)
        started_s: list[tuple[int, float]] = []

        def collect() -> Iterator[Collected | Exception]:
            started_s.append((len(bench.output.beats), bench.clock.now_s))
            bench.clock.now_s += seconds
            if step == "beat in a run":
                bench.source.heartbeat()
            yield frame((bench.clock.now_s, 1, 2))

        bench.collector.script = collect
        for step, seconds in steps:
            bench.clock.now_s += 1
            bench.source.heartbeat() if step == "beat" else bench.source.run()
            if step == "beat in a run":
                number, start_s = started_s[-1]
                beat = bench.output.beats[number]
                assert beat.complete_ns == int(start_s * S)
                assert (beat.problem == "a run has taken more than 30 s") is (seconds > 30)
            elif step == "beat":
                assert bench.output.beats[-1].complete_ns == bench.clock.now_ns()
        bench.close()


def test_a_run_that_has_not_ended_is_not_started_again(bench: Bench) -> None:
    entered, go_on, calls = threading.Event(), threading.Event(), []

    def collect() -> Iterator[Collected | Exception]:
        calls.append(1)
        entered.set()
        assert go_on.wait(20)
        yield frame((9_999, 1, 2))

    bench.collector.script = collect
    first = threading.Thread(target=bench.source.run)
    first.start()
    assert entered.wait(20)
    bench.source.run()
    go_on.set()
    first.join(20)
    assert (len(calls), bench.times_s) == (1, [9_999])
