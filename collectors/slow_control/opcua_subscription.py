"""One connection's worth of OPC UA monitoring: what is browsed, described and monitored, and whether the server is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from asyncua import Client, ua

from collectors.slow_control.channel_list import Plan
from collectors.slow_control.monitor_buffer import MonitorBuffer, shown
from collectors.slow_control.opcua_nodes import Nodes, Variable
from collectors.slow_control.opcua_values import event, has_overflowed

_RETRY_REFUSED_S = 30.0
_QUIET_S = 5.0
"""A subscription with nothing new says so at least this often."""
_STATE = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
_GONE = {
    ua.ServerState.Failed,
    ua.ServerState.NoConfiguration,
    ua.ServerState.Suspended,
    ua.ServerState.Shutdown,
    ua.ServerState.CommunicationFault,
}


class LostError(Exception):
    """A server that is connected and yet not to be relied on; says why in one line."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a server looks at its variables and sends what has changed, and how it is watched; in seconds."""

    publishing_s: float
    sampling_s: float
    queue_size: int
    request_timeout_s: float
    watchdog_s: float


class Items:
    """What is monitored, over all connections: a plan for each column, and folders whose variables become plans.

    `found`: makes plans of what was browsed, and says what is wrong with the rest. `element`: of an array, by the channel's name.
    """

    def __init__(
        self,
        plans: Iterable[Plan],
        folders: Sequence[str],
        found: Callable[[Sequence[Variable]], tuple[list[Plan], str]],
        element: Callable[[str], int | None],
    ) -> None:
        self.plans: list[Plan] = []
        self.elements: list[int | None] = []
        self.folders, self.found = tuple(folders), found
        self._element = element
        self._columns: dict[str, int] = {}
        self.add(plans)
        self._configured = len(self.plans)

    def add(self, plans: Iterable[Plan]) -> list[Plan]:
        """Takes plans with names that are new, and returns them."""
        fresh = [plan for plan in plans if plan.name not in self._columns]
        for plan in fresh:
            self._columns[plan.name] = len(self.plans)
            self.plans.append(plan)
            self.elements.append(self._element(plan.name))
        return fresh

    def browsed(self, plans: Sequence[Plan]) -> list[Plan]:
        """Takes plans of what was browsed; returns those that are new. A server that restarts may give its nodes other ids."""
        for plan in plans:
            column = self._columns.get(plan.name, -1)
            if column >= self._configured:
                self.plans[column] = plan
        return self.add(plans)


