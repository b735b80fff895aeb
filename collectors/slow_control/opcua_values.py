"""What an OPC UA server says of a value, in our terms: number, time and whether it can be believed.

Status codes: OPC 10000-4 (Services) 7.39 and OPC 10000-8 (Data Access) 6.3, https://reference.opcfoundation.org.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua

from collectors.frame import Quality
from collectors.slow_control.monitored import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CODE = 0xFFFF_0000
"""The lower half of a status holds flags, not the code."""
_OVERFLOW = 0x0480
"""Flags of a value that says: the queue was full, others were dropped before this one."""
_DISCONNECTED = {
    ua.StatusCodes.BadNoCommunication,
    ua.StatusCodes.BadCommunicationError,
    ua.StatusCodes.BadNotConnected,
    ua.StatusCodes.BadServerNotConnected,
    ua.StatusCodes.BadConnectionClosed,
    ua.StatusCodes.BadDisconnect,
    ua.StatusCodes.BadShutdown,
    ua.StatusCodes.BadServerHalted,
    ua.StatusCodes.BadTimeout,
    ua.StatusCodes.BadWaitingForInitialData,
    ua.StatusCodes.BadNodeIdUnknown,
}
_STALE = {ua.StatusCodes.UncertainLastUsableValue, ua.StatusCodes.UncertainNoCommunicationLastUsableValue}


def quality_of(status: int) -> Quality:
    """Quality of a value with this status code.

    Bad is invalid, or disconnected where it says that there is no way to the device; Uncertain is invalid, or stale where it
    says that the value was good and is old.
    """
    severity, code = status >> 30, status & _CODE
    if severity == 0:
        return Quality.GOOD
    if severity == 1:
        return Quality.STALE if code in _STALE else Quality.INVALID
    return Quality.DISCONNECTED if code in _DISCONNECTED else Quality.INVALID


def status_of(data: ua.DataValue) -> int:
    """The status code as a number; a value without one is good."""
    return 0 if data.StatusCode is None else int(data.StatusCode.value)


def has_overflowed(data: ua.DataValue) -> bool:
    """Whether the server dropped values before this one."""
    return status_of(data) & _OVERFLOW == _OVERFLOW


def event(column: int, data: ua.DataValue, element: int | None, now_ns: int) -> Event:
    """What one notification says of a channel; `element` of an array. A value that is not to be had is None."""
    quality = quality_of(status_of(data))
    stamp = data.SourceTimestamp or data.ServerTimestamp
    time_ns = now_ns if stamp is None else _time_ns(stamp)
    if quality is Quality.DISCONNECTED:
        return Event(column, None, time_ns, now_ns)
    value, problem = number(data.Value, element)
    if quality is Quality.INVALID:  # the status has said all: what is beside it need not be a number
        return Event(column, value if isinstance(value, float) else math.nan, time_ns, now_ns, quality=quality)
    return Event(column, value, time_ns, now_ns, problem=problem, quality=quality)


def number(variant: ua.Variant | None, element: int | None) -> tuple[float | str, str]:
    """The number or text of a value, and what is wrong with it; NaN without a problem where the server has no value."""
    value: Any = None if variant is None else variant.Value
    problem = ""
    if isinstance(value, list | tuple):
        if element is None:
            problem = f"an array of {len(value)} values; name one of them in `elements`"
        elif element >= len(value):
            problem = f"an array of {len(value)} values has no element {element}"
        value = None if problem else value[element or 0]
    elif element is not None and value is not None:
        value, problem = None, "`elements` names one of an array, and this is no array"
    if isinstance(value, ua.LocalizedText):
        value = value.Text or ""
    if isinstance(value, str):
        return value, ""
    if isinstance(value, bool | int | float):
        return float(value), ""
    if value is not None:
        problem = f"a value of type {type(value).__name__}; only numbers, booleans and texts can be monitored"
    return math.nan, problem


def _time_ns(stamp: datetime) -> int:
    """UTC, whether it says so or not."""
    since = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - _EPOCH
    return since // timedelta(microseconds=1) * 1000
