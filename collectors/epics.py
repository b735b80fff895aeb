"""Slow control by EPICS Channel Access: monitors of voltages, currents, temperatures and states."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, field_validator, model_validator

from collectors.channel_list import FILE_COLUMNS, LIMITS, ControlInfo, Plan, expand, read_file, refine
from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.epics_client import Monitors
from collectors.frame import Channel, Layout
from collectors.monitored import Decoder, Event, limit_events
from collectors.patterns import Places, PlaceTemplates

SHOWN_NAMES = 5


def _check_addresses(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        host, _, port = address.partition(":")
        if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
            raise ValueError(f"{address!r}: write HOST or HOST:PORT")
    return addresses


class EpicsOptions(Options):
    """What to monitor, where the servers are, and what the channels mean."""

    channels: tuple[str, ...] = ()
    """Names of process variables; {00..11} stands for a range of numbers: "HV:{00..11}:VMon"."""
    channels_file: Path | None = None
    """CSV with a column `name` and, where wanted, quantity, unit, kind, place, states (a|b|c), lolo, low, high, hihi."""
    channels_file_columns: tuple[str, ...] = ()
    """What the columns of a file without a heading are, "" for those that are passed over."""
    addresses: Annotated[tuple[str, ...], AfterValidator(_check_addresses)] = ()
    """HOST or HOST:PORT to search at, for this source alone; by default what EPICS_CA_ADDR_LIST and the other variables of the
    process say."""
    server_port: int = Field(default=5064, ge=1, le=65535)
    """Of `addresses` that name none."""
    connection_timeout_s: float = Field(default=30.0, gt=0)
    """A server that is silent for longer and does not answer is taken for dead (with `addresses`)."""
    connect_wait_s: float = Field(default=3.0, ge=0)
    """How long the first turn waits for channels to connect, and each turn for what new ones are."""
    buffer_updates: int = Field(default=200_000, ge=1)
    """Updates kept between two turns; beyond that the oldest are dropped and counted."""
    limits: bool = False
    """Also the limits of each channel, as channels NAME.LOLO, NAME.LOW, NAME.HIGH and NAME.HIHI."""
    units: dict[str, str] = Field(default_factory=dict)
    """Pattern = unit, instead of what the server says."""
    states: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the values of a state, instead of what the server says; texts are looked up in them."""
    bits: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the bits of a status word, lowest first."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's: { "*:*:*" = "crate{1}/{2}" }."""

    @field_validator("channels_file_columns")
    @classmethod
    def _known_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [column for column in columns if column and column not in FILE_COLUMNS]:
            raise ValueError(f"{unknown[0]!r}: there are {', '.join(FILE_COLUMNS)}")
        return columns

    @model_validator(mode="after")
    def _check_channels(self) -> EpicsOptions:
        if not self.plans():
            raise ValueError("name the channels in `channels` or `channels_file`")
        return self

    def plans(self) -> list[Plan]:
        """All channels as they are configured. Raises ValueError where the file cannot be read."""
        listed = read_file(self.channels_file, self.channels_file_columns) if self.channels_file else []
        return [*listed, *(Plan(name) for name in expand(self.channels))]


class EpicsCollector:
    """Monitors process variables: nothing is polled, servers send what changes.

    Readings have the server's time. A value of severity INVALID is invalid; a channel that is lost is disconnected until its
    server is back. Units, states and limits are the server's, where options do not say otherwise.

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
        self._origin = origin
        self._options = options
        places = Places(origin.place, options.places)
        self._plans = list(refine(options.plans(), places, options.units, options.states, options.bits))
        self._names = {plan.name: i for i, plan in enumerate(self._plans)}
        self._infos: dict[str, ControlInfo] = {}
        self._layout = Layout(origin.source, ())
        self._describe()
        self._decoder = Decoder()
        self._is_first_turn = True
        self._is_announced = False
        self._monitors = Monitors(
            list(self._names),
            origin.now_ns,
            addresses=options.addresses,
            server_port=options.server_port,
            connection_timeout_s=options.connection_timeout_s,
            buffer_events=options.buffer_updates,
        )

    def collect(self) -> Iterator[Collected]:
        """Updates since the last turn, none of them where nothing changed. Raises CollectError where no channel has a server."""
        self._monitors.start()
        if self._is_first_turn:
            self._is_first_turn = False
            self._monitors.wait(self._options.connect_wait_s)
        described = self._monitors.describe(self._options.connect_wait_s)
        if described:
            self._infos.update(described)
            self._describe()
        events, dropped = self._monitors.take()
        connected = self._monitors.connected
        if not connected and not events:
            raise CollectError(self._nobody())
        now_ns = self._origin.now_ns()
        events += self._limits(described, now_ns)
        if not self._is_announced:
            self._is_announced = True
            absent = [column for name, column in self._names.items() if name not in connected]
            events = [*(Event(column, None, now_ns, now_ns) for column in absent), *events]
        updates, rejected = self._decoder.decode(self._layout, events)
        if dropped:
            reason = f"{dropped} updates were dropped: more than {self._options.buffer_updates} in one turn"
            rejected.append(Rejected(self._origin.source, reason))
        yield from rejected
        yield updates

    def close(self) -> None:
        """Ends all connections."""
        self._monitors.close()

    def _describe(self) -> None:
        """Makes the layout of all channels in the order of the configuration, then their limits."""
        channels = [plan.channel(self._infos.get(plan.name)) for plan in self._plans]
        limits = (Channel(f"{c.name}.{limit}", f"{c.quantity} {limit}", c.unit, place=c.place) for c in channels for limit in LIMITS)
        columns = (*channels, *(limits if self._options.limits else ()))
        if columns != self._layout.columns:
            self._layout = Layout(self._origin.source, columns)

    def _limits(self, described: dict[str, ControlInfo], now_ns: int) -> Iterator[Event]:
        """Limits of channels that were described anew; all that are configured when the source is first announced."""
        if not self._options.limits:
            return
        for i, plan in enumerate(self._plans):
            if plan.name in described or (plan.limits and not self._is_announced):
                limits = plan.limits or described[plan.name].limits
                yield from limit_events(len(self._plans) + i * len(LIMITS), limits, LIMITS, now_ns)

    def _nobody(self) -> str:
        names = list(self._names)
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        where = f" at {', '.join(self._options.addresses)}" if self._options.addresses else ""
        return f"no server has a channel of {', '.join(names[:SHOWN_NAMES])}{more}{where}"