class Subscription:
    """A subscription in one session. It dies with the session, and a new one begins with `start`."""

    def __init__(self, client: Client, items: Items, rates: Rates, buffer: MonitorBuffer, nodes: Nodes, now_ns: Callable[[], int]) -> None:
        self._client, self._items, self._rates, self._buffer, self._nodes = client, items, rates, buffer, nodes
        self._now_ns = now_ns
        self._id, self._quiet_s = 0, _QUIET_S
        self._published_s = 0.0
        self._ended = ""
        self._refused: set[int] = set()

    async def start(self) -> None:
        """Browses, describes and subscribes; the first values come with the first publication. Raises LostError."""
        for folder in self._items.folders:
            await self._browse(folder)
        if not self._items.plans:
            raise LostError(f"no variables below {shown(self._items.folders)}")
        parameters = ua.CreateSubscriptionParameters()
        parameters.RequestedPublishingInterval = 1000 * self._rates.publishing_s
        parameters.RequestedMaxKeepAliveCount = max(round(_QUIET_S / self._rates.publishing_s), 1)
        parameters.RequestedLifetimeCount = 10 * parameters.RequestedMaxKeepAliveCount
        self._published_s = time.monotonic()
        revised = await self._client.uaclient.create_subscription(parameters, self._on_publication)
        self._id = revised.SubscriptionId
        self._quiet_s = revised.RevisedPublishingInterval / 1000 * revised.RevisedMaxKeepAliveCount
        await self._monitor(range(len(self._items.plans)))

    async def watch(self) -> None:
        """Never returns; raises as soon as the server does not answer, stops, or leaves its subscription without a word."""
        retry_s = time.monotonic() + _RETRY_REFUSED_S
        while True:
            await asyncio.sleep(self._rates.watchdog_s)
            await self._check_state()
            if self._ended:
                raise LostError(f"the server has ended the subscription: {self._ended}")
            silent_s = time.monotonic() - self._published_s
            if silent_s > 2 * self._quiet_s + self._rates.request_timeout_s:
                raise LostError(f"the subscription has been silent for {silent_s:.0f} s")
            if self._refused and time.monotonic() > retry_s:
                retry_s = time.monotonic() + _RETRY_REFUSED_S
                await self._monitor(sorted(self._refused))

    async def _check_state(self) -> None:
        parameters = ua.ReadParameters()
        parameters.NodesToRead = [ua.ReadValueId(_STATE, ua.AttributeIds.Value)]
        (data,) = await self._client.uaclient.read(parameters)
        state = None if data.Value is None else data.Value.Value
        if state in _GONE:
            raise LostError(f"the server says that its state is {ua.ServerState(state).name}")

    async def _browse(self, folder: str) -> None:
        try:
            variables = await self._nodes.variables(self._nodes.resolve(folder))
        except ValueError as error:
            self._buffer.refuse(folder, str(error))
            return
        plans, problem = self._items.found(variables)
        if problem:
            self._buffer.refuse(folder, problem)
        self._buffer.announce(self._items.browsed(plans))

    async def _monitor(self, columns: Iterable[int]) -> None:
        """Describes nodes and monitors them; those that the server refuses are said, and tried again later."""
        wanted: dict[int, ua.NodeId] = {}
        for column in columns:
            try:
                wanted[column] = self._nodes.resolve(self._items.plans[column].target)
            except ValueError as error:
                self._refuse(column, str(error))
        self._buffer.describe(await self._nodes.describe(wanted))
        size = self._nodes.monitored_at_once
        for start in range(0, len(wanted), size):
            part = list(wanted)[start : start + size]
            parameters = ua.CreateMonitoredItemsParameters()
            parameters.SubscriptionId = self._id
            parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            parameters.ItemsToCreate = [self._item(column, wanted[column]) for column in part]
            results = await self._client.uaclient.create_monitored_items(parameters)
            for column, result in zip(part, results, strict=True):
                if result.StatusCode.is_good():
                    self._refused.discard(column)
                    self._buffer.connect([column])
                else:
                    self._refuse(column, f"{self._items.plans[column].target}: {result.StatusCode.name}")

    def _item(self, column: int, node: ua.NodeId) -> ua.MonitoredItemCreateRequest:
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor = ua.ReadValueId(node, ua.AttributeIds.Value)
        item.MonitoringMode = ua.MonitoringMode.Reporting
        item.RequestedParameters.ClientHandle = column
        item.RequestedParameters.SamplingInterval = 1000 * self._rates.sampling_s
        item.RequestedParameters.QueueSize = self._rates.queue_size
        item.RequestedParameters.DiscardOldest = True
        return item

    def _refuse(self, column: int, reason: str) -> None:
        self._refused.add(column)
        self._buffer.refuse(column, reason)

    async def _on_publication(self, result: ua.PublishResult) -> None:
        self._published_s = time.monotonic()
        now_ns = self._now_ns()
        for notification in result.NotificationMessage.NotificationData or ():
            if isinstance(notification, ua.DataChangeNotification):
                changed = [item for item in notification.MonitoredItems or () if item.ClientHandle < len(self._items.plans)]
                self._buffer.put(event(item.ClientHandle, item.Value, self._items.elements[item.ClientHandle], now_ns) for item in changed)
                for item in changed:
                    if has_overflowed(item.Value):
                        self._buffer.refuse(item.ClientHandle, "its queue in the server is too short for what changes; raise queue_size")
            elif isinstance(notification, ua.StatusChangeNotification) and not notification.Status.is_good():
                self._ended = notification.Status.name
