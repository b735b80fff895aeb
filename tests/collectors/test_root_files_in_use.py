"""ROOT files while they are written, replaced and cleared away, by run and by lumisection."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.collector import Origin
from collectors.difference import Differencer
from collectors.dqm.root_files import RootFile
from collectors.frame import Frame
from collectors.root import RootCollector, RootOptions
from tests.collectors.root_writing import collector, frames, histogram, rejections, write

RENAMED = "DQMData__Run {run}__Ecal__Run summary__occupancy"


def contents(frame: Frame, name: str = "h") -> float:
    value: float = frame.layout.view(frame, name).item()
    return value


def channels(frame: Frame) -> dict[str, float]:
    return {c.name: float(frame.values[0, frame.layout.position(c.name)]) for c in frame.layout.channels}


def test_snapshots_of_lumisections_and_the_whole_run_are_one_stream(tmp_path: Path) -> None:
    """Online DQM of CMS: a snapshot every few lumisections replaces the one before, and the whole run comes at its end."""
    source = RootCollector(
        Origin("dqm", "CMS", lambda: 0),
        RootOptions(files=(str(tmp_path / "DQM_V*_R?????????.root"), str(tmp_path / "DQM_V*_R*.root.ls*_pid*[0-9]"))),
    )
    seen: list[Frame] = []
    before: Path | None = None
    for run, name, count in (
        (7, "R000000007.root.ls00000010_hosta_pid00000123", 5),
        (7, "R000000007.root.ls00000020_hosta_pid00000123", 8),
        (7, "R000000007.root", 9),
        (8, "R000000008.root.ls00000010_hostb_pid00000456", 4),
    ):
        path = tmp_path / f"DQM_V0001_Ecal_{name}"
        (tmp_path / f"{path.name}.tmp").write_bytes(b"root, half written")
        write(tmp_path / "made.root", **{RENAMED.format(run=run): histogram([0.0, count, 0])})
        (tmp_path / "made.root").rename(path)
        if before is not None and ".ls" in before.name:
            before.unlink()
        before = path
        collected = list(source.collect())
        assert not rejections(iter(collected))
        seen += frames(iter(collected))
    assert len({frame.layout.digest for frame in seen}) == 1
    assert [channels(f)["run"] for f in seen] == [7, 7, 7, 8]
    assert [channels(f)["lumisection"] for f in seen] == pytest.approx([10, 20, np.nan, 10], nan_ok=True)
    differencer = Differencer(histograms=True)
    intervals = [contents(differencer.difference(frame), "Ecal/occupancy") for frame in seen]
    assert intervals[1:] == [3, 1, 4]  # the new run begins anew, although nothing had shrunk below the total before


def test_each_file_of_a_lumisection_is_read_once_in_order(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "*.root"))
    write(tmp_path / "run000007_ls0001_dqm.root", h=histogram([0.0, 1, 0]))
    assert [channels(f) for f in frames(source.collect())] == [{"run": 7, "lumisection": 1}]
    for ls in (3, 2):
        write(tmp_path / f"run000007_ls{ls:04}_dqm.root", h=histogram([0.0, ls, 0]))
    assert [channels(f)["lumisection"] for f in frames(source.collect())] == [2, 3]
    assert not list(source.collect())


def test_file_that_grows_while_its_writer_has_it_open_is_never_half_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    source = collector(str(path))
    seen = []
    with uproot.recreate(path) as file:
        for count in (1.0, 2.0, 3.0):
            file["h"] = histogram([0.0, count, 0])
            file["g"] = histogram([0.0, 10 * count, 0])
            seen += [(contents(f, "h"), contents(f, "g")) for f in frames(source.collect())]
    seen += [(contents(f, "h"), contents(f, "g")) for f in frames(source.collect())]
    assert set(seen) <= {(1, 10), (2, 20), (3, 30)}
    assert seen[-1] == (3, 30)


def test_file_that_is_replaced_while_it_is_read_gives_the_one_or_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(write(tmp_path / "a.root", a=histogram([0.0, 1, 0]), b=histogram([0.0, 1, 0])))
    other = Path(write(tmp_path / "b.new", a=histogram([0.0, 2, 0]), b=histogram([0.0, 2, 0])))
    whole = RootFile.payload
    done: list[bool] = []

    def replaced_meanwhile(self: RootFile, key: object) -> bytes:
        if not done:
            done.append(True)
            other.rename(path)
        return whole(self, key)  # type: ignore[arg-type]  # the test does not look at the key

    monkeypatch.setattr(RootFile, "payload", replaced_meanwhile)
    source = collector(str(path))
    pairs = [(contents(f, "a"), contents(f, "b")) for turn in (1, 2) for f in frames(source.collect())]
    assert pairs == [(1, 1), (2, 2)]


def test_file_that_is_overwritten_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(write(tmp_path / "a.root", a=histogram([0.0, 1, 0]), b=histogram([0.0, 1, 0])))
    newer = Path(write(tmp_path / "b.new", a=histogram([0.0, 2, 0]), b=histogram([0.0, 2, 0]))).read_bytes()
    whole = RootFile.payload
    done: list[bool] = []

    def overwritten_meanwhile(self: RootFile, key: object) -> bytes:
        if not done:
            done.append(True)
            path.write_bytes(newer)
        return whole(self, key)  # type: ignore[arg-type]  # as above

    monkeypatch.setattr(RootFile, "payload", overwritten_meanwhile)
    source = collector(str(path))
    first = list(source.collect())
    assert not frames(iter(first))
    assert "written to while it was read" in rejections(iter(first))[0].reason
    (frame,) = frames(source.collect())
    assert (contents(frame, "a"), contents(frame, "b")) == (2, 2)


def test_thousands_of_histograms_are_chosen_by_wildcards(tmp_path: Path) -> None:
    wanted = {f"Ecal__EB+{sm:02}__map{i}": histogram([0.0, i, 0]) for sm in range(1, 19) for i in range(20)}
    path = write(tmp_path / "a.root", None, **wanted, Hcal__x=histogram([0.0, 1, 0]))
    (frame,) = frames(collector(path, include=["Ecal/EB+*/map1?"], exclude=["*/map19"], places={"Ecal/*/*": "{1}"}).collect())
    assert len(frame.layout.histograms) == 18 * 9
    assert {h.place for h in frame.layout.histograms} == {f"CMS/ECAL/EB+{sm:02}" for sm in range(1, 19)}
    assert contents(frame, "Ecal/EB+07/map12") == 12


def test_long_integers_are_read(tmp_path: Path) -> None:
    """TH1L, which uproot does not write: the cells of a TH1D of as many bytes, under the other class's name."""
    counts = np.array([0, 2**40 + 1, 3, 0], dtype=">i8")
    path = Path(write(tmp_path / "a.root", None, h=histogram(counts.astype(np.float64))))
    content = path.read_bytes().replace(b"\x04TH1D\x01h", b"\x04TH1L\x01h").replace(counts.astype(">f8").tobytes(), counts.tobytes())
    path.write_bytes(content)
    (frame,) = frames(collector(str(path)).collect())
    assert frame.layout.view(frame, "h").tolist() == [[2**40 + 1, 3]]


