"""k-means: windows of rows that are like none of the few sorts of windows that there usually are.

Windows of the history are gathered into clusters; a window is compared with the centre that is nearest. For data with a
handful of states (idle, full load, backup) that are each quite the same: between two states lies nothing, where principal components
would see a mixture. Source: KMeansAD, T. Yairi et al., i-SAIRAS (2001), as measured by S. Schmidl et al., PVLDB 15 (2022) 1779.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

from collectors.collector import Options
from detectors.windowed.model import WindowModel, evenly, usual_energy, windows_of
from detectors.windowed.subspace import fitting_window
from detectors.windowed_pca import WindowedPcaDetector, WindowOptions

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

LEARNED_MOST = 6000
"""Windows that clusters are learned from, evenly spread over the history."""
WINDOWS_PER_CLUSTER = 5
"""Windows without which a cluster is not a sort but a single case, from which nothing is any distance away."""
ARRAYS = ("centres", "usual", "shares", "noise")


class KMeansOptions(WindowOptions):
    """Options of the detector `kmeans`."""

    clusters: int = Field(default=20, ge=1)
    """Sorts of windows; fewer where there are fewer windows."""
    seed: int = Field(default=1, ge=0, lt=2**32)


@dataclass(frozen=True, eq=False)
class Centroids:
    """Sorts of windows. centres: shape (k, window x d), row after row; usual: energy of each channel's distance from the nearest one.

    shares: how many of the normal windows each has, shape (k,), together 1; noise: standard deviation of a reading of each channel
    about the nearest centre, shape (d,).
    """

    window: int
    centres: Floats
    usual: Floats
    shares: Floats
    noise: Floats

    def parts(self, values: Floats, there: Bools | None) -> Floats:
        """See `WindowModel`: the root of the energy of the distance from the nearest centre, in parts of the usual one."""
        d = values.shape[1]
        result = np.empty((max(0, len(values) - self.window + 1), d), dtype=np.float32)
        seen = dict(enumerate(windows_of(there.astype(np.float32), self.window))) if there is not None else {}
        for number, (rows, windows) in enumerate(windows_of(values, self.window)):
            flat = windows.reshape(len(windows), -1)
            residual = (flat - self.centres[self._nearest(flat)]).reshape(windows.shape)
            counted = residual * seen[number][1] if seen else residual
            result[rows] = np.sqrt(np.square(counted).sum(axis=1) / self.usual)
        return result

    def expected(self, values: Floats) -> Floats:
        """The last row of the nearest centre."""
        nearest = self._nearest(values.reshape(1, -1))[0]
        last: Floats = self.centres[nearest, -values.shape[1] :]
        return last

    def draw(self, rows: int, seed: int) -> NDArray[np.float64]:
        """Last rows of windows drawn from the model, shape (rows, d): a mixture of normal distributions about the centres."""
        rng, d = np.random.default_rng(seed), len(self.usual)
        sort = rng.choice(len(self.centres), size=rows, p=self.shares / self.shares.sum(dtype=np.float64))
        result: NDArray[np.float64] = self.centres[sort, -d:] + self.noise * rng.standard_normal((rows, d))
        return result

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"window": self.window, **{name: getattr(self, name) for name in ARRAYS}}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Centroids:
        """From a `state`."""
        return cls(int(state["window"]), *(np.asarray(state[name], np.float32) for name in ARRAYS))

    def _nearest(self, flat: Floats) -> NDArray[np.int64]:
        """Of each window the centre with the least distance; the window's own length is the same for all.

        In double precision: a window far from all of them would else be given to one or the other by rounding, which differs
        with the number of windows in a block.
        """
        centres = self.centres.astype(np.float64)
        nearest: NDArray[np.int64] = np.argmin(np.square(centres).sum(axis=1) - 2.0 * (flat.astype(np.float64) @ centres.T), axis=1)
        return nearest


class KMeansDetector(WindowedPcaDetector):
    """Clusters of the windows of each group of gauges. Cost: O(rows x channels x window x clusters), as matrix products.

    Example::

        [detector.kmeans]
        include = ["*:IMon", "*:VMon"]
        clusters = 20
        window_rows = 20
    """

    options_model: ClassVar[type[Options]] = KMeansOptions

    def __init__(self, name: str, options: KMeansOptions) -> None:
        super().__init__(name, options)
        self._clusters, self._seed, self._window = options.clusters, options.seed, options.window_rows

    def learn_windows(self, rows: Floats, whole: Bools) -> WindowModel:
        """Clusters of windows; the same history and seed give the same ones."""
        n, d = rows.shape
        window = fitting_window(n, d, self._window)
        ends = np.flatnonzero(whole[window - 1 :])
        chosen = ends[evenly(len(ends), LEARNED_MOST)]
        flat = (
            np.stack([rows[start : start + window].ravel() for start in chosen]) if len(chosen) else np.zeros((1, window * d), np.float32)
        )
        most = max(1, min(self._clusters, len(np.unique(flat, axis=0)), len(flat) // WINDOWS_PER_CLUSTER))
        with threadpool_limits(1):  # sums of several threads come in any order
            clusters = KMeans(most, n_init=1, random_state=self._seed, algorithm="lloyd").fit(flat)
        shares = (np.bincount(clusters.labels_, minlength=most) / len(flat)).astype(np.float32)
        centres, one = clusters.cluster_centers_.astype(np.float32), np.ones(d, dtype=np.float32)
        plain = Centroids(window, centres, one, shares, one)
        energy = np.square(plain.parts(rows, None)[chosen]).mean(axis=0, dtype=np.float64) if len(chosen) else np.zeros(d)
        return Centroids(window, centres, usual_energy(energy), shares, np.sqrt(energy / window).astype(np.float32))

    def windows_of(self, state: Mapping[str, Any]) -> WindowModel:
        """The same from its `state`."""
        return Centroids.of(state)
