"""Says on the bus how each stage of this process is, every few seconds: the page shows it, and nobody waits for it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticSerializationError

from daemon import messages
from daemon.bus.bus import Bus, BusError, TooLarge
from daemon.messages import StageStatus

log = logging.getLogger(__name__)

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
            try:
                for entry in self._statuses():
                    self._say(entry)
                self._bus.flush(FLUSH_S)
            except BusError:
                pass  # the stages say so themselves
            except Exception as error:  # noqa: BLE001 - a stage that changes while it is asked; the page must go on to hear of the others
                log.warning("status not told reason=%r", f"{type(error).__name__}: {error}")
            self._stop.wait(EVERY_S)

    def _say(self, entry: dict[str, Any]) -> None:
        try:
            self._publish(entry)
        except TooLarge:  # thousands of streams, say
            self._publish({key: value for key, value in entry.items() if not isinstance(value, list | dict)})
        except PydanticSerializationError as error:
            log.warning("status not told stage=%s reason=%r", entry["stage"], str(error))

    def _publish(self, entry: dict[str, Any]) -> None:
        status = StageStatus(self._process, entry["stage"], time.time_ns(), entry)
        self._bus.publish("state", f"{self._process}/{status.stage}", messages.encode(status))
