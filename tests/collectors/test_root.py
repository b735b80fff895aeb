"""ROOT files as uproot writes them, damaged ones, and real ones."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from uproot.writing import identify

from collectors.dqm.root_files import RootFile, RootFormatError
from collectors.dqm.root_histograms import is_histogram, parse
from collectors.dqm.root_models import ModelReader
from collectors.dqm.root_streams import DamagedHistogramError, UnknownLayoutError
from collectors.frame import Storage
from tests.collectors.root_writing import collector, frames, histogram, rejections, write


@pytest.mark.parametrize("number_type", [np.int8, np.int16, np.int32, np.float32, np.float64])
def test_counts_of_every_number_type_come_with_flow_bins_and_entries(tmp_path: Path, number_type: type) -> None:
    path = write(tmp_path / "a.root", h=histogram(np.array([7, 1, 2, 3, 9], dtype=number_type), entries=23))
    (frame,) = frames(collector(path).collect())
    assert frame.layout.entries(frame, "h").tolist() == [23]
    assert frame.layout.view(frame, "h", flow=True).tolist() == [[7, 1, 2, 3, 9]]
    assert frame.layout.view(frame, "h").tolist() == [[1, 2, 3]]


def test_cells_of_two_and_three_dimensions_keep_their_place(tmp_path: Path) -> None:
    flat, cube = np.arange(20.0).reshape(4, 5), np.arange(24.0).reshape(2, 3, 4)
    edges = [np.arange(n + 1.0) for n in (4, 5)]
    path = write(tmp_path / "a.root", map=(flat, *edges), cube=(cube, np.arange(3.0), np.arange(4.0), np.arange(5.0)))
    (frame,) = frames(collector(path).collect())
    assert np.array_equal(frame.layout.view(frame, "map")[0], flat)
    assert np.array_equal(frame.layout.view(frame, "cube")[0], cube)


def test_weighted_histogram_keeps_its_squared_weights(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", w=histogram([0.0, 1.5, 2.5, 0.0], sum_w2=[0, 2.25, 3.25, 0], entries=4))
    (frame,) = frames(collector(path).collect())
    assert frame.layout.histograms[0].storage is Storage.WEIGHTED
    assert frame.layout.view(frame, "w", "sum_w").tolist() == [[1.5, 2.5]]
    assert frame.layout.view(frame, "w", "sum_w2").tolist() == [[2.25, 3.25]]


def test_profile_is_kept_as_sums(tmp_path: Path) -> None:
    axis = identify.to_TAxis("xaxis", "", 2, 0.0, 2.0)
    arrays = [np.array(a, dtype=np.float64) for a in ([0, 6, 8, 0], [0, 18, 32, 0], [0, 2, 2, 0])]
    content, squares, entries = arrays
    profile = identify.to_TProfile("p", "", content, 4.0, 4.0, 4.0, 0.0, 0.0, 14.0, 50.0, squares, entries, np.array([]), axis)
    path = write(tmp_path / "a.root", p=profile)
    (frame,) = frames(collector(path).collect())
    sums = {field: frame.layout.view(frame, "p", field).tolist() for field in Storage.PROFILE.fields}
    assert sums == {"sum_w": [[2, 2]], "sum_w2": [[2, 2]], "sum_wy": [[6, 8]], "sum_wy2": [[18, 32]]}


def test_axes_have_titles_units_labels_and_edges(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.root",
        momentum=histogram([0.0, 1, 2, 0], title="p_{T} [GeV]", edges=np.array([0.0, 1.0, 10.0])),
        status=histogram([0.0, 1, 2, 0], labels=("good", "bad")),
    )
    (frame,) = frames(collector(path).collect())
    momentum, status = (h.axes[0] for h in frame.layout.histograms)
    assert (momentum.name, momentum.unit, momentum.edges) == ("p_{T}", "GeV", (0.0, 1.0, 10.0))
    assert (status.name, status.unit, status.labels) == ("x", "", ("good", "bad"))


@pytest.mark.parametrize("compression", [None, uproot.ZLIB(9), uproot.LZMA(1), uproot.LZ4(1), uproot.ZSTD(1)], ids=str)
def test_every_compression_is_read(tmp_path: Path, compression: Any) -> None:
    contents = np.zeros(502, dtype=np.float64)
    contents[7] = 5
    path = write(tmp_path / "a.root", compression, h=histogram(contents))
    (frame,) = frames(collector(path).collect())
    assert np.array_equal(frame.layout.view(frame, "h", flow=True)[0], contents)


def test_time_is_that_of_the_file_and_an_unchanged_file_gives_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", h=histogram([0.0, 1, 0]))
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    source = collector(path)
    (first,) = frames(source.collect())
    assert first.time_ns.tolist() == [1_500_000_000_123_456_789]
    assert not list(source.collect())
    write(tmp_path / "a.root", h=histogram([0.0, 4, 0]))
    (second,) = frames(source.collect())
    assert second.layout is first.layout
    assert second.layout.view(second, "h").tolist() == [[4]]


def test_newest_run_is_read_and_the_end_of_the_run_before_is_not_missed(tmp_path: Path) -> None:
    path = str(tmp_path / "DQM_V*_R000*.root")
    write(tmp_path / "DQM_V0001_Ecal_R000297055.root", h=histogram([0.0, 1, 0]))
    write(tmp_path / "DQM_V0001_Ecal_R000297056.root", h=histogram([0.0, 2, 0]))
    source = collector(path)
    (first,) = frames(source.collect())
    assert first.values[0, first.layout.position("run")] == 297056
    write(tmp_path / "DQM_V0001_Ecal_R000297056.root", h=histogram([0.0, 3, 0]))
    write(tmp_path / "DQM_V0002_Ecal_R000297056.root", h=histogram([0.0, 4, 0]))
    write(tmp_path / "DQM_V0001_Ecal_R000297057.root", h=histogram([0.0, 5, 0]))
    later = frames(source.collect())
    assert [f.layout.view(f, "h").item() for f in later] == [3, 4, 5]
    assert [f.values[0, f.layout.position("run")] for f in later] == [297056, 297056, 297057]


def test_past_runs_come_first_and_only_once(tmp_path: Path) -> None:
    for run in (1, 2, 3):
        write(tmp_path / f"DQM_V0001_R00000000{run}.root", h=histogram([0.0, run, 0]))
    source = collector(str(tmp_path / "*.root"), past_runs=1)
    assert [f.layout.view(f, "h").item() for f in frames(source.collect())] == [2, 3]
    assert not list(source.collect())


def test_name_is_free_of_the_run_and_gives_the_place(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.root",
        **{"DQMData__Run 297056__Ecal__Run summary__EB+07__occupancy": histogram([0.0, 1, 0]), "other": histogram([0.0, 1, 0])},
    )
    (frame,) = frames(collector(path, include=["Ecal/*"], places={"Ecal/EB?*/*": "EB{1}/EB{1}{2}"}).collect())
    assert [(h.path, h.place) for h in frame.layout.histograms] == [("Ecal/EB+07/occupancy", "CMS/ECAL/EB+/EB+07")]


def test_another_binning_is_another_histogram_and_disturbs_no_other(tmp_path: Path) -> None:
    source = collector(write(tmp_path / "a.root", h=histogram([0.0, 1, 0]), other=histogram([0.0, 1, 0])))
    (before,) = frames(source.collect())
    write(tmp_path / "a.root", h=histogram([0.0, 1, 2, 0]), other=histogram([0.0, 1, 0]))
    (after,) = frames(source.collect())
    assert before.layout.key("h") != after.layout.key("h")
    assert before.layout.key("other") == after.layout.key("other")


def test_another_number_type_of_the_same_size_is_read_as_what_it_is(tmp_path: Path) -> None:
    source = collector(write(tmp_path / "a.root", h=histogram(np.array([0, 1, 0], dtype=np.int32))))
    list(source.collect())
    write(tmp_path / "a.root", h=histogram(np.array([0, 2.5, 0], dtype=np.float32)))
    (frame,) = frames(source.collect())
    assert frame.layout.view(frame, "h").tolist() == [[2.5]]


def test_layout_stays_from_run_to_run(tmp_path: Path) -> None:
    source = collector(str(tmp_path / "DQM_V*_R*.root"), rename={"run_\\d+/": ""})
    layouts = []
    for run in (1, 2):
        write(tmp_path / f"DQM_V0001_R00000000{run}.root", **{f"run_{run}__h": histogram([0.0, run, 0]), "run": histogram([0.0, 1, 0])})
        collected = list(source.collect())
        assert [r.reason for r in rejections(iter(collected))] == ["something else is named 'run' as well"]
        layouts += [frame.layout for frame in frames(iter(collected))]
    assert layouts[0] is layouts[1]
    assert [column.name for column in layouts[0].columns] == ["run", "h"]


def test_objects_that_are_no_histograms_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.root", note="text", tree={"x": np.arange(3)}, h=histogram([0.0, 1, 0]))
    collected = list(collector(path).collect())
    assert not rejections(iter(collected))
    assert [h.path for h in frames(iter(collected))[0].layout.histograms] == ["h"]


def test_the_same_path_in_two_series_is_used_once(tmp_path: Path) -> None:
    write(tmp_path / "DQM_V0001_A_R000000001.root", h=histogram([0.0, 1, 0]))
    write(tmp_path / "DQM_V0001_B_R000000001.root", h=histogram([0.0, 2, 0]), b=histogram([0.0, 2, 0]))
    collected = list(collector(str(tmp_path / "*.root")).collect())
    assert [[h.path for h in f.layout.histograms] for f in frames(iter(collected))] == [["h"], ["b"]]
    assert "as well" in rejections(iter(collected))[0].reason


@settings(max_examples=40, deadline=None)
@given(contents=st.lists(st.floats(0, 1e9, width=32), min_size=3, max_size=40))
def test_decoded_numbers_are_those_that_were_written(tmp_path_factory: pytest.TempPathFactory, contents: list[float]) -> None:
    path = write(tmp_path_factory.mktemp("any") / "a.root", h=histogram(np.array(contents, dtype=np.float32), entries=len(contents)))
    (frame,) = frames(collector(path).collect())
    assert frame.layout.view(frame, "h", flow=True)[0].tolist() == contents


@pytest.mark.data
@pytest.mark.parametrize("name", ["uproot-from-geant4.root", "uproot-hepdata-example.root", "uproot-issue-tbranch-of-th2.root"])
def test_files_that_root_wrote_are_read_as_uproot_reads_them(data: Path, name: str) -> None:
    path = data / "dqm" / "root" / name
    (frame,) = frames(collector(str(path)).collect())
    with uproot.open(path) as file:
        expected = {key.partition(";")[0]: file[key] for key, kind in file.classnames().items() if is_histogram(kind)}
        assert {h.path for h in frame.layout.histograms} == set(expected)
        for histogram_path, model in expected.items():
            cells = frame.layout.view(frame, histogram_path, flow=True)[0]
            entries = frame.layout.entries(frame, histogram_path).item()
            assert entries == model.member("fEntries")
            if not model.classname.startswith("TProfile"):
                assert np.array_equal(cells, model.values(flow=True))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "fast", "slow"),
    [("uproot-hepdata-example.root", 3, 0), ("uproot-issue-tbranch-of-th2.root", 1, 0), ("uproot-from-geant4.root", 0, 15)],
)
def test_fast_and_thorough_decoding_agree(data: Path, name: str, fast: int, slow: int) -> None:
    """What ROOT itself wrote is decoded fast, and as uproot reads it; what Geant4 wrote in its own way is left to uproot."""
    with RootFile(str(data / "dqm" / "root" / name)) as file:
        models = ModelReader(file)
        decoded = []
        for path, key in file.objects():
            if not is_histogram(key.class_name):
                continue
            payload = file.payload(key)
            axes, storage, content = models.read(path, key)
            try:
                structure = parse(payload, key.class_name)
            except UnknownLayoutError:
                decoded.append("slow")
                continue
            decoded.append("fast")
            assert (structure.axes, structure.storage) == (axes, storage)
            assert all(np.array_equal(a, b) for a, b in zip(structure.content(payload).sums, content.sums, strict=True))
            for shorter, longer in pairwise(range(0, len(payload), 997)):
                with pytest.raises((DamagedHistogramError, UnknownLayoutError, RootFormatError)):
                    parse(payload[:shorter] + payload[longer:], key.class_name)
        models.close()
        assert (decoded.count("fast"), decoded.count("slow")) == (fast, slow)