def test_histograms_of_other_classes_are_named_once(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.root", None, other=histogram([0.0, 1, 0]), h=histogram([0.0, 1, 0])))
    content = path.read_bytes().replace(b"\x04TH1D\x05other", b"\x04TH1K\x05other")
    path.write_bytes(content)
    source = collector(str(path))
    (rejected,) = rejections(source.collect())
    assert (rejected.subject, "TH1K" in rejected.reason) == (f"{path}:other", True)
    os.utime(path)
    assert not rejections(source.collect())


def test_two_files_of_one_name_in_two_folders_are_streams_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "dqm.root", **{folder: histogram([0.0, 1, 0])})
    found = frames(collector(str(tmp_path / "**" / "*.root")).collect())
    assert len({frame.layout.stream for frame in found}) == 2


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(["fill", "reset", "rebin", "new run"]), min_size=1, max_size=8))
def test_intervals_hold_what_was_filled_whatever_happens_between(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """Resets and new runs begin anew; another binning is another histogram, whose first snapshot has no interval before it."""
    folder = tmp_path_factory.mktemp("any")
    source, differencer = collector(str(folder / "*.root")), Differencer(histograms=True)
    total, bins, run = 0, 1, 1
    expected, found = [], []
    for step in ["first", *steps]:
        filled = 1 if step == "reset" and total > 1 else 3  # a reset shows where there is less than before
        total = filled if step == "new run" or filled == 1 else total + filled
        run += step == "new run"
        bins += step == "rebin"
        expected.append(np.nan if step in ("first", "rebin") else filled)
        cells = np.zeros(bins + 2)
        cells[1] = total
        path = write(folder / f"d_R{run:09}.root", h=histogram(cells))
        os.utime(path, ns=(0, len(expected) * 1_000_000_000))
        (frame,) = frames(source.collect())
        interval = differencer.difference(frame)
        found.append(float(interval.layout.view(interval, "h")[0, 0]))
    assert found == pytest.approx(expected, nan_ok=True)


def test_daily_files_without_a_run_are_read_when_the_one_before_is_cleared_away(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "dqm_*.root"))
    for day in (1, 2, 3):
        write(tmp_path / f"dqm_2024010{day}.root", h=histogram([0.0, day, 0]))
        first = list(source.collect())
        if day > 1:
            assert not frames(iter(first))
            (refused,) = rejections(iter(first))
            assert "run_pattern" in refused.reason
            assert f"dqm_2024010{day - 1}.root" in refused.reason
            (tmp_path / f"dqm_2024010{day - 1}.root").unlink()
        seen = frames(iter([item for _ in range(3) for item in source.collect()])) + frames(iter(first))
        assert [contents(frame) for frame in seen] == [day]


