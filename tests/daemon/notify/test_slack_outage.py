"""Outages: nothing lost, nothing twice, whatever goes wrong and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.notify.receiver import ReceiverError, Told
from daemon.records import IncidentState
from tests.daemon.notify.slack_telling import INCIDENT, MIN, Desk, Teller, resolved, shown, went_on
from tests.slack_server import Kind, SlackServer


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer() as running:
        yield running


@pytest.mark.parametrize("kind", ["drop", "error", "hang", "lost"])
@pytest.mark.parametrize("restarts", [False, True])
def test_the_first_message_is_posted_once_whatever_happened_to_it(
    server: SlackServer,
    tmp_path: Path,
    kind: Kind,
    restarts: bool,
) -> None:
    teller = Teller(tmp_path, server)
    server.outage(kind, ["chat.postMessage"])
    with pytest.raises(ReceiverError, match=r"slack: chat\.postMessage: "):
        teller.tell(INCIDENT)
    server.outage("up")
    if restarts:
        teller.restart()
    teller.tell(went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low")))
    teller.tell(resolved(INCIDENT))
    (message,) = server.messages
    assert shown(message).startswith("✓")


def test_a_server_that_is_gone_for_a_while_is_told_the_last_state(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    server.stop()
    later = went_on(INCIDENT, ("ada", "acknowledge"), owner="ada", state=IncidentState.ACKNOWLEDGED)
    with pytest.raises(ReceiverError, match=r"slack: .*: Connection refused"):
        teller.tell(later)
    server.start()
    teller.tell(resolved(later))
    (message,) = server.messages
    assert "Resolved after 8 min" in shown(message)
    assert "*@ada*: on it" in server.replies[0]["text"]
    assert "Resolved" in server.replies[0]["text"]
    assert len(server.replies) == 1


@pytest.mark.parametrize("kind", ["drop", "lost"])
def test_a_reply_whose_answer_was_lost_is_not_posted_again(server: SlackServer, tmp_path: Path, kind: Kind) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    later = went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low"))
    server.outage(kind, ["chat.postMessage"])
    with pytest.raises(ReceiverError):
        teller.tell(later)
    server.outage("up")
    teller.restart()
    teller.tell(later)
    assert ["joins: EB+07 low" in reply["text"] for reply in server.replies] == [True]


def test_an_edit_whose_answer_was_lost_is_done_again_without_harm(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    server.outage("lost", ["chat.update"])
    with pytest.raises(ReceiverError):
        teller.tell(resolved(INCIDENT))
    server.outage("up")
    teller.tell(resolved(INCIDENT))
    assert (len(server.messages), len(server.replies)) == (1, 1)


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
@pytest.mark.parametrize("kind", ["drop", "error", "hang", "lost"])
def test_a_picture_that_fails_holds_up_nothing_and_comes_later(
    server: SlackServer, tmp_path: Path, kind: Kind, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    teller = Teller(tmp_path, server)
    server.outage(kind, [method])
    teller.tell(INCIDENT)
    assert shown(server.messages[0]).startswith("■")
    assert "[picture" not in shown(server.messages[0])
    assert "picture left out" in caplog.text
    server.outage("up")
    teller.tell(went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low")))
    assert "[picture" in shown(server.messages[0])
    assert len(server.messages) == 1


def test_a_restart_in_doubt_finds_message_thread_and_picture_in_slack_alone(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    later = went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low"))
    teller.tell(INCIDENT)
    teller.tell(later)
    teller.restart()
    teller.told[INCIDENT.id] = Told("", in_doubt=True)
    teller.tell(went_on(later, ("ada", "acknowledge"), owner="ada"))
    assert len(server.messages) == 1
    assert [reply["text"].count("\n") for reply in server.replies] == [0, 0]
    assert "joins" not in server.replies[-1]["text"]
    assert len(server.workspace.files) == 1


def test_in_doubt_looks_beyond_the_first_page_of_history(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server, pictures=False)
    teller.tell(INCIDENT)
    for n in range(450):
        server.workspace.post({"channel": "C0SHIFTCREW", "text": f"chat {n}"}) if n % 100 else teller.tell(
            replace(INCIDENT, id=f"other{n}")
        )
        server.workspace.burst = 10_000
    teller.told[INCIDENT.id] = Told("", in_doubt=True)
    teller.tell(resolved(INCIDENT))
    mine = [m for m in server.messages if m.get("metadata", {}).get("event_payload", {}).get("incident") == INCIDENT.id]
    assert len(mine) == 1
    assert shown(mine[0]).startswith("✓")


def test_an_incident_of_a_replay_is_found_too(server: SlackServer, tmp_path: Path) -> None:
    long_ago = replace(INCIDENT, started_ns=INCIDENT.started_ns - 10**18 // 4, opened_ns=INCIDENT.opened_ns - 10**18 // 4)
    teller = Teller(tmp_path, server)
    teller.tell(long_ago)
    teller.told[INCIDENT.id] = Told("", in_doubt=True)
    teller.tell(resolved(long_ago))
    assert len(server.messages) == 1


def test_without_the_scope_to_look_it_tells_rather_than_not(server: SlackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.workspace.missing_scopes = {"conversations.history"}
    teller = Teller(tmp_path, server)
    teller.told[INCIDENT.id] = Told("", in_doubt=True)
    teller.tell(INCIDENT)
    assert len(server.messages) == 1
    assert "channel not searched" in caplog.text
    assert "channels:history" in caplog.text


def test_a_message_that_somebody_removed_is_posted_again_while_it_lasts(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    server.workspace.messages.clear()
    teller.tell(went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low")))
    assert len(server.messages) == 1
    server.workspace.messages.clear()
    teller.tell(resolved(INCIDENT))
    assert server.messages == []


def test_one_message_a_second_is_obeyed(tmp_path: Path) -> None:
    with SlackServer(burst=1) as server:
        teller = Teller(tmp_path, server, Desk(picture=None))
        for n in range(3):
            teller.tell(replace(INCIDENT, id=f"incident{n}"))
        assert len(server.messages) == 3
        assert len(server.requests) > 3  # it was refused at least once, and waited


def test_a_longer_rate_limit_is_passed_on_to_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.notify.slack_client.PATIENCE_S", 0.0)
    with SlackServer(burst=1) as server:
        teller = Teller(tmp_path, server, Desk(picture=None))
        teller.tell(INCIDENT)
        with pytest.raises(ReceiverError, match="rate limited") as caught:
            teller.tell(replace(INCIDENT, id="other"))
        assert caught.value.retry_after_s == 1.0


def test_a_late_label_is_told_although_its_time_is_earlier(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    later = went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low"))
    teller.tell(INCIDENT)
    teller.tell(later)
    label = replace(later.timeline[-1], who="ada", what="acknowledge", time_ns=later.timeline[-1].time_ns - 3 * MIN)
    teller.tell(replace(later, revision=9, timeline=(*later.timeline, label)))
    assert "*@ada*: on it" in server.replies[-1]["text"]
