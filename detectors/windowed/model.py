"""What detectors of windows have in common: a model of normal windows that says what of a window it does not expect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.windowed.subspace import CHUNK_ROWS, USUAL_ADDED

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class WindowModel(Protocol):
    """A model of windows of `window` consecutive rows of d scaled channels."""

    @property
    def window(self) -> int:
        """Rows of a window."""

    def parts(self, values: Floats, there: Bools | None) -> Floats:
        """What each channel adds to the score of each window, 1 where that is usual; shape (n - window + 1, d).

        values: scaled rows, shape (n, d), 0 where there is no reading; there: where there is one, None: everywhere.
        """

    def expected(self, values: Floats) -> Floats:
        """What the model makes of the last row of one window; values: shape (window, d); result: (d,)."""

    def draw(self, rows: int, seed: int) -> NDArray[np.float64]:
        """Last rows of windows drawn from the model, each by itself; shape (rows, d), scaled."""

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""


def windows_of(values: Floats, window: int) -> Iterator[tuple[slice, Floats]]:
    """Windows, some at a time: which, and they themselves, a view of shape (some, window, d)."""
    values = np.ascontiguousarray(values)
    n, d = values.shape
    shape = (max(0, n - window + 1), window, d)
    view = np.lib.stride_tricks.as_strided(values, shape, (d * values.itemsize, d * values.itemsize, values.itemsize), writeable=False)
    for start in range(0, len(view), CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, len(view)))
        yield rows, view[rows]


def usual_energy(energy: NDArray[np.float64]) -> Floats:
    """What the energy of each channel is divided by, shape (d,), from its mean on normal windows: see `detectors.windowed.subspace`."""
    usual = energy + USUAL_ADDED * energy.mean() if energy.any() else np.ones(len(energy))
    return usual.astype(np.float32)


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)) if count else np.empty(0, dtype=np.int64)
