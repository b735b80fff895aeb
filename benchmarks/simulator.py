"""Jobs a second of the batch simulator, as a multiple of the same algorithm in plain Python (lists, heapq, bisect).

Both simulate the same synthetic workload of 1,024-job sequences on 256 processors, with and without EASY backfilling, and must start each
job at the same second. The compilation (once after an installation) is not counted.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

import numpy as np

from benchmarks.measure import Round, main
from daemon.optimizer.policies import ranks, scores
from daemon.optimizer.simulator import Cluster, simulate
from daemon.optimizer.workload import Array, Jobs

PROCESSORS, LENGTH, SEQUENCES = 256, 1024, 20


def workload(seed: int) -> Jobs:
    """Jobs of widely different size and length, somewhat more than the machine can take, so that a queue builds up."""
    random = np.random.default_rng(seed)
    run_s = np.ceil(10.0 ** random.uniform(0.5, 4.5, LENGTH))
    processors = 2 ** random.integers(0, 8, LENGTH)
    gap_s = 0.9 * float((run_s * processors).mean()) / PROCESSORS
    return Jobs(
        id=np.arange(LENGTH, dtype=np.int64),
        submit_s=np.floor(np.cumsum(random.exponential(gap_s, LENGTH))),
        run_s=run_s,
        requested_s=np.ceil(run_s * random.choice([1.0, 2.0, 5.0], LENGTH)),
        processors=processors.astype(np.int64),
    )


class PlainSimulator:
    """One pool of processors, a queue sorted by rank, a heap of ends and a sorted list of expected ends."""

    def __init__(self, jobs: Jobs, score: Array, processors: int) -> None:
        self.submit_s = jobs.submit_s.tolist()
        self.run_s = jobs.run_s.tolist()
        self.requested_s = jobs.requested_s.tolist()
        self.needed = jobs.processors.tolist()
        self.rank = ranks(score, jobs.submit_s).tolist()
        self.start_s = [inf] * len(jobs)
        self.free = processors
        self.queue: list[tuple[int, int]] = []
        self.ends: list[tuple[float, int]] = []
        self.expected: list[tuple[float, int]] = []

    def simulate(self, backfill: bool) -> list[float]:
        """Start of each job."""
        submitted = 0
        while submitted < len(self.submit_s) or self.ends:
            now_s = min(self.submit_s[submitted] if submitted < len(self.submit_s) else inf, self.ends[0][0] if self.ends else inf)
            while self.ends and self.ends[0][0] <= now_s:
                job = heappop(self.ends)[1]
                self.free += self.needed[job]
                del self.expected[bisect_left(self.expected, (self.start_s[job] + self.requested_s[job], job))]
            while submitted < len(self.submit_s) and self.submit_s[submitted] <= now_s:
                insort(self.queue, (self.rank[submitted], submitted))
                submitted += 1
            self.schedule(now_s, backfill)
        return self.start_s

    def schedule(self, now_s: float, backfill: bool) -> None:
        """Starts from the head of the queue, then backfills behind the first job that does not fit."""
        heads = 0
        while heads < len(self.queue) and self.needed[self.queue[heads][1]] <= self.free:
            self.start(self.queue[heads][1], now_s)
            heads += 1
        del self.queue[:heads]
        if not backfill or not self.queue or not self.free:
            return
        shadow_s, extra = self.reservation(self.needed[self.queue[0][1]], now_s)
        filled = set()
        for place in range(1, len(self.queue)):
            job = self.queue[place][1]
            in_time = now_s + self.requested_s[job] <= shadow_s
            if self.needed[job] <= self.free and (in_time or self.needed[job] <= extra):
                extra -= 0 if in_time else self.needed[job]
                self.start(job, now_s)
                filled.add(place)
                if not self.free:
                    break
        if filled:
            self.queue = [entry for place, entry in enumerate(self.queue) if place not in filled]

    def start(self, job: int, now_s: float) -> None:
        """Notes a job as running."""
        self.start_s[job] = now_s
        self.free -= self.needed[job]
        heappush(self.ends, (now_s + self.run_s[job], job))
        insort(self.expected, (now_s + self.requested_s[job], job))

    def reservation(self, needed: int, now_s: float) -> tuple[float, int]:
        """Shadow time and extra processors of the head of the queue."""
        available, shadow_s = self.free, inf
        for expected_s, job in self.expected:
            if max(now_s, expected_s) > shadow_s:
                break
            available += self.needed[job]
            if available >= needed:
                shadow_s = max(now_s, expected_s)
        return shadow_s, available - needed


def plain(jobs: Jobs, score: Array, backfill: bool) -> Array:
    """Start of each job in plain Python, shape (n,)."""
    return np.array(PlainSimulator(jobs, score, PROCESSORS).simulate(backfill))


def ours(jobs: Jobs, score: Array, backfill: bool) -> Array:
    """Start of each job by the product's simulator, shape (n,)."""
    return simulate(jobs, score, Cluster.empty([PROCESSORS]), backfill=backfill).start_s


def jobs_per_s(simulator: Callable[[Jobs, Array, bool], Array], sequences: list[Jobs], backfill: bool) -> tuple[float, list[Array]]:
    """Simulated jobs a second of wall time, and the starts."""
    scored = [(jobs, scores("saf", jobs.requested_s, jobs.processors, jobs.submit_s)) for jobs in sequences]
    started = time.perf_counter()
    starts = [simulator(jobs, score, backfill) for jobs, score in scored]
    return len(sequences) * LENGTH / (time.perf_counter() - started), starts


def measure(number: int) -> Round:
    """One round: both simulators, in alternating order, over the same new sequences."""
    sequences = [workload(number * SEQUENCES + i) for i in range(SEQUENCES)]
    figures: dict[str, float] = {}
    for backfill, name in ((False, "no_backfill"), (True, "easy")):
        speed, starts = {}, {}
        for simulator in (plain, ours) if number % 2 else (ours, plain):
            speed[simulator], starts[simulator] = jobs_per_s(simulator, sequences, backfill)
        if not all(np.array_equal(a, b) for a, b in zip(starts[plain], starts[ours], strict=True)):
            raise RuntimeError(f"{name}: the two simulators start a job at different times")
        figures[f"{name}_jobs_per_s"] = speed[ours]
        figures[f"{name}_vs_plain_python"] = speed[ours] / speed[plain]
    return figures


if __name__ == "__main__":
    ours(workload(0), np.zeros(LENGTH), backfill=True)  # compiles
    main("simulator", __doc__ or "", measure, rounds=5)
