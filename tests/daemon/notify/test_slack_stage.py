"""Slack behind the notify stage: an outage, the end of the process and buttons, through bus and database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon import messages
from daemon.bus.bus import read_existing
from daemon.bus.memory import MemoryBus
from daemon.notify.slack import SlackReceiver
from daemon.notify.stage import NotifyStage
from daemon.records import Incident, Label, LabelKind
from daemon.store.store import Store
from tests.daemon.notify.slack_telling import INCIDENT, Desk, Teller, resolved, shown, went_on
from tests.slack_server import Kind, SlackServer


class Crew:
    """The notify stage with Slack, and a clock that the test moves."""

    def __init__(self, folder: Path, server: SlackServer) -> None:
        self.bus = MemoryBus()
        self.store = Store(f"sqlite:///{folder}/told.db")
        self.now_s = 0.0
        self.options = Teller(folder, server, answers=True).options
        self.stage = self._stage()

    def _stage(self) -> NotifyStage:
        surroundings = replace(Desk().surroundings(), say=self._say, incident=self.store.incident)
        return NotifyStage(self.bus, self.store, [SlackReceiver("slack", self.options, surroundings)], now_s=lambda: self.now_s)

    def _say(self, label: Label) -> None:
        self.bus.publish("feedback", label.incident, messages.encode(label))

    def say(self, incident: Incident) -> None:
        lease = self.store.acquire("correlate", "test")
        with self.store.transaction(lease) as connection:
            self.store.put_incident(connection, incident)
        self.bus.publish("incidents", incident.id, messages.encode(incident))
        self.work()

    def work(self) -> None:
        while self.stage.step(0.0):
            pass

    def later(self) -> None:
        self.now_s += 1000
        self.work()

    def restart(self) -> None:
        self.stage.close()
        self.stage = self._stage()
        self.later()

    def labels(self) -> list[Label]:
        reader = self.bus.subscribe(["feedback"], None)
        found = [messages.decode(record.value) for record in read_existing(reader, 5.0)]
        reader.close()
        return [message for message in found if isinstance(message, Label)]

    def close(self) -> None:
        self.stage.close()
        self.bus.close()
        self.store.close()


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer() as running:
        yield running


@pytest.fixture
def crew(tmp_path: Path, server: SlackServer) -> Iterator[Crew]:
    made = Crew(tmp_path, server)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["drop", "error", "lost"])
@pytest.mark.parametrize("when", ["chat.postMessage", "chat.update", "conversations.*", "files.*"])
def test_one_message_and_one_end_through_an_outage_and_restarts(crew: Crew, server: SlackServer, kind: Kind, when: str) -> None:
    server.outage(kind, [when])
    crew.say(INCIDENT)
    crew.restart()
    crew.say(went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low")))
    server.outage("up")
    crew.later()
    crew.restart()
    server.outage(kind, [when])
    crew.say(resolved(went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low"))))
    server.outage("up")
    crew.restart()
    crew.restart()
    (message,) = server.messages
    assert shown(message).startswith("✓")
    thread = "\n".join(reply["text"] for reply in server.replies)
    assert thread.count("joins: EB+07 low") == 1
    assert thread.count("Resolved after") == 1
    assert crew.stage.status()["owed"] == {"slack": 0}


def test_a_button_is_feedback_on_the_bus(crew: Crew, server: SlackServer) -> None:
    crew.say(INCIDENT)
    assert server.links.wait_for_links(1)
    assert server.click("shiftwatch_acknowledge", user="ada")
    wait_until(lambda: bool(crew.labels()))
    assert [(label.kind, label.who, label.incident) for label in crew.labels()] == [(LabelKind.ACKNOWLEDGE, "ada", INCIDENT.id)]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
