"""The receivers of a configuration, with what they may use of the daemon."""

from __future__ import annotations

import logging
from collections.abc import Callable

from daemon import messages, plugins
from daemon.bus.bus import Bus
from daemon.clock import Clock
from daemon.notify.receiver import Receiver, Surroundings
from daemon.records import Incident, Label
from daemon.settings import Settings
from daemon.store.store import Store
from detectors.figure import decode

log = logging.getLogger(__name__)

FLUSH_S = 10.0
"""How long an answer of a person may take to reach the bus."""


def build_receivers(settings: Settings, bus: Bus, store: Store, clock: Clock) -> list[Receiver]:
    """One for each section `[receiver.NAME]`. Raises what is wrong with their options, such as a SecretError."""
    surroundings = surroundings_of(settings, bus, store, clock)
    built: list[Receiver] = []
    for name, section in settings.receiver.items():
        built.append(plugins.load("receivers", section.receiver or name)(name, section.options, surroundings))
    return built


def surroundings_of(settings: Settings, bus: Bus, store: Store, clock: Clock) -> Surroundings:
    """What receivers may use."""

    def say(label: Label) -> None:
        bus.publish("feedback", label.incident, messages.encode(label))
        bus.flush(FLUSH_S)

    return Surroundings(
        settings.experiment, settings.zone, clock.now_ns, page_url(settings), _pictures(settings, store), say, store.incident
    )


def page_url(settings: Settings) -> str:
    """The page's address for links, "" where there is none."""
    web = settings.web
    if not web.enabled:
        return ""
    return web.public_url.rstrip("/") or f"http://{web.host}:{web.port}"


def _pictures(settings: Settings, store: Store) -> Callable[[Incident], bytes | None]:
    def picture(incident: Incident) -> bytes | None:
        figures = store.figures(incident.id)
        if not figures:
            return None
        from daemon.plots.drawing import png  # noqa: PLC0415 - matplotlib is imported only where something is drawn

        try:
            return png(decode(figures[0][1]), settings.zone)
        except Exception as error:  # noqa: BLE001 - a message without a picture is better than none
            log.warning("picture left out incident=%s reason=%r", incident.id, f"{type(error).__name__}: {error}")
            return None

    return picture
