"""The contract of rules and detectors (detectors/finding.py), for each one that is installed."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.collector import Options
from collectors.frame import Frame, Kind, Layout, Quality
from daemon.store.packing import pack, unpack
from detectors.calibration import Calibration
from detectors.finding import Detector, Evidence, Rule, Scores, Unit
from tests.detectors import sample_frames as sample

Values = NDArray[np.float64]

HISTORY_ROWS, LATER_ROWS, FAULT_ROW = 300, 90, 60
HISTORY = sample.experiment(HISTORY_ROWS)
LATER = sample.experiment(LATER_ROWS, first_row=HISTORY_ROWS)
NEW_CHANNEL = sample.gauge("crate:ch99:IMon", "IMon", "uA", "X/HV/ch99")
MOST = 0.99
"""Part of the scores on normal rows that a fault must exceed; not all of them, because the scores of a forest level off."""
SILENT = "silent"
"""The one condition that is about readings that are not there."""


@dataclass(frozen=True)
class Fault:
    """What is put into LATER from FAULT_ROW on, the condition in which it is seen, and what must rank first."""

    condition: str
    first: str | tuple[str, ...]
    inject: Callable[[Values], None]


def current_doubles(values: Values) -> None:
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:IMon")] *= 2.0


def channel_breaks_down(values: Values) -> None:
    """A forest needs more than one reading that is off."""
    current_doubles(values)
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:VMon")] -= 5.0


def voltage_too_high(values: Values) -> None:
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:VMon")] = 410.0


def channel_trips(values: Values) -> None:
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:Status")] = sample.TRIPPED


def module_becomes_hot(values: Values) -> None:
    values[FAULT_ROW:, LATER.layout.position("TRACKER/occupancy") + 1 + 7] *= 6.0


def check_goes_bad(values: Values) -> None:
    values[FAULT_ROW:, LATER.layout.position("TRACKER/noise")] = sample.BAD


FAULTS = {
    "autoencoder": Fault("group_outlier", "IMon of ch03", current_doubles),
    "channel_health": Fault("hot_channel", "module 7", module_becomes_hot),
    "ensemble": Fault("group_outlier", "IMon of ch03", current_doubles),
    "ewma": Fault("outlier", "crate:ch03:IMon", current_doubles),
    "isolation_forest": Fault("group_outlier", ("IMon of ch03", "VMon of ch03"), channel_breaks_down),
    "limits": Fault("out_of_limits", "VMon of ch03", voltage_too_high),
    "novelty": Fault("novel", "IMon of ch03", current_doubles),
    "reference": Fault("shape", "module 7", module_becomes_hot),
    "robust_z": Fault("group_outlier", "IMon of ch03", current_doubles),
    "states": Fault("hv_trip", "Status of ch03", channel_trips),
    "vae": Fault("group_outlier", "IMon of ch03", current_doubles),
    "kmeans": Fault("group_outlier", "IMon of ch03", current_doubles),
    "windowed_pca": Fault("group_outlier", "IMon of ch03", current_doubles),
    "streaming_pca": Fault("group_outlier", "IMon of ch03", current_doubles),
    "verdicts": Fault("check_failed", "TRACKER/noise", check_goes_bad),
}
RULES = ("limits", "states", "verdicts")
DETECTORS = tuple(name for name in FAULTS if name not in RULES)
OWN_FRAMES = {"daq", "disk_forecast"}
"""Rules that know only frames of one sort of source; their own tests hold them to the contract."""


def example_of(name: str) -> Any:
    """One that is built with the options which its documentation shows."""
    (point,) = entry_points(group="shiftwatch.detectors", name=name)
    plugin = point.load()
    _, _, example = inspect.cleandoc(plugin.__doc__).partition("Example::\n")
    section = tomllib.loads(inspect.cleandoc(example))["detector"][name]
    options: Options = plugin.options_model.model_validate(section)
    return plugin(name, options)


@cache
def fitted_state(name: str) -> bytes:
    """The state of the example after the history, as it is saved."""
    return pack(example_of(name).fit(HISTORY).state())


def fitted(name: str) -> Detector:
    """The example as if it had just seen the history."""
    detector: Detector = example_of(name)
    detector.restore(unpack(fitted_state(name)))
    return detector


def faulty(name: str) -> Frame:
    values = LATER.values.astype(np.float64)
    FAULTS[name].inject(values)
    return sample.with_values(LATER, values)


def judge(name: str, frame: Frame) -> tuple[tuple[Unit, ...], Values, Callable[[Frame, int, int], Evidence]]:
    """Units, scores (1 or 0 for rules, NaN where not judged), and how to explain them."""
    if name in RULES:
        rule: Rule = example_of(name)
        breaches = rule.judge(frame)
        assert breaches.holds.shape == breaches.judged.shape == (len(frame), len(breaches.units))
        return breaches.units, np.where(breaches.judged, breaches.holds, np.nan), rule.explain
    detector = fitted(name)
    scores = detector.score(frame)
    return scores.units, scores.values, detector.explain


def test_every_installed_one_is_held_to_the_contract() -> None:
    assert {point.name for point in entry_points(group="shiftwatch.detectors")} == set(FAULTS) | OWN_FRAMES


@pytest.mark.parametrize("name", FAULTS)
class TestAll:
    def test_units_have_distinct_stable_keys_and_readable_names(self, name: str) -> None:
        units, values, _ = judge(name, LATER)
        assert units
        assert values.shape == (LATER_ROWS, len(units))
        assert values.dtype == np.float64
        assert len({unit.key for unit in units}) == len(units)
        assert all(unit.name and unit.condition and unit.place.startswith("X") for unit in units)
        assert units == judge(name, LATER.rows(slice(0, 3)))[0]

    def test_the_injected_fault_scores_high_and_ranks_first(self, name: str) -> None:
        fault = FAULTS[name]
        frame = faulty(name)
        units, values, explain = judge(name, frame)
        of_condition = [i for i, unit in enumerate(units) if unit.condition == fault.condition]
        normal, bad = values[:FAULT_ROW, of_condition], values[FAULT_ROW, of_condition]
        assert np.nanmax(bad) > np.nanquantile(normal, MOST)
        worst = of_condition[int(np.nanargmax(bad))]
        evidence = explain(frame, FAULT_ROW, worst)
        assert evidence.ranked[0].name in np.atleast_1d(fault.first)
        assert evidence.summary
        shares = [contribution.share for contribution in evidence.ranked]
        assert shares == sorted(shares, reverse=True)
        assert shares[-1] >= 0
        assert sum(shares) <= 1 + 1e-9

    def test_everything_can_be_explained_also_what_is_normal(self, name: str) -> None:
        units, values, explain = judge(name, LATER)
        for unit in range(len(units)):
            if np.isfinite(values[5, unit]):
                assert explain(LATER, 5, unit).summary

    def test_a_frame_without_any_reading_is_not_judged(self, name: str) -> None:
        empty = sample.with_values(LATER, np.full(LATER.values.shape, np.nan))
        units, values, _ = judge(name, empty)
        for unit, column in zip(units, values.T, strict=True):
            assert np.isnan(column).all() or unit.condition == SILENT

    @pytest.mark.parametrize("quality", [q for q in Quality if q is not Quality.GOOD])
    def test_rows_that_are_not_good_are_not_judged(self, name: str, quality: Quality) -> None:
        units, values, _ = judge(name, sample.with_quality(faulty(name), FAULT_ROW, quality))
        for unit, value in zip(units, values[FAULT_ROW], strict=True):
            silence = unit.condition == SILENT and quality not in (Quality.RAMPING, Quality.MUTED)
            assert np.isnan(value) or silence

    def test_columns_may_come_go_and_move(self, name: str) -> None:
        gone = {"crate:ch01:VMon", "crate:ch01:IMon", "crate:ch01:Status", "ECAL/mass"}
        kept = [column for column in LATER.layout.columns if column.name not in gone]
        layout = Layout(LATER.layout.source, (NEW_CHANNEL, *reversed(kept)))
        frame = sample.selected(faulty(name), layout, missing=2.0)
        before, old, _ = judge(name, faulty(name))
        after, new, _ = judge(name, frame)
        assert not {unit.place for unit in after} & {"X/HV/ch99", "X/HV/ch01"}
        position = {unit.key: i for i, unit in enumerate(after)}
        for i, unit in enumerate(before):
            if unit.name != "ECAL/mass" and unit.place != "X/HV/ch01":
                assert unit.key in position
                if unit.condition != "group_outlier":  # a group is judged by those that are left
                    np.testing.assert_allclose(new[:, position[unit.key]], old[:, i], rtol=1e-9)

    def test_a_source_of_other_columns_has_no_units(self, name: str) -> None:
        units, values, _ = judge(name, sample.gauges(np.ones((4, 3)), source="another"))
        assert not units
        assert values.shape == (4, 0)


@pytest.mark.parametrize("name", DETECTORS)
class TestDetectors:
    def test_it_is_a_detector_that_says_what_it_needs(self, name: str) -> None:
        detector = example_of(name)
        assert isinstance(detector, Detector)
        assert 0 < detector.rows_needed <= HISTORY_ROWS
        assert detector.applies(HISTORY.layout)
        assert not detector.applies(Layout("empty", ()))

    def test_before_it_has_learned_it_says_nothing(self, name: str) -> None:
        scores = example_of(name).score(LATER)
        assert not scores.units
        assert scores.values.shape == (LATER_ROWS, 0)

    def test_constant_readings_are_no_alarm(self, name: str) -> None:
        detector = example_of(name).fit(sample.experiment(HISTORY_ROWS, constant=True))
        later = sample.selected(sample.experiment(HISTORY_ROWS, constant=True), LATER.layout)
        later = replace(later, time_ns=later.time_ns + HISTORY_ROWS * sample.STEP_NS)
        held_back = detector.score(later.rows(slice(0, 150)))
        calibration = Calibration().fit(held_back, later.time_ns[:150])
        tail = calibration.tail_probabilities(detector.score(later.rows(slice(150, None))))
        assert np.isfinite(tail).any()
        assert np.nan_to_num(tail, nan=1.0).min() > 0.5

    def test_the_same_history_gives_the_same_scores(self, name: str) -> None:
        again = example_of(name).fit(HISTORY)
        np.testing.assert_array_equal(again.score(LATER).values, fitted(name).score(LATER).values)

    def test_scoring_the_same_block_again_gives_the_same_scores(self, name: str) -> None:
        detector = fitted(name)
        np.testing.assert_array_equal(detector.score(LATER).values, detector.score(LATER).values)

    def test_blocks_of_any_size_give_the_same_scores(self, name: str) -> None:
        frame, detector = faulty(name), fitted(name)
        blocks = [detector.score(frame.rows(slice(a, b))).values for a, b in ((0, 1), (1, 2), (2, 59), (59, 61), (61, LATER_ROWS))]
        np.testing.assert_allclose(np.concatenate(blocks), fitted(name).score(frame).values, rtol=1e-5, atol=1e-9)

    def test_an_empty_block_has_units_and_no_rows(self, name: str) -> None:
        scores = fitted(name).score(LATER.rows(slice(0, 0)))
        assert scores.values.shape == (0, len(scores.units))

    def test_saved_and_loaded_it_goes_on_as_before(self, name: str) -> None:
        frame, detector = faulty(name), fitted(name)
        detector.score(frame.rows(slice(0, FAULT_ROW)))
        loaded = example_of(name)
        loaded.restore(unpack(pack(detector.state())))
        rest = frame.rows(slice(FAULT_ROW, None))
        expected, scores = detector.score(rest), loaded.score(rest)
        assert scores.units == expected.units
        np.testing.assert_array_equal(scores.values, expected.values)
        unit = int(np.nanargmax(scores.values[0]))
        assert loaded.explain(rest, 0, unit) == detector.explain(rest, 0, unit)

    def test_saved_and_loaded_before_every_block_it_gives_the_same_scores(self, name: str) -> None:
        frame, state, found = faulty(name), fitted_state(name), []
        for first, last in ((0, 1), (1, 30), (30, 31), (31, FAULT_ROW), (FAULT_ROW, LATER_ROWS)):
            loaded = example_of(name)
            loaded.restore(unpack(state))
            found.append(loaded.score(frame.rows(slice(first, last))).values)
            state = pack(loaded.state())
        np.testing.assert_allclose(np.concatenate(found), fitted(name).score(frame).values, rtol=1e-5, atol=1e-9)

    def test_one_wild_reading_in_the_history_does_not_blind_it_to_its_channel(self, name: str) -> None:
        values = HISTORY.values.astype(np.float64)
        values[150, HISTORY.layout.position("crate:ch03:IMon")] = 1e9
        scores: Scores = example_of(name).fit(replace(HISTORY, values=values)).score(faulty(name))
        of_condition = [i for i, unit in enumerate(scores.units) if unit.condition == FAULTS[name].condition]
        # the first row of the fault, or one soon after it: a forest is slow to tell
        bad = scores.values[FAULT_ROW : FAULT_ROW + 5, of_condition]
        assert np.nanmax(bad) > np.nanquantile(scores.values[:FAULT_ROW, of_condition], MOST)

    @pytest.mark.parametrize("wild", [1.7e308, float("-inf")])
    def test_no_reading_is_too_large_or_small_to_be_judged(self, name: str, wild: float) -> None:
        """And none leaves a mark that lasts: what comes long after it is judged as if it had not been."""
        values = LATER.values.astype(np.float64)
        gauges = [i for i, c in zip(LATER.layout.starts, LATER.layout.columns, strict=False) if getattr(c, "kind", None) is Kind.GAUGE]
        values[10, gauges[0]] = wild
        scores, usual = fitted(name).score(replace(LATER, values=values)), fitted(name).score(LATER)
        np.testing.assert_array_equal(np.isnan(scores.values), np.isnan(usual.values))
        assert np.nanmax(np.abs(scores.values[-1] - usual.values[-1])) <= 1.0 + np.nanmax(np.abs(usual.values[-1]))

    def test_a_state_of_another_version_is_refused_by_name(self, name: str) -> None:
        with pytest.raises(ValueError, match="version 99"):
            example_of(name).restore({**unpack(fitted_state(name)), "version": 99})

    def test_rows_that_are_not_good_are_not_learned_from(self, name: str) -> None:
        values = HISTORY.values.astype(np.float64)
        values[100:130] = 1e6
        quality = np.zeros(values.shape, dtype=np.uint8)
        quality[100:130] = Quality.INVALID
        spoilt = example_of(name).fit(replace(HISTORY, values=values, quality=quality))
        fault = FAULTS[name]
        scores: Scores = spoilt.score(faulty(name))
        of_condition = [i for i, unit in enumerate(scores.units) if unit.condition == fault.condition]
        assert np.nanmax(scores.values[FAULT_ROW, of_condition]) > np.nanquantile(scores.values[:FAULT_ROW, of_condition], MOST)
