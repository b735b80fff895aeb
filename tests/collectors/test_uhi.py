"""UHI JSON as hist, boost-histogram and uhi write it, and what others could write."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uhi.io.json
from hist import axis, storage
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.collector import CollectError, Origin, Rejected
from collectors.difference import Differencer
from collectors.dqm.uhi_histograms import UhiFormatError, parse
from collectors.frame import Frame, Storage
from collectors.uhi import UhiCollector, UhiOptions

Hist: Any = hist.Hist
RANDOM = np.random.default_rng(5)
X, Y, WEIGHT, SAMPLE = RANDOM.random(500) * 1.4 - 0.2, RANDOM.random(500), RANDOM.random(500) * 3, RANDOM.normal(7, 2, 500)


def save(path: Path, histograms: Any) -> str:
    text = json.dumps(histograms, default=uhi.io.json.default).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def collector(files: str, **options: Any) -> UhiCollector:
    return UhiCollector(Origin("dqm", "LAB", lambda: 0), UhiOptions(files=files, **options))


def read(files: str, **options: Any) -> tuple[list[Frame], list[str]]:
    collected = list(collector(files, **options).collect())
    frames = [item for item in collected if isinstance(item, Frame)]
    return frames, [f"{item.subject}: {item.reason}" for item in collected if isinstance(item, Rejected)]


def only(histogram: Any, folder: Path) -> Frame:
    (frame,), rejected = read(save(folder / "one.json", {"h": histogram}))
    assert not rejected
    return frame


def direct_sums(select: Any, weight: Any) -> list[float]:
    """Sums of a bin as ROOT would add them up entry by entry."""
    w, y = weight[select], SAMPLE[select]
    return [w.sum(), (w * w).sum(), (w * y).sum(), (w * y * y).sum()]


@pytest.mark.parametrize("kind", [storage.Int64(), storage.Double(), storage.AtomicInt64(), storage.Unlimited()], ids=str)
def test_counts_come_with_flow_bins_and_entries(tmp_path: Path, kind: Any) -> None:
    frame = only(Hist(axis.Regular(4, 0, 1, name="x", label="charge [e]"), storage=kind).fill(X), tmp_path)
    (histogram,) = frame.layout.histograms
    assert (histogram.storage, histogram.axes[0].name, histogram.axes[0].unit) == (Storage.COUNT, "charge", "e")
    expected = np.histogram(X, [-np.inf, 0, 0.25, 0.5, 0.75, 1, np.inf])[0]
    assert frame.layout.view(frame, "h", flow=True)[0].tolist() == expected.tolist()
    assert frame.layout.entries(frame, "h").tolist() == [500]


def test_weighted_histogram_keeps_its_squared_weights(tmp_path: Path) -> None:
    frame = only(Hist(axis.Regular(2, 0, 1), storage=storage.Weight()).fill(X, weight=WEIGHT), tmp_path)
    low = (X >= 0) & (X < 0.5)
    assert frame.layout.histograms[0].storage is Storage.WEIGHTED
    assert frame.layout.view(frame, "h", "sum_w")[0, 0] == pytest.approx(WEIGHT[low].sum())
    assert frame.layout.view(frame, "h", "sum_w2")[0, 0] == pytest.approx((WEIGHT[low] ** 2).sum())
    assert frame.layout.entries(frame, "h")[0] == pytest.approx(WEIGHT.sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_means_become_the_sums_that_the_entries_add_up_to(tmp_path: Path, weighted: bool) -> None:
    made = Hist(axis.Regular(8, 0, 1), axis.Boolean(), storage=storage.WeightedMean() if weighted else storage.Mean())
    made.fill(X, Y > 0.98, sample=SAMPLE, **({"weight": WEIGHT} if weighted else {}))
    frame = only(made, tmp_path)
    weight = WEIGHT if weighted else np.ones(500)
    for i in range(8):
        for flag in (0, 1):
            inside = (i / 8 <= X) & ((i + 1) / 8 > X) & ((Y > 0.98) == flag)  # some of these bins hold one entry, some none
            found = [frame.layout.view(frame, "h", field)[0, i, flag] for field in Storage.PROFILE.fields]
            assert found == pytest.approx(direct_sums(inside, weight), rel=1e-9, abs=1e-9)


def test_difference_of_two_snapshots_of_a_mean_is_what_happened_between_them(tmp_path: Path) -> None:
    made = Hist(axis.Regular(2, 0, 1), storage=storage.Mean())
    first = only(made.fill(X[:300], sample=SAMPLE[:300]), tmp_path)
    second = only(made.fill(X[300:], sample=SAMPLE[300:]), tmp_path)
    differencer = Differencer(histograms=True)
    differencer.difference(first)
    interval = differencer.difference(second)
    later = (np.arange(500) >= 300) & (X >= 0) & (X < 0.5)
    found = [interval.layout.view(interval, "h", field)[0, 0] for field in Storage.PROFILE.fields]
    assert found == pytest.approx(direct_sums(later, np.ones(500)), rel=1e-9)


@pytest.mark.parametrize(
    ("made", "bins", "low", "high", "edges", "labels"),
    [
        (axis.Regular(3, -1, 2), 3, -1, 2, (), ()),
        (axis.Integer(4, 7), 3, 4, 7, (), ()),
        (axis.Variable([0, 1, 10]), 2, 0, 10, (0, 1, 10), ()),
        (axis.Boolean(), 2, 0, 2, (), ("false", "true")),
        (axis.StrCategory(["good", "bad"]), 2, 0, 2, (), ("good", "bad")),
        (axis.IntCategory([11, 13]), 2, 0, 2, (), ("11", "13")),
        (axis.Regular(2, 0, 6.28, circular=True), 2, 0, 6.28, (), ()),
        (axis.Variable([0, 1, 3], circular=True), 2, 0, 3, (0, 1, 3), ()),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "traits") else None,
)
def test_every_axis_is_read(tmp_path: Path, made: Any, bins: int, low: float, high: float, edges: tuple[float, ...], labels: Any) -> None:
    frame = only(Hist(made), tmp_path)
    (found,) = frame.layout.histograms[0].axes
    assert (found.bins, found.low, found.high, found.edges, found.labels, found.name) == (bins, low, high, edges, labels, "x")


def test_logarithmic_axis_keeps_its_edges(tmp_path: Path) -> None:
    frame = only(Hist(axis.Regular(3, 1, 1000, transform=hist.axis.transform.log)), tmp_path)
    assert frame.layout.histograms[0].axes[0].edges == pytest.approx((1, 10, 100, 1000))


@pytest.mark.parametrize(
    ("made", "values", "flow"),
    [
        (axis.Regular(2, 0, 1), [0.1, 0.6, 7], [0, 1, 1, 1]),
        (axis.Regular(2, 0, 1, underflow=False), [0.1, 0.6, 7], [0, 1, 1, 1]),
        (axis.Regular(2, 0, 1, overflow=False), [-1, 0.6], [1, 0, 1, 0]),
        (axis.Regular(2, 0, 1, flow=False), [0.1, 0.6, 7], [1, 1]),
        (axis.Regular(2, 0, 1, circular=True), [0.1, 1.1, 0.6, np.nan], [0, 2, 1, 1]),
        (axis.Integer(0, 2, circular=True), [0, 2, 1], [2, 1]),
        (axis.StrCategory(["a", "b"]), ["a", "c"], [0, 1, 0, 1]),
        (axis.StrCategory(["a"], growth=True), ["a", "c", "c"], [1, 2]),
    ],
)
def test_flow_bins_are_where_they_belong(tmp_path: Path, made: Any, values: list[Any], flow: list[int]) -> None:
    frame = only(Hist(made).fill(values), tmp_path)
    assert frame.layout.histograms[0].flow is (len(flow) == 4)
    assert frame.layout.view(frame, "h", flow=True)[0].tolist() == flow


def test_axes_with_and_without_flow_bins_together_keep_each_cell(tmp_path: Path) -> None:
    made = Hist(axis.Regular(3, 0, 1), axis.StrCategory(["a", "b"], growth=True), axis.Boolean())
    made.fill([0.1, 0.5, 9], ["a", "b", "b"], [True, False, True])
    frame = only(made, tmp_path)
    assert np.array_equal(frame.layout.view(frame, "h")[0], made.values())
    assert frame.layout.view(frame, "h", flow=True).sum() == 3


def test_names_come_from_keys_metadata_lists_or_the_file(tmp_path: Path) -> None:
    one, two = Hist(axis.Regular(2, 0, 1), name="charge"), Hist(axis.Regular(2, 0, 1))
    save(tmp_path / "tree.json", {"layer1": {"eta": one, "all": [one, two]}, "comment": "text", "events": 17})
    save(tmp_path / "alone.json", two)
    (alone, tree), rejected = read(str(tmp_path / "*.json"), places={"layer?/*": "layer{1}"})
    assert not rejected
    assert [h.path for h in alone.layout.histograms] == ["alone"]
    assert [(h.path, h.place) for h in tree.layout.histograms] == [
        ("layer1/all/1", "LAB/layer1"),
        ("layer1/all/charge", "LAB/layer1"),
        ("layer1/eta", "LAB/layer1"),
    ]


def test_run_and_lumisection_are_in_the_name_and_totals_are_of_one_series(tmp_path: Path) -> None:
    made = Hist(axis.Regular(1, 0, 1))
    source = collector(str(tmp_path / "dqm_run*.json.gz"))
    seen = []
    for name in ("dqm_run000007_ls0001", "dqm_run000007_ls0002", "dqm_run000008_ls0001"):
        save(tmp_path / f"{name}.json.gz", {"h": made.fill([0.5])})
        seen += [item for item in source.collect() if isinstance(item, Frame)]
    assert len({frame.layout.digest for frame in seen}) == 1
    columns = [seen[0].layout.position(name) for name in ("run", "lumisection")]
    assert [frame.values[0, columns].tolist() for frame in seen] == [[7, 1], [7, 2], [8, 1]]
    assert [frame.layout.view(frame, "h").item() for frame in seen] == [1, 2, 3]


def test_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", {"h": Hist(axis.Regular(1, 0, 1))})
    os.utime(path, ns=(0, 1_500_000_000_123_456_789))
    source = collector(path)
    (frame,) = source.collect()
    assert isinstance(frame, Frame)
    assert frame.time_ns.tolist() == [1_500_000_000_123_456_789]
    assert not list(source.collect())


@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_half_written_file_is_rejected_and_read_when_it_is_whole(tmp_path: Path, suffix: str) -> None:
    path = Path(save(tmp_path / f"a.{suffix}", {"h": Hist(axis.Regular(1, 0, 1)).fill([0.5])}))
    whole = path.read_bytes()
    source = collector(str(path))
    for size in (0, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        (rejected,) = source.collect()
        assert isinstance(rejected, Rejected)
        assert rejected.subject == str(path)
    path.write_bytes(whole)
    (frame,) = source.collect()
    assert isinstance(frame, Frame)
    assert frame.layout.view(frame, "h").item() == 1


def test_no_file_is_an_error_that_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match=r"no file matches .*none\*\.json"):
        list(collector(str(tmp_path / "none*.json")).collect())


def test_sparse_and_empty_storages_are_read() -> None:
    regular = {"type": "regular", "lower": 0, "upper": 3, "bins": 3, "underflow": True, "overflow": True, "circular": False}
    form = {"uhi_schema": 1, "axes": [regular, regular], "storage": {"type": "int", "index": [[1, 4], [2, 0]], "values": [5, 6]}}
    (cells,) = parse(form).sums
    assert (cells.sum(), cells[1, 2], cells[4, 0]) == (11, 5, 6)
    (empty,) = parse({**form, "storage": {"type": "int"}}).sums
    assert empty.shape == (5, 5)
    assert not empty.any()


AXIS = {"type": "regular", "lower": 0, "upper": 1, "bins": 2, "underflow": False, "overflow": False, "circular": False}
GOOD: dict[str, Any] = {"uhi_schema": 1, "axes": [AXIS], "storage": {"type": "double", "values": [1, 2]}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"uhi_schema": 2}, "uhi_schema is 2"),
        ({"axes": []}, "no axes"),
        ({"axes": [{**AXIS, "bins": 0}]}, "0 bins"),
        ({"axes": [{**AXIS, "type": "polar"}]}, "unknown type 'polar'"),
        ({"axes": [{"type": "variable", "edges": [0, 2, 1], "underflow": False, "overflow": False}]}, "rising"),
        ({"axes": [{"type": "category_str", "categories": [], "flow": False}]}, "0 bins"),
        ({"storage": {"type": "double", "values": [1, 2, 3]}}, "shape"),
        ({"storage": {"type": "double", "values": "/bins"}}, "another file"),
        ({"storage": {"type": "weighted", "values": [1, 2]}}, "variances"),
        ({"storage": {"type": "count", "values": [1, 2]}}, "unknown type 'count'"),
        ({"storage": {"type": "int", "index": [[2]], "values": [1]}}, "does not fit"),
        ({"axes": [{**AXIS, "bins": 2**40}]}, "more than"),
    ],
)
def test_histogram_against_the_schema_is_rejected_with_its_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"bad": {**GOOD, **change}, "good": GOOD}))
    (frame,), (rejected,) = read(str(path))
    assert [h.path for h in frame.layout.histograms] == ["good"]
    assert rejected.startswith(f"{path}:bad: ")
    assert reason in rejected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(
    change=st.dictionaries(st.sampled_from(["uhi_schema", "axes", "storage", "metadata"]), JSON, max_size=2),
    axis_change=st.dictionaries(st.sampled_from([*AXIS, "edges", "categories", "flow", "metadata"]), JSON, max_size=2),
    storage_change=st.dictionaries(st.sampled_from(["type", "values", "index", "counts", "variances"]), JSON, max_size=2),
)
def test_no_form_stops_the_parser(change: dict[str, Any], axis_change: dict[str, Any], storage_change: dict[str, Any]) -> None:
    form = {**GOOD, "axes": [{**AXIS, **axis_change}], "storage": {**GOOD["storage"], **storage_change}, **change}
    with contextlib.suppress(UhiFormatError):
        parsed = parse(form)
        assert all(values.shape == tuple(a.bins + 2 * parsed.flow for a in parsed.axes) for values in parsed.sums)


def test_name_that_is_half_a_character_reaches_the_wire(tmp_path: Path) -> None:
    counts = Hist(axis.Regular(2, 0, 1))
    path = tmp_path / "a.json"
    path.write_text(Path(save(path, {"good": counts, "bad": counts})).read_text().replace('"bad"', '"b\\ud83d"'))
    collected = list(collector(str(path)).collect())
    (frame,) = [item for item in collected if isinstance(item, Frame)]
    assert [h.path for h in frame.layout.histograms] == ["b?", "good"]
    assert frame.layout.digest
