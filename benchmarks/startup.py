"""Time from starting the interpreter to the first frame on the bus, as a multiple of importing numpy, pyarrow and kafka.

The configuration has no torch model; torch must not be imported then.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Round, main

IMPORTS = "import numpy, pyarrow, kafka; print('imported', flush=True)"

FIRST_FRAME = """
import sys
from daemon.pipeline import builders, open_bus, open_clock
from daemon.settings import load
from daemon.store.store import Store
from pathlib import Path

settings = load(Path(sys.argv[1]))
bus = open_bus(settings)
store = Store(settings.store.resolve())
made = builders(settings, bus, store, open_clock(settings), [])
seen = bus.subscribe(["frames"], None)
stages = [made[name]() for name in ("notify", "correlate", "detect", "collect")]
first = False
while not first:
    for stage in stages:
        stage.step(0.0)
    first = any(len(record.value) > 1000 for record in seen.poll(0.005))
print("first frame", flush=True)
heavy = [name for name in ("torch", "sklearn", "pyod", "pandas", "uproot", "caproto", "scipy") if name in sys.modules]
print("imported beside:", *heavy, flush=True)
for stage in stages:
    stage.close()
"""

METRICS = "\n".join(f"# TYPE hv_{i}_volts gauge\nhv_{i}_volts {1500 + i}" for i in range(100)) + "\n"

CONFIG = """
[store]
url = "sqlite:///{folder}/startup.db"
[source.hv]
collector = "prometheus"
url = "file://{folder}/metrics.txt"
period_s = 1
detectors = ["limits", "robust_z"]
"""


def seconds_to_first_line(arguments: list[str]) -> tuple[float, list[str]]:
    """Wall time until a child prints its first line, and all of its lines. Raises RuntimeError where it fails."""
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        elapsed = time.perf_counter() - started
        rest = child.stdout.read().splitlines()
    if child.returncode or not first:
        raise RuntimeError(f"{arguments[:1]} ended with {child.returncode}")
    return elapsed, [first.strip(), *rest]


def measure(number: int) -> Round:
    """One round: both children, in alternating order."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "metrics.txt").write_text(METRICS)
        config = Path(folder, "startup.toml")
        config.write_text(CONFIG.format(folder=folder))
        figures: dict[str, float] = {}
        order = ("imports", "first_frame") if number % 2 else ("first_frame", "imports")
        for what in order:
            arguments = ["-c", IMPORTS] if what == "imports" else ["-c", FIRST_FRAME, str(config)]
            figures[what], lines = seconds_to_first_line(arguments)
            if what == "first_frame" and "torch" in lines[-1]:
                raise RuntimeError("torch was imported although no detector needs it")
    return {"first_frame_vs_imports": figures["first_frame"] / figures["imports"]}


if __name__ == "__main__":
    main("startup", __doc__ or "", measure, rounds=5)
