"""What systemd is told: that the daemon is ready, reloads or stops, how it is, and that it still comes round.

Source: sd_notify(3), sd_watchdog_enabled(3). Where nobody listens (no NOTIFY_SOCKET), nothing is sent.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import sdnotify

FEEDS_A_TIMEOUT = 3
"""How often the watchdog is fed within its time-out, so that one late round does not end the daemon."""


class Supervisor:
    """The side of systemd's protocol that the daemon speaks. All calls come from the main thread."""

    def __init__(
        self,
        notify: Callable[[str], None] | None = None,
        environment: Mapping[str, str] = os.environ,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`notify` sends one datagram; the socket of NOTIFY_SOCKET by default."""
        self._notify = notify or _socket_of(environment)
        self._monotonic_s = monotonic_s
        self.watchdog_s = _watchdog_s(environment)
        self._fed_s = -float("inf")
        self._status = ""

    def ready(self, text: str) -> None:
        """Started, or done with reloading."""
        self._status = _printable(text)
        self._notify(f"READY=1\nSTATUS={self._status}")

    def reloading(self) -> None:
        """A new configuration is being taken; `ready` ends it. The time is what Type=notify-reload asks for."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(self._monotonic_s() * 1e6)}\nSTATUS=reloading")

    def stopping(self) -> None:
        """The daemon winds down."""
        self._notify("STOPPING=1\nSTATUS=saving state")

    def status(self, text: str) -> None:
        """How it is, in one line, for `systemctl status`; sent when it changes."""
        if (line := _printable(text)) != self._status:
            self._status = line
            self._notify(f"STATUS={line}")

    def feed(self) -> None:
        """Tells the watchdog that there is progress; as often as it needs to be told, however often this is called."""
        now_s = self._monotonic_s()
        if self.watchdog_s and now_s - self._fed_s >= self.watchdog_s / FEEDS_A_TIMEOUT:
            self._fed_s = now_s
            self._notify("WATCHDOG=1")


def _socket_of(environment: Mapping[str, str]) -> Callable[[str], None]:
    if "NOTIFY_SOCKET" not in environment:
        return lambda _: None
    notify: Callable[[str], None] = sdnotify.SystemdNotifier().notify
    return notify


def _printable(text: str) -> str:
    """One line of ASCII, so that no text of an error can break the protocol."""
    return " ".join(text.split()).encode("ascii", "replace").decode()[:300]


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """The watchdog's time-out, 0 where it is off or meant for another process."""
    period = environment.get("WATCHDOG_USEC", "")
    owner = environment.get("WATCHDOG_PID", "")
    if not period.isdecimal() or (owner and owner != str(os.getpid())):
        return 0.0
    return int(period) / 1e6
