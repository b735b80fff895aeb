"""What an agent costs its node: memory and processor time at 1,000 channels every 10 s, with its broker there and away.

A real agent process (`shiftwatch run`, stages collect and detect) reads 1,000 series from an HTTP exporter. It first learns at
one reading a second, is stopped, and then goes on from its saved state at one every 10 s: only that is measured. Memory is
RSS as `ps` shows it, processor time that of the whole process in percent of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.measure import machine
from deploy.kafka.broker import KafkaBroker

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = 1_000
HEAVY = ("torch", "sklearn", "pyod", "pandas", "numba", "llvmlite", "matplotlib", "fastapi", "starlette", "scipy", "sqlalchemy")
"""What an agent must do without; the last two are too large for what they would be used for."""

EXPORTER = """
import itertools, random, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        lines = (f"# TYPE board_{i}_celsius gauge\\nboard_{i}_celsius {40 + random.gauss(0, 1):.3f}" for i in range(%d))
        body = ("\\n".join(lines) + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""

CONFIG = """
experiment = "FARM"
[bus]
driver = "kafka"
[bus.kafka]
bootstrap_servers = "{broker}"
prefix = "agent"
frames_partitions = 1
[agent]
enabled = true
node = "node17"
[http]
port = {port}
[learning]
rows = 130
[source."boards.{{node}}"]
collector = "prometheus"
url = "http://127.0.0.1:{exporter}/metrics"
place = "FARM/{{node}}"
period_s = {period_s}
detectors = ["limits", "robust_z", "channel_health"]
[[detector.limits.rules]]
channel = "board_*"
high = 90
condition = "overheated"
"""

RUN = """
import atexit, sys, threading, time
def say():
    with open("modules.txt", "w") as file:
        file.write(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
atexit.register(say)
from daemon.__main__ import main
main()
"""


@dataclass(frozen=True)
class Cost:
    """What was measured: resident memory in MiB, the most of it since the start, and processor time in percent of a core."""

    rss_mib: float
    peak_mib: float
    cpu_percent: float


class Exporter:
    """An HTTP server with 1,000 series of noise, in a process of its own."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([sys.executable, "-c", EXPORTER % CHANNELS], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Agent:
    """An agent process in a folder, which holds its configuration, spool, state and log."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        (folder / "agent.toml").write_text(config)
        # as deploy/systemd/shiftwatch-agent.service has it
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PYTHONPATH": str(ROOT)}
        with (folder / "agent.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", RUN, "run", "-c", "agent.toml"], cwd=folder, env=environment, stdout=log, stderr=log
            )

    def said(self) -> str:
        """Its log."""
        return (self.folder / "agent.log").read_text()

    def wait_for(self, series: str, at_least: float, timeout_s: float = 90.0) -> None:
        """Until a series of its /metrics has reached a value. Raises RuntimeError."""
        deadline = time.monotonic() + timeout_s
        while self.metric(series) < at_least:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"{series} did not reach {at_least}:\n{self.said()[-3000:]}")
            time.sleep(0.2)

    def metric(self, series: str) -> float:
        """A series of its /metrics, with its labels as they stand there; NaN where there is none yet."""
        port = self.said().rpartition("http=http://127.0.0.1:")[2].split()[0].rstrip("/") if "http=http" in self.said() else ""
        if not port.isdecimal():
            return float("-inf")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(series + " "):
                    return float(line.rpartition(" ")[2])
        return float("-inf")

    def cost(self, seconds: float) -> Cost:
        """What it takes in the next seconds; of its resident memory the median, for a moment's more is not what a node must spare."""
        before = self._cpu_s()
        started = time.monotonic()
        held = []
        while time.monotonic() - started < seconds:
            time.sleep(0.25)
            held.append(self._memory_mib("VmRSS"))
        percent = 100 * (self._cpu_s() - before) / (time.monotonic() - started)
        return Cost(statistics.median(held), self._memory_mib("VmHWM"), percent)

    def stop(self) -> list[str]:
        """Ends it in an orderly way; the names of the packages that it had imported. Raises RuntimeError where it failed."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(60):
            raise RuntimeError(self.said()[-3000:])
        return (self.folder / "modules.txt").read_text().split()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def _memory_mib(self, name: str) -> float:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines())
        return int(status[name].split()[0]) / 1024

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, broker: str, exporter: int, seconds: float, period_s: float = 10.0) -> tuple[Cost, list[str]]:
    """Teaches an agent, starts it again at its real pace and measures it; its cost and the packages that it imported."""
    judged = 'shiftwatch_score{detector="robust_z",source="boards.node17"}'
    config = {"broker": broker, "exporter": exporter, "port": 0}
    teaching = Agent(folder, CONFIG.format(**config, period_s=0.25))
    try:
        teaching.wait_for(judged, 0.0)
        teaching.stop()
        (folder / "agent.log").unlink()
        agent = Agent(folder, CONFIG.format(**config, period_s=period_s))
        try:
            agent.wait_for(judged, 0.0)
            cost = agent.cost(seconds)
            return cost, agent.stop()
        finally:
            agent.kill()
    finally:
        teaching.kill()


def main() -> None:
    """Measures with and without a broker and prints both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agent", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long each is measured (default: 120)")
    arguments = parser.parse_args()
    found: dict[str, Cost] = {}
    modules: set[str] = set()
    with tempfile.TemporaryDirectory() as name, Exporter() as exporter, KafkaBroker(Path(name, "kafka")) as broker:
        for what in ("broker there", "broker away"):
            folder = Path(name, what.replace(" ", "-"))
            folder.mkdir()
            address = broker.bootstrap if what == "broker there" else "127.0.0.1:9"
            found[what], imported = measure(folder, address, exporter.port, arguments.seconds)
            modules |= set(imported)
    heavy = [module for module in HEAVY if module in modules]
    if arguments.json:
        costs = {what: vars(cost) for what, cost in found.items()}
        print(json.dumps({"name": "agent", "machine": machine(), "costs": costs, "imported": heavy}))
        return
    print(f"agent on {machine()}, {CHANNELS} channels every 10 s, limits + robust_z + channel_health, {arguments.seconds:g} s each")
    for what, cost in found.items():
        print(f"{what}: RSS {cost.rss_mib:.0f} MiB (most {cost.peak_mib:.0f}), {cost.cpu_percent:.2f} % of a core")
    print(f"not imported: {', '.join(module for module in HEAVY if module not in heavy)}; imported: {', '.join(heavy) or 'none of these'}")


if __name__ == "__main__":
    main()
