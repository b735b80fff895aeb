"""False-discovery control in two levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from detectors.discovery import adjusted, discoveries, simes

Values = NDArray[np.float64]
ONE = np.zeros(6, dtype=np.int64)


@settings(max_examples=100, deadline=None)  # the first call compiles
@given(st.lists(st.one_of(st.floats(1e-12, 1.0), st.just(float("nan"))), min_size=1, max_size=30))
def test_each_group_is_adjusted_as_scipy_does_it_alone(values: list[float]) -> None:
    p = np.array(values)
    groups = np.random.default_rng(len(values)).integers(0, 4, len(values))
    got = adjusted(p[None], groups)[0]
    for group in np.unique(groups):
        among = (groups == group) & np.isfinite(p)
        if among.any():
            np.testing.assert_allclose(got[among], stats.false_discovery_control(p[among]), rtol=1e-6)
    assert (np.isnan(got) == np.isnan(p)).all()


def test_rows_are_adjusted_each_for_itself() -> None:
    p = np.random.default_rng(1).random((5, 6))
    np.testing.assert_allclose(adjusted(p, ONE), np.array([adjusted(row[None], ONE)[0] for row in p]))


def test_tiny_probabilities_keep_their_order() -> None:
    p = np.array([[1e-200, 1e-100, 1e-9, 0.5, 0.6, 0.0]])
    assert (np.diff(adjusted(p, np.arange(6) // 3)[0, :3]) > 0).all()
    assert np.isfinite(adjusted(p, ONE)).all()


def test_a_lone_bad_unit_is_found_within_its_subsystem() -> None:
    """With 200 calibration rows no probability is below 1/201: alone among 3,000 it could not pass."""
    p = np.full((1, 3000), 0.5)
    p[0, 7] = 1 / 201
    groups = np.arange(3000) // 300
    assert not (adjusted(p, np.zeros(3000, dtype=np.int64)) <= 0.1).any()
    p[0, :5] = 1 / 201  # a few together in one subsystem
    subsystem = np.where(np.arange(3000) < 10, 0, 1 + np.arange(3000) // 300)
    assert np.flatnonzero(discoveries(p, subsystem, 0.1)[0]).tolist() == [0, 1, 2, 3, 4, 7]
    assert not discoveries(p, groups, 0.1).any()


def test_under_normal_conditions_few_rows_have_a_discovery() -> None:
    p = np.random.default_rng(1).random((2000, 100))
    found = discoveries(p, np.arange(100) // 10, 0.1)
    assert found.any(axis=1).mean() == pytest.approx(0.1, abs=0.03)


def test_what_is_not_tested_is_not_found() -> None:
    p = np.array([[np.nan, 1e-9, np.nan, np.nan]])
    assert discoveries(p, np.array([0, 0, 1, 1]), 0.05).tolist() == [[False, True, False, False]]
    assert not discoveries(np.full((2, 4), np.nan), np.array([0, 0, 1, 1]), 0.05).any()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.1, 0.5]), st.booleans())
def test_discoveries_are_those_of_the_definition(seed: int, level: float, gaps: bool) -> None:
    """Groups by Benjamini-Hochberg of their least adjusted value, then their units at the level times the part of groups found."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 4, 12)
    p = np.round(rng.random((3, 12)) ** 3, 3) + 1e-4  # with ties
    if gaps:
        p[rng.random(p.shape) < 0.3] = np.nan
    for row, got, combined in zip(p, discoveries(p, groups, level), simes(p, groups, level), strict=True):
        members = {g: np.flatnonzero((groups == g) & np.isfinite(row)) for g in range(int(groups.max()) + 1)}
        within = {g: stats.false_discovery_control(row[of]) for g, of in members.items() if len(of)}
        least = np.array([values.min() for values in within.values()])
        between = dict(zip(within, stats.false_discovery_control(least), strict=True)) if within else {}
        found = [g for g in between if between[g] <= level * (1 + 1e-12)]
        allowed = level * len(found) / max(1, len(between)) * (1 + 1e-12)
        expected = {int(unit) for g in found for unit in members[g][within[g] <= allowed]}
        assert set(np.flatnonzero(got).tolist()) == expected
        for g, of in members.items():
            lowest = within[g].min() if len(of) else np.nan
            np.testing.assert_allclose(combined[g], lowest if not lowest > level else 1.0)


def test_a_group_is_as_rare_as_simes_says() -> None:
    p = np.array([[0.03, 0.02, 0.9, 0.04, 0.5, 0.6]])
    got = simes(p, np.array([0, 0, 0, 1, 1, 1]), 0.2)[0]
    assert got == pytest.approx([0.045, 0.12])  # 0.03 * 3 / 2 is less than 0.02 * 3; 0.04 * 3
    assert simes(p, np.array([0, 0, 0, 1, 1, 1]), 0.1)[0] == pytest.approx([0.045, 1.0])
    assert np.isnan(simes(np.full((1, 2), np.nan), np.array([0, 0]), 0.1)).all()


def test_without_units_nothing_is_found() -> None:
    nobody = np.empty(0, dtype=np.int64)
    assert discoveries(np.empty((3, 0)), nobody, 0.1).shape == (3, 0)
    assert adjusted(np.empty((3, 0)), nobody).shape == (3, 0)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0])
def test_a_level_that_is_no_probability_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        discoveries(np.ones((1, 6)), ONE, level)
