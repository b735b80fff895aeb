"""Upkeep of the history: small files become one, old ones go, and nobody who reads notices."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import numpy as np
import pytest

from collectors.frame import Frame, Layout
from daemon.bus.memory import MemoryBus
from daemon.history.files import read_frame
from daemon.history.reader import History
from daemon.history.upkeep import MERGED_FROM, tidy
from tests.daemon.historic import START_NS, Producer, S, drain, frame, stage

DAY_S = 86_400


def small_files(root: Path, count: int) -> None:
    bus = MemoryBus()
    history, producer = stage(bus, root), Producer(bus)
    for number in range(count):
        producer.send(frame(number * 5, 5))
        drain(history)
        history._close_files()
    history.close()


def test_small_files_become_one_with_the_same_rows(tmp_path: Path) -> None:
    small_files(tmp_path, MERGED_FROM)
    (before,) = History(tmp_path).read("hv")
    tidy(tmp_path, 400, START_NS)
    assert len(History(tmp_path).files("hv")) == 1
    (after,) = History(tmp_path).read("hv")
    np.testing.assert_array_equal(before.values, after.values)


def test_after_merging_what_is_sent_again_is_still_recognised(tmp_path: Path) -> None:
    small_files(tmp_path, MERGED_FROM)
    tidy(tmp_path, 400, START_NS)
    bus = MemoryBus()
    history = stage(bus, tmp_path)
    Producer(bus).send(frame(0, 5), sequence=MERGED_FROM - 1)
    drain(history)
    history.close()
    assert len(History(tmp_path).files("hv")) == 1


def test_a_crash_while_merging_shows_no_row_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_files(tmp_path, MERGED_FROM)

    def dying(_path: Path, *_times: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("daemon.history.upkeep.os.utime", dying)
        with pytest.raises(KeyboardInterrupt):
            tidy(tmp_path, 400, START_NS)
    assert len(History(tmp_path).files("hv")) == MERGED_FROM + 1
    (read,) = History(tmp_path).read("hv")
    assert len(read) == MERGED_FROM * 5
    assert (np.diff(read.time_ns) > 0).all()


def test_few_files_are_left_alone(tmp_path: Path) -> None:
    small_files(tmp_path, MERGED_FROM - 1)
    tidy(tmp_path, 400, START_NS)
    assert len(History(tmp_path).files("hv")) == MERGED_FROM - 1


def test_what_is_older_than_the_retention_goes(tmp_path: Path) -> None:
    small_files(tmp_path, 3)
    first, second, third = History(tmp_path).files("hv")
    now_ns = START_NS + 100 * S + 10 * DAY_S * S
    for path in (first, second):
        os.utime(path, (time.time() - 20 * DAY_S,) * 2)
    tidy(tmp_path, 10, now_ns)
    assert History(tmp_path).files("hv") == [third], "a recording of long ago that was written just now has its time, too"
    assert second.exists() is False


def test_a_clock_that_jumps_ahead_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_files(tmp_path, 3)
    ahead_s = time.time() + 4000 * DAY_S
    monkeypatch.setattr("daemon.history.upkeep.time.time", lambda: ahead_s)
    tidy(tmp_path, 400, int(ahead_s) * S)
    assert len(History(tmp_path).files("hv")) == 3


def test_two_do_not_tidy_at_once(tmp_path: Path) -> None:
    small_files(tmp_path, MERGED_FROM)
    with (tmp_path / ".tidy").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        tidy(tmp_path, 400, START_NS)
        assert len(History(tmp_path).files("hv")) == MERGED_FROM, "the other one is at it"
    tidy(tmp_path, 400, START_NS)
    assert len(History(tmp_path).files("hv")) == 1


def test_a_damaged_file_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    small_files(tmp_path, MERGED_FROM)
    damaged = History(tmp_path).files("hv")[5]
    data = bytearray(damaged.read_bytes())
    data[4:100] = bytes(96)  # rows, not the head
    damaged.write_bytes(data)
    (before,) = History(tmp_path).read("hv")
    tidy(tmp_path, 400, START_NS)
    assert len(History(tmp_path).files("hv")) == 2, "the merged one, and the damaged one for whoever wants to look at it"
    assert damaged.exists()
    (after,) = History(tmp_path).read("hv")
    np.testing.assert_array_equal(before.values, after.values)


def test_what_is_merged_fits_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_files(tmp_path, MERGED_FROM)
    width = len(History(tmp_path).read("hv")[0].values[0])
    monkeypatch.setattr("daemon.history.upkeep.MERGED_VALUE_BYTES", 4 * 5 * width * 8)
    tidy(tmp_path, 400, START_NS)
    assert len(History(tmp_path).files("hv")) == 3 + 4, "three of four each, and the newest four"


def test_a_folder_that_cannot_be_tidied_does_not_stop_the_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("daemon.history.upkeep.fcntl.flock", refused)
    small_files(tmp_path, 2)
    assert len(History(tmp_path).files("hv")) == 2


def test_who_reads_while_files_are_merged_misses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_files(tmp_path, MERGED_FROM)

    def while_merging(path: Path, layout: Layout, between_ns: tuple[int, int]) -> Frame:
        monkeypatch.setattr("daemon.history.reader.read_frame", read_frame)
        tidy(tmp_path, 400, START_NS)
        return read_frame(path, layout, between_ns)

    monkeypatch.setattr("daemon.history.reader.read_frame", while_merging)
    (found,) = History(tmp_path).read("hv")
    assert len(found) == MERGED_FROM * 5
