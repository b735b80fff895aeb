"""From monitored channels to updates: one layout of all of them, their limits and severities, and what is said about them once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from collectors.collector import Collected, CollectError, Origin, Rejected
from collectors.frame import Channel, Kind, Layout
from collectors.slow_control.channel_list import LIMITS, ControlInfo, Plan
from collectors.slow_control.monitor_buffer import MonitorBuffer, Monitors, wait_until
from collectors.slow_control.monitored import Decoder, Event, Severity, limit_events

SEVERITY = "SEVR"
SEVERITIES = tuple(severity.name for severity in Severity)


class MonitorFrames:
    """What one source's monitors bring, turn by turn.

    Columns are the plans in their order, then the limits of each, then the severity of each, as far as they are wanted. Monitors
    may find more as long as it lives (a browsed server may have new ones): those before stay where they are.
    """

    def __init__(self, origin: Origin, plans: Sequence[Plan], *, limits: bool = False, severity: bool = False) -> None:
        self._origin = origin
        self._plans = list(plans)
        self._has_limits = limits
        self._has_severity = severity
        self._infos: dict[int, ControlInfo] = {}
        self._channels: list[Channel] = []
        self._standing: dict[int, Event] = {}
        self._is_first_turn = True
        self._announced = 0
        self._decoder = Decoder()
        self._layout = Layout(origin.source, ())
        self._describe()

    @property
    def layout(self) -> Layout:
        """All channels as they are described now."""
        return self._layout

    def collect(self, monitors: Monitors, connect_wait_s: float) -> Iterator[Collected]:
        """One turn: what monitors have brought since the last one; the first waits until they have connected.

        Raises CollectError where no channel has a server and nothing has come.
        """
        monitors.start()
        if self._is_first_turn:
            self._is_first_turn = False
            wait_until(monitors.is_settled, connect_wait_s)
        described = monitors.describe(connect_wait_s)
        events, dropped = monitors.buffer.take()
        if found := monitors.buffer.take_plans():  # after the events: those of a channel follow its plan
            self._plans += found
            self._describe()
        if not events and not monitors.buffer.connected:
            raise CollectError(monitors.nobody())
        yield from self._collected(described, events, dropped, monitors.buffer)

    def _collected(
        self, described: Mapping[int, ControlInfo], events: list[Event], dropped: int, buffer: MonitorBuffer
    ) -> Iterator[Collected]:
        renamed = self._take_infos(described) if described else []
        now_ns = self._origin.now_ns()
        brought = {event.column: event for event in events}
        absent: list[int] = []
        if self._announced < len(self._plans):
            present = buffer.connected.union(brought)
            absent = [column for column in range(self._announced, len(self._plans)) if column not in present]
        again = [self._standing[column] for column in renamed if column in self._standing and column not in brought]
        events = [*again, *(Event(column, None, now_ns, now_ns) for column in absent), *events]
        self._standing.update(brought)
        if self._has_severity:
            events = list(self._with_severities(events))
        events += self._limits(described, now_ns)
        self._announced = len(self._plans)
        updates, rejected = self._decoder.decode(self._layout, events)
        if dropped:
            reason = f"{dropped} updates were dropped: more than {buffer.max_events} in one turn"
            rejected.append(Rejected(self._origin.source, reason))
        for subject, reason in buffer.take_refusals().items():
            yield Rejected(self._plans[subject].name if isinstance(subject, int) else subject, reason)
        yield from rejected
        yield updates

    def _take_infos(self, described: Mapping[int, ControlInfo]) -> list[int]:
        """Describes channels anew; returns the columns that became another channel by it, with another unit or kind.

        What stands there must be sent again: as the value of the channel that it was, nobody would know it any more.
        """
        before = self._channels
        self._infos.update(described)
        self._describe()
        return [column for column in described if before[column].identity() != self._channels[column].identity()]

    def _describe(self) -> None:
        channels = self._channels = [plan.channel(self._infos.get(column)) for column, plan in enumerate(self._plans)]
        extra: list[Channel] = []
        if self._has_limits:
            extra += (Channel(f"{c.name}.{limit}", f"{c.quantity} {limit}", c.unit, place=c.place) for c in channels for limit in LIMITS)
        if self._has_severity:
            extra += (Channel(f"{c.name}.{SEVERITY}", f"{c.quantity} {SEVERITY}", "", Kind.STATE, c.place, SEVERITIES) for c in channels)
        columns = (*channels, *extra)
        if columns != self._layout.columns:
            self._layout = Layout(self._origin.source, columns)

    def _with_severities(self, events: Iterable[Event]) -> Iterator[Event]:
        """Each event, and the severity it carries as one of its own: a severity is good also where the value is not."""
        start = len(self._plans) * (1 + self._has_limits * len(LIMITS))
        for event in events:
            yield event
            severity = None if event.value is None else float(min(event.severity, Severity.INVALID))
            yield Event(start + event.column, severity, event.time_ns, event.arrived_ns)

    def _limits(self, described: Mapping[int, ControlInfo], now_ns: int) -> Iterator[Event]:
        """Limits of channels that were described anew, and all that are configured when a channel is first announced."""
        if not self._has_limits:
            return
        for column, plan in enumerate(self._plans):
            if column in described or (plan.limits and column >= self._announced):
                limits = plan.limits or described[column].limits
                yield from limit_events(len(self._plans) + column * len(LIMITS), limits, LIMITS, now_ns)
