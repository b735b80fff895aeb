"""High voltage of recorded CAEN GECO logs: what the control software of CAEN power supplies has written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.frame import Channel, Kind, Layout, Quality, Updates
from collectors.patterns import Places, PlaceTemplates, Selection, join_place, matches
from collectors.slow_control.caen_geco_lines import PARAMETERS, Address, Lines, Parameter, take_apart, values_of
from collectors.tabular.table_blocks import expand, line_pieces
from collectors.tabular.table_values import NO_TIME, times

REPORTED_CHANNELS = 5
"""Channels of a piece of the log whose bad values are reported singly."""
SHOWN_LINES = 3


class CaenGecoOptions(Options):
    """Which logs to read, and what their parameters mean."""

    files: str = Field(min_length=1)
    """Glob; files are read in the order of their paths. Compressed ones (.gz, .bz2, .zst …) are read as they are."""
    timezone: str = "UTC"
    """IANA name of the zone the log's times are in; they name none themselves."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the channel's name ("HV 1:0:3:VMon"); one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of channels that are left out."""
    units: dict[str, str] = Field(default_factory=dict)
    """Pattern = unit, where it is not CAEN's usual one (V, uA, V/s, s): boards for low voltage tell their currents in A."""
    states: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the values of a state, lowest first."""
    bits: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the bits of a status word, lowest first; those of ChStatus, Status and BdStatus are known."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's; crate/boardN/channelN by default."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"no time zone {name!r}") from None
        return name


class CaenGecoCollector:
    """Reads CAEN GECO logs from beginning to end, as if it were happening.

    A channel is named crate:board:channel:PARAMETER ("HV 1:0:3:VMon"). ChStatus is a status word with CAEN's bits (on, ramp_up,
    ramp_down, over_current …), Pw a state. That a ramp is no anomaly is told to the detectors by the source's option
    `ramping = [{ status = "*:ChStatus", readings = ["{1}:VMon", "{1}:IMon"], bits = [1, 2] }]`, a trip by a rule of the method
    `states` with `bits_bad = ["over_current", "internal_trip", "external_trip"]`.

    Example:
        [source.hv-log]
        collector = "caen_geco"
        place = "CMS/CSC/HV"
        files = "/data/hv/*_CAENGECO2020.log*"
        timezone = "Europe/Zurich"

    """

    options_model: ClassVar[type[Options]] = CaenGecoOptions
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: CaenGecoOptions) -> None:
        self._origin = origin
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._places = Places(origin.place, options.places)
        self._channels: dict[str, Channel | None] = {}
        self._positions: dict[str, int] = {}
        self._layout = Layout(origin.source, ())

    def collect(self) -> Iterator[Collected]:
        """All readings of all logs in their order; lines and values that cannot be read are counted, a few are named.

        Raises CollectError where no file matches, or the only one cannot be read.
        """
        paths = expand(self._options.files)
        for path in paths:
            try:
                yield from self._read(path)
            except CollectError as error:
                if len(paths) == 1:
                    raise
                yield Rejected(path, str(error).removeprefix(f"{path}: "))

    def close(self) -> None:
        """Nothing stays open after the last line."""

    def _read(self, path: str) -> Iterator[Collected]:
        before = 0
        try:
            with pa.input_stream(path, compression="detect") as stream:
                for piece in line_pieces(stream):
                    lines = piece.decode(errors="replace").removesuffix("\n").split("\n")
                    yield from self._updates(path, before, lines)
                    before += len(lines)
        except (OSError, EOFError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error).partition("\n")[0]) or type(error).__name__
            if not before:
                raise CollectError(f"{path}: {reason}") from None
            yield Rejected(path, f"ends after line {before}: {reason}")

    def _updates(self, path: str, before: int, lines: list[str]) -> Iterator[Collected]:
        """The readings of some lines; `before`: lines of the file that come before them."""
        found = take_apart(lines)
        time_ns = times(found.time, "iso", self._options.timezone)
        timeless = found.number[time_ns == NO_TIME]
        broken = np.sort(np.concatenate([found.broken, timeless]))
        if len(broken):
            more = f" (and {len(broken) - 1} more lines)" if len(broken) > 1 else ""
            shown = "\n".join(lines[i] for i in broken[:SHOWN_LINES].tolist()).encode()
            yield Rejected(path, f"line {before + int(broken[0]) + 1}: not a reading with its time{more}", shown)
        position = np.array([self._position(address) for address in found.addresses], dtype=np.int32)[found.address]
        wanted = (position >= 0) & (time_ns != NO_TIME)
        values, bad, rejected = self._values(path, before, found, wanted)
        yield from rejected
        columns = tuple(channel for channel in self._channels.values() if channel is not None)
        if columns != self._layout.columns:
            self._layout = Layout(self._origin.source, columns)
        if wanted.any():
            quality = np.where(bad, Quality.INVALID, Quality.GOOD).astype(np.uint8)
            yield Updates(self._layout, time_ns[wanted], position[wanted], values[wanted], quality[wanted])

    def _values(
        self, path: str, before: int, found: Lines, wanted: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[Rejected]]:
        """Values of all readings, which of them are bad, and a few rejections that stand for those; arrays as in `found`."""
        values, is_bad = np.full(len(found.address), np.nan), np.zeros(len(found.address), dtype=np.bool_)
        rejected: list[Rejected] = []
        for i, address in enumerate(found.addresses):
            channel = self._channels[address.name]
            rows = np.flatnonzero((found.address == i) & wanted)
            if channel is None or not len(rows):
                continue
            cells = found.value.take(pa.array(rows))
            values[rows], is_bad[rows] = values_of(channel, cells)
            bad = np.flatnonzero(is_bad[rows])
            if len(bad):
                first = int(bad[0])
                more = f" (and {len(bad) - 1} more lines)" if len(bad) > 1 else ""
                what = {Kind.STATE: "none of its states", Kind.BITS: "no status word"}.get(channel.kind, "not a number")
                reason = f"line {before + int(found.number[rows[first]]) + 1}: {cells[first].as_py()!r:.60} is {what}{more}"
                rejected.append(Rejected(f"{path}: {channel.name}", reason))
        if len(rejected) > REPORTED_CHANNELS:
            others = len(rejected) - REPORTED_CHANNELS
            rejected[REPORTED_CHANNELS:] = [Rejected(path, f"bad values of {others} more channels from line {before + 1}")]
        return values, is_bad, rejected

    def _position(self, address: Address) -> int:
        """The column of a channel, -1 where it is not wanted."""
        name = address.name
        if name not in self._channels:
            self._channels[name] = self._describe(address) if name in self._selection else None
            if self._channels[name] is not None:
                self._positions[name] = len(self._positions)
        return self._positions.get(name, -1)

    def _describe(self, address: Address) -> Channel:
        name, options = address.name, self._options
        known = PARAMETERS.get(address.parameter, Parameter(address.parameter, "1"))
        bits = next((names for pattern, names in options.bits.items() if matches(pattern, name)), ())
        states = next((names for pattern, names in options.states.items() if matches(pattern, name)), ())
        if bits or states:
            known = Parameter(known.quantity, "", Kind.BITS if bits else Kind.STATE, bits or states)
        unit = next((u for pattern, u in options.units.items() if matches(pattern, name)), known.unit)
        steps = (address.crate, f"board{address.board}" if address.board else "", f"channel{address.channel}" if address.channel else "")
        place = join_place(self._origin.place, *("_".join(step.replace("/", "_").split()) for step in steps))
        return Channel(name, known.quantity, unit, known.kind, self._places.of(name) if options.places else place, known.states)
