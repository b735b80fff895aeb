"""The high-voltage crate as an EPICS soft IOC (Channel Access) on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Sequence

from caproto import AlarmSeverity, AlarmStatus, ChannelData, ChannelDouble, ChannelEnum
from caproto.asyncio.server import Context

from daemon.demo.geometry import CHANNELS
from daemon.demo.high_voltage import Reading, Status, pv_name

LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 10.0
_POST_TIMEOUT_S = 10.0


def free_udp_port() -> int:
    """A port that nobody listens on now, for searches by UDP and for the circuits by TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def process_variables(time_ns: int) -> dict[str, ChannelData]:
    """VMon, IMon, V0Set and Status of each channel, as they are when everything is on."""
    stamp = {"timestamp": time_ns / 1e9}
    variables: dict[str, ChannelData] = {}
    for channel in CHANNELS:
        volts, number = channel.set_volts, channel.number
        variables[pv_name(number, "VMon")] = ChannelDouble(value=volts, units="V", precision=2, **stamp)
        variables[pv_name(number, "IMon")] = ChannelDouble(value=channel.current_ua, units="uA", precision=3, **stamp)
        variables[pv_name(number, "V0Set")] = ChannelDouble(value=volts, units="V", precision=2, **stamp)
        variables[pv_name(number, "Status")] = ChannelEnum(value=Status.ON.name, enum_strings=[s.name for s in Status], **stamp)
    return variables


class _QuietContext(Context):  # type: ignore[misc] # caproto is untyped
    """Sends no beacons: on the loopback interface nobody listens for them."""

    async def broadcast_beacon_loop(self) -> None:
        """Ends at once."""


class SoftIoc:
    """Serves the process variables from a thread of its own; `port` is where clients search for them.

    Channel Access takes its settings from environment variables, so starting one sets those of this process.
    """

    def __init__(self, time_ns: int) -> None:
        self.port = free_udp_port()
        self._variables = process_variables(time_ns)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="ioc", daemon=True)

    def start(self) -> None:
        """Returns when clients can connect. Raises TimeoutError where that takes too long."""
        os.environ.update(EPICS_CA_SERVER_PORT=str(self.port), EPICS_CAS_BEACON_ADDR_LIST=LOOPBACK, EPICS_CAS_AUTO_BEACON_ADDR_LIST="NO")
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S):
            raise TimeoutError(f"the IOC of the high-voltage crate does not start on UDP port {self.port}")

    def post(self, readings: Sequence[Reading]) -> None:
        """New values with the crate's own times; monitors of clients see them."""
        if readings and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._write(readings), self._loop).result(_POST_TIMEOUT_S)

    def close(self) -> None:
        """Ends circuits and the thread."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(_START_TIMEOUT_S)
            self._loop = None

    async def _write(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            variable = self._variables[reading.pv]
            severity = AlarmSeverity.MAJOR_ALARM if reading.alarm else AlarmSeverity.NO_ALARM
            if variable.severity is not severity:
                status = AlarmStatus.STATE if reading.alarm else AlarmStatus.NO_ALARM
                await variable.alarm.write(status=status, severity=severity, publish=False)
            value = int(reading.value) if isinstance(variable, ChannelEnum) else reading.value
            await variable.write(value, timestamp=reading.time_ns / 1e9)

    async def _serve(self) -> None:
        async def say_ready(_library: object) -> None:
            self._ready.set()

        self._loop = asyncio.get_running_loop()
        context = _QuietContext(self._variables, [LOOPBACK])
        self._task = asyncio.create_task(context.run(startup_hook=say_ready))
        await asyncio.wait([self._task])
