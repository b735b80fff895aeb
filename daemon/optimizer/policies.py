"""In which order waiting jobs are considered: lowest score first, by requested time.

F1 to F4 are the functions that Carastan-Santos and de Camargo ("Obtaining dynamic scheduling policies with simulation and machine
learning", SC'17) found by regression; SAF is the smallest area first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from daemon.optimizer.workload import Array, Integers

Score = Callable[[Array, Array, Array], Array]
"""(requested_s, processors, submit_s), each of shape (n,) → scores of shape (n,)."""


def fcfs(requested_s: Array, processors: Array, submit_s: Array) -> Array:  # noqa: ARG001 - all policies are called alike
    """First come, first served."""
    return submit_s


def sjf(requested_s: Array, processors: Array, submit_s: Array) -> Array:  # noqa: ARG001 - all policies are called alike
    """Shortest job first."""
    return requested_s


def saf(requested_s: Array, processors: Array, submit_s: Array) -> Array:  # noqa: ARG001 - all policies are called alike
    """Smallest area (requested time × processors) first."""
    return requested_s * processors


def f1(requested_s: Array, processors: Array, submit_s: Array) -> Array:
    """log10(r)·n + 870·log10(s)."""
    return _log10(requested_s) * processors + 870.0 * _log10(submit_s)


def f2(requested_s: Array, processors: Array, submit_s: Array) -> Array:
    """√r·n + 25600·log10(s)."""
    return np.sqrt(requested_s) * processors + 25600.0 * _log10(submit_s)


def f3(requested_s: Array, processors: Array, submit_s: Array) -> Array:
    """r·n + 6.86e6·log10(s)."""
    return requested_s * processors + 6.86e6 * _log10(submit_s)


def f4(requested_s: Array, processors: Array, submit_s: Array) -> Array:
    """r·√n + 5.30e5·log10(s)."""
    return requested_s * np.sqrt(processors) + 5.30e5 * _log10(submit_s)


POLICIES: Mapping[str, Score] = MappingProxyType({"fcfs": fcfs, "sjf": sjf, "saf": saf, "f1": f1, "f2": f2, "f3": f3, "f4": f4})


def scores(policy: str, requested_s: Array, processors: Integers, submit_s: Array) -> Array:
    """The score of each job, lowest first; submission in seconds from an origin. Raises ValueError for an unknown policy."""
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r}: not one of {', '.join(POLICIES)}")
    return POLICIES[policy](requested_s, processors.astype(np.float64), submit_s)


def ranks(score: Array, submit_s: Array) -> Integers:
    """Place of each job in the order, 0 first; equal scores go by submission, then by index. Shape (n,)."""
    place = np.empty(len(score), dtype=np.int64)
    place[np.lexsort((submit_s, score))] = np.arange(len(score))
    return place


def _log10(value: Array) -> Array:
    # Below a second the logarithm is negative without limit, which would put the first job of a trace before all others.
    return np.log10(np.maximum(value, 1.0))
