"""What all collectors that monitor channels can be told: which channels, what they mean, how much to keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from collectors.collector import Options
from collectors.patterns import Places, PlaceTemplates, matches
from collectors.slow_control.channel_list import FILE_COLUMNS, Plan, expand, read_file, refine
from collectors.slow_control.host_port import HostPort


class MonitorOptions(Options):
    """What the channels mean, and how much to wait for and to keep."""

    channels_file: Path | None = None
    """CSV with a column `name` and, where wanted, address (what the server calls it, the name by default), quantity, unit, kind,
    place, states (a|b|c), lolo, low, high, hihi."""
    channels_file_columns: tuple[str, ...] = ()
    """What the columns of a file without a heading are, "" for those that are passed over."""
    connect_wait_s: float = Field(default=3.0, ge=0)
    """How long the first turn waits for channels to connect, and each turn for what new ones are."""
    buffer_updates: int = Field(default=200_000, ge=1)
    """Updates kept between two turns; beyond that the oldest are dropped and counted, the last one of each channel stays."""
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

    def listed(self) -> list[Plan]:
        """Channels of the file. Raises ValueError where it cannot be read."""
        return read_file(self.channels_file, self.channels_file_columns) if self.channels_file else []

    def refined(self, plans: Sequence[Plan], origin_place: str) -> list[Plan]:
        """Channels with what patterns on their names add; of each name the first stays."""
        return list(refine(plans, Places(origin_place, self.places), self.units, self.states, self.bits))


Addresses = tuple[HostPort, ...]
"""HOST or HOST:PORT each."""


class ProcessVariableOptions(MonitorOptions):
    """Process variables of EPICS, which are found by their names in the whole network."""

    channels: tuple[str, ...] = ()
    """Names of process variables; {00..11} stands for a range of numbers: "HV:{00..11}:VMon"."""
    severity: bool = False
    """Also the alarm severity of each channel, as a state NAME.SEVR: NO_ALARM, MINOR, MAJOR or INVALID."""

    @model_validator(mode="after")
    def _check_channels(self) -> ProcessVariableOptions:
        names = [plan.name for plan in self.plans()]
        if not names:
            raise ValueError("name the channels in `channels` or `channels_file`")
        for option, patterns in (("units", self.units), ("states", self.states), ("bits", self.bits), ("places", self.places)):
            for pattern in patterns:
                if not any(matches(pattern, name) for name in names):
                    raise ValueError(f"`{option}`: no channel is called like {pattern!r}")
        return self

    def plans(self) -> list[Plan]:
        """All channels as they are configured. Raises ValueError where the file cannot be read."""
        return [*self.listed(), *(Plan(name) for name in expand(self.channels))]
