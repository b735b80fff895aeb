"""A process that is killed while it writes history: what is there is whole, and what was read once is there once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from daemon.history.reader import History
from tests.daemon.historic import START_NS, S

PROGRAM = """
import sys
from pathlib import Path
from daemon.bus.memory import MemoryBus
from tests.daemon.historic import Producer, drain, frame, stage
bus = MemoryBus()
history, producer = stage(bus, Path(sys.argv[1])), Producer(bus, epoch=int(sys.argv[2]))
for number in range(100_000):
    producer.send(frame(number * 5, 5))
    drain(history)
    history._close_files()
    print(number, flush=True)
"""


def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each process begins with what the one before had sent, as a recorded source does."""
    written = 0
    for epoch in (1, 2, 3):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), str(epoch)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        deadline = time.monotonic() + 60
        for line in process.stdout:
            assert time.monotonic() < deadline
            if int(line) >= 30 * epoch:
                break
        process.send_signal(signal.SIGKILL)
        last = [int(line) for line in process.communicate()[0].splitlines()]
        written = max([written, 30 * epoch, *last])
        frames = list(History(tmp_path).frames("hv"))
        rows = np.sort(np.concatenate([f.time_ns for f in frames]))
        assert len(rows) >= (written + 1) * 5, "what was written before the kill is there"
        np.testing.assert_array_equal(rows, START_NS + np.arange(len(rows)) * 10 * S)
