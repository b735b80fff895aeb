"""Names of bins and regions, and counts of histograms."""

from __future__ import annotations

import numpy as np
import pytest

from collectors.frame import Axis, Frame, Histogram, Layout, Quality, Storage
from detectors.bins import bin_name, count_columns, counts, range_name, region_name
from tests.detectors import sample_frames as sample

LABELLED = Axis("station", "", 3, 0, 3, labels=("MB1", "MB2", ""))
VARIABLE = Axis.variable("pt", "GeV", [0, 10, 30, 100])


@pytest.mark.parametrize(
    ("axis", "start", "stop", "name"),
    [
        (Axis("phi", "", 8, 0.5, 8.5), 2, 3, "phi 3"),
        (Axis("phi", "", 8, 0.5, 8.5), 2, 5, "phi 3 to 5"),
        (Axis("eta", "", 12, -6, 6), 0, 2, "eta -6 to -5"),
        (Axis("mass", "GeV", 60, 60, 120), 5, 6, "mass 65 to 66 GeV"),
        (Axis("ratio", "1", 4, 0, 1), 1, 3, "ratio 0.25 to 0.75"),
        (VARIABLE, 1, 3, "pt 10 to 100 GeV"),
        (LABELLED, 0, 1, "station MB1"),
        (LABELLED, 0, 3, "station MB1 to 3"),
    ],
)
def test_a_range_is_named_as_its_axis_is_read(axis: Axis, start: int, stop: int, name: str) -> None:
    assert range_name(axis, start, stop) == name


def test_bins_and_regions_of_a_map_are_named_along_both_axes() -> None:
    assert bin_name(sample.MAP, 8 * 2 + 5) == "eta -4, phi 6"
    assert region_name(sample.MAP, np.array([8 * 2 + 5, 8 * 3 + 1])) == "eta -4 to -3, phi 2 to 6"


def counted(frame: Frame, histogram: Histogram) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return counts(frame, histogram, *count_columns(frame.layout, histogram))


def test_counts_leave_flow_bins_and_bad_rows_out() -> None:
    frame = sample.histogram_frame(sample.MAP, np.arange(3 * 96, dtype=np.float64).reshape(3, 12, 8))
    values = frame.values.astype(np.float64)
    values[2, 45] = np.nan
    bad = sample.with_quality(sample.with_values(frame, values), 1, Quality.STALE)
    found = counted(bad, sample.MAP)
    np.testing.assert_array_equal(found[0], np.arange(96))
    assert np.isnan(found[1:]).all()


def test_weights_become_equivalent_entries_and_negative_sums_nothing() -> None:
    weighted = Histogram("w", (Axis("x", "", 3, 0, 3),), Storage.WEIGHTED, flow=False)
    frame = sample.frame(Layout("dqm", (weighted,)), np.array([[60.0, 0.2, 0.4, -0.1, 0.02, 0.04, 0.0]]))
    np.testing.assert_allclose(counted(frame, weighted)[0], [2.0, 4.0, 0.0])
