"""What is assumed of the time to come."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.optimizer.snapshot import FinishedJob

DEFAULT_RUN_TIME_RATIOS = tuple((step + 0.5) / 20.0 for step in range(20))
"""Run time as a share of the requested time where nothing is recorded: flat between 0 and 1, as in most archived logs
(Tsafrir, Etsion, Feitelson, "Modeling user runtime estimates", 2005)."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """How far ahead to look, and where run times and arrivals come from. Raises ValueError for values without sense.

    horizon_s: how far ahead arrivals and failures are looked at. finished: recorded jobs; arrivals are stretches of them, and their
    run time ÷ requested time is what run times are sampled from. Where `run_time_ratios` is given it is used instead; where neither
    is, DEFAULT_RUN_TIME_RATIOS. Where `finished` is empty, arrivals are drawn from the jobs of the snapshot itself, as many as fill
    `load_ratio` of the processors (0: nothing arrives). samples: futures for each question; the same seed gives the same advice.
    """

    horizon_s: float = 86400.0
    finished: tuple[FinishedJob, ...] = ()
    run_time_ratios: tuple[float, ...] = ()
    load_ratio: float = 0.8
    samples: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.horizon_s > 0.0:
            raise ValueError(f"outlook: horizon of {self.horizon_s} s; must be above 0")
        if self.samples < 2:
            raise ValueError(f"outlook: {self.samples} samples; an interval needs at least 2")
        if not self.load_ratio >= 0.0:
            raise ValueError(f"outlook: load ratio {self.load_ratio}; must be 0 or more")
        if not all(0.0 < ratio < float("inf") for ratio in self.run_time_ratios):
            raise ValueError("outlook: run time ratios must be above 0 and finite")
