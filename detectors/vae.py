"""Temporal variational autoencoder: windows that a generative network of normal windows finds hard to explain.

Causal convolutions read a window of rows into a few numbers with an uncertainty each; a decoder draws the window from them, with a variance
of its own for each channel. What the decoder expects of a reading has an error bar, which is set by rows held back, such that about
95 % of them lie within two of it. The score compares readings with it channel by channel.
Sources: D. Kingma, M. Welling, ICLR 2014 (arXiv:1312.6114); reconstruction with a variance as a score: J. An, S. Cho, SNU Data Mining
Center (2015); causal convolutions: S. Bai, J. Kolter, V. Koltun, arXiv:1803.01271.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame
from detectors.finding import Uncertainty
from detectors.windowed.generative import LEARNED_MOST, GenerativeWindows, learn_generative
from detectors.windowed.model import WindowModel, evenly
from detectors.windowed.subspace import fitting_window
from detectors.windowed_pca import WindowedPcaDetector, WindowOptions

torch.set_num_threads(1)  # more threads make such small networks slower, and everything else beside them

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

WINDOW_ROWS = 16


class VaeOptions(WindowOptions):
    """Options of the detector `vae`."""

    window_rows: int = Field(default=WINDOW_ROWS, ge=1)
    """Rows that are judged together; shorter where there is little history for so many channels."""
    latent: int = Field(default=0, ge=0)
    """Numbers that a window is described with; 0: the square root of the number of channels, and two more."""
    steps: int = Field(default=1500, ge=1)
    """Steps of training, each on 128 windows."""
    seed: int = Field(default=1, ge=0)


class VaeDetector(WindowedPcaDetector):
    """A variational autoencoder of the windows of each group of gauges, trained with torch on one thread.

    Cost: seconds to train, whatever the length of the history; O(rows x channels x window) to score, some ten times that of
    `windowed_pca`.

    Example::

        [detector.vae]
        include = ["*:IMon", "*:VMon"]
        window_rows = 16
    """

    options_model: ClassVar[type[Options]] = VaeOptions

    def __init__(self, name: str, options: VaeOptions) -> None:
        super().__init__(name, options)
        self._vae = options

    def learn_windows(self, rows: Floats, whole: Bools) -> WindowModel:
        """Trains on the earlier windows, calibrates its error bars on the later ones; the same history and seed give the same network."""
        n, d = rows.shape
        window = fitting_window(n, d, self._vae.window_rows)
        ends = np.flatnonzero(whole[window - 1 :])
        chosen = ends[evenly(len(ends), LEARNED_MOST)]
        latent = self._vae.latent or round(d**0.5) + 2
        return learn_generative(rows, chosen, window, latent, self._vae.steps, self._vae.seed)

    def windows_of(self, state: Mapping[str, Any]) -> WindowModel:
        """The same from its `state`."""
        return GenerativeWindows.of(state)

    def uncertainty(self, frame: Frame, row: int, unit: int) -> Uncertainty:
        """How far the readings at hand leave open what they show: see `GenerativeWindows.doubt`; the other parts are not known here."""
        view = self._groups.views.of(frame.layout)[unit]
        model, found = self._models[view.number].windows, self._judged(frame)[unit]
        window = slice(row, row + model.window)
        doubt = model.doubt(found.rows[window], found.there[window]) if isinstance(model, GenerativeWindows) else float("nan")
        return Uncertainty(float("nan"), float("nan"), doubt, float("nan"))
