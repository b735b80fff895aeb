"""The detect stage on a bus and a database: what has to wait, what cannot be read, restarts, several of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.frame import Layout
from collectors.wire import Block, Identity, encode, encode_layout
from daemon import messages
from daemon.bus.memory import MemoryBus
from daemon.detect import stage as module
from daemon.detect.stage import DetectStage
from daemon.messages import DeadLetter, FindingReport, Message, Progress
from daemon.settings import Settings
from daemon.store.store import Store
from tests.daemon.judging import BEAM, Feed, beam_frame, configuration
from tests.daemon.reports import S

PLAIN = configuration()
MUTED = configuration(mute=[{"condition": "beam", "values": ["ramp"]}])
WITH_BEAM = MUTED.model_copy(update={"source": {**MUTED.source, "lhc": MUTED.source["hv"].model_copy(update={"role": "conditions"})}})


class Lab:
    """A bus, a database and detect stages on them; what was published is kept."""

    def __init__(self, folder: Path, config: Settings = PLAIN, bus: MemoryBus | None = None, *, replay: bool = True) -> None:
        self.folder = folder
        self.config = config
        self.replay = replay
        self.bus = bus or MemoryBus()
        self.store = Store(f"sqlite:///{folder}/detect.db")
        self._said = self.bus.subscribe(["findings", "dead-letters"], None)
        self.said: list[Message] = []
        self.stages = [self.new_stage()]
        self.work()

    def new_stage(self) -> DetectStage:
        return DetectStage(self.config, self.bus, self.store, wait_for_conditions=self.replay)

    def crash(self) -> None:
        """All are gone without a chance to save, and one takes their place."""
        for stage in self.stages:
            stage.abandon()
        self.stages = [self.new_stage()]

    def layout(self, *layouts: Layout) -> None:
        for layout in layouts:
            self.bus.publish("layouts", layout.digest, encode_layout(layout))

    def blocks(self, *blocks: Block, topic: str = "frames") -> None:
        for block in blocks:
            self.bus.publish(topic, block.identity.stream, encode(block))

    def work(self) -> None:
        """Until nothing moves any more."""
        while sum(stage.step(0.0) for stage in self.stages):
            pass
        self.said += [messages.decode(record.value) for record in self._said.poll(0.0, 100_000)]

    @property
    def reports(self) -> list[FindingReport]:
        self.work()
        return [message for message in self.said if isinstance(message, FindingReport)]

    @property
    def letters(self) -> list[DeadLetter]:
        self.work()
        return [message for message in self.said if isinstance(message, DeadLetter)]

    def progress_s(self, stream: str = "hv") -> int:
        self.work()
        return max((m.at_ns for m in self.said if isinstance(m, Progress) and m.stream == stream), default=0) // S

    def close(self) -> None:
        for stage in self.stages:
            stage.close()
        self._said.close()
        self.bus.close()
        self.store.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture
def beam_lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, WITH_BEAM)
    yield made
    made.close()


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """It waits for nothing."""
    monkeypatch.setattr(module, "HOLD_S", -1.0)
    made = Lab(tmp_path, WITH_BEAM, replay=False)
    yield made
    made.close()


BAD = ((1000, 20, 1), (1010, 20, 1))


class TestWaiting:
    def test_a_block_waits_for_its_layout_and_those_after_it_for_the_block(self, lab: Lab) -> None:
        feed = Feed()
        lab.blocks(feed.frame(*BAD), feed.frame((1020, 1, 1), (1030, 1, 1)))
        assert (lab.reports, lab.letters, lab.progress_s()) == ([], [], 0)
        assert lab.stages[0].status()["held"] == 2
        lab.layout(feed.layout)
        assert [r.finding.cleared_ns for r in lab.reports] == [None, 1030 * S]
        assert lab.progress_s() == 1030

    def test_one_whose_layout_never_comes_is_a_dead_letter_and_the_rest_goes_on(self, impatient: Lab) -> None:
        impatient.layout(Feed().layout)
        impatient.blocks(Feed(names=("unknown",)).frame((900, 1)), Feed(epoch=2).frame(*BAD))
        assert [letter.reason for letter in impatient.letters] == [f"layout {Feed(names=('unknown',)).layout.digest} is not known"]
        assert len(impatient.reports) == 1

    def test_a_block_waits_for_the_conditions_of_its_time(self, beam_lab: Lab) -> None:
        feed = Feed()
        beam_lab.layout(BEAM, feed.layout)
        frame = beam_frame((900, "stable"), (1005, "ramp"))
        beam_lab.blocks(Block(Identity("lhc", 1, 0), frame, 1005 * S), topic="conditions")
        beam_lab.blocks(feed.frame(*BAD))
        assert beam_lab.progress_s() == 0
        beam_lab.blocks(Block(Identity("lhc", 1, 1), None, 1010 * S), topic="conditions")
        assert beam_lab.progress_s() == 1010
        assert beam_lab.reports == []

    def test_but_not_for_ever(self, impatient: Lab) -> None:
        impatient.layout(Feed().layout)
        impatient.blocks(Feed().frame(*BAD))
        assert len(impatient.reports) == 1

    def test_heartbeats_wait_for_no_conditions(self, beam_lab: Lab) -> None:
        beam_lab.blocks(Feed().heartbeat(1000))
        assert beam_lab.progress_s() == 1000

    def test_what_is_there_at_the_start_is_known_before_the_first_block(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HOLD_S", -1.0)
        bus, feed = MemoryBus(), Feed()
        for number in range(600):
            other = Feed(names=(f"channel {number}",)).layout
            bus.publish("layouts", other.digest, encode_layout(other))
        bus.publish("layouts", feed.layout.digest, encode_layout(feed.layout))
        bus.publish("frames", "hv", encode(feed.frame(*BAD)))
        lab = Lab(tmp_path, bus=bus, replay=False)
        assert (len(lab.reports), lab.letters) == (1, [])
        lab.close()


@pytest.mark.parametrize("broken", [b"\xff\x00 no block", encode(Feed(names=("a", "b", "c")).frame((900, 1, 1, 1)))[:-200]])
def test_a_broken_block_is_a_dead_letter_with_its_content_and_the_rest_goes_on(lab: Lab, broken: bytes) -> None:
    lab.layout(Feed().layout)
    lab.bus.publish("frames", "hv", broken)
    lab.blocks(Feed().frame(*BAD))
    (letter,) = lab.letters
    assert (letter.origin, letter.subject.split("/")[0].split()[0]) == ("detect", "frames")
    assert letter == DeadLetter.of(letter.time_ns, "detect", letter.subject, letter.reason, broken)
    assert len(lab.reports) == 1


def test_a_broken_layout_is_a_dead_letter_too(lab: Lab) -> None:
    lab.bus.publish("layouts", "x", b"{}")
    assert [letter.subject.split()[0] for letter in lab.letters] == ["layouts"]


PARTS = ("", "0", "1", "2")
VALUES = st.lists(st.tuples(st.sampled_from(PARTS), st.lists(st.sampled_from([1.0, 20.0]), min_size=1, max_size=4)), max_size=20)


def recorded(values: list[tuple[str, list[float]]]) -> list[Block]:
    """Blocks of several streams, which lie on different partitions."""
    feeds = {part: Feed(names=("a",), part=part) for part in PARTS}
    now_s, blocks = 1000, []
    for part, column in values:
        blocks.append(feeds[part].frame(*((now_s + i, value) for i, value in enumerate(column))))
        now_s += len(column)
    return blocks


def said(lab: Lab) -> set[bytes]:
    return {messages.encode(message) for message in lab.said if isinstance(message, FindingReport)}


ACTIONS = st.lists(st.sampled_from(["publish", "publish", "work", "save", "crash"]), max_size=25)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(VALUES, ACTIONS)
def test_a_crash_at_any_point_changes_nothing_of_what_is_said(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, list[float]]], actions: list[str]
) -> None:
    blocks = recorded(values)
    lab = Lab(tmp_path_factory.mktemp("crashing"))
    lab.layout(*(Feed(names=("a",), part=part).layout for part in PARTS))
    rest = iter(blocks)
    for action in actions:
        if action == "publish":
            lab.blocks(*(block for block in (next(rest, None),) if block is not None))
        elif action == "work":
            lab.work()
        elif action == "save":
            lab.stages[0].save()
        elif action == "crash":
            lab.crash()
    lab.blocks(*rest)
    lab.work()
    lab.close()
    whole = Lab(tmp_path_factory.mktemp("whole"))
    whole.layout(*(Feed(names=("a",), part=part).layout for part in PARTS))
    whole.blocks(*blocks)
    whole.work()
    whole.close()
    assert said(lab) == said(whole)


@pytest.mark.parametrize("saved", [False, True])
def test_a_run_of_bad_rows_is_not_broken_by_a_crash(lab: Lab, saved: bool) -> None:
    feed = Feed()
    lab.layout(feed.layout)
    for row in BAD:
        lab.blocks(feed.frame(row))
        lab.work()
        if saved:
            lab.stages[0].save()
        lab.crash()
    assert {(report.at_ns, report.finding.since_ns) for report in lab.reports} == {(1010 * S, 1000 * S)}


def test_partitions_are_shared_out_and_handed_over_with_their_state(tmp_path: Path) -> None:
    blocks = recorded([(part, [20.0]) for _ in range(2) for part in PARTS])
    lab = Lab(tmp_path)
    lab.layout(*(Feed(names=("a",), part=part).layout for part in PARTS))
    lab.blocks(*blocks[:4])
    lab.work()
    assert lab.reports == []
    lab.stages.append(lab.new_stage())
    lab.work()
    shared = [len(stage.status()["streams"]) for stage in lab.stages]
    assert sum(shared) == len(PARTS)
    assert all(shared)
    lab.blocks(*blocks[4:])
    assert sorted(report.stream for report in lab.reports) == ["hv", "hv#0", "hv#1", "hv#2"]
    lab.close()


def test_one_that_was_replaced_lets_its_partition_go(lab: Lab) -> None:
    lab.layout(Feed().layout)
    lab.blocks(Feed().frame(*BAD))
    lab.work()
    for number in range(8):
        lab.store.acquire(f"detect/{number}", "somebody else")
    saved = [lab.store.load_state(f"detect/{number}") for number in range(8)]
    lab.stages[0].save()
    assert lab.stages[0].status()["streams"] == []
    assert [lab.store.load_state(f"detect/{number}") for number in range(8)] == saved, "it writes nothing any more"


def test_a_new_memory_bus_is_read_from_its_beginning(tmp_path: Path) -> None:
    before = Lab(tmp_path)
    feed = Feed()
    before.layout(feed.layout)
    before.blocks(*(feed.frame((900 + number, 1, 1)) for number in range(10)))
    before.work()
    before.close()
    bus, again = MemoryBus(), Feed(epoch=2)
    bus.publish("layouts", again.layout.digest, encode_layout(again.layout))
    for row in (*BAD, *((1020 + number, 20, 1) for number in range(20))):
        bus.publish("frames", "hv", encode(again.frame(row)))
    after = Lab(tmp_path, bus=bus)
    assert [report.at_ns for report in after.reports] == [1010 * S]
    after.close()
