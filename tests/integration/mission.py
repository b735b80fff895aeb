"""All that an experiment has around the daemon, and the daemon's stages in processes of their own."""

from __future__ import annotations

import gc
import json
import queue
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import urllib3

from daemon.demo import truth
from daemon.demo.configuration import ClockOrigin, Endpoints, write_configuration
from daemon.demo.geometry import SPEED
from daemon.demo.processes import Child, until
from daemon.demo.session import free_port, still_learning

STAGES = ("collect", "detect", "correlate", "optimize", "notify", "web")
T = TypeVar("T")
AHEAD_S = 600.0
"""Wall time until data time catches up with the present: no data come from the future before."""
READY_S = 90.0


def eventually(what: str, look: Callable[[], T], timeout_s: float = 60.0) -> T:
    """What `look` gives as soon as it is something. It may fail as long as nobody answers."""
    deadline = time.monotonic() + timeout_s
    problem: object = None
    while True:
        try:
            if found := look():
                return found
        except (urllib3.exceptions.HTTPError, OSError, ValueError, LookupError) as error:
            problem = error
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s ({problem or 'nothing'})"
        time.sleep(0.1)


class Mission:
    """The experiment, and the stages that watch it."""

    def __init__(self, folder: Path, sections: str, replaced: Mapping[str, str]) -> None:
        """`sections` are added to the demo's configuration, in which the texts in `replaced` are others."""
        self.folder = folder
        self.ports = {stage: free_port() for stage in STAGES}
        self.page_port = free_port()
        self._pool = urllib3.PoolManager(retries=False, timeout=10.0)
        wall_ns = time.time_ns()
        self._origin = ClockOrigin(wall_ns, wall_ns - int(AHEAD_S * 1e9 * SPEED), SPEED)
        self._lines: queue.Queue[tuple[str, str | None]] = queue.Queue()
        clock = ["--origin-wall-ns", str(self._origin.wall_ns), "--origin-data-ns", str(self._origin.data_ns)]
        arguments = ["-m", "tests.integration.mission_experiment", "--folder", str(folder), *clock]
        self.experiment = Child("experiment", arguments, folder / "experiment.log", self._lines)
        ready = self.experiment_says("ready")
        for stage, port in self.ports.items():
            endpoints = Endpoints(ready["dqm"], ready["smart"], ready["epics_port"], ready["http_port"], port, self.page_port)
            path = write_configuration(endpoints, self._origin, folder)
            text = path.read_text()
            for old, new in replaced.items():
                assert old in text, f"the demo's configuration has no {old!r}"
                text = text.replace(old, new)
            self.config(stage).write_text(text + sections)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def page_url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.page_port}"

    def config(self, stage: str) -> Path:
        """The configuration of a stage's process; they differ only in the port of its own metrics."""
        return self.folder / f"{stage}.toml"

    def experiment_says(self, event: str) -> dict[str, Any]:
        """The next line of this kind."""
        for _, line in until(time.monotonic() + READY_S, self._lines):
            assert line is not None, (self.folder / "experiment.log").read_text()[-2000:]
            if (said := truth.decode(line))["event"] == event:
                return said
        raise AssertionError(f"the experiment did not say {event}")

    def start(self, stages: Sequence[str] = STAGES) -> None:
        """Starts stages; returns when they are ready."""
        for stage in stages:
            command = [sys.executable, "-m", "daemon", "run", "-c", str(self.config(stage)), "--stage", stage, "--json"]
            with (self.folder / f"{stage}.log").open("ab") as log, (self.folder / f"{stage}.out").open("ab") as out:
                self._running[stage] = subprocess.Popen(command, stdout=out, stderr=log, cwd=self.folder, start_new_session=True)
        for stage in stages:
            eventually(f"{stage} ready", lambda stage=stage: self._is_ready(stage), READY_S)  # type: ignore[misc]

    def kill(self, *stages: str) -> None:
        """SIGKILL: nothing is saved, nothing is said."""
        for stage in stages:
            self._running[stage].send_signal(signal.SIGKILL)
        for stage in stages:
            self._running.pop(stage).wait(10)

    def wait_until_learned(self) -> None:
        """Until all that learns has learned."""
        eventually("learned", lambda: not still_learning(self.status("detect")), 120.0)

    def status(self, stage: str) -> dict[str, Any]:
        """What a stage says of itself."""
        found: dict[str, Any] = self.get(f"http://127.0.0.1:{self.ports[stage]}/status")
        return found

    def get(self, url: str) -> Any:
        """The JSON at an address."""
        return json.loads(self.text(url))

    def text(self, url: str) -> str:
        """The text at an address."""
        answer = self._pool.request("GET", url)
        if answer.status != 200:
            raise ValueError(f"{url} answered {answer.status}: {answer.data[:300]!r}")
        return answer.data.decode()

    def post(self, url: str, body: object) -> Any:
        """What is answered to JSON."""
        return json.loads(self._pool.request("POST", url, json=body).data)

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')[-3000:]}" for p in sorted(self.folder.glob("*.log")))

    def stop(self) -> dict[str, int]:
        """Ends everything in order; exit codes by stage."""
        for process in self._running.values():
            process.terminate()
        codes = {stage: process.wait(60) for stage, process in self._running.items()}
        self._running.clear()
        self.experiment.stop()
        self._pool.clear()
        gc.collect()
        return codes

    def _is_ready(self, stage: str) -> bool:
        process = self._running[stage]
        assert process.poll() is None, f"{stage} has ended: {(self.folder / f'{stage}.log').read_text()[-3000:]}"
        return bool(self.text(f"http://127.0.0.1:{self.ports[stage]}/readyz"))


def kafka_sections(bootstrap: str) -> dict[str, str]:
    """What is other than in the demo, so that stages run in processes of their own."""
    bus = f'driver = "kafka"\n[bus.kafka]\nbootstrap_servers = "{bootstrap}"\nprefix = "mission-{uuid.uuid4().hex[:8]}"\n'
    return {'driver = "memory"\n': f"{bus}frames_partitions = 2\nsession_timeout_s = 6\nheartbeat_interval_s = 1\n"}
