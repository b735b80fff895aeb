"""Rows a second and core that each detector of metrics scores, at 38 channels, in blocks of 4,096 rows, default options.

Seconds are those of the processor, of all threads together: a second thread does not make a detector look faster. Beside each
rate stands `NAME_share_of_limit`, the ratio to the bare minimum, one float32 product of the same rows with a matrix of channels
by channels, timed in the same round. `NAME_fit_s` is what a fit on 5,000 rows takes.
"""

from __future__ import annotations

import logging
import sys
import time
from functools import cache

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has none

from benchmarks.measure import Round, main
from collectors.frame import Channel, Frame, Layout
from daemon import plugins
from detectors.finding import Detector

CHANNELS, BLOCK_ROWS, BLOCKS, TRAINING_ROWS = 38, 4096, 6, 5_000
STEP_NS, DAY_ROWS = 60_000_000_000, 1440
LIMIT_CALLS = 400
NAMES = (
    "ensemble", "windowed_pca", "streaming_pca", "robust_z", "isolation_forest", "kmeans", "autoencoder", "vae", "novelty", "ewma",
)  # fmt: skip
LAYOUT = Layout("host", tuple(Channel(f"metric{i}", f"metric{i}", "", place="host") for i in range(CHANNELS)))


def frame(first_row: int, rows: int) -> Frame:
    """Metrics of a host, a row a minute: a daily rhythm, what channels have in common, and noise with memory."""
    rng = np.random.default_rng(first_row)
    at = first_row + np.arange(rows)
    mixing = np.random.default_rng(0).normal(size=(6, CHANNELS))
    common = np.cumsum(rng.normal(size=(rows, 6)), axis=0) * 0.02 + np.sin(2 * np.pi * at / DAY_ROWS)[:, None]
    values = common @ mixing + 0.3 * rng.normal(size=(rows, CHANNELS))
    return Frame(LAYOUT, at.astype(np.int64) * STEP_NS, values)


def limit() -> float:
    """Rows a second of the bare minimum."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(BLOCK_ROWS, CHANNELS)).astype(np.float32)
    matrix = rng.normal(size=(CHANNELS, CHANNELS)).astype(np.float32)
    out = np.empty_like(rows)
    np.matmul(rows, matrix, out=out)
    started = time.process_time()
    for _ in range(LIMIT_CALLS):
        np.matmul(rows, matrix, out=out)
    return LIMIT_CALLS * BLOCK_ROWS / (time.process_time() - started)


@cache
def fitted(name: str) -> tuple[Detector, float]:
    """A detector that has learned, and the seconds that this took. Raises PluginError."""
    made = plugins.load("detectors", name)
    detector: Detector = made(name, made.options_model())
    history = frame(0, max(TRAINING_ROWS, made.rows_needed))
    started = time.process_time()
    detector.fit(history)
    return detector, time.process_time() - started


def rate(name: str, first_row: int) -> float:
    """Rows a second of a detector, over blocks that follow each other."""
    detector, _ = fitted(name)
    blocks = [frame(first_row + number * BLOCK_ROWS, BLOCK_ROWS) for number in range(BLOCKS + 1)]
    detector.score(blocks[0])  # compiles, and fills what it keeps of the rows before
    started = time.process_time()
    for block in blocks[1:]:
        detector.score(block)
    return BLOCKS * BLOCK_ROWS / (time.process_time() - started)


def usable() -> list[str]:
    """Detectors that this installation has; those that are left out are named on stderr."""
    names = []
    for name in NAMES:
        try:
            fitted(name)
        except plugins.PluginError as error:
            print(f"detectors: {name} left out: {error}", file=sys.stderr)
            continue
        names.append(name)
    return names


def run() -> None:
    """Fits every detector once and measures in rounds."""
    logging.disable(logging.WARNING)
    names = usable()

    def measure(number: int) -> Round:
        first_row = TRAINING_ROWS + number * (BLOCKS + 1) * BLOCK_ROWS
        raw = limit()
        figures: dict[str, float] = {"limit_rows_s": raw}
        for name in names if number % 2 else reversed(names):
            figures[f"{name}_rows_s"] = rate(name, first_row)
        for name in names:
            figures[f"{name}_share_of_limit"] = figures[f"{name}_rows_s"] / raw
            figures[f"{name}_fit_s"] = fitted(name)[1]
        return figures

    main("detectors", __doc__ or "", measure)


if __name__ == "__main__":
    with threadpool_limits(1):
        run()
