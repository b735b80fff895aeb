"""OPC UA through asyncua: one thread with an event loop of its own, which connects, watches and connects again.

A subscription dies with its server, and a server that hangs leaves the last values looking good. So the server is asked for its
state again and again, each subscription must say at least that nothing is new, and whatever stays away ends the connection:
all channels are lost until a new connection has a new subscription.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
from collections.abc import Callable
from contextlib import suppress

from asyncua import ua

from collectors.slow_control.channel_list import ControlInfo
from collectors.slow_control.monitor_buffer import MonitorBuffer, shown
from collectors.slow_control.opcua_nodes import Nodes
from collectors.slow_control.opcua_session import Access, connected
from collectors.slow_control.opcua_subscription import Items, LostError, Rates, Subscription

logger = logging.getLogger(__name__)

_FIRST_DELAY_S = 1.0
_CLOSE_S = 2.0
_NOT_YET = "not connected yet"


class OpcUaMonitors:
    """Monitored items of one server."""

    def __init__(
        self, access: Access, items: Items, rates: Rates, longest_delay_s: float, now_ns: Callable[[], int], max_events: int
    ) -> None:
        self.buffer = MonitorBuffer(max_events)
        self._access, self._items, self._rates, self._longest_delay_s = access, items, rates, longest_delay_s
        self._now_ns = now_ns
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._problem = _NOT_YET
        self._is_subscribed = False

    def start(self) -> None:
        """Begins to connect, once; from then on it connects again by itself."""
        if self._thread is not None:
            return
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._stay_connected())
        self._thread = threading.Thread(target=_run, args=(self._loop, self._task), name="opcua", daemon=True)
        self._thread.start()

    def is_settled(self) -> bool:
        """Whether all items that the server accepted have sent their first value, or it cannot be reached."""
        return (self._is_subscribed and self.buffer.heard >= self.buffer.connected) or self._problem not in ("", _NOT_YET)

    def describe(self, _timeout_s: float) -> dict[int, ControlInfo]:
        """What the server has told of channels; it is asked before they are monitored."""
        return self.buffer.take_infos()

    def nobody(self) -> str:
        """Why there is no connection, or that the server has none of the nodes, in one line."""
        targets = [plan.target for plan in self._items.plans]
        return f"{self._access.url}: {self._problem or f'the server has none of the nodes {shown(targets)}'}"

    def close(self) -> None:
        """Ends the connection and the thread; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        assert self._loop is not None
        assert self._task is not None
        with suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._task.cancel)
        thread.join(timeout=2 * _CLOSE_S + 1)
        self.buffer.clear()

    async def _stay_connected(self) -> None:
        """Connects, monitors and watches until it is cancelled; waits longer after each failure, and scattered."""
        delay_s = _FIRST_DELAY_S
        while True:
            delay_s = min(2 * delay_s, self._longest_delay_s)
            try:
                async with connected(self._access, self._rates.request_timeout_s, _CLOSE_S) as client:
                    subscription = Subscription(client, self._items, self._rates, self.buffer, await Nodes.of(client), self._now_ns)
                    await subscription.start()
                    self._problem, self._is_subscribed, delay_s = "", True, _FIRST_DELAY_S
                    await subscription.watch()
            except Exception as error:  # noqa: BLE001 - whatever a library or a server does wrong, the next connection may be good
                self._problem = _words(error, self._rates.request_timeout_s)
            finally:
                self._is_subscribed = False
                self.buffer.lose(range(len(self._items.plans)), self._now_ns())
            logger.info("opc ua server=%s problem=%r again_s=%.1f", self._access.url, self._problem, delay_s)
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - scatter, no secret


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    asyncio.set_event_loop(loop)
    try:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _words(error: Exception, timeout_s: float) -> str:
    """Why a connection failed or ended, in one line; never what was sent."""
    if isinstance(error, LostError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, ua.UaStatusCodeError):
        return str(ua.StatusCode(error.code).name)
    if isinstance(error, ConnectionError) and not error.errno:
        return "the connection was lost"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return " ".join((getattr(error, "strerror", None) or str(error)).split()) or type(error).__name__
