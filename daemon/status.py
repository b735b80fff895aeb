"""Says on the bus how each stage of this process is, every few seconds: the page shows it, and nobody waits for it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from daemon import messages
from daemon.bus.bus import Bus, BusError
from daemon.messages import StageStatus

EVERY_S = 5.0
FLUSH_S = 2.0


class StatusTeller:
    """A thread of its own: a bus that cannot be reached holds up neither the stages nor systemd's watchdog."""

    def __init__(self, bus: Bus, statuses: Callable[[], list[dict[str, Any]]]) -> None:
        """`statuses` gives an object for each stage, with its name as `stage`."""
        self._bus = bus
        self._statuses = statuses
        self._process = f"{socket.gethostname()}/{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Says it now, and from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Says no more; waits at most as long as it takes to give up."""
        self._stop.set()
        self._thread.join(FLUSH_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            with suppress(BusError):  # the stages say so themselves
                for entry in self._statuses():
                    status = StageStatus(self._process, entry["stage"], time.time_ns(), entry)
                    self._bus.publish("state", f"{self._process}/{status.stage}", messages.encode(status))
                self._bus.flush(FLUSH_S)
            self._stop.wait(EVERY_S)
