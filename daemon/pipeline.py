"""The whole flow on one page.

    collect --frames, conditions, layouts--> detect --findings--> correlate --incidents--> notify --> people
       +--> history --> train --models-------^   ^                    |  ^
                                                 findings    incidents|  |feedback
                                                 |                    v  |
                                      plans <-- optimize <------------+  web (the page), buttons

Every arrow is a topic of the bus. Each stage can run in a process of its own (`shiftwatch run --stage detect`); with the
memory bus all run in one. A stage reads, works, writes, and only then commits what it has read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from daemon import plugins
from daemon.bus.bus import Bus
from daemon.clock import Clock, ScaledClock, SystemClock
from daemon.collect.stage import CollectStage
from daemon.correlate.knowledge import Knowledge
from daemon.detect.stage import DetectStage
from daemon.notify.receiver import Receiver
from daemon.optimizer import knowledge as optimizer
from daemon.runner import Stage
from daemon.secret_files import unreadable
from daemon.sections import ConfigurationError
from daemon.settings import Settings, detector_settings
from detectors import compiled

if TYPE_CHECKING:
    from daemon.agent.state import AgentState
    from daemon.store.store import Store

STAGES = ("collect", "detect", "correlate", "optimize", "notify", "web", "history", "train")
"""In the order of the flow; stopped in this order too, so that what was collected is still judged and told."""


AGENT_STAGES = ("collect", "detect")
"""What an agent runs: it must stay small."""


def builders(
    settings: Settings, bus: Bus, store: Store | AgentState, clock: Clock, console: Sequence[Receiver], stages: Sequence[str] = STAGES
) -> Mapping[str, Callable[[], Stage]]:
    """How each stage is built, by name; built anew after a failure. `console`: receivers besides those of the configuration.

    `stages` are those that run in this process.
    """
    made: dict[str, Callable[[], Stage]] = {
        "collect": lambda: CollectStage(settings, bus, clock, judges=settings.agent.enabled and "detect" in stages),
        "detect": lambda: DetectStage(settings, bus, store),
    }
    return made if settings.agent.enabled else made | _central(settings, bus, store, clock, console)  # type: ignore[arg-type] # open_store


def _central(settings: Settings, bus: Bus, store: Store, clock: Clock, console: Sequence[Receiver]) -> dict[str, Callable[[], Stage]]:
    """The stages that agents do not have. Each imports what it needs where it is built: an agent does without."""
    return {
        "correlate": lambda: _correlate(settings, bus, store),
        "optimize": lambda: _optimize(settings, bus, store, clock),
        "notify": lambda: _notify(settings, bus, store, clock, console),
        "web": lambda: _web(settings, bus, store, clock),
        "history": lambda: _history(settings, bus, clock),
        "train": lambda: _train(settings, clock),
    }


def _correlate(settings: Settings, bus: Bus, store: Store) -> Stage:
    from daemon.correlate.stage import CorrelateStage  # noqa: PLC0415

    return CorrelateStage(settings, bus, store, knowledge_of(settings))


def _notify(settings: Settings, bus: Bus, store: Store, clock: Clock, console: Sequence[Receiver]) -> Stage:
    from daemon.notify.building import build_receivers  # noqa: PLC0415
    from daemon.notify.stage import NotifyStage  # noqa: PLC0415

    return NotifyStage(bus, store, [*console, *build_receivers(settings, bus, store, clock)], now_ns=clock.now_ns)


def _optimize(settings: Settings, bus: Bus, store: Store, clock: Clock) -> Stage:
    from daemon.optimizer.stage import OptimizeStage  # noqa: PLC0415 - imported only where a cluster is configured

    return OptimizeStage(settings, bus, store, clock)


def _web(settings: Settings, bus: Bus, store: Store, clock: Clock) -> Stage:
    from daemon.web.stage import WebStage  # noqa: PLC0415 - FastAPI is imported only where the page is served

    return WebStage(settings, bus, store, clock)


def _history(settings: Settings, bus: Bus, clock: Clock) -> Stage:
    from daemon.history.stage import HistoryStage  # noqa: PLC0415 - imported only where a history is kept

    return HistoryStage(settings.history, bus, clock, bus_outlives_us=settings.bus.driver != "memory")


def _train(settings: Settings, clock: Clock) -> Stage:
    from daemon.train.stage import TrainStage  # noqa: PLC0415 - imported only where models are trained by schedule

    return TrainStage(settings, clock)


def open_store(settings: Settings) -> Store | AgentState:
    """The database of the configuration; an agent has a file of its own. Raises StoreError."""
    if settings.agent.enabled:
        from daemon.agent.state import AgentState  # noqa: PLC0415

        return AgentState(settings.agent.state)
    from daemon.store.store import Store  # noqa: PLC0415

    return Store(settings.store.resolve())


def open_bus(settings: Settings, stages: Sequence[str] = ()) -> Bus:
    """The bus of the configuration for a process with these stages. The driver is imported only where it is used."""
    if settings.agent.enabled and stages:
        return _agent_bus(settings, judges="detect" in stages)
    if settings.bus.driver == "memory":
        from daemon.bus.memory import MemoryBus  # noqa: PLC0415 - a driver is imported only where it is used

        return MemoryBus(settings.bus.memory)
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415

    return KafkaBus(settings.bus.kafka)


def _agent_bus(settings: Settings, *, judges: bool) -> Bus:
    from daemon.agent.bus import AgentBus  # noqa: PLC0415 - only agents need it
    from daemon.agent.memory import spare  # noqa: PLC0415
    from daemon.agent.summaries import Summaries  # noqa: PLC0415
    from daemon.bus.kafka import KafkaBus  # noqa: PLC0415
    from daemon.bus.spool import SpoolBus  # noqa: PLC0415

    spare()
    compiled.interpret()  # the compiler takes more memory than all the rest
    few = {"connect_timeout_s": 1.0, "buffer_bytes": min(settings.bus.kafka.buffer_bytes, AGENT_BUFFER_BYTES)}
    options = settings.bus.kafka.model_copy(update=few)
    spool = SpoolBus(settings.agent.spool, lambda: KafkaBus(options), max_record_bytes=options.max_record_bytes)
    period_ns = int(settings.agent.summary_s * 1e9)
    return AgentBus(spool, judges=judges, summaries=Summaries(period_ns, time.time_ns()) if period_ns else None)


AGENT_BUFFER_BYTES = 4 * 1024 * 1024
"""The spool hands over less than this at once."""


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
    if settings.agent.enabled:
        return _check_agent(settings, names)
    missing = _without_work(settings)
    idle = [name for name in names if name in missing]
    if idle:
        raise ConfigurationError(f"stage {idle[0]} has nothing to do: {missing[idle[0]]}")
    running = tuple(name for name in STAGES if name not in missing)
    if names and settings.bus.driver == "memory" and set(names) != set(running):
        raise ConfigurationError("single stages need a bus that other processes can reach: set bus.driver to kafka")
    return tuple(name for name in running if not names or name in names)


def _without_work(settings: Settings) -> dict[str, str]:
    """Stages that have nothing to do, and why."""
    reasons = {
        "optimize": "" if settings.optimizer.cluster else "optimizer.cluster names no cluster",
        "web": "" if settings.web.enabled else "web.enabled is false",
        "history": "" if settings.history.path is not None else "history.path names no folder",
        "train": "" if settings.learning.retrain else "learning.retrain names no time",
    }
    return {stage: reason for stage, reason in reasons.items() if reason}


def _check_agent(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """The stages of an agent: it detects where any of its sources has detectors. Raises ConfigurationError."""
    if settings.bus.driver != "kafka":
        raise ConfigurationError("agent.enabled: an agent needs a broker to tell: set bus.driver to kafka")
    foreign = [name for name in names if name not in AGENT_STAGES]
    if foreign:
        raise ConfigurationError(f"stage {foreign[0]} does not run in an agent; it has {' and '.join(AGENT_STAGES)}")
    judged = any(source.detectors for source in settings.source.values())
    conditions = any(source.role == "conditions" for source in settings.source.values())
    muted = [name for name, source in settings.source.items() if source.mute and not conditions]
    if muted and (not names or "detect" in names):
        raise ConfigurationError(f"source.{muted[0]}.mute: an agent knows only conditions that it collects itself; judge it centrally")
    silent = sorted(
        d for source in settings.source.values() for d in source.detectors if d in settings.detector and settings.detector[d].shadow
    )
    if silent and (not names or "detect" in names):
        raise ConfigurationError(f"detector.{silent[0]}.shadow: an agent has no record of what is in shadow; judge it centrally")
    return tuple(name for name in AGENT_STAGES if (name in names if names else judged or name == "collect"))


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
