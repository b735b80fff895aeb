"""The isolation forest from flat arrays against scikit-learn: the same model, the same scores, one thread.

A forest of 100 trees on 32 features, each tree grown on 256 samples, scores batches of 1, 64 and 4,096 rows. Both sides get
float32 rows, as scikit-learn wants them. `vs_sklearn_N` is the ratio of rows a second in batches of N, `rows_s_N` ours;
`differing_scores` counts the scores that are not the same to the last bit, over normal rows, rows far out and rows that lie
exactly on thresholds of the forest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

from benchmarks.measure import Round, main
from detectors.packed_forest import PackedForest, pack

TREES, FEATURES, SAMPLES, TRAINING_ROWS, SEED = 100, 32, 256, 10_000, 1
COMPARED_ROWS = 20_000
CALLS = {1: (2000, 5), 64: (300, 5), 4096: (10, 2)}
"""By rows in a batch: calls of ours and of scikit-learn that are timed together."""
PASSES = 5

Array = NDArray[np.float32]
Scoring = Callable[[Array], NDArray[np.float64]]


def model() -> tuple[IsolationForest, PackedForest]:
    """The forest of scikit-learn and the same one packed."""
    rows = np.random.default_rng(SEED).normal(size=(TRAINING_ROWS, FEATURES)).astype(np.float32)
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=SEED, n_jobs=1).fit(rows)
    return forest, pack([tree.tree_ for tree in forest.estimators_], SAMPLES)


def rows_of(count: int, seed: int, packed: PackedForest) -> Array:
    """Normal rows; every third is far out, and every fourth has readings that are thresholds of the forest."""
    rng = np.random.default_rng(seed)
    rows: Array = rng.normal(size=(count, FEATURES)).astype(np.float32)
    rows[::3] *= 5.0
    inner = np.flatnonzero(np.isfinite(packed.threshold))  # no leaf
    chosen = rng.choice(inner, size=(len(rows[::4]), 8))
    rows[::4][np.arange(len(chosen))[:, None], packed.feature[chosen]] = packed.threshold[chosen]
    return rows


def seconds(score: Scoring, batches: list[Array]) -> float:
    """Seconds for each call."""
    started = time.perf_counter()
    for batch in batches:
        score(batch)
    return (time.perf_counter() - started) / len(batches)


def compared(number: int, size: int, ours: Scoring, theirs: Scoring) -> tuple[float, float]:
    """The ratio of the rates in batches of this size, median of passes whose order alternates, and our rows a second."""
    calls, their_calls = CALLS[size]
    rows = np.random.default_rng(number).normal(size=(calls, size, FEATURES)).astype(np.float32)
    batches = list(rows)
    ratios, rates = [], []
    for turn in range(number, number + PASSES):
        slow = seconds(theirs, batches[:their_calls]) if turn % 2 else 0.0
        fast = seconds(ours, batches)
        slow = slow or seconds(theirs, batches[:their_calls])
        ratios.append(slow / fast)
        rates.append(size / fast)
    return median(ratios), median(rates)


def run() -> None:
    """Grows the forest once and measures in rounds."""
    forest, packed = model()

    def theirs(rows: Array) -> NDArray[np.float64]:
        return np.asarray(-forest.score_samples(rows))

    packed.score(np.zeros((1, FEATURES), dtype=np.float32))  # compiles

    def measure(number: int) -> Round:
        rows = rows_of(COMPARED_ROWS, number, packed)
        figures = {"differing_scores": float((theirs(rows) != packed.score(rows)).sum())}
        for size in CALLS:
            figures[f"vs_sklearn_{size}"], figures[f"rows_s_{size}"] = compared(number, size, packed.score, theirs)
        return figures

    with threadpool_limits(1):
        main("forest", __doc__ or "", measure, rounds=5)


if __name__ == "__main__":
    run()
