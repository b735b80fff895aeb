"""The simulated experiment as a process: `python -m daemon.demo.simulation --folder DIR`.

It serves the crate (EPICS), DAQ and conditions (Prometheus) and rewrites ROOT and smartctl files, lumisection by
lumisection, and prints what truly happens as JSON lines on standard output (see daemon.demo.truth).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.clock import Clock, ScaledClock
from daemon.demo import truth
from daemon.demo.experiment import Experiment
from daemon.demo.exporter import Exporter
from daemon.demo.geometry import EXPERIMENT, LUMISECTION_NS, LUMISECTION_WALL_S, SPEED
from daemon.demo.histograms import write_root_file
from daemon.demo.ioc import SoftIoc
from daemon.demo.schedule import Schedule, ScheduleError, make_schedule

LEARNED_MARGIN = 5
"""Lumisections from the release to the first fault where everything has been learned."""
DISK_EVERY = 5
"""Lumisections between two readings of the disks."""
TRANSITION_DELAY_NS = 1_000_000_000
"""How long after the start of a lumisection a channel trips."""


class Simulation:
    """Steps the experiment through data time, puts faults in and takes them out, and shows the result to the world.

    `say` is called with one dictionary for everything that truly happens. Faults begin when `release` is called;
    until then all runs normally. Lumisections end half-way between multiples of their length since 1970, so that
    whoever reads at those multiples sees whole ones.
    """

    def __init__(self, folder: Path, schedule: Schedule, seed: int, clock: Clock, say: Callable[[dict[str, Any]], None]) -> None:
        self._dqm, self._smart = folder / "dqm", folder / "smart"
        for directory in (self._dqm, self._smart):
            directory.mkdir(parents=True, exist_ok=True)
        self._schedule = schedule
        self._clock = clock
        self._say = say
        self._origin_ns = clock.now_ns() // LUMISECTION_NS * LUMISECTION_NS + LUMISECTION_NS // 2
        self._step = 0
        self._scheduled = 0
        self._released = threading.Event()
        self.experiment = Experiment(seed, self._origin_ns)
        self.ioc = SoftIoc(self._origin_ns)
        self.exporter = Exporter()

    @property
    def time_ns(self) -> int:
        """End of the last lumisection, in data time."""
        return self._origin_ns + self._step * LUMISECTION_NS

    def start(self) -> None:
        """Shows the first lumisection and says where everything can be read. Raises TimeoutError (the IOC)."""
        self.ioc.start()
        self.step()
        folders = {"dqm": str(self._dqm), "smart": str(self._smart)}
        self._tell("ready", **folders, epics_port=self.ioc.port, http_port=self.exporter.port)

    def release(self, *, learned: bool = False) -> None:
        """The schedule begins with the next lumisection; shortly before its first fault where all has been learned already."""
        if learned and self._schedule.faults:
            self._scheduled = max(0, self._schedule.faults[0].start - LEARNED_MARGIN)
        self._released.set()

    def run(self, stop: threading.Event, *, linger: bool = False) -> None:
        """Goes on until the schedule has ended or `stop` is set; what is late is caught up with.

        With `linger` it goes on after the schedule, without faults, until `stop` is set: nothing falls silent under those who
        still read.
        """
        ended = False
        while not stop.is_set() and (linger or not ended):
            wait_s = (self.time_ns + LUMISECTION_NS - self._clock.now_ns()) / 1e9
            if wait_s > 0 and self._clock.wait(wait_s, stop):
                break
            self.step()
            if not ended and self._scheduled > self._schedule.lumisections:
                ended = True
                self._tell("ended")

    def step(self) -> None:
        """One lumisection: shows what it brought, then breaks or repairs what the schedule has for the next one."""
        self._step += 1
        shown = self.experiment.advance(self.time_ns)
        write_root_file(self._dqm / f"DQM_V0001_{EXPERIMENT}_R{shown.conditions.run:09d}.root", self.experiment.histograms, self.time_ns)
        self.exporter.publish(shown)
        self.ioc.post(shown.high_voltage)
        if self._step % DISK_EVERY == 1:
            self.experiment.drives.write(self._smart, self.time_ns)
        if self._released.is_set() and self._scheduled <= self._schedule.lumisections:
            self._follow_schedule(self._scheduled)
            self._scheduled += 1
        self.ioc.post(self.experiment.crate.transitions(self.time_ns + TRANSITION_DELAY_NS))

    def close(self) -> None:
        """Ends the servers; what is broken stays broken."""
        self.ioc.close()
        self.exporter.close()

    def _follow_schedule(self, lumisection: int) -> None:
        """Prepares this lumisection of the schedule."""
        for number, scheduled in enumerate(self._schedule.faults, start=1):
            name, fault = f"fault-{number}", scheduled.fault
            if lumisection == scheduled.start:
                fault.inject(self.experiment)
                self._say(truth.InjectedFault(name, fault.kind, fault.sentence, fault.places, fault.cause, self.time_ns).as_event())
            elif scheduled.start < lumisection < scheduled.stop:
                fault.progress(self.experiment, lumisection - scheduled.start)
            elif lumisection == scheduled.stop:
                fault.clear(self.experiment)
                self._tell("repaired", id=name)
        if lumisection in self._schedule.new_runs:
            self.experiment.start_run()
            self._tell("run", run=self.experiment.run)
        self._tell("progress", done=lumisection, total=self._schedule.lumisections)

    def _tell(self, event: str, **details: object) -> None:
        self._say({"event": event, "time_ns": self.time_ns, **details})


def lumisections_in(duration_s: float) -> int:
    """Lumisections in so much wall time."""
    return int(duration_s / LUMISECTION_WALL_S + 0.5)


def default_clock(duration_s: float) -> ScaledClock:
    """Runs at the speed of the demo and reaches the present when the duration is over: no data from the future."""
    wall_ns = time.time_ns()
    return ScaledClock(wall_ns, wall_ns - int(duration_s * 1e9 * SPEED), SPEED)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="daemon.demo.simulation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the ROOT and smartctl files go")
    parser.add_argument("--duration-s", type=float, default=120.0, help="wall time of the schedule (default 120)")
    parser.add_argument("--seed", type=int, default=1, help="decides which faults come where, and all noise (default 1)")
    parser.add_argument("--origin-wall-ns", type=int, help="with --origin-data-ns: the moment at which the clocks are set")
    parser.add_argument("--origin-data-ns", type=int, help="data time at that moment")
    parser.add_argument(
        "--hold", action="store_true", help="no faults before a line arrives on standard input; goes on until it is told to stop"
    )
    return parser.parse_args()


def _print(event: dict[str, Any]) -> None:
    sys.stdout.write(truth.encode(event) + "\n")
    sys.stdout.flush()


def _release_on_line(simulation: Simulation) -> None:
    sys.stdin.readline()
    simulation.release(learned=True)


def main() -> int:
    """Runs until the schedule has ended, a signal comes, or nobody reads what is printed; 2 for a wrong argument."""
    given = _arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = default_clock(given.duration_s)
    if given.origin_wall_ns is not None and given.origin_data_ns is not None:
        clock = ScaledClock(given.origin_wall_ns, given.origin_data_ns, SPEED)
    try:
        schedule = make_schedule(lumisections_in(given.duration_s), given.seed)
    except ScheduleError as error:
        sys.stderr.write(f"simulated experiment: {error}\n")
        return 2
    simulation = Simulation(given.folder, schedule, given.seed, clock, _print)
    try:
        simulation.start()
        if given.hold:
            threading.Thread(target=_release_on_line, args=(simulation,), daemon=True).start()
        else:
            simulation.release()
        simulation.run(stop, linger=given.hold)
    except BrokenPipeError:  # whoever started this has gone; what is still buffered must not fail again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        simulation.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
