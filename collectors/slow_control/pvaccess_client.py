"""PVAccess monitors through p4p, with a bounded buffer between its threads and `collect`.

Structures are the normative types of EPICS 7 (https://docs.epics-controls.org/en/latest/pv-access/Normative-Types-Specification.html).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from p4p.client.raw import set_debug
from p4p.client.thread import Context, Disconnected, logLevelFatal
from p4p.util import WorkQueue

from collectors.slow_control.channel_list import LIMITS, ControlInfo
from collectors.slow_control.monitor_buffer import MonitorBuffer, shown
from collectors.slow_control.monitored import Event

set_debug("pvxs.*", logLevelFatal)  # it writes to standard error by itself; whatever is lost is said by us

_LIMIT_FIELDS = ("lowAlarmLimit", "lowWarningLimit", "highWarningLimit", "highAlarmLimit")
_DESCRIBING = ("value.choices", "display.units", "valueAlarm.")
_NUMBERS = (bool, int, float)


class PvAccessMonitors:
    """Monitors of process variables; `names` and `elements` hold one for each column, an element is None for single values."""

    def __init__(
        self,
        names: Sequence[str],
        elements: Sequence[int | None],
        now_ns: Callable[[], int],
        *,
        settings: Mapping[str, str],
        max_events: int,
    ) -> None:
        self.buffer = MonitorBuffer(max_events)
        self._names = tuple(names)
        self._elements = tuple(elements)
        self._now_ns = now_ns
        self._settings = dict(settings)
        self._context: Any = None
        self._queue: Any = None
        self._worker: threading.Thread | None = None
        self._subscriptions: list[Any] = []
        self._described: set[int] = set()

    def start(self) -> None:
        """Begins to search; from then on the library connects, and connects again, by itself."""
        if self._context is not None:
            return
        # with settings of its own a source does not read the process's environment at all
        self._context = Context("pva", conf=self._settings, useenv=not self._settings, nt=False)
        self._queue = WorkQueue(maxsize=0)  # of our own: the library's is shared by all and its threads never end
        self._worker = threading.Thread(target=self._queue.handle, name="pvaccess", daemon=True)
        self._worker.start()
        self._subscriptions = [
            self._context.monitor(name, partial(self._on_update, column), notify_disconnect=True, queue=self._queue)
            for column, name in enumerate(self._names)
        ]

    def close(self) -> None:
        """Ends all connections and the thread; safe to call twice."""
        context, self._context = self._context, None
        if context is None:
            return
        for subscription in self._subscriptions:
            subscription.close()
        context.close()
        self._queue.interrupt()
        assert self._worker is not None
        self._worker.join(timeout=5)
        self._subscriptions = []
        self._described.clear()
        self.buffer.clear()

    def is_settled(self) -> bool:
        """Whether all channels have sent their first value."""
        return len(self.buffer.heard) == len(self._names)

    def nobody(self) -> str:
        """That no channel has a server, and where one was looked for, in one line."""
        addresses = " ".join(filter(None, (self._settings.get(key) for key in ("EPICS_PVA_ADDR_LIST", "EPICS_PVA_NAME_SERVERS"))))
        where = f" at {addresses}" if addresses else " in this network; servers beyond it are named in `addresses`"
        return f"no server has a channel of {shown(list(dict.fromkeys(self._names)))}{where}"

    def describe(self, _timeout_s: float) -> dict[int, ControlInfo]:
        """What servers have told of channels; it comes with their values."""
        return self.buffer.take_infos()

    def _on_update(self, column: int, update: Any) -> None:  # noqa: ANN401 - p4p has no types
        now_ns = self._now_ns()
        if isinstance(update, Exception):
            self._described.discard(column)
            if not isinstance(update, Disconnected):
                self.buffer.refuse(column, f"the server refuses to monitor it: {' '.join(str(update).split()) or type(update).__name__}")
            self.buffer.lose([column], now_ns)
            return
        try:
            told = event(column, update, self._elements[column], now_ns)
            if column not in self._described or any(field.startswith(_DESCRIBING) for field in update.changedSet()):
                self.buffer.describe({column: control_info(update)})
                self._described.add(column)
        except Exception as error:  # noqa: BLE001 - the library would end the subscription for it, and the value before would stand
            reason = " ".join(str(error).split()) or type(error).__name__
            told = Event(column, math.nan, now_ns, now_ns, problem=f"a structure that is none of the normative types: {reason}")
        self.buffer.connect([column])
        self.buffer.put([told])


def control_info(structure: Any) -> ControlInfo:  # noqa: ANN401 - p4p has no types
    """Unit, names of an enumeration's states and alarm limits of a normative type, as far as it has them."""
    value = structure.get("value")
    states = tuple(str(choice) for choice in value.get("choices", ())) if _is_enumeration(value) else ()
    limits = {limit: float(structure.get(f"valueAlarm.{field}", math.nan)) for limit, field in zip(LIMITS, _LIMIT_FIELDS, strict=True)}
    limits = {limit: bound for limit, bound in limits.items() if math.isfinite(bound)}
    return ControlInfo(str(structure.get("display.units") or ""), states, limits if any(limits.values()) else {})  # all zero: none set


def event(column: int, structure: Any, element: int | None, now_ns: int) -> Event:  # noqa: ANN401 - p4p has no types
    """The value, time and alarm severity of a normative type; `element` of an array."""
    value, problem = _number(structure.get("value"), element, structure.getID())
    time_ns = int(structure.get("timeStamp.secondsPastEpoch") or 0) * 1_000_000_000 + int(structure.get("timeStamp.nanoseconds") or 0)
    return Event(column, value, time_ns, now_ns, int(structure.get("alarm.severity") or 0), problem)


def _number(value: Any, element: int | None, type_name: str) -> tuple[float | str, str]:  # noqa: ANN401 - p4p has no types
    """What a monitor shows, and what is wrong with it."""
    if _is_enumeration(value):
        value = value.get("index")
    if isinstance(value, list | np.ndarray):
        if element is None:
            return math.nan, f"an array of {len(value)} values; name one of them in `elements`"
        if element >= len(value):
            return math.nan, f"an array of {len(value)} values has no element {element}"
        value = value[element]
        value = value.item() if isinstance(value, np.generic) else value
    elif element is not None:
        return math.nan, "`elements` names one of an array, and this is no array"
    if isinstance(value, str):
        return value, ""
    if isinstance(value, _NUMBERS):
        return float(value), ""
    return math.nan, f"{type_name} is no single value; NTScalar, NTEnum and elements of NTScalarArray can be monitored"


def _is_enumeration(value: Any) -> bool:  # noqa: ANN401 - p4p has no types
    return hasattr(value, "getID") and value.has("index") and value.has("choices")
