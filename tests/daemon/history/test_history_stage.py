"""The history stage: all that was published is in the files, once, whatever happens in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from collectors.frame import Channel, Frame, Layout, Quality
from daemon.bus.memory import MemoryBus
from daemon.history.files import write_table
from daemon.history.reader import History
from tests.daemon.historic import LAYOUT, START_NS, Producer, S, drain, frame, stage

WIDER = Layout("hv", (*LAYOUT.columns, Channel("new", "voltage", "V")))


def whole(root: Path, stream: str = "hv") -> Frame:
    (only,) = History(root).read(stream)
    return only


def test_rows_are_read_as_they_were_published(tmp_path: Path) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)
    producer.send(frame(0, 5))
    producer.send(frame(5, 7))
    drain(history)
    assert History(tmp_path).streams() == [], "nothing is visible that is not on the disk as a whole"
    history.close()
    assert History(tmp_path).streams() == ["hv"]
    read = whole(tmp_path)
    assert read.layout == LAYOUT
    np.testing.assert_array_equal(read.values, np.concatenate([frame(0, 5).values, frame(5, 7).values]))
    (part,) = History(tmp_path).read("hv", START_NS + 30 * S, START_NS + 60 * S)
    assert [int(t - START_NS) // (10 * S) for t in part.time_ns] == [3, 4, 5]
    assert History(tmp_path).read("hv", START_NS + 10_000 * S) == ()


def test_a_crash_between_files_and_commit_loses_nothing_and_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The streams of one partition are written one after the other; the process is gone after each number of files in turn."""
    layouts = [Layout("hv", LAYOUT.columns, part) for part in ("", "p1", "p2", "p3", "p4", "p5")]
    for crash_after in range(8):
        root, bus = tmp_path / str(crash_after), MemoryBus()
        history, producers = stage(bus, root), [Producer(bus) for _ in layouts]
        for producer, layout in zip(producers, layouts, strict=True):
            producer.send(frame(0, 3, layout))
            producer.send(frame(3, 3, layout, dtype=np.float32))
        drain(history)
        written = iter(range(crash_after))

        def dying(table: pa.Table, path: Path, left: Iterator[int] = written) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            write_table(table, path)

        with monkeypatch.context() as patched:
            patched.setattr("daemon.history.writer.write_table", dying)
            with pytest.raises(KeyboardInterrupt):
                history._close_files()
        history.abandon()
        again = stage(bus, root)
        for producer, layout in zip(producers, layouts, strict=True):
            producer.send(frame(6, 2, layout))
        drain(again)
        again.close()
        for layout in layouts:
            raw = list(History(root).frames(layout.stream))
            assert sorted(int(t) for f in raw for t in f.time_ns) == sorted(START_NS + i * 10 * S for i in range(8))


def test_what_a_producer_sends_again_is_there_once(tmp_path: Path) -> None:
    bus = MemoryBus()
    history = stage(bus, tmp_path)
    Producer(bus, epoch=1).send(frame(0, 5))
    Producer(bus, epoch=1).send(frame(0, 5))  # the same block
    drain(history)
    history.close()
    restarted = stage(bus, tmp_path)
    Producer(bus, epoch=2).send(frame(0, 8))  # a recording that is read from its beginning by a new process
    drain(restarted)
    restarted.close()
    assert [len(f) for f in History(tmp_path).frames("hv")] == [5, 3]


def test_rows_that_come_late_are_kept(tmp_path: Path) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)
    for first in (0, 10, 5):
        producer.send(frame(first, 5))
    drain(history)
    history.close()
    assert [int(t - START_NS) // (10 * S) for t in whole(tmp_path).time_ns] == list(range(15))


def test_another_layout_is_another_file(tmp_path: Path) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)
    producer.send(frame(0, 3))
    producer.send(frame(3, 3, WIDER))
    drain(history)
    history.close()
    old, new = History(tmp_path).read("hv")
    assert (old.layout, new.layout) == (LAYOUT, WIDER)


