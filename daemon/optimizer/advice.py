"""Advice on a batch system: which order of the queue, and which drained node, would do better than what it does by itself.

Each question is answered by simulating the default and the proposal over the same sampled futures (run times, arrivals, the moment of a
failure), so that the difference is due to the proposal alone. Nothing is read or done here: a snapshot goes in, advice comes out.
"""

from __future__ import annotations

from daemon.optimizer.drain import DrainAdvice, DrainRules, FailureRisk, advise_drain
from daemon.optimizer.gain import Gain
from daemon.optimizer.order import OrderAdvice, OrderMeasures, OrderRules, advise_order
from daemon.optimizer.outlook import DEFAULT_RUN_TIME_RATIOS, Outlook
from daemon.optimizer.snapshot import FinishedJob, Node, QueuedJob, RunningJob, Snapshot

__all__ = [
    "DEFAULT_RUN_TIME_RATIOS",
    "DrainAdvice",
    "DrainRules",
    "FailureRisk",
    "FinishedJob",
    "Gain",
    "Node",
    "OrderAdvice",
    "OrderMeasures",
    "OrderRules",
    "Outlook",
    "QueuedJob",
    "RunningJob",
    "Snapshot",
    "advise_drain",
    "advise_order",
]
