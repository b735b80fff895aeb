"""How good a schedule was: bounded slowdown, waits, utilisation; and how sure a difference between two is."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from daemon.optimizer.simulator import Outcome
from daemon.optimizer.workload import Array, Jobs

LEVEL = 0.9
"""Of all intervals."""

THRESHOLD_S = 10.0
"""Runs shorter than this count as this long, or the slowdown of jobs of a second would outweigh all others (Feitelson)."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Of the jobs that started; NaN where none did. `never_started` counts the others.

    utilisation: share of the processors that did useful work between the first submission and the last end.
    """

    bounded_slowdown: float
    mean_wait_s: float
    p99_wait_s: float
    longest_wait_s: float
    utilisation: float
    never_started: int


def bounded_slowdown(wait_s: Array, run_s: Array, threshold_s: float = THRESHOLD_S) -> Array:
    """max(1, (wait + run) / max(run, threshold)) of each job, shape (n,)."""
    slowdown: Array = np.maximum(1.0, (wait_s + run_s) / np.maximum(run_s, threshold_s))
    return slowdown


def measure(jobs: Jobs, outcome: Outcome, processors: int) -> Measures:
    """The measures of a simulated schedule on so many processors. A job that was killed waits until its last start."""
    started = ~np.isnan(outcome.start_s)
    never_started = int(np.count_nonzero(~started))
    if not started.any():
        return Measures(nan, nan, nan, nan, nan, never_started)
    wait_s = (outcome.start_s - jobs.submit_s)[started]
    run_s = (outcome.end_s - outcome.start_s)[started]
    span_s = float(outcome.end_s[started].max() - jobs.submit_s[started].min())
    work_core_s = float((run_s * jobs.processors[started]).sum())
    return Measures(
        bounded_slowdown=float(bounded_slowdown(wait_s, run_s).mean()),
        mean_wait_s=float(wait_s.mean()),
        p99_wait_s=float(np.quantile(wait_s, 0.99)),
        longest_wait_s=float(wait_s.max()),
        utilisation=work_core_s / (processors * span_s) if span_s > 0 else 0.0,
        never_started=never_started,
    )


def paired_bootstrap(default: Array, proposed: Array, level: float = LEVEL, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Interval of the mean of default − proposed, both of shape (k,), measured on the same k sequences.

    Percentile bootstrap (Efron) of the differences: what the two share, such as a busy week, cancels. Raises ValueError where the
    shapes differ or are empty.
    """
    if default.shape != proposed.shape or default.size == 0:
        raise ValueError(f"paired bootstrap: shapes {default.shape} and {proposed.shape}")
    difference = default - proposed
    drawn = np.random.default_rng(seed).integers(0, len(difference), size=(resamples, len(difference)))
    low, high = np.quantile(difference[drawn].mean(axis=1), ((1.0 - level) / 2.0, (1.0 + level) / 2.0))
    return float(low), float(high)
