"""What a named value of JSON means: which ones are wanted, and the kind, unit, states and place of each, by patterns on the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import Field

from collectors.collector import Options, Origin
from collectors.fetched.json_values import TRUTH_STATES
from collectors.frame import Channel, Kind
from collectors.patterns import Places, PlaceTemplates, Selection, join_place, matches
from collectors.quantities import from_title, metric_unit

Value = TypeVar("Value")


class ChannelOptions(Options):
    """Which values are channels, and what they mean."""

    include: tuple[str, ...] = ("*",)
    """Patterns on the channel's name; one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of channels that are left out."""
    units: dict[str, str] = Field(default_factory=dict)
    """Pattern = unit; a name such as "pressure [bar]" or "used_bytes" tells its own."""
    kinds: dict[str, Kind] = Field(default_factory=dict)
    """Pattern = gauge, counter, state or bits; gauge by default, and true and false are a state."""
    states: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the values of a state; texts are looked up in them in any case of letters, numbers count from 0."""
    bits: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the bits of a status word, lowest first."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the channel's name = place below the source's; `{1}` is what the first `*` stands for."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is known of all channels whose name fits a pattern, where the options say nothing."""

    pattern: str
    kind: Kind = Kind.GAUGE
    unit: str = ""
    states: tuple[str, ...] = ()


class Describer:
    """Describes channels by the options; `known` are meanings that the protocol itself lays down."""

    def __init__(self, origin: Origin, options: ChannelOptions, known: Sequence[Meaning] = ()) -> None:
        self._place = origin.place
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._places = Places("", options.places)
        self._known = known

    def has_states(self, name: str) -> bool:
        """Whether the options name the states of a channel, so that a text is one of its values."""
        return first(self._options.states, name) is not None

    def describe(self, name: str, quantity: str, sample: object, place: str) -> Channel | None:
        """The channel of this name below `place`, None where it is not wanted. `sample`: its first value, as true is no number."""
        if name not in self._selection:
            return None
        options = self._options
        known = next((meaning for meaning in self._known if matches(meaning.pattern, name)), None)
        bits, states = first(options.bits, name) or (), first(options.states, name) or (known.states if known else ())
        kind = first(options.kinds, name)
        if kind is None:
            is_state = states or isinstance(sample, bool)
            kind = Kind.BITS if bits else Kind.STATE if is_state else known.kind if known else Kind.GAUGE
        if kind is Kind.STATE and not states and isinstance(sample, bool):
            states = TRUTH_STATES
        title, told = from_title(quantity)
        named = metric_unit(quantity)
        unit = first(options.units, name) or told or (known.unit if known else "" if named == "1" else named)
        where = join_place(self._place, self._places.of(name), place)
        if kind in (Kind.STATE, Kind.BITS):
            return Channel(name, title, "", kind, where, bits if kind is Kind.BITS else states)
        return Channel(name, title, unit, kind, where)


def first(patterns: Mapping[str, Value], name: str) -> Value | None:
    """The value of the first pattern that the name fits."""
    return next((value for pattern, value in patterns.items() if matches(pattern, name)), None)
