"""Slow control by OPC UA: subscriptions to variables of PLCs, power-supply crates and SCADA systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from collectors.collector import Collected, Options, Origin
from collectors.fetched.http_text import is_loopback
from collectors.patterns import Selection, matches
from collectors.slow_control.channel_list import Plan, expand
from collectors.slow_control.monitor_buffer import shown
from collectors.slow_control.monitor_frames import MonitorFrames
from collectors.slow_control.monitor_options import MonitorOptions
from collectors.slow_control.opcua_client import OpcUaMonitors
from collectors.slow_control.opcua_nodes import Variable, parse
from collectors.slow_control.opcua_session import Access
from collectors.slow_control.opcua_subscription import Items, Rates

DEFAULT_PORT = 4840


class OpcUaOptions(MonitorOptions):
    """Where the server is, which of its variables to monitor, and what they mean."""

    url: str
    """opc.tcp://HOST:PORT/PATH; the port is 4840 by default."""
    nodes: dict[str, str] = Field(default_factory=dict)
    """Channel = node id: { "VMon{00..11}" = "ns=2;s=crate.ch{00..11}.VMon" }; {00..11} stands for a range of numbers on both sides.
    "nsu=URI;s=NAME" instead of "ns=2;s=NAME" holds also where the server numbers its namespaces anew."""
    folders: tuple[str, ...] = ()
    """Node ids of folders or objects: all numbers below them become channels, named by their path ("HV/crate0/ch3/VMon").
    "i=85" is everything there is. They are browsed anew with each connection."""
    include: tuple[str, ...] = ("*",)
    """Patterns on paths below `folders`; one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns on paths below `folders` that are left out."""
    elements: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Pattern = which element of an array to take, the first is 0."""
    publishing_interval_s: float = Field(default=1.0, gt=0)
    """How often the server sends what has changed."""
    sampling_interval_s: float = Field(default=1.0, ge=0)
    """How often the server looks at a variable; 0 is as often as it can."""
    queue_size: int = Field(default=10, ge=1)
    """Changes of one variable that the server keeps between two publications."""
    request_timeout_s: float = Field(default=4.0, gt=0)
    """A server that does not answer for longer is taken for dead."""
    watchdog_s: float = Field(default=2.0, gt=0)
    """How often the server is asked for its state: all channels are disconnected at most this and `request_timeout_s` after it has
    begun to hang."""
    reconnect_max_s: float = Field(default=30.0, ge=1)
    """The longest wait between two attempts to connect; it begins with one second and doubles."""
    username: str = ""
    """Anonymous by default."""
    password_file: Path | None = None
    """Read anew for each connection."""
    security_policy: Literal["", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = ""
    """None by default. With one, `certificate_file` and `key_file` are needed, and the server must trust the certificate."""
    security_mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    """Of `security_policy`: messages are signed only, or encrypted as well."""
    certificate_file: Path | None = None
    """The client's own certificate, PEM or DER."""
    key_file: Path | None = None
    """The key of `certificate_file`, PEM or DER, without a password."""
    server_certificate_file: Path | None = None
    """The server's certificate, PEM or DER; no other is believed then. Without it the one that the server shows is taken."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "opc.tcp" or not parts.hostname:
            raise ValueError("not an address: opc.tcp://HOST:PORT/PATH")
        if parts.username or parts.password:
            raise ValueError("put user and password into `username` and `password_file`, not into the address")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"opc.tcp://{host}:{parts.port or DEFAULT_PORT}{parts.path}"

    @model_validator(mode="after")
    def _check_security(self) -> OpcUaOptions:
        if len({bool(self.security_policy), bool(self.certificate_file), bool(self.key_file)}) > 1:
            raise ValueError("`security_policy`, `certificate_file` and `key_file` belong together")
        if self.server_certificate_file and not self.security_policy:
            raise ValueError("`server_certificate_file` needs a `security_policy`")
        if self.password_file and not self.username:
            raise ValueError("`password_file` needs a `username`")
        is_encrypted = self.security_policy and self.security_mode == "SignAndEncrypt"
        if self.password_file and not is_encrypted and not is_loopback(urlsplit(self.url).hostname or ""):
            raise ValueError("a password must not go to another machine without encryption; use `security_policy`")
        return self

    @model_validator(mode="after")
    def _check_nodes(self) -> OpcUaOptions:
        plans = self.plans()
        if not plans and not self.folders:
            raise ValueError("name the variables in `nodes` or `channels_file`, or the folders to browse in `folders`")
        for address in (*(plan.target for plan in plans), *self.folders):
            parse(address)
        return self

    def plans(self) -> list[Plan]:
        """All channels as they are configured, without those to browse. Raises ValueError."""
        plans = self.listed()
        for name, node in self.nodes.items():
            names, addresses = expand([name]), expand([node])
            if len(names) != len(addresses):
                raise ValueError(f"{name!r}: {len(names)} channels for {len(addresses)} nodes")
            plans += (Plan(each, address=address) for each, address in zip(names, addresses, strict=True))
        return plans

    def element(self, name: str) -> int | None:
        """Which element of an array a channel is."""
        return next((index for pattern, index in self.elements.items() if matches(pattern, name)), None)

    def rates(self) -> Rates:
        """How often the server looks and sends, and how it is watched."""
        return Rates(
            publishing_s=self.publishing_interval_s,
            sampling_s=self.sampling_interval_s,
            queue_size=self.queue_size,
            request_timeout_s=self.request_timeout_s,
            watchdog_s=self.watchdog_s,
        )

    def access(self) -> Access:
        """Where the server is, and what proves who we are."""
        return Access(
            self.url,
            self.username,
            self.password_file,
            self.security_policy,
            self.security_mode,
            self.certificate_file,
            self.key_file,
            self.server_certificate_file,
        )


class OpcUaCollector:
    """Monitors variables of an OPC UA server: nothing is polled, the server sends what changes.

    Readings have the source's time. A bad status makes a value invalid, or disconnected where the server has lost the device; an
    uncertain one makes it stale where it is the last known value, else invalid. Units, names of states and limits (the range of
    normal operation as LOW and HIGH) are the server's, where options do not say otherwise. A server that is restarted, hangs or
    stops sending makes all channels disconnected until it is connected again; a device that hangs behind a healthy server does
    not, give `stale_after_s` where values change all the time.

    Example:
        [source.gas]
        collector = "opcua"
        place = "CMS/RPC/gas"
        url = "opc.tcp://gas-plc.example.org:4840"
        folders = ["ns=2;s=GasSystem"]
        include = ["*/Pressure", "*/Flow", "*/State"]

    """

    options_model: ClassVar[type[Options]] = OpcUaOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: OpcUaOptions) -> None:
        self._origin = origin
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        plans = options.refined(options.plans(), origin.place)
        self._frames = MonitorFrames(origin, plans, limits=options.limits)
        items = Items(plans, options.folders, self._found, options.element)
        self._monitors = OpcUaMonitors(
            options.access(), items, options.rates(), options.reconnect_max_s, origin.now_ns, options.buffer_updates
        )

    def collect(self) -> Iterator[Collected]:
        """Updates since the last turn, none of them where nothing changed. Raises CollectError where the server is not there."""
        return self._frames.collect(self._monitors, self._options.connect_wait_s)

    def close(self) -> None:
        """Ends the connection."""
        self._monitors.close()

    def _found(self, variables: Sequence[Variable]) -> tuple[list[Plan], str]:
        """Channels of what was browsed below a folder, and what is wrong with it."""
        chosen = [variable for variable in variables if variable.path in self._selection]
        if not chosen:
            return [], f"none of {len(variables)} variables below it matches `include`" if variables else "no variables below it"
        usable = [variable for variable in chosen if self._is_readable(variable)]
        plans = self._options.refined([Plan(v.path, address=v.node.to_string()) for v in usable], self._origin.place)
        passed = [variable.path for variable in chosen if not self._is_readable(variable)]
        return plans, f"{len(passed)} variables hold no single number and are left out: {shown(passed)}" if passed else ""

    def _is_readable(self, variable: Variable) -> bool:
        has_states = variable.is_text and any(matches(pattern, variable.path) for pattern in self._options.states)
        is_element = self._options.element(variable.path) is not None
        return (variable.is_number or has_states) and variable.is_array == is_element
