"""Files of a spool that end anywhere or were damaged: what was whole before is read, nothing else, and it goes on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.bus.spool_lane import Lane

VALUES = [b"x" * size for size in (1, 300, 20, 5000, 1, 1, 70_000, 3)]


def filled(folder: Path, values: list[bytes], segment_bytes: int = 1 << 20) -> list[Path]:
    lane = Lane(folder, segment_bytes)
    for number, value in enumerate(values):
        assert lane.append("frames", f"ключ{number}", value, number) is None
    lane.close()
    return sorted(folder.glob("*.segment"))


def contents(lane: Lane) -> list[tuple[str, bytes | None]]:
    found = []
    while records := lane.read(3, 10_000):
        found += [(record.key, record.value) for record in records]
        lane.delivered(records[-1])
    return found


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_segment_that_was_torn_at_any_byte_keeps_what_was_whole(data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        [path] = filled(folder / "lane", VALUES)
        size = path.stat().st_size
        keep = data.draw(st.one_of(st.integers(0, 600), st.integers(0, size), st.integers(size - 300, size)))
        with path.open("r+b") as file:
            file.truncate(keep)
            file.seek(0, 2)
            file.write(data.draw(st.binary(max_size=40)))
        lane = Lane(folder / "lane", 1 << 20)
        whole = lane.records
        lane.append("frames", "after", b"the crash", 99)
        found = contents(lane)
        assert found == [(f"ключ{n}", value) for n, value in enumerate(VALUES[:whole])] + [("after", b"the crash")]
        assert lane.damaged == 0
        assert keep < size or whole == len(VALUES)
        lane.close()
        again = Lane(folder / "lane", 1 << 20)
        assert again.records == 0
        again.close()
    finally:
        shutil.rmtree(folder)


@given(at=st.integers(0, 100_000), byte=st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_byte_that_changed_loses_no_more_than_the_rest_of_its_segment(at: int, byte: int) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        values = [b"%03d" % number + bytes(100) for number in range(300)]
        paths = filled(folder / "lane", values, segment_bytes=8_000)
        path = paths[at % (len(paths) - 1)]
        content = bytearray(path.read_bytes())
        content[at % len(content)] ^= byte
        path.write_bytes(content)
        lane = Lane(folder / "lane", 8_000)
        found = [int(value[:3]) for _, value in contents(lane) if value is not None]
        first, after = int(path.stem), int(paths[paths.index(path) + 1].stem)
        assert found[:first] == list(range(first))
        assert found[-(300 - after) :] == list(range(after, 300))
        assert lane.damaged == 300 - len(found)
        assert found == sorted(set(found))
        lane.close()
    finally:
        shutil.rmtree(folder)


@given(steps=st.lists(st.one_of(st.integers(1, 400), st.sampled_from(["read", "drop", "reopen", "kill"])), max_size=40))
@settings(max_examples=150, deadline=None)
def test_a_lane_is_a_queue_whatever_is_done_with_it(steps: list[int | str]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        lane = Lane(folder / "lane", 1_000)
        expected: list[int] = []
        noted = 0  # what counts as delivered after a crash
        published = 0
        everything: list[int] = []
        for step in steps:
            if isinstance(step, int):
                lane.append("findings", str(published), bytes(step), 0)
                expected.append(published)
                everything.append(published)
                published += 1
            elif step == "read" and expected:
                records = lane.read(3, 600)
                assert [int(record.key) for record in records] == expected[: len(records)] != []
                lane.delivered(records[-1])
                expected = expected[len(records) :]
            elif step == "drop":
                lost = lane.drop_oldest()
                expected = expected[lost:]
            elif step == "reopen":
                lane.close()
                noted = published - len(expected)
                lane = Lane(folder / "lane", 1_000)
            elif step == "kill":
                lane._close_file()
                lane = Lane(folder / "lane", 1_000)
                again = [int(key) for key in (record.key for record in lane.read(10_000, 1 << 30))]
                assert again[-1:] == [] or noted <= again[0] <= published - len(expected)
                expected = everything[published - lane.records :]
            assert lane.records == len(expected)
        assert [int(key) for key, _ in contents(lane)] == expected
        lane.close()
    finally:
        shutil.rmtree(folder)
