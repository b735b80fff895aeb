"""How many incidents a configuration would have opened on recorded data, for several budgets of false alarms."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from daemon.backtest.events import Event, Met, meet
from daemon.backtest.recorded import open_recorded
from daemon.bus.memory import MemoryBus
from daemon.records import Incident, iso
from daemon.replay import Replay
from daemon.settings import Settings
from daemon.store.store import Store

DAY_NS = 86_400_000_000_000
BUDGETS = (0.1, 1.0, 10.0)
"""False alarms a day that are tried by default."""
INCIDENTS_MOST = 1_000_000

Progress = Callable[[int, int], None]


class BacktestError(Exception):
    """Nothing could be tried; says why."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one budget gives. Incidents and events that began before `watched_from_ns` are in none of the rates: detectors were learning.

    met: None where no events are known.
    """

    per_day: float
    incidents: tuple[Incident, ...]
    events: tuple[Event, ...]
    met: Met | None
    first_ns: int
    watched_from_ns: int
    last_ns: int
    rows: int

    @property
    def days(self) -> float:
        """Days that were watched."""
        return max(0.0, (self.last_ns - self.watched_from_ns) / DAY_NS)

    @property
    def incidents_per_day(self) -> float | None:
        """How often there was an incident; None where nothing was watched."""
        return len(self.incidents) / self.days if self.days else None

    @property
    def recall(self) -> float | None:
        """Part of the events that were found; None where none are known."""
        return sum(self.met.found) / len(self.met.found) if self.met is not None and self.met.found else None

    @property
    def false_per_day(self) -> float | None:
        """Incidents that belong to no event, a day; None where no events are known."""
        return len(self.met.false_ids) / self.days if self.met is not None and self.days else None

    @property
    def median_delay_s(self) -> float | None:
        """From the start of an event to its incident, of those found."""
        known = [delay for delay in self.met.delay_s if delay is not None] if self.met is not None else []
        return median(known) if known else None

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints, one object a budget."""
        said: dict[str, Any] = {
            "budget_per_day": self.per_day,
            "incidents": len(self.incidents),
            "incidents_per_day": self.incidents_per_day,
            "days": self.days,
            "rows": self.rows,
            "watched_from": iso(self.watched_from_ns),
            "to": iso(self.last_ns),
        }
        if self.met is not None:
            said |= {"events": len(self.events), "found": sum(self.met.found), "recall": self.recall}
            said |= {"false_per_day": self.false_per_day, "median_delay_s": self.median_delay_s}
        said["list"] = [incident.as_json() for incident in self.incidents]
        return said


def tried(
    settings: Settings,
    folder: Path,
    between_ns: tuple[int | None, int | None],
    budget: float,
    events: Sequence[Event] | None,
    progress: Progress,
) -> Trial:
    """The whole pipeline over the recorded rows between two times, with this budget and nothing learned before.

    Raises BacktestError where nothing is recorded, CollectError, ReplayError.
    """
    recorded = open_recorded(settings, folder, *between_ns)
    names = {source.name for source in recorded}
    if not names:
        raise BacktestError(f"{folder}: nothing is recorded of {', '.join(settings.source) or 'any source'}")
    with tempfile.TemporaryDirectory(prefix="shiftwatch-backtest-") as scratch:
        changed = _changed(settings, names, budget, Path(scratch))
        store, bus = Store(changed.store.resolve()), MemoryBus(changed.bus.memory)
        try:
            replay = Replay(changed, bus, store, [], None, recorded)
            done = replay.run(progress)
            watched_from_ns = _watched_from_ns(changed, replay.streams(), done.first_ns, done.last_ns)
            replay.close()
            incidents = store.incidents(limit=INCIDENTS_MOST)
        finally:
            bus.close()
            store.close()
    if not done.rows:
        raise BacktestError(f"{folder}: no rows between these times")
    counted = tuple(i for i in incidents if i.opened_ns >= watched_from_ns)
    judged = tuple(e for e in events or () if e.start_ns >= watched_from_ns and e.start_ns <= done.last_ns)
    met = None if events is None else meet(counted, judged, int(settings.correlation.join_window_s * 1e9))
    return Trial(budget, counted, judged, met, done.first_ns, watched_from_ns, done.last_ns, done.rows)


def _changed(settings: Settings, names: set[str], budget: float, scratch: Path) -> Settings:
    """The configuration with this budget and these sources, without anything of the daemon that uses it."""
    return settings.model_copy(
        update={
            "false_alarms_per_day": budget,
            "source": {name: section for name, section in settings.source.items() if name in names},
            "store": settings.store.model_copy(update={"url": f"sqlite:///{scratch}/backtest.db", "url_file": None}),
            "models": settings.models.model_copy(update={"path": scratch / "models"}),  # those in use know what comes
            "bus": settings.bus.model_copy(update={"driver": "memory"}),
            "agent": settings.agent.model_copy(update={"enabled": False}),
        }
    )


def _watched_from_ns(settings: Settings, streams: Sequence[dict[str, Any]], first_ns: int, last_ns: int) -> int:
    """When the first detector that learns began to judge; the first row where there are only rules."""
    since_ns = [alarms["since_ns"] for stream in streams for alarms in stream["alarms"] if alarms["since_ns"]]
    if since_ns:
        return int(min(since_ns))
    still_learning = any("learning" in stream["state"] for stream in streams)
    has_detectors = any(section.detectors for section in settings.source.values())
    return last_ns if still_learning and has_detectors else first_ns
