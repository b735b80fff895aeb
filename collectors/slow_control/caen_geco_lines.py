"""Lines of CAEN GECO logs, and what the parameters of CAEN power supplies are.

A line is `[2025-03-21T21:23:54]: [HV 1] bd [0] ch [0] par [IMonH] val [2.23];`: a parameter of a channel, of a board (without
`ch`) or of the crate (without `bd`). Parameters, units and bits: CAEN, CAENHVWrapper library, user's manual UM1934.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from collectors.frame import Channel, Kind
from collectors.tabular.table_values import numbers

CHANNEL_BITS = (
    *("on", "ramp_up", "ramp_down", "over_current", "over_voltage", "under_voltage", "external_trip", "max_v"),
    *("external_disable", "internal_trip", "calibration_error", "unplugged", "reserved_12", "ovp", "power_fail", "temperature"),
)
"""Bits of a channel's status, lowest first."""
BOARD_BITS = ("power_fail", "firmware_checksum", "hv_calibration", "temperature_calibration", "under_temperature", "over_temperature")
"""Bits of a board's status, lowest first."""
_POWER = ("off", "on")
_LARGEST_WORD = 2.0**32
_TEXT = r"[^\]\x00-\x1f]"
_LINE = (
    rf"^\s*\[(?P<time>{_TEXT}*)\]\s*:?\s*\[(?P<crate>{_TEXT}+)\]\s*"
    rf"(?:bd\s*\[(?P<board>{_TEXT}+)\]\s*)?(?:ch\s*\[(?P<channel>{_TEXT}+)\]\s*)?"
    rf"par\s*\[(?P<parameter>{_TEXT}+)\]\s*val\s*\[(?P<value>{_TEXT}*)\]\s*;?\s*$"
)
_ADDRESS = ("crate", "board", "channel", "parameter")


class Parameter(NamedTuple):
    """What a parameter of a power supply means."""

    quantity: str
    unit: str
    kind: Kind = Kind.GAUGE
    states: tuple[str, ...] = ()


_VOLTAGE_SETTING, _CURRENT_LIMIT = Parameter("voltage setting", "V"), Parameter("current limit", "uA")
_VOLTAGE, _CURRENT = Parameter("voltage", "V"), Parameter("current", "uA")
_STATUS = Parameter("status", "", Kind.BITS, CHANNEL_BITS)
PARAMETERS = {
    "V0Set": _VOLTAGE_SETTING,
    "V1Set": _VOLTAGE_SETTING,
    "VSet": _VOLTAGE_SETTING,
    "I0Set": _CURRENT_LIMIT,
    "I1Set": _CURRENT_LIMIT,
    "ISet": _CURRENT_LIMIT,
    "SVMax": Parameter("software voltage limit", "V"),
    "VMon": _VOLTAGE,
    "VCon": Parameter("connector voltage", "V"),
    "IMon": _CURRENT,
    "IMonH": _CURRENT,
    "IMonL": _CURRENT,
    "RUp": Parameter("ramp up rate", "V/s"),
    "RDWn": Parameter("ramp down rate", "V/s"),
    "RDwn": Parameter("ramp down rate", "V/s"),
    "Trip": Parameter("trip time", "s"),
    "Temp": Parameter("temperature", "degC"),
    "HVMax": Parameter("hardware voltage limit", "V"),
    "Pw": Parameter("power", "", Kind.STATE, _POWER),
    "POn": Parameter("power on after a restart", "", Kind.STATE, _POWER),
    "PDwn": Parameter("power down mode", "", Kind.STATE, ("kill", "ramp")),
    "Status": _STATUS,
    "ChStatus": _STATUS,
    "BdStatus": Parameter("board status", "", Kind.BITS, BOARD_BITS),
}
"""Parameters that are known; any other is a gauge without a unit."""


class Address(NamedTuple):
    """Where a parameter belongs; `board` and `channel` are "" above them."""

    crate: str
    board: str
    channel: str
    parameter: str

    @property
    def name(self) -> str:
        """The channel's name: crate:board:channel:VMon."""
        return ":".join(part for part in self if part)


class Lines(NamedTuple):
    """Some lines, taken apart; all arrays have one element for each line that is a reading.

    number: the line's number in the piece, from 0; address: index into `addresses`; broken: numbers of lines that are none.
    """

    number: NDArray[np.int64]
    time: pa.Array
    address: NDArray[np.int64]
    value: pa.Array
    addresses: list[Address]
    broken: NDArray[np.int64]


def take_apart(lines: list[str]) -> Lines:
    """The readings in some lines; empty lines are passed over."""
    text = pa.array(lines, pa.string())
    fields = pc.extract_regex(text, _LINE)
    is_reading = fields.is_valid().to_numpy(zero_copy_only=False)
    is_empty = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy(zero_copy_only=False)
    kept = fields.filter(pa.array(is_reading))
    keys = pc.binary_join_element_wise(*(pc.utf8_trim_whitespace(kept.field(part)) for part in _ADDRESS), "\x1f")
    encoded = pc.dictionary_encode(keys)
    addresses = [Address(*key.split("\x1f")) for key in encoded.dictionary.to_pylist()]
    index = encoded.indices.cast(pa.int64()).to_numpy(zero_copy_only=False)
    broken = np.flatnonzero(~is_reading & ~is_empty)
    return Lines(np.flatnonzero(is_reading), kept.field("time"), index, kept.field("value"), addresses, broken)


def values_of(channel: Channel, text: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values of one channel and which of them are none; both shape (n,). Empty ones are NaN and bad."""
    empty = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy(zero_copy_only=False)
    if channel.kind is Kind.STATE:
        lowered = {name.lower(): name for name in channel.states}
        text = pa.array([lowered.get(cell.strip().lower(), cell) for cell in text.to_pylist()], pa.string())
        values, bad = numbers(text, channel.states)
    else:
        values, bad = numbers(text)
    if channel.kind is Kind.BITS:
        bad |= (values < 0) | (values >= _LARGEST_WORD) | (np.isfinite(values) & (values != np.floor(values)))
    bad |= empty
    return np.where(bad, np.nan, values), bad
