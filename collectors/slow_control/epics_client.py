"""Channel Access monitors through caproto's threading client, with a bounded buffer between its threads and `collect`.

caproto holds callbacks weakly: they are methods of `ChannelAccessMonitors`, which lives as long as the collector. It reads the addresses
of servers from the process's environment each time it sends; `_Broadcaster` has its own, so that sources do not share them.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from caproto import CaprotoError
from caproto.threading import client as ca

from collectors.slow_control.channel_list import LIMITS, ControlInfo
from collectors.slow_control.host_port import split_address
from collectors.slow_control.monitor_buffer import MonitorBuffer, shown, wait_until
from collectors.slow_control.monitored import Event

logger = logging.getLogger(__name__)

_EPICS_EPOCH_S = 631_152_000
_LIMIT_FIELDS = ("lower_alarm_limit", "lower_warning_limit", "upper_warning_limit", "upper_alarm_limit")
_RETRY_S = 2.0


class _Broadcaster(ca.SharedBroadcaster):  # type: ignore[misc]  # caproto has no types
    """Searches at given addresses, "HOST" or "HOST:PORT", instead of those in the environment."""

    def __init__(self, addresses: Sequence[str], default_port: int, connection_timeout_s: float) -> None:
        self._addresses = [split_address(address, default_port) for address in addresses]
        super().__init__(registration_retry_time=None)
        self.environ["EPICS_CA_CONN_TMO"] = connection_timeout_s

    def send(self, *commands: Any) -> None:  # noqa: ANN401 - caproto has no types
        data = self.broadcaster.send(*commands)
        for address in self._addresses:
            sock = self.udp_sock
            if sock is None:
                return
            try:
                sock.sendto(data, address)
            except OSError as error:
                logger.debug("search at %s:%d: %s", *address, error)


class _Context(ca.Context):  # type: ignore[misc]  # caproto has no types
    """Goes on searching where a server answers a search and then refuses the connection: caproto's own thread would end."""

    def _process_search_results_loop(self) -> None:
        while not self._close_event.is_set():
            try:
                super()._process_search_results_loop()
            except (CaprotoError, OSError) as error:
                logger.info("a server that answered cannot be reached: %s", error)
                self._close_event.wait(_RETRY_S)
                self.reconnect([key for key, pv in self.pvs.items() if self._is_lost(pv)])

    def _is_lost(self, pv: Any) -> bool:  # noqa: ANN401 - caproto has no types
        """Whether nobody searches for it any more although it has no connection."""
        return not pv.circuit_ready.is_set() and pv not in self.pvs_needing_circuits.get(pv.name, ())