def test_qualities_are_kept(tmp_path: Path) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)
    good = frame(0, 2)
    quality = np.zeros(good.values.shape, np.uint8)
    quality[1, 0] = Quality.STALE
    producer.send(good)
    producer.send(Frame(LAYOUT, frame(2, 2).time_ns, frame(2, 2).values, quality))
    drain(history)
    history.close()
    read = whole(tmp_path)
    assert read.quality is not None
    assert np.argwhere(read.quality).tolist() == [[3, 0]]


def test_conditions_are_kept_apart(tmp_path: Path) -> None:
    bus = MemoryBus()
    history = stage(bus, tmp_path)
    Producer(bus, topic="conditions").send(frame(0, 3))
    drain(history)
    history.close()
    assert History(tmp_path).streams() == []
    assert History(tmp_path, "conditions").streams() == ["hv"]


def test_a_full_disk_costs_history_and_not_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path, outlives=False), Producer(bus)

    def full(_table: object, _path: Path) -> None:
        raise OSError(28, "No space left on device")

    producer.send(frame(0, 5))
    drain(history)
    with monkeypatch.context() as patched:
        patched.setattr("daemon.history.writer.write_table", full)
        history._close_files()
    assert "No space left" in history.status()["problem"]
    assert bus.usage()["frames"].records == 0, "it is committed: who publishes must not wait for a disk"
    producer.send(frame(5, 5))
    drain(history)
    history.close()
    assert int(whole(tmp_path).time_ns[0]) == START_NS + 50 * S


def test_on_a_bus_that_keeps_it_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)

    def full(_table: object, _path: Path) -> None:
        raise OSError(28, "No space left on device")

    producer.send(frame(0, 5))
    drain(history)
    with monkeypatch.context() as patched:
        patched.setattr("daemon.history.writer.write_table", full)
        with pytest.raises(OSError, match="No space"):
            history._close_files()
    history.abandon()
    again = stage(bus, tmp_path)
    drain(again)
    again.close()
    assert len(whole(tmp_path)) == 5


def test_memory_is_bounded_by_closing_files(tmp_path: Path) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)
    for number in range(40):
        producer.send(frame(number * 4000, 4000))  # 256 kB each
        history.step(0.0)
        assert history.status()["gathered_bytes"] < 66_000_000
    history.close()
    assert len(whole(tmp_path)) == 160_000


def test_a_damaged_file_leaves_the_others_readable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bus = MemoryBus()
    for first in (0, 5):
        history = stage(bus, tmp_path)
        Producer(bus, epoch=first + 1).send(frame(first, 5))
        drain(history)
        history.close()
    first_file = History(tmp_path).files("hv")[0]
    first_file.write_bytes(b"PAR1rubbish")
    assert len(whole(tmp_path)) == 5
    assert first_file.name in caplog.text


def test_what_a_killed_process_was_writing_is_not_read(tmp_path: Path) -> None:
    bus = MemoryBus()
    history = stage(bus, tmp_path)
    Producer(bus).send(frame(0, 5))
    drain(history)
    history.close()
    path = History(tmp_path).files("hv")[0]
    partial = path.with_name(path.name.replace("_0.parquet", "_9.parquet.partial"))
    partial.write_bytes(path.read_bytes()[:100])
    os.utime(partial, (0, 0))
    assert len(whole(tmp_path)) == 5
    drain(again := stage(bus, tmp_path))
    again.close()
    assert not partial.exists()


def test_a_disk_that_is_full_keeps_nothing_of_a_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus()
    history = stage(bus, tmp_path)
    Producer(bus).send(frame(0, 5))
    drain(history)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("daemon.history.files.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            history._close_files()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".tidy"] == []
    history.close()
    assert len(whole(tmp_path)) == 5, "it is written once there is room"


def test_one_row_of_the_far_future_does_not_end_the_history(tmp_path: Path) -> None:
    """A clock that was wrong once: after the next start of its producer rows of the right time are kept as before."""
    bus = MemoryBus()
    history, producer = stage(bus, tmp_path), Producer(bus)
    late = frame(0, 5)
    late.time_ns[-1] = 4_000_000_000 * S
    producer.send(late)
    drain(history)
    history.close()
    history = stage(bus := MemoryBus(), tmp_path)
    Producer(bus, epoch=2).send(frame(4, 6))
    drain(history)
    history.close()
    assert len(History(tmp_path).read("hv", START_NS, START_NS + 1000 * S)[0]) == 10
