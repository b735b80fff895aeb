"""Tail probabilities: realised exceedances on simulated normal data, monotony, doubt, and thresholds for a budget."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from daemon.store.packing import pack, unpack
from detectors.budget import alarms_per_row, alpha_for, extremal_index
from detectors.calibration import SMALLEST, Calibration
from detectors.finding import Scores, Unit
from detectors.tails import fit_tails, survival

Values = NDArray[np.float64]
STEP_NS = 20_000_000_000
KINDS = ("gaussian", "heavy", "dependent")


def scores_of(values: Values, conditions: tuple[str, ...] = ("outlier",)) -> Scores:
    units = tuple(Unit(f"u{i}", f"u{i}", "X", conditions[i % len(conditions)]) for i in range(values.shape[1]))
    return Scores(units, values)


def times(rows: int) -> NDArray[np.int64]:
    return STEP_NS * np.arange(rows, dtype=np.int64)


def fitted(values: Values, conditions: tuple[str, ...] = ("outlier",)) -> Calibration:
    return Calibration().fit(scores_of(values, conditions), times(len(values)))


def tail(calibration: Calibration, values: Values) -> Values:
    return calibration.tail_probabilities(scores_of(values))


def simulated(kind: str, rows: int, units: int, seed: int) -> Values:
    """|z| of Gaussian readings, of readings with Student's t of 3, and of readings that remember (AR(1), 0.8)."""
    rng = np.random.default_rng(seed)
    if kind == "heavy":
        return np.asarray(np.abs(rng.standard_t(3, (rows, units))))
    noise = rng.standard_normal((rows, units))
    if kind == "dependent":
        for row in range(1, rows):
            noise[row] = 0.8 * noise[row - 1] + 0.6 * noise[row]
    return np.abs(noise)


class TestExceedance:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("alpha", [0.05, 0.01])
    def test_within_the_sample_as_many_exceed_as_promised(self, kind: str, alpha: float) -> None:
        calibration = fitted(simulated(kind, 400, 50, 1))
        realised = (tail(calibration, simulated(kind, 4000, 50, 2)) <= alpha).mean()
        assert alpha / 1.5 < realised < 1.5 * alpha

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("alpha", [1e-3, 1e-4])
    def test_beyond_the_sample_not_many_more_exceed_than_promised(self, kind: str, alpha: float) -> None:
        calibration = fitted(simulated(kind, 400, 50, 1))
        realised = (tail(calibration, simulated(kind, 20_000, 50, 2)) <= alpha).mean()
        assert realised < 3 * alpha
        assert realised > alpha / 10

    def test_a_unit_with_few_rows_borrows_from_its_condition(self) -> None:
        values = simulated("gaussian", 400, 40, 1)
        values[15:, :2] = np.nan
        p = tail(fitted(values), simulated("gaussian", 5000, 40, 2))
        assert (p[:, :2] <= 0.01).mean() == pytest.approx(0.01, rel=0.5)

    def test_units_are_calibrated_each_by_its_own_scores(self) -> None:
        scale = np.array([1.0, 100.0])
        p = tail(fitted(simulated("gaussian", 2000, 2, 1) * scale), np.array([[4.5, 4.5], [450.0, 450.0]]))
        assert p[0, 0] < 1e-3
        assert p[0, 1] > 0.9
        assert p[1, 1] < 1e-3

    def test_an_almost_empty_pool_gives_no_probability(self) -> None:
        assert np.isnan(tail(fitted(np.ones((5, 1))), np.array([[9.0]]))).all()

    def test_scores_that_were_always_the_same_are_normal_and_only_far_ones_are_not(self) -> None:
        p = tail(fitted(np.zeros((160, 20))), np.array([[0.0, 1.0, 30.0] + [0.0] * 17]))[0]
        assert p[0] == 1
        assert p[1] == pytest.approx(1 / 161)
        assert SMALLEST <= p[2] < 1e-5

    def test_no_probability_is_absurdly_small(self) -> None:
        assert tail(fitted(simulated("gaussian", 200, 1, 1)), np.array([[1e300]]))[0, 0] == SMALLEST

    def test_missing_scores_and_unknown_units_stay_unjudged(self) -> None:
        calibration = fitted(simulated("gaussian", 200, 2, 1))
        stranger = Scores((Unit("u1", "u1", "X", "outlier"), Unit("new", "new", "X", "outlier")), np.array([[np.nan, 1.0], [1.0, 1.0]]))
        p = calibration.tail_probabilities(stranger)
        assert np.isnan(p).tolist() == [[True, True], [False, True]]

    def test_missing_scores_are_left_out_of_the_sample(self) -> None:
        values = simulated("gaussian", 500, 1, 1)
        holes = np.full((1000, 1), np.nan)
        holes[::2] = values
        later = simulated("gaussian", 50, 1, 2)
        np.testing.assert_allclose(tail(fitted(holes), later), tail(fitted(values), later))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1e6), min_size=10, max_size=1500),
    st.lists(st.floats(0, 1e9), min_size=2, max_size=50),
)
@example([0.0] * 9 + [2.2250738585e-313], [0.0, 1.0])  # more spreads than there are numbers
def test_a_higher_score_is_never_more_probable(sample: list[float], scores: list[float]) -> None:
    calibration = fitted(np.array(sample)[:, None])
    p = tail(calibration, np.sort(np.array(scores))[:, None])[:, 0]
    assert (np.diff(p) <= 0).all()
    assert ((p >= SMALLEST) & (p <= 1)).all()


