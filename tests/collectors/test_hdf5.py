"""Maps in HDF5 files of several layouts, damaged ones, and real ones."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from collectors.collector import CollectError, Origin, Rejected
from collectors.dqm.hdf5_maps import MAX_BLOCK_BYTES
from collectors.frame import Frame, concatenate
from collectors.hdf5 import Hdf5Collector, Hdf5Options

START_S = 1_740_000_000
START = datetime.fromtimestamp(START_S, UTC)
S = 1_000_000_000


def write(path: Path, attributes: dict[str, Any] | None = None, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
        for name, value in (attributes or {}).items():
            holder, _, attribute = name.rpartition("@")
            (file[holder] if holder else file).attrs[attribute] = value
    return path


def collector(files: Path | str, **options: Any) -> Hdf5Collector:
    given = {"files": str(files), **options}
    if "time" not in options:
        given = {"row_period_s": 10, "start": START, **given}
    return Hdf5Collector(Origin("maps", "CMS/ECAL", lambda: 0), Hdf5Options.model_validate(given))


def read(files: Path | str, **options: Any) -> tuple[Frame, list[str]]:
    collected = list(collector(files, **options).collect())
    frames = [item for item in collected if isinstance(item, Frame)]
    return concatenate(frames), [f"{item.subject}: {item.reason}" for item in collected if isinstance(item, Rejected)]


def test_each_dataset_is_a_histogram_with_a_map_a_row(tmp_path: Path) -> None:
    cells = np.arange(24.0).reshape(2, 3, 4)
    path = write(tmp_path / "a.hdf5", EB__occupancy=cells, EE__occupancy=np.ones((2, 5)))
    frame, rejected = read(path, maps=[{"dataset": "*/occupancy", "path": "{1} hits", "place": "{1}"}])
    assert not rejected
    assert [(h.path, h.place) for h in frame.layout.histograms] == [("EB hits", "CMS/ECAL/EB"), ("EE hits", "CMS/ECAL/EE")]
    assert np.array_equal(frame.layout.view(frame, "EB hits"), cells)
    assert frame.layout.entries(frame, "EB hits").tolist() == cells.sum(axis=(1, 2)).tolist()
    assert frame.time_ns.tolist() == [START_S * S, (START_S + 10) * S]


@pytest.mark.parametrize("time_axis", [0, 1, 2])
def test_any_axis_can_be_time(tmp_path: Path, time_axis: int) -> None:
    cells = np.arange(24.0).reshape(2, 3, 4)
    path = write(tmp_path / "a.hdf5", m=np.moveaxis(cells, 0, time_axis))
    frame, _ = read(path, time_axis=time_axis)
    assert np.array_equal(frame.layout.view(frame, "m"), cells)


def test_axes_have_titles_units_edges_and_flow_cells(tmp_path: Path) -> None:
    cells = np.arange(20.0).reshape(1, 4, 5)
    axes = [{"title": "p_{T} [GeV]", "edges": [0, 1, 10]}, {"title": "ieta", "low": -1.5, "high": 1.5, "bins": 3}]
    frame, _ = read(write(tmp_path / "a.hdf5", m=cells), maps=[{"axes": axes, "flow": True}])
    (histogram,) = frame.layout.histograms
    assert [(a.name, a.unit, a.low, a.high, a.edges) for a in histogram.axes] == [
        ("p_{T}", "GeV", 0, 10, (0, 1, 10)),
        ("ieta", "", -1.5, 1.5, ()),
    ]
    assert np.array_equal(frame.layout.view(frame, "m"), cells[:, 1:-1, 1:-1])


def test_normalised_maps_become_counts_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", a__map=[[0.25, 0.75], [0.5, 0.5]], a__entries=[400, 1000])
    frame, rejected = read(path, maps=[{"dataset": "*/map", "entries": "{1}/entries", "normalised": True}])
    assert not rejected
    assert frame.layout.view(frame, "a/map").tolist() == [[100, 300], [500, 500]]
    assert frame.layout.entries(frame, "a/map").tolist() == [400, 1000]


def test_entries_can_be_one_number_for_all(tmp_path: Path) -> None:
    frame, _ = read(write(tmp_path / "a.hdf5", m=[[0.25, 0.75]]), maps=[{"entries": 1e6, "normalised": True}])
    assert frame.layout.view(frame, "m").tolist() == [[250_000, 750_000]]


@pytest.mark.parametrize(
    ("reference", "values"),
    [
        ("times", np.array([START_S, START_S + 7, START_S + 9])),
        ("times", np.array([START_S, START_S + 7, START_S + 9]) * 1000.0),
        ("times", [b"2025-02-19T21:20:00", b"2025-02-19T21:20:07", b"2025-02-19T21:20:09"]),
        ("@times", np.array([START_S, START_S + 7, START_S + 9])),
        ("m@times", np.array([START_S, START_S + 7, START_S + 9])),
    ],
)
def test_times_come_from_a_dataset_or_an_attribute(tmp_path: Path, reference: str, values: Any) -> None:
    is_attribute = "@" in reference
    path = write(tmp_path / "a.hdf5", {reference: values} if is_attribute else None, m=np.ones((3, 2)))
    if not is_attribute:
        with h5py.File(path, "a") as file:
            file[reference] = values
    frame, rejected = read(path, time=reference)
    assert not rejected
    assert ((frame.time_ns - START_S * S) // S).tolist() == [0, 7, 9]


def test_one_time_is_that_of_the_first_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", {"@start": "2025-02-19T22:20:00"}, m=np.ones((3, 2)))
    frame, _ = read(path, time="@start", row_period_s=23.31, timezone="Europe/Zurich")
    assert (frame.time_ns - START_S * S).tolist() == [0, 23_310_000_000, 46_620_000_000]


def test_files_follow_one_another(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.hdf5", m=np.ones((2, 3)))
    frame, _ = read(tmp_path / "*.hdf5")
    assert ((frame.time_ns - START_S * S) // S).tolist() == [0, 10, 20, 30]


def test_run_and_lumisection_are_channels(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", {"@run": 276582}, m=np.ones((2, 3)), ls=[17, 18])
    frame, rejected = read(path, run="@run", lumisection="ls")
    assert not rejected
    assert [c.name for c in frame.layout.channels] == ["run", "lumisection"]
    assert frame.values[:, :2].tolist() == [[276582, 17], [276582, 18]]


@pytest.mark.parametrize(
    ("maps", "options", "reason"),
    [
        ({"odd": np.ones(2)}, {}, "1 axes"),
        ({"odd": np.ones((3, 4))}, {}, "3 rows, the first map of the file has 2"),
        ({"odd": np.ones((2, 4))}, {"dataset": "odd", "axes": [{"title": "x", "bins": 5}]}, "4 bins, not 5"),
        ({"odd": np.ones((2, 4))}, {"dataset": "odd", "axes": [{"title": "x"}, {"title": "y"}]}, "2 `axes` for maps of 1"),
        ({"odd": np.ones((2, 4))}, {"dataset": "odd", "entries": "none"}, "no dataset 'none'"),
        ({"odd": np.ones((2, 0))}, {}, "no cells"),
    ],
)
def test_dataset_that_is_no_such_map_is_rejected_and_the_rest_goes_on(tmp_path: Path, maps: Any, options: Any, reason: str) -> None:
    path = write(tmp_path / "a.hdf5", good=np.ones((2, 3)), **maps)
    frame, (rejected,) = read(path, maps=[options, {}] if options else [{}])
    assert [h.path for h in frame.layout.histograms] == ["good"]
    assert rejected.startswith(f"{path}:odd: ")
    assert reason in rejected


@pytest.mark.parametrize(("cell", "reason"), [(np.nan, "no finite"), (np.inf, "no finite"), (-1.0, "negative")])
def test_map_that_cannot_be_true_is_no_reading(tmp_path: Path, cell: float, reason: str) -> None:
    cells = np.ones((3, 2))
    cells[1, 0] = cell
    frame, (rejected,) = read(write(tmp_path / "a.hdf5", m=cells, other=np.ones((3, 2))))
    assert "row 1: " in rejected
    assert reason in rejected
    assert np.isnan(frame.layout.view(frame, "m")).all(axis=1).tolist() == [False, True, False]
    assert np.isfinite(frame.layout.view(frame, "other")).all()


def test_masked_cells_can_stand_for_a_number(tmp_path: Path) -> None:
    frame, rejected = read(write(tmp_path / "a.hdf5", m=[[1.0, np.nan]]), maps=[{"nan_is": 0}])
    assert not rejected
    assert frame.layout.view(frame, "m").tolist() == [[1, 0]]


def test_damaged_chunk_spoils_its_own_map_only(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("m", data=np.arange(2000.0).reshape(2, 1000), chunks=(2, 1000), compression="gzip", fletcher32=True)
        file["good"] = np.ones((2, 3))
        at = file["m"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[at + 50 : at + 60] = bytes(10)
    path.write_bytes(damaged)
    frame, (rejected,) = read(path)
    assert rejected.startswith(f"{path}:m: row 0: cannot be read")
    assert np.isnan(frame.layout.view(frame, "m")).all()
    assert frame.layout.view(frame, "good").sum() == 6


def test_one_bad_file_of_several_is_rejected(tmp_path: Path) -> None:
    write(tmp_path / "a.hdf5", m=np.ones((2, 3)))
    (tmp_path / "b.hdf5").write_bytes((tmp_path / "a.hdf5").read_bytes()[:500])
    frame, (rejected,) = read(tmp_path / "*.hdf5")
    assert len(frame) == 2
    assert rejected.startswith(str(tmp_path / "b.hdf5"))
    with pytest.raises(CollectError, match=r"b\.hdf5"):
        read(tmp_path / "b.hdf5")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"time": "none"}, "no dataset 'none'"),
        ({"time": "@none"}, "no attribute '@none'"),
        ({"time": "six"}, "has 6 times for 2 rows"),
        ({"run": "text"}, "no number"),
    ],
)
def test_reference_that_fits_nothing_is_an_error_that_names_it(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "a.hdf5", m=np.ones((2, 3)), text=[b"x", b"y"], six=np.arange(6) + START_S)
    with pytest.raises(CollectError, match=reason) as raised:
        read(path, maps=[{"dataset": "m"}], **options)
    assert str(path) in str(raised.value)


def test_memory_is_bounded_by_blocks_and_not_by_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    rows = 4 * MAX_BLOCK_BYTES // (8 * 100 * 100)
    with h5py.File(path, "w") as file:
        file.create_dataset("m", (rows, 100, 100), dtype="f8", chunks=(1, 100, 100), fillvalue=1.0)
    tracemalloc.start()
    seen = sum(len(item) for item in collector(path).collect() if isinstance(item, Frame))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == rows
    assert peak < 4 * MAX_BLOCK_BYTES  # all of them at once would be eight times a block's


@pytest.mark.data
def test_real_maps_are_those_in_the_file(data: Path) -> None:
    path = data / "dqm" / "hcal_2017" / "HCAL_digi+rechit_occ_early.hdf5"
    frame, rejected = read(path, maps=[{"dataset": "*Task_Occupancy_depth_depth*", "path": "{1} depth {2}"}])
    assert not rejected
    assert len(frame.layout.histograms) == 14
    with h5py.File(path) as file:
        assert np.array_equal(frame.layout.view(frame, "Digi depth 3"), file["DigiTask_Occupancy_depth_depth3"])


@pytest.mark.data
def test_real_normalised_maps_are_scaled_to_their_entries(data: Path) -> None:
    folder = data / "dqm" / "ecal_2016"
    frame, rejected = read(folder / "good_*.hdf5", maps=[{"dataset": "E*OccupancyTask_*", "entries": 1e7, "normalised": True}])
    assert not rejected
    assert len(frame) == 11
    for histogram in frame.layout.histograms:
        assert frame.layout.view(frame, histogram.path).sum(axis=(1, 2)) == pytest.approx(1e7, rel=1e-5)
