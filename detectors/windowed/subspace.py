"""Principal components of windows of consecutive rows, and what of a window lies outside them (the residual).

A window of w rows of d channels is one vector of w x d numbers: its components hold how channels go together and how they go
on in time (M. Jolliffe, Principal Component Analysis; V. Moskvina, A. Zhigljavsky, Commun. Stat. Simul. 32 (2003) 319 for
windows). The energy of the residual is taken channel by channel in parts of what is usual for that channel: channels that the
components describe well are sharp instruments, and a sum of plain squares would drown them in the noise of the others. Of the
energies the root is summed (the L2,1 norm; C. Ding et al., ICML 2006), so that one wild channel does not outweigh all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

USUAL_ADDED = 5.0
"""So many times the mean usual energy of all channels is added to each one's own: between parts of the usual energy of each
channel, which overrate those that were quiet while the model learned, and plain energies, which overrate the noisy ones."""
CHUNK_ROWS = 512
"""Windows that are worked on at a time: as many as stay in the cache."""
WINDOWS_PER_NUMBER = 3
"""Windows that each number of a window needs to be learned from, or the window is made shorter."""
NUMBERS_MOST = 4096
"""Numbers of a window, or windows learned from, beyond which the window is made shorter, or windows are left out evenly."""
ARRAYS = ("mean", "components", "usual", "variance", "noise")


@dataclass(frozen=True, eq=False)
class Subspace:
    """What windows of `window` rows have in common.

    mean: shape (window x d,); components: (window x d, k), orthonormal; both in the order row after row. usual: energy of the
    residual of each channel that normal windows have on average, shape (d,), never 0. variance: of normal windows along each
    component, shape (k,); noise: standard deviation of what is left of a reading of each channel, shape (d,).
    """

    window: int
    mean: Floats
    components: Floats
    usual: Floats
    variance: Floats
    noise: Floats

    def parts(self, values: Floats, there: Bools | None) -> Floats:
        """Root of each channel's energy in parts of the usual one; shape (n - window + 1, d).

        values: scaled rows, shape (n, d), 0 where there is no reading; there: where there is one, None: everywhere.
        """
        d = values.shape[1]
        result = np.empty((max(0, len(values) - self.window + 1), d), dtype=np.float32)
        gather = np.tile(np.diag(1.0 / self.usual).astype(np.float32), (self.window, 1))
        seen = None if there is None else _windows(there.astype(np.float32), self.window)
        for rows, residual in self._residuals(values):
            counted = residual if seen is None else residual * seen[rows]
            result[rows] = np.square(counted, out=counted) @ gather
        root: Floats = np.sqrt(result, out=result)
        return root

    def expected(self, values: Floats) -> Floats:
        """What the components make of the last row of one window; values: shape (window, d); result: (d,)."""
        centred = values.ravel() - self.mean
        d = values.shape[1]
        last = self.mean[-d:] + self.components[-d:] @ (centred @ self.components)
        return last.astype(np.float32)

    def draw(self, rows: int, seed: int) -> NDArray[np.float64]:
        """Last rows of windows drawn from the model, shape (rows, d): normal along the components, and by itself in each channel.

        Probabilistic principal components (M. Tipping, C. Bishop, J. R. Stat. Soc. B 61 (1999) 611), each channel with a noise
        of its own.
        """
        rng, d = np.random.default_rng(seed), len(self.usual)
        along = rng.standard_normal((rows, len(self.variance))) * np.sqrt(self.variance)
        result: NDArray[np.float64] = self.mean[-d:] + along @ self.components[-d:].T + self.noise * rng.standard_normal((rows, d))
        return result

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"window": self.window, **{name: getattr(self, name) for name in ARRAYS}}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Subspace:
        """From a `state`."""
        return cls(int(state["window"]), *(np.asarray(state[name], dtype=np.float32) for name in ARRAYS))

    def _residuals(self, values: Floats) -> Iterator[tuple[slice, Floats]]:
        """Windows less their mean and what the components make of them, some rows at a time."""
        windows, back = _windows(values, self.window), np.ascontiguousarray(self.components.T)
        for start in range(0, len(windows), CHUNK_ROWS):
            rows = slice(start, min(start + CHUNK_ROWS, len(windows)))
            centred = windows[rows] - self.mean
            centred -= (centred @ self.components) @ back
            yield rows, centred


def learn_subspace(values: Floats, whole: Bools, window: int, variance_ratio: float) -> Subspace:
    """Components that hold this part of the variance of the windows.

    values: scaled rows, shape (n, d); whole: shape (n,), whether the row and those before it make a window without a gap. A
    history that is short for so long a window gives a shorter one.
    """
    n, d = values.shape
    window = fitting_window(n, d, window)
    chosen = np.flatnonzero(whole[window - 1 :])
    chosen = chosen[:: max(1, -(-len(chosen) // max(NUMBERS_MOST, WINDOWS_PER_NUMBER * window * d * 4)))]
    mean, covariance = _moments(_windows(values, window), chosen)
    rising, vectors = np.linalg.eigh(covariance)
    variance = np.maximum(rising[::-1], 0.0)
    kept = int(np.searchsorted(np.cumsum(variance), variance_ratio * variance.sum())) + 1 if variance.sum() > 0 else 0
    kept = min(kept, len(variance) - 1)
    components = np.ascontiguousarray(vectors[:, ::-1][:, :kept].astype(np.float32))
    held, none = variance[:kept].astype(np.float32), np.zeros(d, dtype=np.float32)
    learned = Subspace(window, mean, components, np.ones(d, dtype=np.float32), held, none)
    energy = np.square(learned.parts(values, None)[chosen]).mean(axis=0, dtype=np.float64)
    usual = energy + USUAL_ADDED * energy.mean() if energy.any() else np.ones(d)
    return Subspace(window, mean, components, usual.astype(np.float32), held, np.sqrt(energy / window).astype(np.float32))


def fitting_window(rows: int, channels: int, window: int) -> int:
    """The window, or as long a one as can be learned from so many rows of so many channels."""
    return int(np.clip(min(rows // (WINDOWS_PER_NUMBER * channels), NUMBERS_MOST // channels), 1, window))


def _moments(windows: Floats, chosen: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float64]]:
    """Mean and covariance of some windows; sums in float64, products in float32."""
    width = windows.shape[1]
    total, products = np.zeros(width), np.zeros((width, width))
    for start in range(0, len(chosen), CHUNK_ROWS):
        part = windows[chosen[start : start + CHUNK_ROWS]]
        total += part.sum(axis=0, dtype=np.float64)
        products += part.T @ part
    mean = total / max(1, len(chosen))
    return mean.astype(np.float32), products / max(1, len(chosen)) - np.outer(mean, mean)


def _windows(values: Floats, window: int) -> Floats:
    """Windows as rows, row after row of each, without a copy; shape (n - window + 1, window x d)."""
    values = np.ascontiguousarray(values)
    n, d = values.shape
    shape = (max(0, n - window + 1), window * d)
    return np.lib.stride_tricks.as_strided(values, shape, (d * values.itemsize, values.itemsize), writeable=False)
