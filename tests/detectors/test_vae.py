"""The temporal variational autoencoder: rhythms, error bars that hold, and data that it makes up itself."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.finding import Uncertain
from detectors.state_codec import pack, unpack
from detectors.vae import VaeDetector, VaeOptions
from detectors.windowed.generative import GenerativeWindows
from tests.detectors import sample_frames as sample

ROWS, LATER, AT = 2000, 400, 200
NOISE = np.array([0.1, 0.3, 0.1])


def rhythm(rows: int, seed: int, first_row: int = 0, period: float = 24.0) -> Frame:
    """Three channels that go up and down together, a quarter of a period apart."""
    at = np.arange(first_row, first_row + rows)
    phases = np.array([0.0, np.pi / 2, np.pi])
    values = np.sin(2 * np.pi * at[:, None] / period + phases) + NOISE * np.random.default_rng(seed).standard_normal((rows, 3))
    return sample.frame(sample.gauges(values).layout, values, first_row)


@cache
def fitted() -> VaeDetector:
    return VaeDetector("vae", VaeOptions(steps=600)).fit(rhythm(ROWS, 1))


def scores(frame: Frame) -> NDArray[np.float64]:
    return fitted().score(frame).values[:, 0]


def test_a_rhythm_that_stops_is_seen_though_every_row_alone_is_usual() -> None:
    frame = rhythm(LATER, 2, ROWS)
    frame.values[AT:] = rhythm(1, 3, ROWS + AT).values  # stands still where it was
    found = scores(frame)
    assert np.median(found[AT + 16 :]) > np.quantile(found[20:AT], 0.99)


def test_its_error_bars_hold() -> None:
    detector, frame = fitted(), rhythm(LATER, 4, ROWS)
    view = detector._groups.views.of(frame.layout)[0]
    model = detector._models[0]
    z, there = detector._groups.matrix(frame, view, 1e6)
    rows = model.scaled(z, there)
    window = model.windows.window
    expected = np.array([model.windows.expected(rows[i : i + window]) for i in range(len(rows) - window + 1)])
    sigma = model.windows.state()["sigma"]
    within = (np.abs(rows[window - 1 :] - expected) < 2 * sigma).mean()
    assert 0.90 < within < 0.99


def test_data_that_it_makes_up_look_like_the_data() -> None:
    drawn, real = fitted().simulate(4000, seed=5), rhythm(ROWS, 1).values
    np.testing.assert_allclose(drawn.mean(axis=0), real.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.35)
    assert np.asarray(np.corrcoef(drawn.T))[0, 2] < -0.5  # half a period apart


def test_usual_readings_leave_no_more_doubt_than_the_calibration_knows_of() -> None:
    detector, frame = fitted(), rhythm(200, 6, ROWS)
    assert isinstance(detector, Uncertain)
    detector.score(frame)
    parts = [detector.uncertainty(frame, row, 0) for row in range(20, 200, 10)]
    assert np.isnan([(one.training_run, one.training_data) for one in parts]).all()  # one network and one sample cannot tell
    assert 0 <= np.median([one.statistics for one in parts]) < 2


def test_readings_that_are_missing_add_nothing_to_the_doubt() -> None:
    """What is put in their place is far from what is decoded, and is no reading."""
    model = fitted()._models[0].windows
    assert isinstance(model, GenerativeWindows)
    rows = np.zeros((model.window, 3), dtype=np.float32)
    there = np.ones(rows.shape, dtype=np.bool_)
    assert model.spread(rows, there) > 0
    assert model.spread(rows, ~there) == 0


def test_saved_and_loaded_it_is_the_same_network() -> None:
    loaded = VaeDetector("vae", VaeOptions(steps=600))
    loaded.restore(unpack(pack(fitted().state())))
    np.testing.assert_allclose(loaded.simulate(10, seed=1), fitted().simulate(10, seed=1))


def test_the_same_seed_trains_the_same_network() -> None:
    first, again = (VaeDetector("vae", VaeOptions(steps=20, seed=4)).fit(rhythm(400, 1)) for _ in range(2))
    other = VaeDetector("vae", VaeOptions(steps=20, seed=5)).fit(rhythm(400, 1))
    np.testing.assert_array_equal(first.simulate(5, 0), again.simulate(5, 0))
    assert not np.array_equal(first.simulate(5, 0), other.simulate(5, 0))


def test_a_reading_that_is_missing_is_no_alarm() -> None:
    frame = rhythm(LATER, 7, ROWS)
    frame.values[AT : AT + 3, 1] = np.nan
    found = scores(frame)
    assert np.isfinite(found).all()
    assert found[AT] < 3 * np.median(found)


def test_a_model_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 7"):
        VaeDetector("vae", VaeOptions()).restore({"version": 7})
