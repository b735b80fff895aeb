"""Slow control by EPICS Channel Access: monitors of voltages, currents, temperatures and states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field, field_validator

from collectors.collector import Collected, Options, Origin
from collectors.slow_control.epics_client import ChannelAccessMonitors
from collectors.slow_control.host_port import is_ipv6, split_address
from collectors.slow_control.monitor_frames import MonitorFrames
from collectors.slow_control.monitor_options import Addresses, ProcessVariableOptions


class EpicsOptions(ProcessVariableOptions):
    """What to monitor, where the servers are, and what the channels mean."""

    addresses: Addresses = ()
    """HOST or HOST:PORT to search at, for this source alone; by default what EPICS_CA_ADDR_LIST and the other variables of the
    process say."""
    server_port: int = Field(default=5064, ge=1, le=65535)
    """Of `addresses` that name none."""
    connection_timeout_s: float = Field(default=30.0, gt=0)
    """A server that is silent for longer and does not answer is taken for dead (with `addresses`)."""

    @field_validator("addresses")
    @classmethod
    def _check_protocol(cls, addresses: Addresses) -> Addresses:
        for address in addresses:
            if is_ipv6(split_address(address, 1)[0]):
                raise ValueError(f"{address!r}: Channel Access knows no IPv6")
        return addresses


class EpicsCollector:
    """Monitors process variables by Channel Access: nothing is polled, servers send what changes.

    Readings have the server's time. A value of severity INVALID is invalid; a channel that is lost is disconnected until its
    server is back. Units, states and limits are the server's, where options do not say otherwise. With `severity` the alarm
    that the IOC itself raises is a channel as well, which the method `states` can judge.

    Example:
        [source.ecal-hv]
        collector = "epics"
        place = "CMS/ECAL/HV"
        channels = ["HV:{00..11}:VMon", "HV:{00..11}:IMon", "HV:{00..11}:Status"]
        bits = { "*:Status" = ["on", "ramp_up", "ramp_down", "over_current"] }
        ramping = [{ status = "*:Status", readings = ["{1}:VMon", "{1}:IMon"], bits = [1, 2] }]

    """

    options_model: ClassVar[type[Options]] = EpicsOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: EpicsOptions) -> None:
        self._options = options
        plans = options.refined(options.plans(), origin.place)
        self._frames = MonitorFrames(origin, plans, limits=options.limits, severity=options.severity)
        self._monitors = ChannelAccessMonitors(
            [plan.target for plan in plans],
            origin.now_ns,
            addresses=options.addresses,
            server_port=options.server_port,
            connection_timeout_s=options.connection_timeout_s,
            max_events=options.buffer_updates,
        )

    def collect(self) -> Iterator[Collected]:
        """Updates since the last turn, none of them where nothing changed. Raises CollectError where no channel has a server."""
        return self._frames.collect(self._monitors, self._options.connect_wait_s)

    def close(self) -> None:
        """Ends all connections."""
        self._monitors.close()
