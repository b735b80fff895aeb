"""What systemd is told, and how often."""

from __future__ import annotations

import os

import pytest

from daemon.supervisor import Supervisor


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.now_s = 1000.0

    def supervisor(self, **environment: str) -> Supervisor:
        return Supervisor(self.heard.append, environment, lambda: self.now_s)


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_the_watchdog_is_fed_three_times_within_its_time_out(listener: Listener) -> None:
    supervisor = listener.supervisor(WATCHDOG_USEC="60000000", WATCHDOG_PID=str(os.getpid()))
    for _ in range(600):
        supervisor.feed()
        listener.now_s += 0.1
    assert listener.heard == ["WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}]
)
def test_a_watchdog_that_is_off_or_another_process_s_is_not_fed(listener: Listener, environment: dict[str, str]) -> None:
    supervisor = listener.supervisor(**environment)
    supervisor.feed()
    assert listener.heard == []


def test_reloading_says_when_it_began_as_notify_reload_asks(listener: Listener) -> None:
    supervisor = listener.supervisor()
    supervisor.reloading()
    assert listener.heard[0].splitlines()[:2] == ["RELOADING=1", "MONOTONIC_USEC=1000000000"]


def test_a_status_is_one_line_and_sent_when_it_changes(listener: Listener) -> None:
    supervisor = listener.supervisor()
    supervisor.ready("running detect")
    supervisor.status("running detect")
    supervisor.status("detect: no broker\nat \N{GREEK SMALL LETTER MU}-host\nREADY=1")
    assert listener.heard == ["READY=1\nSTATUS=running detect", "STATUS=detect: no broker at ?-host READY=1"]
