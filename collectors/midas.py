"""MIDAS: readings, rates, run state, alarms and programs out of the online database (ODB) of an experiment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from pydantic import field_validator

from collectors.collector import Collected, Options, Origin, Rejected
from collectors.daq.midas_odb import OdbReader, Reading
from collectors.daq.midas_rpc import CM_SUCCESS, Answer, Failure, Request, is_number, status_text
from collectors.fetched.http_options import HttpOptions, HttpSource
from collectors.fetched.json_channels import ChannelOptions, Describer, Meaning
from collectors.fetched.json_values import reading, shown
from collectors.frame import Channel, Kind, Layout, Quality, Updates
from collectors.patterns import expression

REPORTED_PROBLEMS = 20
"""Problems of one turn that are named; the rest is counted."""
MAX_CHANNELS = 200_000
RUN_STATES = ("Unknown", "Stopped", "Paused", "Running")
"""By the number of /Runinfo/State."""
MEANINGS = (
    Meaning("/Runinfo/State", Kind.STATE, "", RUN_STATES),
    Meaning("/Alarms/*", Kind.STATE, "", ("quiet", "triggered")),
    Meaning("/Programs/*", Kind.STATE, "", ("absent", "running")),
    Meaning("*/Statistics/Events sent", Kind.COUNTER, "1"),
    Meaning("*/Statistics/Events written", Kind.COUNTER, "1"),
    Meaning("*/Statistics/Bytes written*", Kind.COUNTER, "B"),
    Meaning("*/Statistics/Events per sec.", Kind.GAUGE, "Hz"),
    Meaning("*/Statistics/kBytes per sec.", Kind.GAUGE, "kB/s"),
)
_EQUIPMENT = expression("/Equipment/*/*")


class MidasOptions(ChannelOptions, HttpOptions):
    """Where mhttpd is and what is read of the ODB."""

    url: str
    """http://HOST:8080. The passwords of mhttpd itself are asked for by HTTP digest, which is not supported: run this on mhttpd's own
    machine, or give `username` and `password_file` for the web server in front of it (as MIDAS recommends)."""
    paths: tuple[str, ...] = (
        "/Runinfo/State",
        "/Runinfo/Run number",
        "/Equipment/*/Variables",
        "/Equipment/*/Statistics",
    )
    """Paths in the ODB with all that is below them; `*` stands for the keys of one directory."""
    alarms: bool = True
    """Also each alarm of the experiment, as the state /Alarms/NAME: quiet or triggered."""
    programs: tuple[str, ...] = ()
    """Programs whose presence is watched, as the state /Programs/NAME: absent or running."""

    @field_validator("url")
    @classmethod
    def _with_method(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            raise ValueError("not an address: http://HOST:PORT or https://…")
        return url if "mjsonrpc" in parts.query else parts._replace(query="mjsonrpc", path=parts.path or "/").geturl()

    @field_validator("paths")
    @classmethod
    def _absolute(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not path.startswith("/") or "//" in path or any("*" in step and step != "*" for step in path.split("/")):
                raise ValueError(f"{path!r}: write /DIRECTORY/KEY, where a step may be *")
        return tuple(path.removesuffix("/*").rstrip("/") for path in paths)


class Shown(NamedTuple):
    """What a channel showed last."""

    time_ns: int
    value: float
    quality: Quality

    def is_same(self, other: Shown) -> bool:
        """Whether nothing was written since."""
        is_same_value = self.value == other.value or (math.isnan(self.value) and math.isnan(other.value))
        return self.time_ns == other.time_ns and self.quality is other.quality and is_same_value


class MidasCollector:
    """Reads an experiment's ODB through mhttpd: variables and statistics of the equipment, run, alarms, programs.

    Names are paths in the ODB, with the element of an array in brackets: `/Equipment/HV/Variables/Measured[Top 3]` where
    `/Equipment/HV/Settings/Names Measured` (or `Names`) names the elements, else `…/Measured[3]`. Readings have the time at which
    their key was last written, and are sent when it or the value is new. Each equipment is a place below the source's.

    Example:
        [source.midas]
        collector = "midas"
        place = "LAB/DAQ"
        url = "http://localhost:8080"
        programs = ["Logger", "feHV"]
        units = { "/Equipment/HV/Variables/Measured*" = "V" }

    """

    options_model: ClassVar[type[Options]] = MidasOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: MidasOptions) -> None:
        self._origin = origin
        self._options = options
        self._http = HttpSource(options)
        self._odb = OdbReader(self._http, options.paths)
        self._describer = Describer(origin, options, MEANINGS)
        self._channels: dict[str, Channel] = {}
        self._unwanted: set[str] = set()
        self._layout = Layout(origin.source, ())
        self._shown: dict[str, Shown] = {}

    def collect(self) -> Iterator[Collected]:
        """What was written since the last turn. Raises CollectError; a path that cannot be read is rejected and the rest goes on."""
        now_ns = self._origin.now_ns()
        keys, answers, problems = self._odb.read(self._questions(), now_ns)
        updates = self._updates([*keys, *self._answers(answers, now_ns, problems)], now_ns, problems)
        yield from problems[:REPORTED_PROBLEMS]
        if len(problems) > REPORTED_PROBLEMS:
            yield Rejected(self._http.address, f"{len(problems) - REPORTED_PROBLEMS} more values could not be used")
        yield updates

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def _questions(self) -> list[Request]:
        exist = [Request("cm_exist", {"name": name, "unique": True}) for name in self._options.programs]
        return [*exist, *([Request("get_alarms", {"get_all": True})] if self._options.alarms else [])]

    def _answers(self, answers: Sequence[Answer], now_ns: int, problems: list[Rejected]) -> Iterator[Reading]:
        """Programs and alarms, as they are now."""
        for name, answer in zip(self._options.programs, answers, strict=False):
            if isinstance(answer, Failure):
                problems.append(Rejected(f"/Programs/{name}", answer.reason))
            else:
                yield Reading(f"/Programs/{name}", name, answer.get("status") == CM_SUCCESS, now_ns)
        if not self._options.alarms:
            return
        answer = answers[-1]
        alarms = None if isinstance(answer, Failure) else answer.get("alarms")
        if isinstance(alarms, dict):
            for name, alarm in alarms.items():
                yield Reading(f"/Alarms/{name}", name, alarm.get("triggered") if isinstance(alarm, dict) else None, now_ns)
        else:
            reason = answer.reason if isinstance(answer, Failure) else status_text(answer.get("status"))
            problems.append(Rejected("/Alarms", f"get_alarms: {reason}"))

    def _updates(self, readings: Sequence[Reading], now_ns: int, problems: list[Rejected]) -> Updates:
        """What is new of the readings; channels that are gone are disconnected."""
        new: dict[str, Shown] = {}
        for name, quantity, content, time_ns in readings:
            channel = self._channel(name, quantity, content)
            if channel is None:
                continue
            value, problem = reading(content, channel)
            now, before = Shown(time_ns, value, Quality.INVALID if problem else Quality.GOOD), self._shown.get(name)
            if problem and (before is None or before.quality is not Quality.INVALID):  # said once
                problems.append(Rejected(name, problem, shown(content).encode(), time_ns))
            if before is None or not before.is_same(now):
                new[name] = now
        read = {name for name, *_ in readings}
        for name, before in self._shown.items():
            if name not in read and before.quality is not Quality.DISCONNECTED:
                new[name] = Shown(now_ns, math.nan, Quality.DISCONNECTED)
        self._shown |= new
        columns = tuple(self._channels.values())
        if columns != self._layout.columns:
            self._layout = Layout(self._origin.source, columns)
        return Updates(
            self._layout,
            np.array([each.time_ns for each in new.values()], dtype=np.int64),
            np.array([self._layout.position(name) for name in new], dtype=np.int32),
            np.array([each.value for each in new.values()], dtype=np.float64),
            np.array([each.quality for each in new.values()], dtype=np.uint8),
        )

    def _channel(self, name: str, quantity: str, content: object) -> Channel | None:
        """The channel of a value; None for texts that nobody calls a state, and for what is not wanted."""
        if name in self._channels:
            return self._channels[name]
        is_usable = is_number(content) or (isinstance(content, str) and self._describer.has_states(name))
        if name in self._unwanted or not is_usable or len(self._channels) >= MAX_CHANNELS:
            return None
        equipment = _EQUIPMENT.fullmatch(name)
        channel = self._describer.describe(name, quantity, content, equipment[1].partition("/")[0] if equipment else "")
        if channel is None:
            self._unwanted.add(name)
        else:
            self._channels[name] = channel
        return channel
