"""A Channel Access server in a process of its own, which does what a test tells it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

SERVER = """
import asyncio, json, sys, threading
from caproto import AlarmSeverity, AlarmStatus, ChannelType
from caproto.server import PVGroup, pvproperty, run

class Crate(PVGroup):
    vmon = pvproperty(name="HV:00:VMon", value=1400.0, units="V", lower_alarm_limit=-5.0, lower_warning_limit=-2.0,
                      upper_warning_limit=1500.0, upper_alarm_limit=1600.0, precision=2)
    imon = pvproperty(name="HV:00:IMon", value=2.5, units="uA")
    status = pvproperty(name="HV:00:Status", value=1)
    power = pvproperty(name="POWER", value="ON", enum_strings=["OFF", "ON", "TRIPPED"], dtype=ChannelType.ENUM)
    text = pvproperty(name="TEXT", value="READY", dtype=ChannelType.STRING)
    wave = pvproperty(name="WAVE", value=[1.0, 2.0, 3.0])

crate = Crate(prefix="")

async def obey(async_lib):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()
    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(queue.put_nowait, json.loads(line))
    threading.Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    while True:
        order = await queue.get()
        channel = crate.pvdb[order["name"]]
        if "severity" in order:
            await channel.alarm.write(severity=AlarmSeverity(order["severity"]), status=AlarmStatus(17))
        if "value" in order:
            await channel.write(order["value"])
        print("done", flush=True)

run(crate.pvdb, interfaces=["127.0.0.1"], startup_hook=obey)
"""


class Server:
    """A Channel Access server of its own, at a port of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._script = folder / "server.py"
        self._script.write_text(SERVER)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        settings = {
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CAS_SERVER_PORT": str(self.port),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        }
        self._process = subprocess.Popen(
            [sys.executable, str(self._script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it complains that nobody wants its beacons
            text=True,
            env={**os.environ, **settings},
        )
        self._expect("ready")
        return self

    def put(self, name: str, value: Any = None, severity: int | None = None) -> None:
        order = {"name": name, "value": value, "severity": severity}
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({k: v for k, v in order.items() if v is not None}) + "\n")
        self._process.stdin.flush()
        self._expect("done")

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _expect(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == word
