"""What is submitted while a simulated queue is worked off."""

from __future__ import annotations

import numpy as np

from daemon.optimizer.outlook import DEFAULT_RUN_TIME_RATIOS, Outlook
from daemon.optimizer.workload import Array, Jobs

LEAST_RECORDED = 30
"""Fewer recorded jobs say too little of run times and arrivals."""


def run_time_ratios(outlook: Outlook) -> Array:
    """Run time ÷ requested time to sample from, ascending: those given, else the recorded ones, else the default."""
    recorded = [job.run_s / job.requested_s for job in outlook.finished if job.run_s > 0 and job.requested_s > 0]
    return np.sort(outlook.run_time_ratios or (recorded if len(recorded) >= LEAST_RECORDED else DEFAULT_RUN_TIME_RATIOS))


class Arrivals:
    """Jobs submitted within the horizon of an outlook, in seconds from now.

    Where the records are longer than the horizon, a random stretch of them as it was, with its bursts and nights. Where they are
    shorter, recorded jobs at random moments, as many as there were; where there are none, jobs like those at hand, as many as the load
    asks for.
    """

    def __init__(self, outlook: Outlook, at_hand: Jobs, processors: int, processors_most: int) -> None:
        """`processors` are in service; a recorded job that needs more than `processors_most` could never run and is left out."""
        self._horizon_s = outlook.horizon_s
        self._ratios = run_time_ratios(outlook)
        self._pool = _recorded(outlook, processors_most)
        self._resampled = len(self._pool) < LEAST_RECORDED
        self._span_s = 0.0
        if self._resampled:
            self._pool = at_hand
            work_core_s = float((at_hand.requested_s * at_hand.processors).sum() / max(len(at_hand), 1) * self._ratios.mean())
            self._rate_per_s = outlook.load_ratio * processors / work_core_s if work_core_s else 0.0
        else:
            self._span_s = float(self._pool.submit_s[-1])
            self._rate_per_s = len(self._pool) / max(self._span_s, 1.0)

    def draw(self, random: np.random.Generator) -> Jobs:
        """One sample, sorted by submission."""
        if self._span_s > self._horizon_s:
            from_s = random.uniform(0.0, self._span_s - self._horizon_s)
            first, last = np.searchsorted(self._pool.submit_s, (from_s, from_s + self._horizon_s))
            stretch = self._pool.part(slice(int(first), int(last)))
            return Jobs(stretch.id, stretch.submit_s - from_s, stretch.run_s, stretch.requested_s, stretch.processors)
        count = int(random.poisson(self._rate_per_s * self._horizon_s)) if len(self._pool) else 0
        drawn = self._pool.part(random.integers(0, max(len(self._pool), 1), size=count))
        run_s = drawn.requested_s * random.choice(self._ratios, size=count) if self._resampled else drawn.run_s
        return Jobs(drawn.id, np.sort(random.uniform(0.0, self._horizon_s, size=count)), run_s, drawn.requested_s, drawn.processors)


def _recorded(outlook: Outlook, processors_most: int) -> Jobs:
    """The usable recorded jobs, sorted, in seconds from the first submission."""
    usable = [job for job in outlook.finished if 1 <= job.processors <= processors_most and job.run_s >= 0 and job.requested_s > 0]
    usable.sort(key=lambda job: job.submitted_ns)
    return Jobs(
        id=np.arange(len(usable), dtype=np.int64),
        submit_s=np.array([job.submitted_ns - usable[0].submitted_ns for job in usable], dtype=np.float64) / 1e9,
        run_s=np.array([job.run_s for job in usable], dtype=np.float64),
        requested_s=np.array([job.requested_s for job in usable], dtype=np.float64),
        processors=np.array([job.processors for job in usable], dtype=np.int64),
    )
