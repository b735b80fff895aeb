"""Expositions of metrics: whole ones, malformed ones, and servers that misbehave."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Summary, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from collectors.collector import Collected, Origin, Rejected
from collectors.fetched.prometheus_text import Families, Malformed, samples, series, spelled
from collectors.frame import Channel, Frame, Kind, Quality, Updates
from collectors.prometheus import PrometheusCollector, PrometheusOptions
from tests.collectors.metrics_server import NOW_NS, Serve, collect, serving


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


def collect_file(folder: Path, text: str, **options: Any) -> list[Collected]:
    path = folder / "metrics.prom"
    path.write_text(text)
    return collect(path.as_uri(), **options)


def only_frame(collected: list[Collected]) -> Frame:
    (frame,) = collected
    assert isinstance(frame, Frame)
    return frame


def reading(frame: Frame, name: str) -> float:
    return float(frame.values[0, frame.layout.position(name)])


def test_gauges_counters_summaries_and_histograms_become_channels(serve: Serve) -> None:
    registry = CollectorRegistry()
    Gauge("hv_volts", "measured", ["channel"], registry=registry).labels("3").set(1400.5)
    Counter("trips", "trips", registry=registry).inc(2)
    Summary("wait_seconds", "waiting", registry=registry).observe(0.5)
    Histogram("size_bytes", "sizes", buckets=(1, 10), registry=registry).observe(5)
    frame = only_frame(collect(serve(generate_latest(registry).decode())))
    assert frame.time_ns.tolist() == [NOW_NS]
    assert frame.layout.columns == (
        Channel('hv_volts{channel="3"}', "hv_volts", "V", Kind.GAUGE, "T2/rack"),
        Channel("trips_total", "trips_total", "1", Kind.COUNTER, "T2/rack"),
        Channel("wait_seconds_count", "wait_seconds_count", "1", Kind.COUNTER, "T2/rack"),
        Channel("wait_seconds_sum", "wait_seconds_sum", "s", Kind.COUNTER, "T2/rack"),
        Channel("size_bytes_count", "size_bytes_count", "1", Kind.COUNTER, "T2/rack"),
        Channel("size_bytes_sum", "size_bytes_sum", "B", Kind.COUNTER, "T2/rack"),
    )
    assert frame.values.tolist() == [[1400.5, 2, 1, 0.5, 1, 5]]


def test_labels_make_a_stable_name_and_the_place(tmp_path: Path) -> None:
    text = 'rate{fed="12",subsystem="ECAL"} 1\nrate{subsystem="HCAL",fed="7"} 2\nother 3\n'
    frame = only_frame(collect_file(tmp_path, text, place_labels=["subsystem", "fed"], places={"other": "misc"}))
    assert [(c.name, c.place) for c in frame.layout.channels] == [
        ('rate{fed="12",subsystem="ECAL"}', "T2/rack/ECAL/12"),
        ('rate{fed="7",subsystem="HCAL"}', "T2/rack/HCAL/7"),
        ("other", "T2/rack/misc"),
    ]


def test_include_and_exclude_name_metrics_or_series(tmp_path: Path) -> None:
    text = 'a{x="1"} 1\na{x="2"} 1\nb 1\nc_created 1\n'
    frame = only_frame(collect_file(tmp_path, text, exclude=['a{x="2"}', "b"]))
    assert [c.name for c in frame.layout.channels] == ['a{x="1"}', "c_created"]
    frame = only_frame(collect_file(tmp_path, text, include=["a", "*_created"]))
    assert [c.name for c in frame.layout.channels] == ['a{x="1"}', 'a{x="2"}']


def test_buckets_become_a_histogram_on_request(tmp_path: Path) -> None:
    samples = [f't_seconds_bucket{{n="a",le="{bound}"}} {count}' for bound, count in (("0.1", 1), ("1", 4), ("+Inf", 6))]
    text = "\n".join(["# TYPE t_seconds histogram", *samples, ""])
    frame = only_frame(collect_file(tmp_path, text, buckets=True))
    (histogram,) = frame.layout.histograms
    assert (histogram.path, histogram.axes[0].edges, histogram.axes[0].unit) == ('t_seconds{n="a"}', (0.1, 1), "s")
    assert frame.layout.entries(frame, histogram.path).tolist() == [6]
    assert frame.layout.view(frame, histogram.path, flow=True).tolist() == [[1, 3, 2]]


def test_buckets_that_fall_are_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = '# TYPE h histogram\nh_bucket{le="1"} 5\nh_bucket{le="2"} 4\nh_bucket{le="+Inf"} 6\nx 1\n'
    rejected, frame = collect_file(tmp_path, text, buckets=True)
    assert isinstance(rejected, Rejected)
    assert "h" in rejected.subject
    assert isinstance(frame, Frame)
    assert [c.name for c in frame.layout.columns] == ["x"]


def test_states_are_named_and_others_are_invalid(serve: Serve, tmp_path: Path) -> None:
    collected = collect_file(tmp_path, "tts 1\ntts_other 9\n", states={"tts*": ["READY", "WARNING"]})
    (frame,) = (item for item in collected if isinstance(item, Frame))
    assert [(c.kind, c.states) for c in frame.layout.channels] == [(Kind.STATE, ("READY", "WARNING"))] * 2
    assert reading(frame, "tts") == 1
    assert frame.quality is not None
    assert frame.quality.tolist() == [[Quality.GOOD, Quality.INVALID]]
    registry = CollectorRegistry()
    Enum("door", "door", states=["open", "shut"], registry=registry).state("shut")
    frame = only_frame(collect(serve(generate_latest(registry).decode())))
    assert reading(frame, 'door{door="shut"}') == 1


def test_units_come_from_name_declaration_and_help(tmp_path: Path) -> None:
    text = "# TYPE a gauge\n# UNIT a tesla\na 1\n# HELP b Chamber current [uA]\n# TYPE b gauge\nb 1\nc_celsius 1\nd 1\n# EOF\n"
    frame = only_frame(collect_file(tmp_path, text))
    assert [c.unit for c in frame.layout.channels] == ["T", "uA", "degC", "1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a 1 1500000000123\nb 2\n", [1_500_000_000_123_000_000]), ("a 1 1500000000.25\nb 2\n# EOF\n", [1_500_000_000_250_000_000])],
)
def test_times_of_the_exporter_are_kept(tmp_path: Path, text: str, expected: list[int]) -> None:
    (updates,) = collect_file(tmp_path, text)
    assert isinstance(updates, Updates)
    assert updates.time_ns[:1].tolist() == expected
    assert updates.time_ns[1] == os.stat(tmp_path / "metrics.prom").st_mtime_ns  # noqa: PTH116 - nanoseconds
    assert updates.value.tolist() == [1, 2]
    os.utime(tmp_path / "metrics.prom", ns=(5, 5))
    frame = only_frame(collect((tmp_path / "metrics.prom").as_uri(), honor_timestamps=False))
    assert frame.time_ns.tolist() == [5]


def test_malformed_lines_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = 'a 1\nb one\nc{x="1" 2\n# any comment\n1d 3\ne{x="1",x="2"} 1\nf 4 now\ng 5\ng 6\nh -1\n# TYPE k counter\nk -2\n'
    collected = collect_file(tmp_path, text)
    rejected = {item.subject.rpartition(" ")[2]: item.reason for item in collected if isinstance(item, Rejected)}
    assert sorted(rejected, key=int) == ["2", "3", "5", "6", "7", "9", "12"]
    assert rejected["2"] == "'one' is not a number"
    frame = collected[-1]
    assert isinstance(frame, Frame)
    assert {name: reading(frame, name) for name in ("a", "g", "h")} == {"a": 1, "g": 5, "h": -1}
    assert frame.quality is not None
    for name in ("b", "f", "k"):
        assert np.isnan(reading(frame, name))
        assert frame.quality[0, frame.layout.position(name)] == Quality.INVALID
    assert len(frame.layout.columns) == 6


def test_many_malformed_lines_give_few_rejections(tmp_path: Path) -> None:
    collected = collect_file(tmp_path, "good 1\n" + "bad\n" * 1000)
    assert len(collected) == 22
    assert "980 more" in [item.reason for item in collected if isinstance(item, Rejected)][-1]


def test_not_a_number_is_no_reading_and_infinity_is_invalid(tmp_path: Path) -> None:
    frame = only_frame(collect_file(tmp_path, "a NaN\nb +Inf\nc 1e400\nd 1\n"))
    assert np.isnan(frame.values[0, :3]).all()
    assert frame.quality is not None
    assert frame.quality.tolist() == [[Quality.GOOD, Quality.INVALID, Quality.INVALID, Quality.GOOD]]


def test_values_change_and_the_layout_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    collector = PrometheusCollector(Origin("node", "", lambda: 0), PrometheusOptions(url=path.as_uri()))
    path.write_text('# TYPE a counter\na{x="1"} 1\nb 2\n')
    first = only_frame(list(collector.collect()))
    path.write_text('# TYPE a counter\nb 3\na{x="1"} 4\n')
    os.utime(path, ns=(9, 9))
    second = only_frame(list(collector.collect()))
    assert second.layout is first.layout
    assert second.values.tolist() == [[4, 3]]
    path.write_text('# TYPE a gauge\nb 3\na{x="1"} 4\n')
    third = only_frame(list(collector.collect()))
    assert third.layout.channels[0].kind is Kind.GAUGE


def test_unchanged_file_gives_nothing_and_its_cut_end_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "m.prom"
    path.write_text("a 1\nb 2")
    collector = PrometheusCollector(Origin("node", "", lambda: 0), PrometheusOptions(url=path.as_uri()))
    rejected, frame = collector.collect()
    assert isinstance(rejected, Rejected)
    assert rejected.payload == b"b 2"
    assert isinstance(frame, Frame)
    assert [c.name for c in frame.layout.channels] == ["a"]
    assert not list(collector.collect())


@given(st.text())
def test_no_text_stops_the_parser(text: str) -> None:
    for item in samples(text, is_openmetrics=False, families=Families(), known={}, describe=lambda found: found):
        assert isinstance(item, Malformed | tuple)


@given(
    st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]*", fullmatch=True),
    st.dictionaries(
        st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]*", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
    ),
    st.floats(allow_nan=False),
)
def test_series_are_read_as_the_client_library_reads_them(metric: str, labels: dict[str, str], value: float) -> None:
    spelling = spelled(metric, tuple(labels.items()))
    (family,) = text_string_to_metric_families(f"{spelling} {value!r}\n")
    (expected,) = family.samples
    ((found, sample),) = samples(f"{spelling} {value!r}\n", is_openmetrics=False, families=Families(), known={}, describe=lambda s: s)  # type: ignore[misc]
    assert (found.metric, dict(found.labels), sample.value) == (metric, labels, value)
    assert (expected.labels, expected.value) == (labels, value)
    assert series(found.name) == found
