"""Rounds, ratios and their spread, and how they are printed.

A ratio is taken within one round, so that a machine whose speed drifts moves both sides of it. The order of the two
sides alternates between rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping

ROUNDS = 3

Round = Mapping[str, float]


def main(name: str, description: str, measure: Callable[[int], Round], rounds: int = ROUNDS) -> None:
    """Runs `measure(round)` several times and prints each of its figures as minimum, median and maximum."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"at least {ROUNDS} (default: {rounds})")
    arguments = parser.parse_args()
    found: list[Round] = []
    for number in range(max(ROUNDS, arguments.rounds)):
        found.append(measure(number))
        print(f"{name}: round {number + 1}: {_listed(found[-1])}", file=sys.stderr)
    ratios = {key: _spread([figures[key] for figures in found]) for key in found[0]}
    if arguments.json:
        print(json.dumps({"name": name, "machine": machine(), "ratios": ratios}))
        return
    width = max(map(len, ratios))
    print(f"{name} on {machine()}\n{'':{width}}  {'min':>10}  {'median':>10}  {'max':>10}")
    for key, spread in ratios.items():
        print(f"{key:{width}}  {spread['min']:>10.4g}  {spread['median']:>10.4g}  {spread['max']:>10.4g}")


def machine() -> str:
    """Processor architecture, cores, operating system and Python."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def _listed(figures: Round) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in figures.items())
