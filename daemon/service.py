"""The daemon's life: start, signals, health, systemd's watchdog, reload, orderly end."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

from daemon import metrics, plugins
from daemon.bus.bus import Bus, BusError
from daemon.notify.receiver import Receiver
from daemon.pipeline import builders, check_secrets, check_stages, open_bus, open_clock, open_store
from daemon.runner import AGENT_POLL_S, POLL_S, STUCK_AFTER_S, StageRunner
from daemon.sections import ConfigurationError
from daemon.settings import Settings, load
from daemon.status import StatusTeller
from daemon.supervisor import Supervisor
from daemon.version import VERSION
from daemon.web.operations import OperationsServer

log = logging.getLogger(__name__)


@runtime_checkable
class Spooling(Protocol):
    """An agent's bus."""

    @property
    def problem(self) -> str:
        """Why it keeps what it has; empty where it delivers."""

    def status(self) -> dict[str, Any]:
        """What it holds."""


class Closable(Protocol):
    """A store, of which only this matters here."""

    def close(self) -> None:
        """Lets go."""


class Service:
    """Runs the stages of a configuration until it is told to stop."""

    def __init__(self, settings: Settings, stages: Sequence[str], console: Sequence[Receiver], config: Path | None = None) -> None:
        """`console`: receivers besides those of the configuration. Raises ConfigurationError."""
        self._asked = stages
        self._take(settings)
        self._console = console
        self._config = config
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._runners: list[StageRunner] = []
        self._bus: Bus | None = None
        self._supervisor = Supervisor()
        self._started_s = time.time()

    def _take(self, settings: Settings) -> None:
        """Takes a configuration for the next time that stages are started. Raises ConfigurationError where it cannot be run."""
        names = check_stages(settings, self._asked)
        check_secrets(settings, names)
        if not settings.agent.enabled:
            settings.store.resolve()
        self._settings, self._names = settings, names

    def run(self) -> None:
        """Runs until SIGTERM or SIGINT. Raises what cannot be mended by trying again: configuration, store, bus, port."""
        plugins.check_packages()
        metrics.BUILD.labels(version=VERSION).set(1)
        previous = {number: signal.signal(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        server = self._serve()
        try:
            while not self._stop.is_set():
                self._run_once(server)
        finally:
            if server is not None:
                server.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _serve(self) -> OperationsServer | None:
        http = self._settings.http
        if not http.enabled:
            return None
        return OperationsServer(http.host, http.port, live=self._not_live, ready=self._not_ready, status=self.status)

    def _run_once(self, server: OperationsServer | None) -> None:
        """One configuration, from start to stop or reload."""
        self._reload.clear()
        settings = self._settings
        store, bus = open_store(settings), open_bus(settings, self._names)
        made = builders(settings, bus, store, open_clock(settings), self._console, self._names)
        poll_s = AGENT_POLL_S if settings.agent.enabled else POLL_S
        self._bus = bus
        self._runners = [StageRunner(name, made[name], poll_s) for name in self._names]
        log.info(
            "started version=%s config=%s stages=%s sources=%s detectors=%s bus=%s store=%s http=%s",
            VERSION,
            self._config or "-",
            ",".join(self._names),
            ",".join(settings.source) or "-",
            ",".join(sorted({d for s in settings.source.values() for d in s.detectors})) or "-",
            f"{settings.bus.driver} by way of {settings.agent.spool.folder}" if settings.agent.enabled else settings.bus.driver,
            store.name,
            server.url if server else "-",
        )
        for runner in reversed(self._runners):  # readers before writers
            runner.start()
        teller = StatusTeller(bus, self._stage_statuses)
        teller.start()
        self._supervisor.ready(self._summary())
        while not (self._stop.is_set() or self._reload.is_set()):
            self._stop.wait(poll_s) if self._beat() else self._stop.wait(1.0)
        self._supervisor.reloading() if self._reload.is_set() else self._supervisor.stopping()
        teller.stop()
        self._wind_down(bus, store)

    def _beat(self) -> bool:
        """Feeds systemd's watchdog as long as every stage comes round."""
        live = not self._not_live()
        if live:
            self._supervisor.feed()
        self._supervisor.status(self._summary())
        return live

    def _summary(self) -> str:
        """How the stages are, in a line for `systemctl status`."""
        troubles = self._not_live() + [f"{r.name}: {r.error}" for r in self._runners if r.error] + self._bus_troubles()
        return "; ".join(troubles) or f"running {', '.join(self._names)}"

    def _bus_troubles(self) -> list[str]:
        """What an agent's spool has to say; other buses have nothing."""
        problem = self._bus.problem if isinstance(self._bus, Spooling) else ""
        return [f"broker: {problem}"] if problem else []

    def _wind_down(self, bus: Bus, store: Closable) -> None:
        ended = []
        for runner in self._runners:
            ended.append(runner.stop())
            if ended[-1]:
                self._supervisor.feed()
        try:
            bus.close()
        except BusError as error:  # what it still held is made again from what was saved
            log.error("bus did not close cleanly reason=%r", str(error))
        store.close()
        log.info("stopped stages=%s clean=%s state=saved", ",".join(runner.name for runner in self._runners), all(ended))

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._prepare_reload()
        else:
            self._stop.set()

    def _prepare_reload(self) -> None:
        """Takes a changed configuration; one that is wrong is refused and the old one goes on."""
        if self._config is None:
            return
        try:
            self._take(load(self._config))
        except ConfigurationError as error:
            for line in str(error).splitlines():
                log.error("reload refused reason=%r", line)
            self._supervisor.reloading()  # who asked through systemd waits for an answer
            self._supervisor.ready(self._summary())
            return
        log.info("reloading config=%s", self._config)
        self._reload.set()

    def _not_live(self) -> list[str]:
        return [f"{r.name}: no progress for {r.stuck_s:.0f} s" for r in self._runners if r.stuck_s > STUCK_AFTER_S]

    def _not_ready(self) -> list[str]:
        waiting = [f"{r.name}: {r.error or 'starting'}" for r in self._runners if r.stage is None or r.error]
        return self._not_live() + waiting or ([] if self._runners else ["starting"])

    def status(self) -> dict[str, Any]:
        """What `shiftwatch status` shows of this process."""
        return {
            "version": VERSION,
            "uptime_s": round(time.time() - self._started_s, 1),
            "budget_per_day": self._settings.false_alarms_per_day,
            "stages": self._stage_statuses(),
        }

    def _stage_statuses(self) -> list[dict[str, Any]]:
        spools: list[dict[str, Any]] = [_spool_status(self._bus)] if isinstance(self._bus, Spooling) else []
        return [_status(runner) for runner in self._runners] + spools


def _spool_status(bus: Spooling) -> dict[str, Any]:
    """An agent's way to the broker, as if it were a stage: that is where people look."""
    return {"stage": "spool", "state": "keeping" if bus.problem else "running", "error": bus.problem, "failures": 0} | bus.status()


def _status(runner: StageRunner) -> dict[str, Any]:
    """How a stage is, in its own words too; it may come and go meanwhile."""
    stage = runner.stage
    known = {
        "stage": runner.name,
        "state": "failing" if runner.error else "running" if stage else "starting",
        "error": runner.error,
        "failures": runner.failures,
    }
    return known | (stage.status() if stage is not None and hasattr(stage, "status") else {})
