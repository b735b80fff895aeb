"""The whole flow on one page.

    collect --frames, conditions, layouts--> detect --findings--> correlate --incidents--> notify --> people
                                                 ^                    |  ^
                                                 findings    incidents|  |feedback
                                                 |                    v  |
                                      plans <-- optimize <------------+  web (the page), buttons

Every arrow is a topic of the bus. Each stage can run in a process of its own (`shiftwatch run --stage detect`); with the
memory bus all run in one. A stage reads, works, writes, and only then commits what it has read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from daemon import plugins
from daemon.bus.bus import Bus
from daemon.clock import Clock, ScaledClock, SystemClock
from daemon.collect.stage import CollectStage
from daemon.correlate.knowledge import Knowledge
from daemon.correlate.stage import CorrelateStage
from daemon.detect.stage import DetectStage
from daemon.notify.building import build_receivers
from daemon.notify.receiver import Receiver
from daemon.notify.stage import NotifyStage
from daemon.optimizer import knowledge as optimizer
from daemon.runner import Stage
from daemon.secret_files import unreadable
from daemon.sections import ConfigurationError
from daemon.settings import Settings, detector_settings
from daemon.store.store import Store

STAGES = ("collect", "detect", "correlate", "optimize", "notify", "web")
"""In the order of the flow; stopped in this order too, so that what was collected is still judged and told."""


def builders(settings: Settings, bus: Bus, store: Store, clock: Clock, console: Sequence[Receiver]) -> Mapping[str, Callable[[], Stage]]:
    """How each stage is built, by name; built anew after a failure. `console`: receivers besides those of the configuration."""
    return {
        "collect": lambda: CollectStage(settings, bus, clock),
        "detect": lambda: DetectStage(settings, bus, store),
        "correlate": lambda: CorrelateStage(settings, bus, store, knowledge_of(settings)),
        "optimize": lambda: _optimize(settings, bus, store, clock),
        "notify": lambda: NotifyStage(bus, store, [*console, *build_receivers(settings, bus, store, clock)], now_ns=clock.now_ns),
        "web": lambda: _web(settings, bus, store, clock),
    }


def _optimize(settings: Settings, bus: Bus, store: Store, clock: Clock) -> Stage:
    from daemon.optimizer.stage import OptimizeStage  # noqa: PLC0415 - imported only where a cluster is configured

    return OptimizeStage(settings, bus, store, clock)


def _web(settings: Settings, bus: Bus, store: Store, clock: Clock) -> Stage:
    from daemon.web.stage import WebStage  # noqa: PLC0415 - FastAPI is imported only where the page is served

    return WebStage(settings, bus, store, clock)


def open_bus(settings: Settings) -> Bus:
    """The bus of the configuration. The driver is imported only where it is used."""
    if settings.bus.driver == "memory":
        from daemon.bus.memory import MemoryBus  # noqa: PLC0415 - a driver is imported only where it is used

        return MemoryBus(settings.bus.memory)
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415

    return KafkaBus(settings.bus.kafka)


def open_clock(settings: Settings) -> Clock:
    """Wall time, or the scaled time of a demonstration."""
    scaled = settings.clock
    if scaled.origin_wall_ns:
        return ScaledClock(scaled.origin_wall_ns, scaled.origin_data_ns, scaled.speed)
    return SystemClock()


def knowledge_of(settings: Settings) -> Knowledge:
    """What the configured detectors, and the optimizer, know of their conditions, all together."""
    decisions: dict[str, tuple[str, str]] = {}
    explains: dict[str, tuple[str, ...]] = {}
    for name in sorted({detector for source in settings.source.values() for detector in source.detectors}):
        plugin = plugins.load("detectors", detector_settings(settings, name).method or name)
        decisions.update({condition: (a.decision, a.runbook) for condition, a in getattr(plugin, "advice", {}).items()})
        explains.update(getattr(plugin, "explains", {}))
    if settings.optimizer.cluster:
        decisions.update(optimizer.DECISIONS)
    return Knowledge(decisions, explains, optimizer.edges(settings.optimizer))


def check_stages(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """The stages to run, in order. Raises ConfigurationError."""
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise ConfigurationError(f"no stage {unknown[0]!r}; there are {', '.join(STAGES)}")
    off = {"optimize": not settings.optimizer.cluster, "web": not settings.web.enabled}
    idle = [name for name in names if off.get(name)]
    if idle:
        missing = {"optimize": "optimizer.cluster names no cluster", "web": "web.enabled is false"}
        raise ConfigurationError(f"stage {idle[0]} has nothing to do: {missing[idle[0]]}")
    running = tuple(name for name in STAGES if not off.get(name))
    if names and settings.bus.driver == "memory" and set(names) != set(running):
        raise ConfigurationError("single stages need a bus that other processes can reach: set bus.driver to kafka")
    return tuple(name for name in running if not names or name in names)


def check_secrets(settings: Settings, stages: Sequence[str]) -> None:
    """Reads the secrets that these stages need: one that is missing is said at the start, not with the first incident.

    Raises ConfigurationError. Another process may have the secrets of other stages.
    """
    problems: list[str] = []
    if "notify" in stages:
        problems += [line for name, section in settings.receiver.items() for line in unreadable(section.options, f"receiver.{name}")]
    if "web" in stages:
        problems += unreadable(settings.web, "web")
    if problems:
        raise ConfigurationError("\n".join(problems))
