"""Whether draining a node that may fail gains more work than its processors would have done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np

from daemon.optimizer.futures import Future, Futures
from daemon.optimizer.gain import Gain, weighted_gain
from daemon.optimizer.outlook import Outlook
from daemon.optimizer.simulator import Change, NodeEvent, Outcome, simulate
from daemon.optimizer.slices import Sliced, finished
from daemon.optimizer.snapshot import Snapshot
from daemon.optimizer.workload import Array

YEAR_S = 365.25 * 86400.0
CORE_HOUR_S = 3600.0
RESAMPLES = 2000
NORMAL_95 = 1.6449
"""95 % quantile of the standard normal distribution: half of a 90 % interval."""


@dataclass(frozen=True, slots=True)
class FailureRisk:
    """Failures per second of a node as it is now, with a 90 % interval where one is known (else low = high = the value)."""

    hazard_per_s: float
    low_per_s: float
    high_per_s: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.low_per_s <= self.hazard_per_s <= self.high_per_s < float("inf"):
            raise ValueError(f"failures per second {self.low_per_s}, {self.hazard_per_s}, {self.high_per_s}: not an interval from 0")

    @classmethod
    def from_annual_rate(cls, rate: float, low: float | None = None, high: float | None = None) -> FailureRisk:
        """From failures a year (0.34 is an annualised failure rate of 34 %; it may be above 1)."""
        return cls(rate / YEAR_S, (rate if low is None else low) / YEAR_S, (rate if high is None else high) / YEAR_S)

    @classmethod
    def from_probability(cls, probability: float, horizon_s: float, low: float | None = None, high: float | None = None) -> FailureRisk:
        """From the probability of a failure within a time; below 1."""
        ends = (probability, probability if low is None else low, probability if high is None else high)
        if not all(0.0 <= end < 1.0 for end in ends) or not horizon_s > 0.0:
            raise ValueError(f"probability {ends} within {horizon_s} s: must be from 0 to below 1, within more than 0 s")
        return cls(*(-log1p(-end) / horizon_s for end in ends))


@dataclass(frozen=True, slots=True)
class DrainRules:
    """When a drain may be proposed.

    repair_s: how long the node is out once it is empty (or has failed). gain_least_core_hours: what the low end of the interval must
    gain. policy, backfill: how the batch system orders its queue. repair_is_due: what is wrong with the node has to be repaired in any
    case, sooner or later: the time of a planned repair is then not held against the drain, and it may be drained where it only
    costs nothing.
    """

    repair_s: float = 86400.0
    unplanned_repair_s: float = 86400.0
    gain_least_core_hours: float = 0.0
    policy: str = "priority"
    backfill: bool = True
    repair_is_due: bool = False


@dataclass(frozen=True, slots=True)
class DrainAdvice:
    """What draining a node gains, in core-hours of useful work within the horizon.

    gain = lost_without − lost_with − capacity_cost, all expectations: work lost to a failure without and with the drain, and the work
    that does not get done for lack of the drained node (where a repair is due: less what a forced repair takes longer).
    failure_probability: within the horizon. empty_after_s: mean time until the node's jobs have ended.
    """

    accepted: bool
    node: str
    reason: str
    gain: Gain
    failure_probability: float
    lost_without_core_hours: float
    lost_with_core_hours: float
    capacity_cost_core_hours: float
    empty_after_s: float


def advise_drain(
    snapshot: Snapshot, node: str, risk: FailureRisk, outlook: Outlook | None = None, rules: DrainRules | None = None
) -> DrainAdvice:
    """Whether to drain a node that may fail.

    Futures with and without a failure within the horizon are simulated apart and weighted with its probability: a rare failure would
    hardly be drawn. A failed node loses the whole work of each job on it. Raises ValueError for a node that is not in the snapshot or
    not in service.
    """
    return finished(advising_drain(snapshot, node, risk, outlook or Outlook(), rules or DrainRules()))


def advising_drain(snapshot: Snapshot, node: str, risk: FailureRisk, outlook: Outlook, rules: DrainRules) -> Sliced[DrainAdvice]:
    """The same in slices of one simulation."""
    index = _index(snapshot, node)
    random = np.random.default_rng((outlook.seed, 1))
    worlds = _worlds(Futures(snapshot, outlook), index, _failure_times(risk, outlook, random), outlook, rules)
    useful, lost, empty_after_s = yield from worlds
    probability = _probability(risk.hazard_per_s, outlook.horizon_s)
    draws = _probabilities(risk, outlook.horizon_s, random)
    failing, sound = useful[:, 1] - useful[:, 0], useful[:, 3] - useful[:, 2]
    if rules.repair_is_due:
        failing, sound = lost[:, 0] - lost[:, 1] + _longer_repair(snapshot, index, outlook, rules), np.zeros(outlook.samples)
    gain = weighted_gain(failing, sound, probability, draws, outlook.seed)
    without, with_drain = (probability * float(core_hours) for core_hours in lost[:, :2].mean(axis=0))
    accepted = gain.low >= rules.gain_least_core_hours if rules.repair_is_due else gain.low > rules.gain_least_core_hours
    return DrainAdvice(
        accepted=accepted,
        node=node,
        reason=_reason(node, accepted, gain, probability, outlook.horizon_s, due=rules.repair_is_due),
        gain=gain,
        failure_probability=probability,
        lost_without_core_hours=without,
        lost_with_core_hours=with_drain,
        capacity_cost_core_hours=without - with_drain - gain.expected,
        empty_after_s=empty_after_s,
    )


def _longer_repair(snapshot: Snapshot, node: int, outlook: Outlook, rules: DrainRules) -> float:
    """Core-hours that a failure costs because the repair that it forces takes longer than a planned one."""
    longer_s = max(0.0, rules.unplanned_repair_s - rules.repair_s)
    return longer_s * snapshot.nodes[node].processors * min(1.0, outlook.load_ratio) / CORE_HOUR_S


def _worlds(futures: Futures, node: int, failing_s: Array, outlook: Outlook, rules: DrainRules) -> Sliced[tuple[Array, Array, float]]:
    """Useful and lost core-hours, shapes (samples, 4): failure, drain and failure, nothing, drain; mean time until the node is empty.

    Where a repair is due nobody asks for the two without a failure: they stay 0.
    """
    useful, lost = np.zeros((2, outlook.samples, 4))
    empty_s = np.empty(outlook.samples)
    drain = NodeEvent(0.0, node, Change.DRAIN, rules.repair_s)
    for number in range(outlook.samples):
        future = futures.draw(number)
        failure = NodeEvent(float(failing_s[number]), node, Change.FAIL, rules.unplanned_repair_s)
        happenings: tuple[list[NodeEvent], ...] = ([failure], [drain, failure], [], [drain])
        for world, events in enumerate(happenings[: 2 if rules.repair_is_due else 4]):
            outcome = _simulated(future, events, outlook.horizon_s, rules)
            useful[number, world] = _useful_core_hours(future, outcome, outlook.horizon_s)
            lost[number, world] = float(outcome.lost_core_s.sum()) / CORE_HOUR_S
            yield
        empty_s[number] = min(_last_end_s(future, node), outlook.horizon_s)
    return useful, lost, float(empty_s.mean())


def _last_end_s(future: Future, node: int) -> float:
    """When the last of the jobs that run on a node now ends."""
    there = future.cluster.held_node == node
    ends_s = future.cluster.started_s[there] + future.jobs.run_s[future.cluster.held_job[there]]
    return float(ends_s.max(initial=0.0))


def _index(snapshot: Snapshot, name: str) -> int:
    for index, node in enumerate(snapshot.nodes):
        if node.name == name:
            if not node.in_service:
                raise ValueError(f"node {name}: is not in service, there is nothing to drain")
            return index
    raise ValueError(f"node {name}: not in the snapshot")


def _simulated(future: Future, events: Sequence[NodeEvent], horizon_s: float, rules: DrainRules) -> Outcome:
    """What the batch system does by itself, with these events, up to the horizon."""
    score = future.score(rules.policy)
    return simulate(future.jobs, score, future.cluster, backfill=rules.backfill, events=events, now_s=0.0, until_s=horizon_s)


def _useful_core_hours(future: Future, outcome: Outcome, horizon_s: float) -> float:
    """Work of the runs that were not killed, up to the horizon; for running jobs also what they had done before."""
    started = ~np.isnan(outcome.start_s)
    run_s = np.minimum(outcome.end_s, horizon_s)[started] - outcome.start_s[started]
    return float((run_s * future.jobs.processors[started]).sum()) / CORE_HOUR_S


def _probability(hazard_per_s: float, horizon_s: float) -> float:
    return 1.0 - float(np.exp(-hazard_per_s * horizon_s))


def _failure_times(risk: FailureRisk, outlook: Outlook, random: np.random.Generator) -> Array:
    """Moments of a failure, given that one happens within the horizon; shape (samples,)."""
    share = random.random(outlook.samples)
    exponent = risk.hazard_per_s * outlook.horizon_s
    if exponent < 1e-9:  # evenly spread: the exponential is flat, and dividing by it would lose all digits
        return share * outlook.horizon_s
    times_s: Array = -np.log1p(share * np.expm1(-exponent)) / risk.hazard_per_s
    return times_s


def _probabilities(risk: FailureRisk, horizon_s: float, random: np.random.Generator) -> Array:
    """Draws of the probability of a failure within the horizon: log-normal on either side of the stated value, shape (r,)."""
    normal = random.standard_normal(RESAMPLES)
    hazard = np.full(RESAMPLES, risk.hazard_per_s)
    for side, end in ((normal < 0, risk.low_per_s), (normal >= 0, risk.high_per_s)):
        if risk.hazard_per_s > 0:
            ratio = max(end, risk.hazard_per_s * 1e-6) / risk.hazard_per_s
            hazard[side] *= ratio ** (np.abs(normal[side]) / NORMAL_95)
    probabilities: Array = -np.expm1(-hazard * horizon_s)
    return probabilities


def _reason(node: str, accepted: bool, gain: Gain, probability: float, horizon_s: float, *, due: bool) -> str:
    verdict = "gains" if accepted else "does not surely gain enough:"
    if due:
        verdict = "before the repair that is due saves" if accepted else "before the repair that is due does not surely save enough:"
    return (
        f"draining {node} {verdict} {gain.expected:.3g} core-hours (90 %: {gain.low:.3g} to {gain.high:.3g}) where the node fails with "
        f"a probability of {100.0 * probability:.2g} % within {horizon_s / 3600.0:.3g} h"
    )
