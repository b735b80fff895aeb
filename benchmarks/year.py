"""A simulated year: are promised false alarms kept, and is every injected fault found? Prints both.

Readings are made of blocks of statistics: noise that remembers, heavy tails, daily and weekly season, slow drift, steps that
stay, and gaps. A detector scores them, and its scores are judged as in the daemon (`detectors.judging`).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel, Frame, Kind, Layout
from daemon import plugins
from detectors.alarm_rate import poisson_interval
from detectors.episodes import Episode
from detectors.finding import Detector, Scores
from detectors.gauge_groups import CONDITION
from detectors.judging import Judging, Promise

Values = NDArray[np.float64]

STEP_S = 300
ROWS_A_DAY = 86_400 // STEP_S
STEP_NS = STEP_S * 1_000_000_000
START_NS = 1_700_000_000_000_000_000
LEARNED_DAYS, HELD_BACK_DAYS = 28, 14
CHANNELS = 12
SETTLED_DAYS = 1.5
"""After a step that stays: by then its episode has become a question."""


@dataclass(frozen=True)
class Host:
    """A year of readings, shape (n, channels), their times, and the rows (first, last) of faults and the rows of steps."""

    values: Values
    time_ns: NDArray[np.int64]
    faults: tuple[tuple[int, int], ...]
    steps: tuple[int, ...]


def simulated(days: int, seed: int) -> Host:
    """Readings of one host; the first LEARNED_DAYS are free of faults and steps."""
    rng = np.random.default_rng(seed)
    rows = days * ROWS_A_DAY
    at_days = np.arange(rows) / ROWS_A_DAY
    memory, freedom = rng.uniform(0.3, 0.9, CHANNELS), rng.choice([3.0, 5.0, 30.0], CHANNELS)
    noise = rng.standard_t(freedom, (rows, CHANNELS)) / np.sqrt(freedom / (freedom - 2.0 + 1e-9))
    for row in range(1, rows):
        noise[row] = memory * noise[row - 1] + np.sqrt(1.0 - memory**2) * noise[row]
    common = np.cumsum(rng.standard_normal(rows)) * 0.002
    season = np.sin(2 * np.pi * (at_days[:, None] + rng.random(CHANNELS))) * rng.uniform(0, 1.5, CHANNELS)
    week = np.where((at_days[:, None] % 7) < 5, 0.3, -0.7) * rng.uniform(0, 0.8, CHANNELS)
    drift = np.cumsum(rng.standard_normal((rows, CHANNELS)), axis=0) * rng.uniform(0, 0.003, CHANNELS)
    values = noise * (1.0 + 0.2 * np.sin(2 * np.pi * at_days))[:, None] + season + week + drift + common[:, None]
    free = np.linspace(LEARNED_DAYS + 10, days - 10, max(2, days // 25))[: days // 25]
    kinds = rng.permutation(np.arange(len(free)) % 6 == 0)
    steps, faults = [], []
    for day, is_step in zip(free, kinds, strict=True):
        first = int((day + rng.uniform(-3, 3)) * ROWS_A_DAY)
        affected = rng.choice(CHANNELS, 4, replace=False)
        if is_step:
            values[first:, affected] += rng.choice([-1, 1], 4) * 15.0
            steps.append(first)
        else:
            last = first + int(rng.integers(3, 36))
            values[first : last + 1, affected] += rng.choice([-1, 1], 4) * 40.0
            faults.append((first, last))
    kept = np.ones(rows, dtype=bool)
    for day in rng.uniform(LEARNED_DAYS, days, days // 40):
        gap = slice(int(day * ROWS_A_DAY), int((day + rng.uniform(0.05, 1.5)) * ROWS_A_DAY))
        if not any(gap.start <= last + 50 and first - 50 <= gap.stop for first, last in [*faults, *((s, s) for s in steps)]):
            kept[gap] = False
    position = np.cumsum(kept) - 1
    time_ns = START_NS + STEP_NS * np.flatnonzero(kept).astype(np.int64)
    moved = tuple((int(position[first]), int(position[last])) for first, last in faults)
    return Host(values[kept], time_ns, moved, tuple(int(position[step]) for step in steps))


def judged(host: Host, name: str, per_day: float) -> dict[str, float]:
    """Episodes of a host, told apart by what they overlap with."""
    layout = Layout("host", tuple(Channel(f"m{i}", f"m{i}", "1", Kind.GAUGE, "HOST") for i in range(CHANNELS)))
    frame = Frame(layout, host.time_ns, host.values)
    learned, fitted = LEARNED_DAYS * ROWS_A_DAY, (LEARNED_DAYS - HELD_BACK_DAYS) * ROWS_A_DAY
    plugin = plugins.load("detectors", name)
    detector = plugin(name, plugin.options_model())
    if not isinstance(detector, Detector):
        raise SystemExit(f"{name} is no detector that learns")
    detector.fit(frame.rows(slice(0, fitted)))
    held_back = _of_group(detector.score(frame.rows(slice(fitted, learned))))
    detector.fit(frame.rows(slice(0, learned)))
    judging = Judging(Promise(per_day)).learn(held_back, host.time_ns[fitted:learned])
    got = judging.judge(_of_group(detector.score(frame.rows(slice(learned, None)))), host.time_ns[learned:])
    ended = [e for e in got.episodes if e.cleared_ns is not None] + judging.interrupt(int(host.time_ns[-1]) + STEP_NS)[0]
    return {
        **_told_apart(host, ended),
        "questions": len(got.questions),
        "doubtful": sum(e.cleared_ns is None for e, _ in got.doubtful),
        "days": (len(host.time_ns) - learned) / ROWS_A_DAY,
    }


def _of_group(scores: Scores) -> Scores:
    """The one unit that stands for all channels."""
    index = [i for i, unit in enumerate(scores.units) if unit.condition == CONDITION]
    return Scores(tuple(scores.units[i] for i in index), scores.values[:, index])


def _told_apart(host: Host, episodes: list[Episode]) -> dict[str, float]:
    found, asked, false = set(), set(), 0
    settled = int(SETTLED_DAYS * ROWS_A_DAY)
    for episode in episodes:
        first, last = (int(np.searchsorted(host.time_ns, at)) for at in (episode.since_ns, episode.last_ns))
        hit = {i for i, (a, b) in enumerate(host.faults) if first <= b + 1 and last >= a}
        shifted = {i for i, step in enumerate(host.steps) if first <= step + settled and last >= step}
        found |= hit
        asked |= shifted
        false += not hit and not shifted
    return {"false": false, "found": len(found), "faults": len(host.faults), "steps": len(host.steps), "steps_found": len(asked)}


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.year", description=__doc__)
    parser.add_argument("--detector", default="robust_z")
    parser.add_argument("--per-day", type=float, default=0.1)
    parser.add_argument("--days", type=int, default=365 + LEARNED_DAYS)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    arguments = parser.parse_args()
    began_s = time.perf_counter()
    hosts = [judged(simulated(arguments.days, arguments.seed + i), arguments.detector, arguments.per_day) for i in range(arguments.hosts)]
    total = {key: sum(host[key] for host in hosts) for key in hosts[0]}
    low, high = (limit / total["days"] / arguments.per_day for limit in poisson_interval(int(total["false"])))
    figures = {
        **total,
        "expected": total["days"] * arguments.per_day,
        "realised_over_promised": total["false"] / total["days"] / arguments.per_day,
        "low": low,
        "high": high,
        "seconds": time.perf_counter() - began_s,
    }
    print(json.dumps(figures) if arguments.json else "\n".join(f"{key:24} {value:10.4g}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