@given(st.lists(st.integers(0, 30), min_size=50, max_size=200), st.integers(0, 29))
def test_within_the_sample_it_is_the_conformal_probability(sample: list[int], score: int) -> None:
    values = np.array(sample, dtype=np.float64)
    if score > values.max():
        return
    expected = (np.sum(values >= score) + 1) / (len(values) + 1)
    assert tail(fitted(values[:, None]), np.array([[float(score)]]))[0, 0] == pytest.approx(expected)


def test_thinning_a_long_sample_is_exact_at_the_top_and_careful_elsewhere() -> None:
    values = simulated("gaussian", 20_000, 1, 1)
    later = np.sort(simulated("gaussian", 500, 1, 2), axis=0)
    p = tail(fitted(values), later)[:, 0]
    exact = (np.sum(values[:, 0] >= later, axis=1) + 1) / 20_001
    top = exact < 250 / 20_001
    np.testing.assert_allclose(p[top & (exact > 1 / 20_001)], exact[top & (exact > 1 / 20_001)])
    assert (p >= exact - 1e-12)[exact > 1 / 20_001].all()
    assert (p <= exact + 1 / 200).all()


def test_saved_and_loaded_it_says_the_same() -> None:
    calibration, loaded = fitted(simulated("heavy", 300, 5, 1)), Calibration()
    loaded.restore(unpack(pack(calibration.state())))
    later = simulated("heavy", 50, 5, 2)
    np.testing.assert_array_equal(tail(loaded, later), tail(calibration, later))
    assert loaded.alpha(1.0, 2) == calibration.alpha(1.0, 2)
    assert loaded.doubt(1e-6, 1e-7) == calibration.doubt(1e-6, 1e-7)
    with pytest.raises(ValueError, match="version 7"):
        loaded.restore({**calibration.state(), "version": 7})


class TestDoubt:
    def test_a_threshold_within_what_was_seen_is_not_doubted(self) -> None:
        calibration = fitted(simulated("gaussian", 1000, 10, 1))
        assert calibration.doubt(1e-4, 1e-3) == ""

    def test_a_threshold_far_beyond_is_doubted_unless_the_score_is_as_far_beyond_it(self) -> None:
        calibration = fitted(simulated("gaussian", 100, 1, 1))
        reason = calibration.doubt(1e-6, 1e-6)
        assert "1 in 1,000,000" in reason
        assert "100 normal rows" in reason
        assert calibration.doubt(1e-12, 1e-6) == ""

    def test_successive_rows_that_depend_on_each_other_are_worth_fewer(self) -> None:
        free, bound = fitted(simulated("gaussian", 1000, 10, 1)), fitted(simulated("dependent", 1000, 10, 1))
        units = scores_of(np.empty((0, 10))).units
        assert free.effective_rows.min() > 900
        assert bound.effective_rows.max() < 700
        assert bound.resolution(units)[0] > free.resolution(units)[0]
        assert bound.extrapolation(1e-6, units[0]) > free.extrapolation(1e-6, units[0])
        assert np.isnan(free.resolution((Unit("new", "new", "X", "outlier"),))).all()


def false_alarms(bad: NDArray[np.bool_], raise_rows: int) -> int:
    """Runs of at least so many bad rows, over all units."""
    held = bad.copy()
    for back in range(1, raise_rows):
        held[back:] &= bad[:-back]
    held[: raise_rows - 1] = False
    return int((held[1:] & ~held[:-1]).sum() + held[0].sum())


