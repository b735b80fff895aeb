"""The demo's experiment in a process of its own, with faults that begin and end when a line arrives on standard input.

trip: a high-voltage channel trips, its supermodule goes dead and its front end becomes busy. disk: a disk begins to lose
sectors. repair: both are repaired. Prints what the demo prints (see daemon.demo.truth).
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from daemon.clock import ScaledClock
from daemon.demo import faults, truth
from daemon.demo.geometry import SPEED
from daemon.demo.schedule import Schedule
from daemon.demo.simulation import Simulation

FOR_EVER = 10**9


class Told(Simulation):
    """The simulation, with faults on demand instead of a schedule."""

    def __init__(self, folder: Path, seed: int, clock: ScaledClock) -> None:
        super().__init__(folder, Schedule(FOR_EVER, (), ()), seed, clock, _print)
        rng = np.random.default_rng(seed)
        self._faults = {"trip": faults.SupermoduleTrip(rng), "disk": faults.FailingDisk(rng)}
        self._ages: dict[str, int] = {}
        self.commands: queue.Queue[str] = queue.Queue()

    def _follow_schedule(self, lumisection: int) -> None:  # noqa: ARG002 - there is no schedule to look it up in
        for name, age in self._ages.items():
            self._ages[name] = age + 1
            self._faults[name].progress(self.experiment, age + 1)
        while not self.commands.empty():
            self._obey(self.commands.get())

    def _obey(self, command: str) -> None:
        if command == "repair":
            for name in self._ages:
                self._faults[name].clear(self.experiment)
                self._tell("repaired", id=name)
            self._ages.clear()
            return
        fault = self._faults[command]
        self._ages[command] = 0
        fault.inject(self.experiment)
        _print(truth.InjectedFault(command, fault.kind, fault.sentence, fault.places, fault.cause, self.time_ns).as_event())


def _print(event: dict[str, Any]) -> None:
    sys.stdout.write(truth.encode(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--origin-wall-ns", type=int, required=True)
    parser.add_argument("--origin-data-ns", type=int, required=True)
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    simulation = Told(given.folder, given.seed, ScaledClock(given.origin_wall_ns, given.origin_data_ns, SPEED))

    def listen() -> None:
        for line in sys.stdin:
            simulation.commands.put(line.strip())

    try:
        simulation.start()
        simulation.release()
        threading.Thread(target=listen, daemon=True).start()
        simulation.run(stop)
    finally:
        simulation.close()


if __name__ == "__main__":
    main()
