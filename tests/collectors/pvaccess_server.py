"""A PVAccess server in a process of its own, which does what a test tells it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from tests.collectors.told_server import ToldServer, free_port

SERVER = """
import json, sys, time
from p4p.nt import NTEnum, NTScalar, NTTable
from p4p.server import Server, StaticProvider
from p4p.server.thread import SharedPV

def scalar(code="d", units=""):
    return NTScalar(code, display=True, control=True, valueAlarm=True), units

types = {"HV:00:VMon": scalar(units="V"), "HV:00:IMon": scalar(units="uA"), "HV:00:Status": scalar("i"), "TEXT": (NTScalar("s"), ""),
         "WAVE": (NTScalar("ad"), ""), "POWER": (NTEnum(), ""), "TABLE": (NTTable([("a", "d")]), "")}
limits = {"valueAlarm.lowAlarmLimit": -5.0, "valueAlarm.lowWarningLimit": -2.0, "valueAlarm.highWarningLimit": 1500.0,
          "valueAlarm.highAlarmLimit": 1600.0}
values = {"HV:00:VMon": 1400.0, "HV:00:IMon": 2.5, "HV:00:Status": 1, "TEXT": "READY", "WAVE": [1.0, 2.0, 3.0],
          "POWER": {"index": 1, "choices": ["OFF", "ON", "TRIPPED"]}, "TABLE": [{"a": 1.0}]}
provider, pvs = StaticProvider("crate"), {}

def wrapped(name, value, severity=0, **fields):
    nt, units = types[name]
    structure = nt.wrap(value)
    if units:
        structure["display.units"] = units
    structure["alarm.severity"] = severity
    now_ns = time.time_ns()
    structure["timeStamp"] = {"secondsPastEpoch": now_ns // 10**9, "nanoseconds": now_ns % 10**9}
    for field, content in fields.items():
        structure[field] = content
    return structure

for name in types:
    if name == "TABLE":
        first = types[name][0].wrap(values[name])
    else:
        first = wrapped(name, values[name], **(limits if name.endswith("VMon") else {}))
    pvs[name] = SharedPV(nt=False, initial=first)
    provider.add(name, pvs[name])

conf = {"EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1", "EPICS_PVAS_SERVER_PORT": sys.argv[1], "EPICS_PVAS_BROADCAST_PORT": sys.argv[2],
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO", "EPICS_PVAS_BEACON_ADDR_LIST": ""}
with Server(providers=[provider], conf=conf, useenv=False):
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        values[order["name"]] = order.get("value", values[order["name"]])
        pvs[order["name"]].post(wrapped(order["name"], values[order["name"]], order.get("severity", 0)))
        print("done", flush=True)
"""


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class PvServer(ToldServer):
    """A PVAccess server of its own, at ports of its own."""

    script = SERVER

    def __init__(self, folder: Path) -> None:
        self.port, self.udp_port = free_port(), _free_udp_port()
        super().__init__(folder, str(self.port), str(self.udp_port))

    def put(self, name: str, value: Any = None, severity: int = 0) -> None:
        self.tell(name=name, severity=severity, **({} if value is None else {"value": value}))
