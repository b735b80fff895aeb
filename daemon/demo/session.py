"""One demo from start to scoreboard: the simulated experiment, the daemon that watches it, and the console."""

from __future__ import annotations

import json
import queue
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import tzinfo
from http import HTTPStatus
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import click
import urllib3
from tqdm import tqdm

from daemon.demo import truth
from daemon.demo.configuration import DATABASE, JUDGED_SOURCES, ClockOrigin, Endpoints, write_configuration
from daemon.demo.console import Console
from daemon.demo.geometry import SPEED
from daemon.demo.processes import Child, DemoError, until
from daemon.store.store import Store

EXPERIMENT, DAEMON = "simulated experiment", "daemon"
DAEMON_ARGUMENTS = ("-m", "daemon", "run")
START_TIMEOUT_S = 60.0
LEARN_TIMEOUT_S = 180.0
STATUS_TIMEOUT_S = 5.0
MARGIN_S = 20.0
"""Wall time for starting, so that the data do not come from the future at the end."""
SETTLE_S = 2.0
"""Wall time that the daemon gets after the end of the data to say its last."""


class Session:
    """The two processes in a folder. `daemon_arguments` are those of the interpreter, DAEMON_ARGUMENTS by default."""

    def __init__(self, folder: Path, duration_s: float, seed: int, daemon_arguments: tuple[str, ...] | None = None) -> None:
        self._folder = folder
        self._daemon_arguments = daemon_arguments or DAEMON_ARGUMENTS
        wall_ns = time.time_ns()
        self._origin = ClockOrigin(wall_ns, wall_ns - int((duration_s + MARGIN_S) * 1e9 * SPEED), SPEED)
        self.page_url = ""
        """Where the daemon's page is, once it was started."""
        self.lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
        clock = ["--origin-wall-ns", str(self._origin.wall_ns), "--origin-data-ns", str(self._origin.data_ns)]
        schedule = ["--duration-s", str(duration_s), "--seed", str(seed), "--hold"]
        arguments = ["-m", "daemon.demo.simulation", "--folder", str(folder), *schedule, *clock]
        self._experiment = Child(EXPERIMENT, arguments, folder / "experiment.log", self.lines)
        self._children = [self._experiment]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Returns when the daemon has learned what is normal and faults may come; says how far it is. Raises DemoError."""
        ready = self._wait_for_experiment()
        port, page_port = free_port(), free_port()
        self.page_url = f"http://127.0.0.1:{page_port}"
        endpoints = Endpoints(ready["dqm"], ready["smart"], ready["epics_port"], ready["http_port"], port, page_port)
        config = write_configuration(endpoints, self._origin, self._folder)
        daemon = Child(DAEMON, [*self._daemon_arguments, "-c", str(config), "--json"], self._folder / "daemon.log", self.lines)
        self._children.append(daemon)
        with urllib3.PoolManager(retries=False, timeout=STATUS_TIMEOUT_S) as pool:
            self._wait_for_daemon(daemon, pool, f"http://127.0.0.1:{port}", progress)
        self._experiment.tell("learned")

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What happens and what the daemon says, as (process, object), until the experiment has ended. Raises DemoError."""
        ended_s: float | None = None
        while ended_s is None:
            name, line = self.lines.get()
            if line is None:
                raise self._child(name).failure("has ended before its time")
            yield name, _decoded(name, line)
            if name == EXPERIMENT and truth.decode(line)["event"] == "ended":
                ended_s = time.monotonic()
        yield from self._said_until(ended_s + SETTLE_S)

    def stop(self) -> None:
        """Ends the daemon, then the experiment."""
        for child in reversed(self._children):
            child.stop()

    def last_words(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What was printed but not yet read, once both have been stopped."""
        yield from self._said_until(time.monotonic() + 0.05)

    def incidents(self) -> list[dict[str, Any]] | None:
        """The daemon's own list once it has been stopped, in their last state; None where it has not made one."""
        database = self._folder / DATABASE
        if not database.exists():
            return None
        store = Store(f"sqlite:///{database}")
        try:
            return [incident.as_json() for incident in store.incidents(limit=100_000)]
        finally:
            store.close()

    def _said_until(self, deadline_s: float) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, line in until(deadline_s, self.lines):
            if line is not None:
                yield name, _decoded(name, line)

    def _child(self, name: str) -> Child:
        return next(child for child in self._children if child.name == name)

    def _wait_for_experiment(self) -> dict[str, Any]:
        for _, line in until(time.monotonic() + START_TIMEOUT_S, self.lines):
            if line is None:
                raise self._experiment.failure("did not start")
            if (event := truth.decode(line))["event"] == "ready":
                return event
        raise self._experiment.failure(f"is not ready after {START_TIMEOUT_S:g} s")

    def _wait_for_daemon(self, daemon: Child, pool: urllib3.PoolManager, url: str, progress: Callable[[str], None]) -> None:
        """Until no detector is learning any more."""
        deadline_s = time.monotonic() + LEARN_TIMEOUT_S
        missing = ["starting"]
        while time.monotonic() < deadline_s:
            if daemon.exit_code is not None:
                raise daemon.failure(f"did not start, exit code {daemon.exit_code}")
            try:
                if pool.request("GET", f"{url}/readyz").status == HTTPStatus.OK:
                    missing = still_learning(json.loads(pool.request("GET", f"{url}/status").data))
            except urllib3.exceptions.HTTPError:
                pass  # it does not listen yet
            if not missing:
                return
            progress(missing[0])
            time.sleep(0.2)
        raise daemon.failure(f"is not ready after {LEARN_TIMEOUT_S:g} s: {missing[0]}")


def still_learning(status: dict[str, Any]) -> list[str]:
    """What of the experiment the daemon has not seen or learned yet, by its own status; empty when it watches all of it."""
    streams = [stream for stage in status["stages"] for stream in stage.get("streams", ())]
    seen = {stream["stream"].partition("#")[0] for stream in streams if stream["rows"]}
    unseen = [f"{source}: nothing yet" for source in JUDGED_SOURCES if source not in seen]
    return unseen + [f"{stream['stream']}: {stream['state']}" for stream in streams if stream["rows"] and stream["state"] != "watching"]


def _decoded(name: str, line: str) -> dict[str, Any]:
    try:
        value = truth.decode(line) if name == EXPERIMENT else json.loads(line)
    except ValueError:
        raise DemoError(f"the {name} printed what is not JSON: {line[:200]!r}") from None
    if not isinstance(value, dict):
        raise DemoError(f"the {name} printed what is not an object: {line[:200]!r}")
    return value


def free_port() -> int:
    """A TCP port on the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_demo(duration_s: float, seed: int, *, folder: Path | None = None, as_json: bool = False, zone: tzinfo | None = None) -> bool:
    """Runs a demo and prints it on standard output; whether all faults were found and nothing was raised for nothing.

    `folder` keeps configuration, data and logs; a temporary one by default. Ctrl-C or SIGTERM ends it early, with the
    scoreboard. Raises DemoError.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return _run(folder, duration_s, seed, as_json=as_json, zone=zone)
    with tempfile.TemporaryDirectory(prefix="shiftwatch-demo-") as temporary:
        return _run(Path(temporary), duration_s, seed, as_json=as_json, zone=zone)


def _run(folder: Path, duration_s: float, seed: int, *, as_json: bool, zone: tzinfo | None) -> bool:
    with tqdm(disable=None, file=sys.stderr, unit="LS", leave=False, desc="starting") as bar:

        def write(line: str) -> None:
            with tqdm.external_write_mode(file=sys.stdout):
                click.echo(line)

        console = Console(write, zone, as_json=as_json)
        with Session(folder, duration_s, seed) as session, _ended_by_signals():
            try:
                session.start(lambda said: bar.set_description(said[:40]))
                if not as_json:
                    write(f"The page: {session.page_url}")
                for name, event in session.events():
                    _take(console, bar, name, event)
            except KeyboardInterrupt:
                bar.set_description("stopping")
            session.stop()
            for name, event in session.last_words():
                _take(console, bar, name, event)
            if (incidents := session.incidents()) is not None:
                console.settle(incidents)
    return console.scoreboard().passed


def _take(console: Console, bar: tqdm[Any], name: str, event: dict[str, Any]) -> None:
    if name == DAEMON:
        try:
            console.reported(event)
        except (KeyError, TypeError, ValueError) as error:
            raise DemoError(f"the daemon printed an incident that cannot be read: {error!r}") from None
        return
    if event["event"] == "progress":
        bar.total = event["total"]
        bar.update(event["done"] - bar.n)
    elif event["event"] == "injected":
        bar.set_description("watching")
    console.happened(event)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
