"""What conditions account for: learned where it helps, taken out of gauges, and never extrapolated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Layout
from daemon.store.packing import pack, unpack
from detectors.conditional import ConditionModel
from detectors.conditioned import ConditionedDetector, conditioned
from detectors.finding import Evidence
from detectors.robust_z import RobustZDetector, RobustZOptions

Array = NDArray[np.float64]

STEP_NS = 600_000_000_000
START_NS = 1_700_000_000_000_000_000
ROWS = 3_000
LAYOUT = Layout("hv", tuple(Channel(f"ch{i}:IMon", "IMon", "uA", place=f"X/HV/ch{i}") for i in range(4)))
KEYS = LAYOUT.keys
CURRENT = 0
"""The one channel that follows the pile-up."""


def times(rows: int, first_row: int = 0) -> NDArray[np.int64]:
    return START_NS + (first_row + np.arange(rows, dtype=np.int64)) * STEP_NS


def pile_up(rows: int, first_row: int = 0) -> Array:
    """Fills of 90 rows in which it falls from 60 to 20."""
    return 60.0 - 40.0 * ((first_row + np.arange(rows)) % 90) / 89


def currents(rows: int, first_row: int = 0, seed: int = 1) -> Array:
    """The first is 2 uA and a bent function of the pile-up; the others are noise about 5 uA."""
    noise = np.random.default_rng([seed, first_row]).normal(size=(rows, 4)) * 0.05
    level = pile_up(rows, first_row)
    values = 5.0 + noise
    values[:, CURRENT] = 2.0 + 0.1 * level + 0.1 * np.maximum(0.0, level - 45.0) + noise[:, CURRENT]
    return values


def as_of(_name: str, time_ns: NDArray[np.int64]) -> Array:
    return 60.0 - 40.0 * ((time_ns - START_NS) // STEP_NS % 90) / 89


def history(rows: int = ROWS, first_row: int = 0) -> Frame:
    return Frame(LAYOUT, times(rows, first_row), currents(rows, first_row))


def learned(rows: int = ROWS) -> ConditionModel:
    return ConditionModel(["pile_up"]).learn(KEYS, currents(rows), times(rows), pile_up(rows)[:, None])


def wrapped() -> ConditionedDetector:
    options = RobustZOptions()
    return ConditionedDetector(RobustZDetector("robust_z", options), options, ["pile_up"], season=False, as_of=as_of)


class TestModel:
    def test_the_effect_is_learned_to_within_the_noise_on_rows_that_it_has_not_seen(self) -> None:
        residual = learned().residual(KEYS, currents(500, ROWS), times(500, ROWS), pile_up(500, ROWS)[:, None])
        assert residual.std(axis=0) == pytest.approx(0.05, rel=0.25)
        assert np.abs(residual.mean(axis=0)).max() < 0.03

    def test_only_gauges_that_it_helps_are_corrected(self) -> None:
        model = learned()
        assert list(model.corrected(KEYS)) == [True, False, False, False]
        assert (model.depends_on(KEYS[CURRENT]), model.depends_on(KEYS[1])) == (("pile_up",), ())

    def test_a_condition_that_has_nothing_to_do_with_it_is_not_used_and_may_be_unknown(self) -> None:
        both = np.column_stack([np.random.default_rng(3).normal(size=ROWS), pile_up(ROWS)])
        model = ConditionModel(["temperature", "pile_up"]).learn(KEYS, currents(ROWS), times(ROWS), both)
        assert model.depends_on(KEYS[CURRENT]) == ("pile_up",)
        assert np.isfinite(model.effect(KEYS, times(1), np.array([[np.nan, 30.0]]))).all()

    def test_a_daily_rhythm_is_a_season(self) -> None:
        time_ns = times(ROWS)
        rhythm = 3.0 * np.sin(2 * np.pi * (time_ns % 86_400_000_000_000) / 86_400_000_000_000)
        model = ConditionModel(season=True).learn(KEYS[:1], currents(ROWS)[:, 1:2] + rhythm[:, None], time_ns, np.empty((ROWS, 0)))
        assert model.depends_on(KEYS[0]) == ("time of day",)
        effect = model.effect(KEYS[:1], times(300, ROWS), np.empty((300, 0)))[:, 0]
        assert np.ptp(effect) == pytest.approx(6.0, rel=0.05)

    def test_a_season_is_not_told_from_less_than_two_days(self) -> None:
        rows = 200
        rising = currents(rows)[:, 1:2] + np.linspace(0.0, 3.0, rows)[:, None]
        model = ConditionModel(season=True).learn(KEYS[:1], rising, times(rows), np.empty((rows, 0)))
        assert not model.corrected(KEYS[:1]).any()

    def test_a_steady_trend_is_learned_and_held_at_its_end(self) -> None:
        rising = currents(ROWS)[:, 1:2] + np.linspace(0.0, 3.0, ROWS)[:, None]
        model = ConditionModel(trend=True).learn(KEYS[:1], rising, times(ROWS), np.empty((ROWS, 0)))
        assert model.depends_on(KEYS[0]) == ("trend",)
        end, later = (model.expected(KEYS[:1], times(1, row), np.empty((1, 0)))[0, 0] for row in (ROWS - 1, 10 * ROWS))
        assert (end, later) == (pytest.approx(8.0, abs=0.1), end)

    def test_a_walk_is_no_trend(self) -> None:
        walk = np.abs(np.linspace(-3.0, 3.0, ROWS))[:, None] + currents(ROWS)[:, 1:2]
        model = ConditionModel(trend=True).learn(KEYS[:1], walk, times(ROWS), np.empty((ROWS, 0)))
        assert not model.corrected(KEYS[:1]).any()

    def test_incidents_among_the_rows_do_not_bend_it(self) -> None:
        values = currents(ROWS)
        values[200:260, CURRENT] += 50.0
        values[1000:1060, CURRENT] = 0.0
        model = ConditionModel(["pile_up"]).learn(KEYS, values, times(ROWS), pile_up(ROWS)[:, None])
        clean = learned().effect(KEYS, times(90), pile_up(90)[:, None])
        np.testing.assert_allclose(model.effect(KEYS, times(90), pile_up(90)[:, None]), clean, atol=0.05)

    def test_an_unknown_condition_leaves_no_reading_of_what_depends_on_it(self) -> None:
        effect = learned().effect(KEYS, times(2), np.array([[np.nan], [30.0]]))
        assert np.isnan(effect[0, CURRENT])
        assert list(effect[0, 1:]) == [0.0, 0.0, 0.0]
        assert np.isfinite(effect[1]).all()

    def test_out_of_range_is_flagged_and_held_at_the_edge(self) -> None:
        model = learned()
        conditions = np.array([[60.0], [80.0], [1e6], [30.0], [np.nan]])
        effect = model.effect(KEYS, times(5), conditions)
        assert effect[0, CURRENT] == effect[1, CURRENT] == effect[2, CURRENT]
        assert list(model.out_of_range(conditions)[1:, 0]) == [True, True, False, False]
        assert model.outside(conditions)[1, 0] == pytest.approx(0.5, abs=0.05)

    def test_a_condition_that_was_never_known_corrects_nothing(self) -> None:
        unknown = np.full((ROWS, 1), np.nan)
        model = ConditionModel(["pile_upp"]).learn(KEYS, currents(ROWS), times(ROWS), unknown)
        assert not model.corrected(KEYS).any()
        assert (model.effect(KEYS, times(3), unknown[:3]) == 0).all()

    def test_what_was_learned_belongs_to_keys(self) -> None:
        model, conditions = learned(), pile_up(5)[:, None]
        effect = model.effect([KEYS[2], "new", KEYS[CURRENT]], times(5), conditions)
        np.testing.assert_array_equal(effect[:, 2], model.effect(KEYS, times(5), conditions)[:, CURRENT])
        assert (effect[:, :2] == 0).all()
        assert np.isnan(model.expected(["new"], times(5), conditions)).all()

    def test_a_state_is_gone_on_from_and_another_one_refused(self) -> None:
        model, again = learned(), ConditionModel(["pile_up"])
        state = unpack(pack(model.state()))
        again.restore(state)
        np.testing.assert_array_equal(
            again.expected(KEYS, times(90), pile_up(90)[:, None]), model.expected(KEYS, times(90), pile_up(90)[:, None])
        )
        with pytest.raises(ValueError, match="version 7"):
            again.restore({**state, "version": 7})
        with pytest.raises(ValueError, match="pile_up, not the conditions load"):
            ConditionModel(["load"]).restore(state)
        with pytest.raises(ValueError, match="pile_up, not the conditions pile_up, time of day"):
            ConditionModel(["pile_up"], season=True).restore(state)

    def test_a_matrix_of_other_conditions_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"expected \(n, 1\)"):
            learned().effect(KEYS, times(3), np.zeros((3, 2)))

    @settings(max_examples=25, deadline=None)
    @given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.floats(1e-2, 1e2))
    def test_units_of_readings_and_conditions_do_not_matter(self, offset: float, scale: float, zero: float, gain: float) -> None:
        rows, conditions = 600, pile_up(600)[:, None]
        readings = currents(rows)[:, :1]
        plain = ConditionModel(["c"]).learn(KEYS[:1], readings, times(rows), conditions)
        other = ConditionModel(["c"]).learn(KEYS[:1], offset + scale * readings, times(rows), zero + gain * conditions)
        inside = np.linspace(22.0, 58.0, 20)[:, None]
        effect = other.effect(KEYS[:1], times(20), zero + gain * inside)
        np.testing.assert_allclose(effect / scale, plain.effect(KEYS[:1], times(20), inside), atol=1e-3)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(st.floats(allow_infinity=False), st.just(float("nan"))), min_size=1, max_size=30))
    def test_whatever_a_condition_is_the_effect_is_one_that_was_learned(self, values: list[float]) -> None:
        conditions = np.array(values)[:, None]
        effect = MODEL.effect(KEYS, times(len(values)), conditions)[:, CURRENT]
        assert (np.isfinite(effect) == np.isfinite(conditions[:, 0])).all()
        known = effect[np.isfinite(effect)]
        assert (known >= EFFECTS.min() - 1e-9).all()
        assert (known <= EFFECTS.max() + 1e-9).all()


MODEL = learned()
EFFECTS = MODEL.effect(KEYS, times(400), np.linspace(20.0, 60.0, 400)[:, None])[:, CURRENT]


class TestConditionedDetector:
    def test_a_current_that_follows_the_pile_up_is_normal_and_a_fault_of_the_same_size_is_not(self) -> None:
        detector = wrapped().fit(history())
        later = history(180, ROWS)
        faulty = replace(later, values=later.values.copy())
        size = float(np.ptp(later.values[:, CURRENT]))
        faulty.values[100, CURRENT] += size * (1 if later.values[100, CURRENT] < 8 else -1)
        unit = [u.condition for u in detector.score(later).units].index("outlier")
        normal = detector.score(later).values[:, unit]
        found = detector.score(faulty).values[:, unit]
        assert normal.max() < 6.0
        assert found[100] > 10 * normal.max()

    def test_evidence_has_the_reading_and_what_is_expected_under_the_present_conditions(self) -> None:
        detector, later = wrapped().fit(history()), history(180, ROWS)
        later.values[100, CURRENT] = 12.0
        evidence = explained(detector, later, 100)
        (ranked,) = evidence.ranked
        assert ranked.observed == pytest.approx(12.0)
        assert ranked.expected == pytest.approx(currents(180, ROWS)[100, CURRENT], abs=0.3)
        assert f"pile_up {as_of('pile_up', later.time_ns)[100]:.4g} taken out" in evidence.summary

    def test_a_condition_outside_of_what_was_learned_is_said(self) -> None:
        options = RobustZOptions()
        level = {"pile_up": 100.0}

        def rising(name: str, time_ns: NDArray[np.int64]) -> Array:
            return np.where(time_ns < START_NS + ROWS * STEP_NS, as_of(name, time_ns), level["pile_up"])

        detector = ConditionedDetector(RobustZDetector("z", options), options, ["pile_up"], season=False, as_of=rising).fit(history())
        later = history(20, ROWS)
        assert detector.score(later).values.shape[0] == 20
        assert "pile_up is outside of 20 to 60" in explained(detector, later, 5).summary
        assert detector.uncertainty(later, 5, 0).out_of_range == pytest.approx(1.0, abs=0.05)
        level["pile_up"] = 40.0
        again = history(20, ROWS)
        assert np.isnan(detector.uncertainty(again, 5, 0).out_of_range)

    def test_a_condition_among_the_columns_of_the_frame_is_taken_from_there_and_not_corrected(self) -> None:
        layout = Layout("hv", (*LAYOUT.columns, Channel("pile_up", "pile_up", "1", place="X")))
        frame = Frame(layout, times(ROWS), np.column_stack([currents(ROWS), pile_up(ROWS)]))
        options = RobustZOptions()
        detector = ConditionedDetector(RobustZDetector("z", options), options, ["pile_up"], season=False).fit(frame)
        seen = detector.conditioned(frame)
        assert seen.values[:, CURRENT].std() < 0.06
        np.testing.assert_array_equal(seen.values[:, 4], frame.values[:, 4])

    def test_blocks_of_any_size_give_the_same_scores(self) -> None:
        state, later = pack(wrapped().fit(history()).state()), history(60, ROWS)
        scores = []
        for size in (1, 7, 60):
            detector = wrapped()
            detector.restore(unpack(state))
            scores.append(np.concatenate([detector.score(later.rows(slice(at, at + size))).values for at in range(0, 60, size)]))
        np.testing.assert_array_equal(scores[0], scores[2])
        np.testing.assert_array_equal(scores[1], scores[2])

    def test_a_model_without_these_conditions_is_refused_and_the_other_way_round(self) -> None:
        plain = RobustZDetector("robust_z", RobustZOptions()).fit(history())
        detector = wrapped().fit(history())
        with pytest.raises(ValueError, match="conditions"):
            detector.restore(plain.state())
        with pytest.raises(ValueError, match="version"):
            plain.restore(detector.state())

    def test_without_conditions_nothing_is_wrapped(self) -> None:
        plain = RobustZDetector("robust_z", RobustZOptions())
        assert conditioned(plain, RobustZOptions(), (), season=False) is plain


def explained(detector: ConditionedDetector, frame: Frame, row: int) -> Evidence:
    """Of the first channel as an outlier."""
    units = detector.score(frame).units
    return detector.explain(frame, row, [u.condition for u in units].index("outlier"))
