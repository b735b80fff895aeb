"""A Channel Access server in a process of its own, which does what a test tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.collectors.told_server import ToldServer, free_port

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


class Server(ToldServer):
    """A Channel Access server of its own, at a port of its own."""

    script = SERVER

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        settings = {
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CAS_SERVER_PORT": str(self.port),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        }
        super().__init__(folder, **settings)

    def put(self, name: str, value: Any = None, severity: int | None = None) -> None:
        order = {"name": name, "value": value, "severity": severity}
        self.tell(**{key: what for key, what in order.items() if what is not None})
