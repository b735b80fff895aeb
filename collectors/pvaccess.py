"""Slow control by EPICS PVAccess, the protocol of EPICS 7: monitors of scalars, enumerations and elements of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from collectors.collector import Collected, Options, Origin
from collectors.patterns import matches
from collectors.slow_control.host_port import joined_address, split_address
from collectors.slow_control.monitor_frames import MonitorFrames
from collectors.slow_control.monitor_options import Addresses, ProcessVariableOptions
from collectors.slow_control.pvaccess_client import PvAccessMonitors


class PvAccessOptions(ProcessVariableOptions):
    """What to monitor, where the servers are, and what the channels mean."""

    addresses: Addresses = ()
    """HOST or HOST:PORT to search at by UDP, for this source alone; by default what EPICS_PVA_ADDR_LIST and the other variables
    of the process say."""
    name_servers: Addresses = ()
    """HOST or HOST:PORT to search at by TCP: servers and gateways behind a firewall."""
    broadcast_port: int = Field(default=5076, ge=1, le=65535)
    """UDP, of `addresses` that name none."""
    server_port: int = Field(default=5075, ge=1, le=65535)
    """TCP, of `name_servers` that name none."""
    connection_timeout_s: float = Field(default=30.0, ge=1)
    """A server that is silent for a third longer than this is taken for dead (with `addresses` or `name_servers`)."""
    elements: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Pattern = which element of an array to take, the first is 0."""

    def settings(self) -> dict[str, str]:
        """What the library is told of the network; nothing where the environment decides."""
        if not self.addresses and not self.name_servers:
            return {}
        return {
            "EPICS_PVA_ADDR_LIST": " ".join(_with_port(self.addresses, self.broadcast_port)),
            "EPICS_PVA_NAME_SERVERS": " ".join(_with_port(self.name_servers, self.server_port)),
            "EPICS_PVA_AUTO_ADDR_LIST": "NO",
            "EPICS_PVA_CONN_TMO": f"{self.connection_timeout_s:g}",
        }


class PvAccessCollector:
    """Monitors process variables by PVAccess: nothing is polled, servers send what changes.

    Readings have the server's time. A value of severity INVALID is invalid; a channel that is lost is disconnected until its
    server is back. Units, states and alarm limits come with the values, where options do not say otherwise. NTScalar and NTEnum
    are read, of an NTScalarArray one element (a channel for each is a line of `channels_file` with the same address). With
    `severity` the alarm that the IOC itself raises is a channel as well, which the method `states` can judge.

    Example:
        [source.ecal-hv]
        collector = "pvaccess"
        place = "CMS/ECAL/HV"
        channels = ["HV:{00..11}:VMon", "HV:{00..11}:IMon"]
        addresses = ["ioc-hv.example.org"]
        severity = true

    """

    options_model: ClassVar[type[Options]] = PvAccessOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: PvAccessOptions) -> None:
        self._options = options
        plans = options.refined(options.plans(), origin.place)
        self._frames = MonitorFrames(origin, plans, limits=options.limits, severity=options.severity)
        self._monitors = PvAccessMonitors(
            [plan.target for plan in plans],
            [next((i for pattern, i in options.elements.items() if matches(pattern, plan.name)), None) for plan in plans],
            origin.now_ns,
            settings=options.settings(),
            max_events=options.buffer_updates,
        )

    def collect(self) -> Iterator[Collected]:
        """Updates since the last turn, none of them where nothing changed. Raises CollectError where no channel has a server."""
        return self._frames.collect(self._monitors, self._options.connect_wait_s)

    def close(self) -> None:
        """Ends all connections."""
        self._monitors.close()


def _with_port(addresses: tuple[str, ...], port: int) -> list[str]:
    return [joined_address(*split_address(address, port)) for address in addresses]
