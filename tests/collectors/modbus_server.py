"""A Modbus/TCP server of pymodbus in a process of its own, which does what a test tells it."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

SERVER = """
import asyncio, json, sys, threading
from pymodbus.constants import ExcCodes
from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
state = {"words": {}, "absent": {}, "failing": {}, "delay_s": 0, "cut": 0, "requests": []}

def device(number):
    async def act(function, start, address, count, registers, written):
        table = TABLES[function]
        state["requests"].append([number, table, address, count])
        if state["delay_s"]:
            await asyncio.sleep(state["delay_s"])
        asked = set(range(address, address + count))
        for code, addresses in state["failing"].get(table, {}).items():
            if asked & set(addresses):
                return ExcCodes(int(code))
        for place, word in state["words"].get(f"{number}/{table}", {}).items():
            registers[int(place) - start] = word
    registers = [SimData(0, count=1000, values=0, datatype=DataType.REGISTERS)]
    switches = [SimData(0, count=64, values=0, datatype=DataType.BITS)]
    return SimDevice(number, (switches, switches, registers, registers), action=act)

def trace(sending, data):
    return data[:len(data) - state["cut"]] if sending else data

async def obey():
    loop = asyncio.get_running_loop()
    def do(order):
        state.update(order)
        print(json.dumps(state["requests"]), flush=True)
        state["requests"] = []
    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(do, json.loads(line))
    server = asyncio.create_task(
        StartAsyncTcpServer([device(1), device(2)], address=("127.0.0.1", int(sys.argv[1])), trace_packet=trace)
    )
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
            writer.close()
            break
        except OSError:
            await asyncio.sleep(0.02)
    threading.Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    await server

asyncio.run(obey())
"""


class Server:
    """Two devices, 1 and 2, with addresses 0 to 999 of holding and input registers, and coils and discrete inputs 0 to 63."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._script = folder / "modbus_server.py"
        self._script.write_text(SERVER)
        self._orders: dict[str, Any] = {}
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(self._script), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it complains of clients that go away
            text=True,
        )
        assert self._line() == "ready"
        self.tell()
        return self

    def tell(self, **orders: Any) -> list[list[Any]]:
        """What holds from now on: `words` ("1/holding" = {address: word}), `failing` (table = {code: addresses}), delay_s, cut.

        Returns what was asked since the last call: device, table, address, count.
        """
        self._orders.update(orders)
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._orders) + "\n")
        self._process.stdin.flush()
        asked: list[list[Any]] = json.loads(self._line())
        return asked

    def reset(self) -> None:
        self.tell(words={}, failing={}, delay_s=0, cut=0)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def words(form: str, *values: float) -> list[int]:
    """Registers that hold values in the format of struct, big end first."""
    octets = b"".join(struct.pack(f">{form}", value) for value in values)
    return [int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2)]


def at(address: int, content: list[int]) -> dict[str, int]:
    """Registers from an address on."""
    return {str(address + i): word for i, word in enumerate(content)}
