"""An OPC UA server in a process of its own, which does what a test tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.collectors.told_server import ToldServer, free_port

SERVER = """
import asyncio, json, logging, sys, threading
from datetime import UTC, datetime, timedelta
from asyncua import Server, ua
from asyncua.server.user_managers import UserManager

logging.disable(logging.CRITICAL)
settings = json.loads(sys.argv[1])

class Users(UserManager):
    def get_user(self, iserver, username=None, password=None, certificate=None):
        from asyncua.crypto.permission_rules import User, UserRole
        known = settings.get("user")
        if known and (username, password) != tuple(known):
            return None
        return User(role=UserRole.User)

async def properties(node, **values):
    for name, value in values.items():
        await node.add_property(0, name, value)

def text(words):
    return ua.LocalizedText(words)

async def build(server):
    for uri in settings.get("before", []):
        await server.register_namespace(uri)
    index = await server.register_namespace("http://example.org/hv")
    hv = await server.nodes.objects.add_folder(ua.NodeId("HV", index), f"{index}:HV")
    crate = await hv.add_object(ua.NodeId("HV.crate0", index), f"{index}:crate0")
    async def variable(name, value, kind=None):
        return await crate.add_variable(ua.NodeId(name, index), f"{index}:{name}", value, varianttype=kind)
    nodes = {
        "VMon": await variable("VMon", 1400.0),
        "IMon": await variable("IMon", 2.5, ua.VariantType.Float),
        "Status": await variable("Status", 1, ua.VariantType.UInt16),
        "Power": await variable("Power", 1, ua.VariantType.UInt32),
        "Mode": await variable("Mode", 0, ua.VariantType.Int32),
        "Door": await variable("Door", True),
        "Text": await variable("Text", "READY"),
        "Wave": await variable("Wave", [1.0, 2.0, 3.0]),
        "When": await variable("When", datetime(2020, 1, 1, tzinfo=UTC)),
    }
    unit = ua.EUInformation("http://www.opcfoundation.org/UA/units/un/cefact", 5655636, text("V"), text("volt"))
    await properties(nodes["VMon"], EngineeringUnits=unit, EURange=ua.Range(0.0, 1500.0), HighHighLimit=1600.0)
    await properties(nodes["Power"], EnumStrings=[text("OFF"), text("ON"), text("TRIPPED")])
    await properties(nodes["Mode"], EnumValues=[ua.EnumValueType(0, text("local")), ua.EnumValueType(2, text("remote"))])
    await properties(nodes["Door"], TrueState=text("closed"), FalseState=text("open"))
    for name in settings.get("more", []):
        nodes[name] = await variable(name, 1.0)
    return nodes

async def obey(server, nodes):
    loop, queue = asyncio.get_running_loop(), asyncio.Queue()
    def read():
        for line in sys.stdin:
            loop.call_soon_threadsafe(queue.put_nowait, json.loads(line))
    threading.Thread(target=read, daemon=True).start()
    print("ready", flush=True)
    while True:
        order = await queue.get()
        node = nodes[order["name"]]
        if order.get("state"):
            node = server.get_node(ua.ObjectIds.Server_ServerStatus_State)
        kind = await node.read_data_type_as_variant_type()
        now = datetime.now(UTC)
        value = ua.Variant(order.get("value"), kind) if order.get("value") is not None else ua.Variant()
        status = ua.StatusCode(getattr(ua.StatusCodes, order.get("status", "Good")))
        await server.write_attribute_value(node.nodeid, ua.DataValue(value, status, now - timedelta(seconds=order.get("ago_s", 0)), now))
        print("done", flush=True)

async def main():
    server = Server(user_manager=Users())
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{settings['port']}/hv")
    if settings.get("certificate"):
        await server.load_certificate(settings["certificate"])
        await server.load_private_key(settings["key"])
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    else:
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes = await build(server)
    async with server:
        await obey(server, nodes)

asyncio.run(main())
"""


class UaServer(ToldServer):
    """An OPC UA server of its own, at a port of its own; `settings` are those of the script above."""

    script = SERVER

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.port = free_port()
        self._settings = settings
        super().__init__(folder)
        self.configure()

    def configure(self, **settings: Any) -> None:
        """What it is when it is started the next time."""
        self._settings |= settings
        self._arguments = (json.dumps({"port": self.port, **self._settings}),)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/hv"

    def put(self, name: str, value: Any = None, status: str = "Good", **order: Any) -> None:
        """Writes a value of good status by default; `ago_s` makes its source timestamp older."""
        self.tell(name=name, status=status, **order, **({} if value is None else {"value": value}))