class ChannelAccessMonitors:
    """Monitors of process variables; `names` holds one for each column, and a variable may stand behind several."""

    def __init__(
        self,
        names: Sequence[str],
        now_ns: Callable[[], int],
        *,
        addresses: Sequence[str],
        server_port: int,
        connection_timeout_s: float,
        max_events: int,
    ) -> None:
        self.buffer = MonitorBuffer(max_events)
        self._width = len(names)
        self._columns: dict[str, list[int]] = {}
        for column, name in enumerate(names):
            self._columns.setdefault(name, []).append(column)
        self._now_ns = now_ns
        self._network = addresses, server_port, connection_timeout_s
        self._lock = threading.Lock()
        self._undescribed: set[str] = set()
        self._asked: set[str] = set()  # of those that are not described; they are not waited for a second time
        self._context: Any = None
        self._pvs: dict[str, Any] = {}
        self._subscriptions: list[Any] = []

    def start(self) -> None:
        """Begins to search; from then on caproto connects, and connects again, by itself."""
        if self._context is not None:
            return
        addresses, server_port, connection_timeout_s = self._network
        broadcaster = _Broadcaster(addresses, server_port, connection_timeout_s) if addresses else ca.SharedBroadcaster()
        self._context = _Context(broadcaster)
        pvs = self._context.get_pvs(*self._columns, connection_state_callback=self._on_connection)
        self._pvs = {pv.name: pv for pv in pvs}
        self._subscriptions = [pv.subscribe(data_type="time", data_count=1) for pv in pvs]
        for subscription in self._subscriptions:
            subscription.add_callback(self._on_value)

    def close(self) -> None:
        """Ends all connections and threads; safe to call twice."""
        context, self._context = self._context, None
        if context is None:
            return
        broadcaster = context.broadcaster
        broadcaster._close_event.set()
        broadcaster.search_now()  # wakes up the thread that would otherwise sleep until its next search
        context.disconnect(wait=True)
        broadcaster._check_for_unresponsive_servers_thread.join(timeout=5)
        self._pvs, self._subscriptions = {}, []
        self.buffer.clear()
        with self._lock:
            self._undescribed.clear()
            self._asked.clear()

    def is_settled(self) -> bool:
        """Whether all channels have sent their first value."""
        return len(self.buffer.heard) == self._width

    def nobody(self) -> str:
        """That no channel has a server, and where one was looked for, in one line."""
        where = f" at {', '.join(self._network[0])}" if self._network[0] else " in this network; servers beyond it are named in `addresses`"
        return f"no server has a channel of {shown(list(self._columns))}{where}"

    def describe(self, timeout_s: float) -> dict[int, ControlInfo]:
        """Control information of channels that have connected since the last call and answer in time, or have answered since."""
        with self._lock:
            asked = sorted(self._undescribed - self._asked)
            self._asked.update(asked)
        if not asked:
            return self.buffer.take_infos()
        try:
            with ca.Batch(timeout=None) as batch:  # a late answer is an answer too
                for name in asked:
                    pv = self._pvs[name]
                    if pv.connected:
                        batch.read(pv, partial(self._on_control, name), data_type="control", data_count=1)
        except (CaprotoError, OSError, AttributeError) as error:  # the server went away between the two lines above
            logger.debug("control information: %s", error)
            with self._lock:
                self._asked.difference_update(asked)
        wait_until(lambda: not self._undescribed.intersection(asked), timeout_s)
        return self.buffer.take_infos()

    def _on_connection(self, pv: Any, state: str) -> None:  # noqa: ANN401 - caproto has no types
        columns, now_ns = self._columns[pv.name], self._now_ns()
        with self._lock:
            if state == "connected":
                self._undescribed.add(pv.name)
            else:
                self._undescribed.discard(pv.name)
            self._asked.discard(pv.name)
        if state == "connected":
            self.buffer.connect(columns)
        else:
            self.buffer.lose(columns, now_ns)

    def _on_value(self, subscription: Any, response: Any) -> None:  # noqa: ANN401 - caproto has no types
        pv, metadata = subscription.pv, response.metadata
        time_ns = (metadata.secondsSinceEpoch + _EPICS_EPOCH_S) * 1_000_000_000 + metadata.nanoSeconds
        value: float | str = math.nan
        problem = ""
        try:
            first = response.data[0]
            value = first.decode("latin-1") if isinstance(first, bytes) else float(first)
            count = pv.channel.native_data_count
            if count > 1:
                problem = f"an array of {count} values; only single values can be monitored"
        except (IndexError, TypeError, ValueError, AttributeError) as error:
            problem = f"a value that cannot be read: {error}"
        severity, now_ns = int(metadata.severity), self._now_ns()
        self.buffer.put(Event(column, value, time_ns, now_ns, severity, problem) for column in self._columns[pv.name])

    def _on_control(self, name: str, response: Any) -> None:  # noqa: ANN401 - caproto has no types
        metadata = response.metadata
        values = [float(getattr(metadata, field, 0.0)) for field in _LIMIT_FIELDS]
        limits = dict(zip(LIMITS, values, strict=True)) if any(values) else {}  # all zero: none are set
        states = tuple(_text(state) for state in getattr(metadata, "enum_strings", ()))
        info = ControlInfo(_text(getattr(metadata, "units", b"")), states, limits)
        self.buffer.describe(dict.fromkeys(self._columns[name], info))
        with self._lock:
            self._undescribed.discard(name)
            self._asked.discard(name)


def _text(text: bytes | str) -> str:
    return (text.decode("latin-1") if isinstance(text, bytes) else text).strip("\0 ")
