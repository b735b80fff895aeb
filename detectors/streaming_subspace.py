"""Principal components that are learned on as rows come in: mean and covariance that forget, for `detectors.streaming_pca`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PULL_MOST = 3.0
"""A reading is learned from as if it were at most this many spreads from the mean (P. Huber's influence function)."""
ARRAYS = ("mean", "triangle", "usual", "components", "pending")


@dataclass(frozen=True, eq=False)
class Learned:
    """Of a group of d channels, in scaled readings: mean (d,), covariance, usual energy of each residual (d,), components (d, k).

    triangle: the covariance at and above its diagonal, row by row: half the memory and state. components: the directions that
    hold most of the variance, as they were at the last update. pending: rows that were not learned from yet, (r, d); seen: how
    many there were since the last update, counting those that are left out.
    """

    mean: Array
    triangle: Array
    usual: Array
    components: Array
    pending: Array
    seen: int

    @property
    def covariance(self) -> Array:
        """Shape (d, d)."""
        d = len(self.mean)
        full = np.zeros((d, d))
        full[np.triu_indices(d)] = self.triangle
        return full + np.triu(full, 1).T

    def arrays(self, number: int) -> dict[str, NDArray[Any]]:
        """By name, to be carried from block to block."""
        named = {name: getattr(self, name) for name in ARRAYS}
        return {f"{name}{number}": array for name, array in {**named, "seen": np.array([self.seen])}.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], number: int) -> Learned:
        """From `arrays`."""
        mean, triangle, usual, components, pending = (arrays[f"{name}{number}"] for name in ARRAYS)
        return cls(mean, triangle, usual, components, pending, int(arrays[f"seen{number}"][0]))

    def draw(self, rows: int, seed: int) -> Array:
        """Rows drawn from the model, shape (rows, d): normal along the components, and by itself in each channel's residual."""
        covariance, rng = self.covariance, np.random.default_rng(seed)
        held = np.linalg.cholesky(_positive(self.components.T @ covariance @ self.components)) if self.components.size else np.empty((0, 0))
        shared = self.components @ held
        rest = np.maximum(np.diag(covariance) - np.square(shared).sum(axis=1), 0.0)
        common = rng.standard_normal((rows, held.shape[0])) @ shared.T
        result: Array = self.mean + common + np.sqrt(rest) * rng.standard_normal((rows, len(rest)))
        return result


def components_of(covariance: Array, variance_ratio: float) -> Array:
    """Directions that hold this part of the variance, shape (d, k)."""
    rising, vectors = np.linalg.eigh(covariance)
    variance = np.maximum(rising[::-1], 0.0)
    total = variance.sum()
    kept = int(np.searchsorted(np.cumsum(variance), variance_ratio * total)) + 1 if total > 0 else 0
    return np.ascontiguousarray(vectors[:, ::-1][:, : min(kept, len(variance) - 1)])


def residual_of(learned: Learned, x: Array) -> tuple[Array, Array]:
    """What is left of rows, and what the components expect of them; both (n, d)."""
    centred = x - learned.mean
    # a product of single rows and one of many differ in rounding; einsum does not
    held = np.einsum("nk,dk->nd", np.einsum("nd,dk->nk", centred, learned.components), learned.components)
    return centred - held, learned.mean + held


def updated(learned: Learned, weight: float, variance_ratio: float) -> Learned:
    """With the pending rows learned: each forgets a `weight` of what was before."""
    if not len(learned.pending):
        return replace(learned, seen=0)
    pull = np.clip(learned.pending - learned.mean, -PULL_MOST, PULL_MOST)
    share = 1.0 - (1.0 - weight) ** len(pull)
    mean = learned.mean + share * pull.mean(axis=0)
    covariance = (1.0 - share) * learned.covariance + share * (pull.T @ pull) / len(pull)
    triangle = covariance[np.triu_indices(len(mean))]
    return Learned(mean, triangle, learned.usual, components_of(covariance, variance_ratio), learned.pending[:0], 0)


def _positive(matrix: Array) -> Array:
    """The matrix, made positive definite where rounding has left it just short of it."""
    return np.asarray(matrix + 1e-12 * max(float(np.trace(matrix)), 1e-12) * np.eye(len(matrix)))