class TestBudget:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("raise_rows", [1, 2, 3])
    def test_the_promise_is_kept(self, kind: str, raise_rows: int) -> None:
        calibration = fitted(simulated(kind, 2000, 40, 1))
        rows_per_day = 86_400e9 / STEP_NS
        alpha = calibration.alpha(20.0, raise_rows)
        rows = 40_000
        realised = false_alarms(tail(calibration, simulated(kind, rows, 40, 2)) <= alpha, raise_rows) / (rows / rows_per_day)
        assert realised < 3 * 20.0
        assert realised > 20.0 / 10

    def test_independent_rows_need_the_root_of_what_a_single_row_needs(self) -> None:
        units, free = np.array([1]), np.array([1.0])
        assert alpha_for(1e-6, units, free, 1) == pytest.approx(1e-6, rel=1e-3)
        assert alpha_for(1e-6, units, free, 2) == pytest.approx(1e-3, rel=1e-2)
        assert alpha_for(1e-6, 100 * units, free, 2) == pytest.approx(1e-4, rel=1e-2)

    def test_a_window_allows_more_ways_and_dependence_makes_runs_likelier(self) -> None:
        units, free = np.array([1]), np.array([1.0])
        assert alpha_for(1e-6, units, free, 2, 5) == pytest.approx(5e-4, rel=1e-2)
        assert alpha_for(1e-6, units, np.array([0.5]), 2) < 1e-5
        assert alarms_per_row(0.01, free, 3)[0] == pytest.approx(0.01**3, rel=0.02)
        with pytest.raises(ValueError, match="3 bad rows of 2"):
            alpha_for(1e-6, units, free, 3, 2)

    def test_every_condition_gets_its_share_and_dependent_ones_do_not_cost_the_others(self) -> None:
        values = np.concatenate([simulated("gaussian", 2000, 20, 1), simulated("dependent", 2000, 20, 2)], axis=1)
        interleaved = values[:, np.arange(40).reshape(2, 20).T.ravel()]
        calibration = fitted(interleaved, ("outlier", "drift"))
        units = scores_of(interleaved, ("outlier", "drift")).units
        alphas = calibration.alphas((*units, Unit("new", "new", "X", "outlier")), 1.0, 2)
        outlier, drift = alphas[0], alphas[1]
        assert outlier > 5 * drift
        assert outlier > calibration.alpha(1.0, 2)
        assert np.isnan(alphas[-1])

    @pytest.mark.parametrize(("length", "theta"), [(1, 1.0), (4, 0.25)])
    def test_the_extremal_index_is_one_over_the_length_of_clusters(self, length: int, theta: float) -> None:
        begins = np.random.default_rng(1).random((5000, 4)) < 0.02 / length
        exceeds = begins.copy()
        for back in range(1, length):
            exceeds[back:] |= begins[:-back]
        follows = np.ones(4999, dtype=bool)
        assert extremal_index(exceeds, follows, float(exceeds.mean())) == pytest.approx(theta, rel=0.2)

    def test_rows_on_either_side_of_a_gap_do_not_make_a_cluster(self) -> None:
        exceeds = np.tile([True, True, False, False, False, False], 100)[:, None]
        follows = np.ones(599, dtype=bool)
        follows[::6] = False
        assert extremal_index(exceeds, follows, 1 / 3) == 1.0
        assert extremal_index(exceeds, np.ones(599, dtype=bool), 1 / 3) < 0.8


class TestTails:
    @pytest.mark.parametrize("shape", [0.05, 0.2, 0.4])
    def test_spread_and_shape_of_a_pareto_tail_are_found(self, shape: float) -> None:
        uniform = np.random.default_rng(1).random((200, 100))
        excesses = -np.sort(-3.0 * (uniform**-shape - 1) / shape, axis=1)
        tails = fit_tails(excesses, np.full(200, 100), np.zeros(200, dtype=np.int64), np.ones(1))
        assert np.median(tails[:, 1]) == pytest.approx(shape, abs=0.06)
        assert np.median(tails[:, 0]) == pytest.approx(3.0, rel=0.12)

    def test_the_survival_falls_from_one_without_a_jump_and_slowly_far_out(self) -> None:
        excesses = -np.sort(-np.random.default_rng(1).random((1, 100)), axis=1)  # a light tail that ends at 1
        tail = fit_tails(excesses, np.array([100]), np.array([0]), np.ones(1))
        at = np.concatenate([np.linspace(0, 2 * tail[0, 2], 2001), [10.0, 100.0, 1e6]])
        falls = survival(at, np.repeat(tail, len(at), axis=0))
        assert falls[0] == 1
        assert (np.diff(falls) < 0).all()
        assert np.abs(np.diff(falls[:2001])).max() < 0.01
        assert falls[-1] > 1e-100