def test_file_that_is_away_for_a_moment_keeps_its_histograms(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "*.root"))
    write(tmp_path / "a.root", h=histogram([0.0, 1, 0]))
    write(tmp_path / "b.root", h=histogram([0.0, 2, 0]))
    assert [contents(frame) for frame in frames(source.collect())] == [1]
    (tmp_path / "a.root").rename(tmp_path / "a.moved")
    assert not list(source.collect())
    (tmp_path / "a.moved").rename(tmp_path / "a.root")
    assert [contents(frame) for frame in frames(source.collect())] == [1]


def test_histograms_that_two_series_hold_are_told_in_one_line_and_once(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "*.root"))
    for name in ("a", "b"):
        write(tmp_path / f"{name}.root", **{f"h{i}": histogram([0.0, 1, 0]) for i in range(20)})
    (refused,) = rejections(source.collect())
    assert refused.subject == str(tmp_path / "b.root")
    assert refused.reason.startswith("20 histograms (h0 …) are in")
    write(tmp_path / "b.root", **{f"h{i}": histogram([0.0, 2, 0]) for i in range(20)})
    assert not rejections(source.collect())


def test_nothing_is_kept_of_files_that_were_cleared_away(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "*.root"))
    for i in range(50):
        path = tmp_path / f"snapshot_{i:05}.root"
        write(path, **{f"h{i}": histogram([0.0, 1, 0])})
        assert len(frames(source.collect())) == 1
        path.unlink()
    write(tmp_path / "last.root", h=histogram([0.0, 1, 0]))
    for _ in range(3):
        list(source.collect())
    files = source._files
    assert max(len(kept) for kept in (files._readers, files._owners, files._parts, files._seen, files._last)) == 1


def test_names_that_are_not_utf_8_reach_the_wire(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.root", hXX=histogram([0.0, 4, 0])))
    path.write_bytes(path.read_bytes().replace(b"hXX", b"h\xb5m"))
    (frame,) = frames(collector(str(path)).collect())
    assert [h.path for h in frame.layout.histograms] == ["hµm"]
    assert frame.layout.digest  # made of the UTF-8 text of all names


def test_run_of_a_wrong_number_does_not_end_the_watching(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "dqm_run*.root"))
    seen, told = [], []
    for at_s, run in ((100, 7), (200, 999_999), (300, 8), (400, 9)):
        write(tmp_path / f"dqm_run{run}.root", h=histogram([0.0, run, 0]))
        os.utime(tmp_path / f"dqm_run{run}.root", (at_s, at_s))
        for _ in range(2):
            collected = list(source.collect())
            seen += [contents(frame) for frame in frames(iter(collected))]
            told += [f"{Path(item.subject).name}: {item.reason}" for item in rejections(iter(collected))]
    assert seen == [7, 999_999]
    assert len(told) == 1
    assert told[0].startswith("dqm_run8.root: is newer than ")
    (tmp_path / "dqm_run999999.root").unlink()
    assert [contents(frame) for frame in frames(source.collect())] == [9]
    write(tmp_path / "dqm_run10.root", h=histogram([0.0, 10, 0]))
    assert [contents(frame) for frame in frames(source.collect())] == [10]
