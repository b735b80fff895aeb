"""Buttons: what people click becomes a label once, and they hear when it could not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.records import LabelKind
from tests.daemon.notify.slack_telling import INCIDENT, MIN, Desk, Teller
from tests.slack_server import SlackServer


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer() as running:
        yield running


@pytest.fixture
def teller(server: SlackServer, tmp_path: Path) -> Iterator[Teller]:
    """A receiver that has told of an incident, and listens."""
    told = Teller(tmp_path, server, Desk(picture=None), answers=True)
    told.tell(INCIDENT)
    told.receiver.listen()
    assert server.links.wait_for_links(1)
    yield told
    told.receiver.close()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("shiftwatch_acknowledge", LabelKind.ACKNOWLEDGE),
        ("shiftwatch_not_a_problem", LabelKind.NOT_A_PROBLEM),
        ("shiftwatch_silence", LabelKind.SILENCE),
    ],
)
def test_a_click_is_acknowledged_and_becomes_a_label(server: SlackServer, teller: Teller, action: str, kind: LabelKind) -> None:
    assert server.click(action, user="ada")
    wait_until(lambda: bool(teller.desk.labels))
    (label,) = teller.desk.labels
    assert (label.incident, label.kind, label.who) == (INCIDENT.id, kind, "ada")
    assert abs(label.time_ns - time.time_ns()) < MIN
    assert label.until_ns == (label.time_ns + 60 * MIN if kind is LabelKind.SILENCE else None)
    assert server.answers == []


def test_an_envelope_that_comes_twice_is_one_label(server: SlackServer, teller: Teller) -> None:
    for envelope in ("e1", "e1", "e2"):
        assert server.click("shiftwatch_acknowledge", envelope_id=envelope, action_ts="1548426417.840180")
    assert server.click("shiftwatch_acknowledge", action_ts="1548426499.000001")
    wait_until(lambda: len(teller.desk.labels) == 4)
    assert len({label.key for label in teller.desk.labels}) == 2


def test_two_people_who_click_are_two_labels(server: SlackServer, teller: Teller) -> None:
    for user in ("ada", "grace"):
        assert server.click("shiftwatch_acknowledge", user=user, action_ts="1548426417.840180")
    wait_until(lambda: len(teller.desk.labels) == 2)
    assert len({label.key for label in teller.desk.labels}) == 2


def test_open_is_acknowledged_and_means_nothing(server: SlackServer, teller: Teller) -> None:
    assert server.click("shiftwatch_open")
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(teller.desk.labels))
    assert [label.kind for label in teller.desk.labels] == [LabelKind.ACKNOWLEDGE]
    assert server.answers == []


def test_who_clicks_hears_that_it_could_not_be_noted(server: SlackServer, teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
    teller.desk.saying_fails = True
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(server.answers))
    (answer,) = server.answers
    assert answer["response_type"] == "ephemeral"
    assert answer["replace_original"] is False
    assert "could not note this" in answer["text"]
    assert "answer lost" in caplog.text
    assert "xoxb" not in caplog.text


def test_an_incident_that_is_not_known_any_more_is_said_to_be(server: SlackServer, teller: Teller) -> None:
    teller.desk.incidents.clear()
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(server.answers))
    assert "does not know this incident" in server.answers[0]["text"]
    assert teller.desk.labels == []


def test_a_click_on_what_was_merged_meanwhile_means_the_other_one(server: SlackServer, teller: Teller) -> None:
    teller.desk.incidents["ffff"] = replace(INCIDENT, id="ffff")
    teller.desk.incidents[INCIDENT.id] = replace(INCIDENT, merged_into="ffff")
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(teller.desk.labels))
    assert teller.desk.labels[0].incident == "ffff"


def test_connects_anew_when_slack_asks_for_it(server: SlackServer, teller: Teller) -> None:
    server.links.refresh()
    assert server.links.wait_for_links(2)
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(teller.desk.labels))


def test_connects_anew_when_the_connection_breaks(server: SlackServer, teller: Teller) -> None:
    server.links.drop()
    assert server.links.wait_for_links(2)
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(teller.desk.labels))


def test_begins_to_listen_once_slack_can_be_reached(server: SlackServer, tmp_path: Path) -> None:
    server.outage("error", ["apps.connections.open"], times=1)
    teller = Teller(tmp_path, server, Desk(picture=None), answers=True)
    teller.tell(INCIDENT)
    teller.receiver.listen()
    assert server.links.wait_for_links(1)
    assert server.click("shiftwatch_silence")
    wait_until(lambda: bool(teller.desk.labels))
    teller.receiver.close()


def test_messages_that_are_none_are_survived(server: SlackServer, teller: Teller) -> None:
    for payload in ({"type": "block_actions", "actions": [None, {"action_id": "other"}]}, {"type": "view_closed"}, {}):
        assert server.links.send(payload)
    assert server.click("shiftwatch_acknowledge")
    wait_until(lambda: bool(teller.desk.labels))
    assert len(teller.desk.labels) == 1


def test_close_ends_all_threads_and_may_be_called_twice(server: SlackServer, teller: Teller) -> None:
    assert server.click("shiftwatch_acknowledge")
    teller.receiver.close()
    teller.receiver.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("slack-link_") or thread.name == "slack-link"]
    assert len(teller.desk.labels) == 1


def test_closing_does_not_wait_for_a_slack_that_is_away(server: SlackServer, tmp_path: Path) -> None:
    server.outage("error")
    teller = Teller(tmp_path, server, answers=True)
    teller.receiver.listen()
    wait_until(lambda: "apps.connections.open" in server.requests)
    teller.receiver.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "slack-link"]
