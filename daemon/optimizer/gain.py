"""How much better a proposal is than what happens by itself, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daemon.optimizer.measures import LEVEL, paired_bootstrap
from daemon.optimizer.workload import Array

ENDS = ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0)


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better the proposal is than the default; below 0 it is worse.

    expected: mean over the futures, with its 90 % interval (low, high; paired bootstrap). In 90 % of the single futures the gain
    lies between future_low and future_high. better_share: share of the futures in which the proposal is better.
    """

    expected: float
    low: float
    high: float
    future_low: float
    future_high: float
    better_share: float


def paired_gain(default: Array, proposed: Array, seed: int) -> Gain:
    """The gain default − proposed, both of shape (k,), over k futures that are equally likely."""
    low, high = paired_bootstrap(default, proposed, seed=seed)
    difference = default - proposed
    future_low, future_high = np.quantile(difference, ENDS)
    return Gain(float(difference.mean()), low, high, float(future_low), float(future_high), float((difference > 0).mean()))


def weighted_gain(with_event: Array, without_event: Array, probability: float, probabilities: Array, seed: int) -> Gain:
    """The gain where an event happens with a probability; gains in futures with it (k,) and without it (k,).

    `probabilities` are draws of what the probability may really be, shape (r,): each takes part in one resample of the futures.
    """
    random = np.random.default_rng(seed)
    k, r = len(with_event), len(probabilities)
    hit = with_event[random.integers(0, k, size=(r, k))].mean(axis=1)
    spared = without_event[random.integers(0, k, size=(r, k))].mean(axis=1)
    low, high = np.quantile(probabilities * hit + (1.0 - probabilities) * spared, ENDS)
    both = np.concatenate([with_event, without_event])
    weight = np.concatenate([np.full(k, probability / k), np.full(k, (1.0 - probability) / k)])
    expected = float((weight * both).sum())
    future_low, future_high = _quantiles(both, weight)
    return Gain(expected, float(low), float(high), future_low, future_high, float(weight[both > 0].sum()))


def _quantiles(values: Array, weight: Array) -> tuple[float, float]:
    """The ends of the interval of weighted values: the first value up to which the weights reach an end."""
    order = np.argsort(values)
    reached = np.cumsum(weight[order])
    low, high = (values[order][min(int(np.searchsorted(reached, end)), len(values) - 1)] for end in ENDS)
    return float(low), float(high)
