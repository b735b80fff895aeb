"""Which order of the queue would do better than the batch system's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daemon.optimizer.futures import PRIORITY, Future, Futures
from daemon.optimizer.gain import Gain, paired_gain
from daemon.optimizer.measures import THRESHOLD_S, bounded_slowdown
from daemon.optimizer.outlook import Outlook
from daemon.optimizer.policies import ranks
from daemon.optimizer.simulator import simulate
from daemon.optimizer.slices import Sliced, finished
from daemon.optimizer.snapshot import Snapshot
from daemon.optimizer.workload import Array

SLOWDOWN, MEAN_WAIT, P99_WAIT, LONGEST_WAIT = range(4)


@dataclass(frozen=True, slots=True)
class OrderMeasures:
    """What one order gives, as means over the futures: bounded slowdown (10 s threshold), waits in seconds."""

    policy: str
    bounded_slowdown: float
    mean_wait_s: float
    p99_wait_s: float
    longest_wait_s: float


@dataclass(frozen=True, slots=True)
class OrderRules:
    """When a different order may be proposed.

    policies: those tried. starvation_factor: an order is refused where its longest wait is over this factor of the default's.
    gain_least: mean bounded slowdown that the low end of the interval must gain. backfill: whether the batch system backfills.
    """

    policies: tuple[str, ...] = ("fcfs", "sjf", "saf", "f1", "f2", "f3", "f4")
    starvation_factor: float = 1.5
    gain_least: float = 0.0
    backfill: bool = True


@dataclass(frozen=True, slots=True)
class OrderAdvice:
    """The best order of those that starve nobody, against the default.

    accepted: whether to propose it; `reason` says why or why not in one sentence. gain: mean bounded slowdown saved.
    wait_gain_s: mean wait saved. order: ids of the waiting jobs, first to start first. candidates: every policy that was tried.
    """

    accepted: bool
    policy: str
    reason: str
    gain: Gain
    wait_gain_s: Gain
    default: OrderMeasures
    proposed: OrderMeasures
    order: tuple[str, ...]
    candidates: tuple[OrderMeasures, ...]


def advise_order(snapshot: Snapshot, outlook: Outlook | None = None, rules: OrderRules | None = None) -> OrderAdvice:
    """The best of the orders in the rules, by mean bounded slowdown, against the batch system's own order of the queue.

    The order is chosen on one half of the futures and its gain is measured on the other half, because the best of several looks
    better than it is where it was chosen. Raises ValueError for an unknown policy or a queue that is empty.
    """
    return finished(advising_order(snapshot, outlook or Outlook(), rules or OrderRules()))


def advising_order(snapshot: Snapshot, outlook: Outlook, rules: OrderRules) -> Sliced[OrderAdvice]:
    """The same in slices of one simulation."""
    if not snapshot.queued or not rules.policies:
        raise ValueError("advice on an order: no job waits, or no policy is to be tried")
    futures = Futures(snapshot, outlook)
    half = outlook.samples // 2
    tried = {}
    for policy in (PRIORITY, *rules.policies):
        tried[policy] = yield from _waits(futures, range(half), policy, rules.backfill)
    kept = [policy for policy in rules.policies if not _starves(tried[PRIORITY], tried[policy], rules.starvation_factor)]
    best = min(kept or rules.policies, key=lambda policy: float(tried[policy][:, SLOWDOWN].mean()))
    default = yield from _waits(futures, range(half, outlook.samples), PRIORITY, rules.backfill)
    proposed = yield from _waits(futures, range(half, outlook.samples), best, rules.backfill)
    gain = paired_gain(default[:, SLOWDOWN], proposed[:, SLOWDOWN], outlook.seed)
    starved = _starves(default, proposed, rules.starvation_factor)
    return OrderAdvice(
        accepted=not starved and gain.low > rules.gain_least,
        policy=best,
        reason=_order_reason(best, gain, starved, default, proposed, rules),
        gain=gain,
        wait_gain_s=paired_gain(default[:, MEAN_WAIT], proposed[:, MEAN_WAIT], outlook.seed),
        default=_means(PRIORITY, default),
        proposed=_means(best, proposed),
        order=_order(snapshot, futures.draw(0), best),
        candidates=tuple(_means(policy, waits) for policy, waits in tried.items() if policy != PRIORITY),
    )


def _waits(futures: Futures, numbers: range, policy: str, backfill: bool) -> Sliced[Array]:
    """Bounded slowdown, mean, p99 and longest wait in each future of the jobs that do not run now; shape (futures, 4)."""
    rows = []
    for number in numbers:
        future = futures.draw(number)
        outcome = simulate(future.jobs, future.score(policy), future.cluster, backfill=backfill, now_s=0.0)
        started = future.waits & ~np.isnan(outcome.start_s)
        wait_s = (outcome.start_s - future.jobs.submit_s)[started]
        slowdown = bounded_slowdown(wait_s, future.jobs.run_s[started])
        # A queue of which nothing can ever start waits as long in any order.
        rows.append((slowdown.mean(), wait_s.mean(), np.quantile(wait_s, 0.99), wait_s.max()) if started.any() else (1.0, 0.0, 0.0, 0.0))
        yield
    return np.array(rows)


def _starves(default: Array, proposed: Array, factor: float) -> bool:
    """Whether the longest wait is over the factor of the default's; waits under the threshold of the slowdown are no starvation."""
    allowed_s = factor * max(float(default[:, LONGEST_WAIT].mean()), THRESHOLD_S)
    return float(proposed[:, LONGEST_WAIT].mean()) > allowed_s


def _means(policy: str, waits: Array) -> OrderMeasures:
    return OrderMeasures(policy, *(float(mean) for mean in waits.mean(axis=0)))


def _order(snapshot: Snapshot, future: Future, policy: str) -> tuple[str, ...]:
    """Ids of the waiting jobs in the order of a policy."""
    place = ranks(future.score(policy), future.jobs.submit_s)
    queued = np.flatnonzero(future.queue_position >= 0)
    first_to_last = queued[np.argsort(place[queued])]
    return tuple(snapshot.queued[future.queue_position[job]].id for job in first_to_last)


def _order_reason(policy: str, gain: Gain, starved: bool, default: Array, proposed: Array, rules: OrderRules) -> str:
    waits = f"longest wait {_hours(proposed[:, LONGEST_WAIT])} h, by itself {_hours(default[:, LONGEST_WAIT])} h"
    if starved:
        return f"{policy} would starve jobs: {waits}, over {rules.starvation_factor:g} times"
    saved = f"{gain.expected:.3g} of a mean bounded slowdown of {default[:, SLOWDOWN].mean():.3g} (90 %: {gain.low:.3g} to {gain.high:.3g})"
    verdict = "saves" if gain.low > rules.gain_least else "does not surely save enough:"
    return f"{policy} {verdict} {saved}; {waits}"


def _hours(seconds: Array) -> str:
    return f"{float(seconds.mean()) / 3600.0:.1f}"
