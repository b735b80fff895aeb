"""One message an incident: posted, edited, resolved; what it says; its thread and its picture."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from daemon.notify.receiver import ReceiverError
from daemon.notify.slack import SlackOptions, SlackReceiver
from daemon.records import IncidentState
from daemon.secret_files import SecretError
from detectors.finding import Certainty
from tests.daemon.notify.slack_telling import INCIDENT, MIN, PAGE, PNG, Desk, S, Teller, resolved, shown, went_on
from tests.slack_server import SlackServer
from tests.slack_workspace import BOT_TOKEN, CHANNEL


@pytest.fixture
def server() -> Iterator[SlackServer]:
    with SlackServer() as running:
        yield running


def buttons(message: dict[str, object]) -> list[str]:
    blocks = message.get("blocks", [])
    assert isinstance(blocks, list)
    return [element["text"]["text"] for block in blocks if block["type"] == "actions" for element in block["elements"]]


def test_says_what_where_since_when_why_and_what_to_do(server: SlackServer, tmp_path: Path) -> None:
    started_ns = time.time_ns() - 6 * MIN - 5 * S
    Teller(tmp_path, server, answers=True).tell(replace(INCIDENT, started_ns=started_ns, conditions="run 382711, LS 214"))
    (message,) = server.messages
    first, second, why, facts, picture, do, actions = shown(message).split("\n")
    assert first == "■ *No triggers: TIBTID FED 101 is stuck in WARNING*"
    assert second.startswith("CMS/Tracker/TIBTID · since ")
    assert "|6 min ago>" in second
    assert why.startswith("It went to warning 4 s before the rate fell")
    assert facts == "critical · sure · daq, states agree · 648 places suffer from it · run 382711, LS 214"
    assert picture.startswith("[picture F")
    assert do.startswith("*Do:* Stop and start the run")
    assert f"<{PAGE}/runbooks/fed-stuck|Runbook: fed-stuck>" in do
    assert actions == "[On it] [Silence 1 h] [Not a problem] [Open]"


def test_the_notification_says_it_in_words_alone(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server).tell(INCIDENT)
    assert server.messages[0]["text"].startswith("Critical: No triggers: TIBTID FED 101 is stuck in WARNING. CMS/Tracker/TIBTID, since ")


def test_from_the_message_to_page_and_runbook_is_one_click(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server).tell(INCIDENT)
    text = json.dumps(server.messages[0]["blocks"])
    assert f'"url": "{PAGE}/incidents/{INCIDENT.id}"' in text
    assert f"{PAGE}/runbooks/fed-stuck" in text


def test_without_an_app_token_there_is_nothing_to_click_but_open(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server).tell(INCIDENT)
    assert buttons(server.messages[0]) == ["Open"]


def test_without_a_page_nothing_is_linked(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server, Desk(page_url="")).tell(INCIDENT)
    assert buttons(server.messages[0]) == []
    assert "Runbook: fed-stuck" in shown(server.messages[0])
    assert "http" not in json.dumps(server.messages[0])


def test_who_is_on_it_shows_in_the_message_and_the_thread(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server, answers=True)
    teller.tell(INCIDENT)
    teller.tell(went_on(INCIDENT, ("ada", "acknowledge"), owner="ada", state=IncidentState.ACKNOWLEDGED))
    (message,) = server.messages
    assert "On it: @ada, <!date^" in shown(message)
    assert buttons(message)[0] == "Take over"
    assert [reply["text"].split("  ")[1] for reply in server.replies] == ["*@ada*: on it"]


def test_a_silence_says_until_when_and_by_whom(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    until_ns = time.time_ns() + 60 * MIN
    teller.tell(went_on(INCIDENT, ("J. Doe", "silence until 2026-11-30T12:19:48.371Z"), silenced_until_ns=until_ns))
    assert "Silenced until " in shown(server.messages[0])
    assert " by J. Doe" in shown(server.messages[0])
    assert "silenced until 2026-11-30 13:19:48" in server.replies[0]["text"]  # in the experiment's time zone


def test_resolved_shows_how_long_and_the_last_value_and_takes_the_buttons_away(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server, answers=True)
    teller.tell(INCIDENT)
    teller.tell(resolved(INCIDENT))
    (message,) = server.messages
    assert shown(message).startswith("✓ *No triggers")
    assert "Resolved after 8 min; last: dead-time 2.1 % instead of 2 %" in shown(message)
    assert message["text"] == "Resolved after 8 min: No triggers: TIBTID FED 101 is stuck in WARNING"
    assert buttons(message) == []
    assert "*Do:*" not in shown(message)
    assert "Resolved after 8 min; last: dead-time 2.1 %" in server.replies[-1]["text"]


def test_not_a_problem_is_not_called_resolved(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    ended = went_on(INCIDENT, ("ada", "not a problem"), state=IncidentState.RESOLVED)
    teller.tell(replace(ended, resolved_ns=ended.timeline[-1].time_ns))
    assert "Not a problem, says @ada, after 1 min" in shown(server.messages[0])


def test_opened_again_looks_open_again(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server, answers=True)
    over = resolved(INCIDENT)
    teller.tell(INCIDENT)
    teller.tell(over)
    teller.tell(went_on(over, ("shiftwatch", "opened again"), state=IncidentState.OPEN, resolved_ns=None))
    (message,) = server.messages
    assert shown(message).startswith("■")
    assert buttons(message)[0] == "On it"
    assert server.replies[-1]["text"].endswith("opened again")


def test_a_merged_incident_points_to_the_one_that_took_it_over(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server, answers=True)
    teller.desk.incidents["ffff"] = replace(INCIDENT, id="ffff", sentence="HV of TIB is off")
    teller.tell(INCIDENT)
    merged = went_on(INCIDENT, ("shiftwatch", "is part of incident ffff"), state=IncidentState.RESOLVED, merged_into="ffff")
    teller.tell(replace(merged, resolved_ns=merged.timeline[-1].time_ns))
    (message,) = server.messages
    assert shown(message).split("\n") == [
        "→ *No triggers: TIBTID FED 101 is stuck in WARNING*",
        f"Is part of: <{PAGE}/incidents/ffff|HV of TIB is off>",
    ]
    assert f"is part of: <{PAGE}/incidents/ffff|HV of TIB is off>" in server.replies[0]["text"]


def test_unsure_has_a_mark_of_its_own_and_says_why(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server).tell(replace(INCIDENT, certainty=Certainty.UNSURE, reason="pile-up unseen"))
    assert shown(server.messages[0]).startswith("◪")
    assert "unsure because pile-up unseen" in shown(server.messages[0])


def test_many_things_that_join_are_one_reply_and_people_are_never_left_out(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    joins = [("shiftwatch", f"joins: EB+{n:02d} low") for n in range(40)]
    cleared = [("shiftwatch", f"cleared: EB+{n:02d}") for n in range(40)]
    teller.tell(went_on(INCIDENT, *joins[:20], ("ada", "acknowledge"), *joins[20:], *cleared))
    (reply,) = server.replies
    lines = reply["text"].split("\n")
    assert len(lines) <= 15
    assert any("*@ada*: on it" in line for line in lines)
    assert any("EB+39 low" in line for line in lines)
    assert f"and 29 more, see <{PAGE}/incidents/{INCIDENT.id}|the incident's page>" in lines
    assert "cleared: EB+00, EB+01, EB+02, EB+03 and 36 more" in lines


def test_a_flapping_incident_does_not_fill_the_thread(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    incident = INCIDENT
    for n in range(30):
        teller.tell(incident)
        incident = went_on(incident, ("shiftwatch", f"joins: EB+{n:02d} low"))
    assert len(server.replies) == 10
    teller.tell(resolved(incident))
    assert len(server.replies) == 11
    assert "EB+29 low" in server.replies[-1]["text"]
    assert "Resolved after" in server.replies[-1]["text"]


def test_telling_the_same_again_says_nothing_new(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    later = went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low"))
    teller.tell(INCIDENT)
    for _ in range(3):
        teller.tell(later)
    assert (len(server.messages), len(server.replies)) == (1, 1)


def test_lines_left_out_of_a_long_timeline_are_not_told_twice(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    long = went_on(INCIDENT, *[("shiftwatch", f"joins: {n}") for n in range(20)])
    teller.tell(INCIDENT)
    teller.tell(long)
    shortened = replace(went_on(long, ("shiftwatch", "joins: fresh")), revision=9)
    teller.tell(replace(shortened, timeline=(*shortened.timeline[:5], shortened.timeline[-1])))
    assert server.replies[-1]["text"].endswith("joins: fresh")
    assert "\n" not in server.replies[-1]["text"]


def test_the_picture_is_in_the_message_and_nowhere_else(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server).tell(INCIDENT)
    seen = server.workspace.seen()
    ((file_id, file),) = seen["files"].items()
    assert base64.b64decode(file["content"]) == PNG
    assert f"[picture {file_id}: Evidence: No triggers" in shown(server.messages[0])
    assert not any("files" in message for message in seen["messages"])


def test_the_picture_is_drawn_again_only_for_the_end_or_another_cause(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server)
    teller.tell(INCIDENT)
    teller.tell(went_on(INCIDENT, ("shiftwatch", "joins: EB+07 low")))
    assert len(server.workspace.files) == 1
    other = went_on(INCIDENT, ("shiftwatch", "joins: HV off"), cause_finding="f2")
    teller.tell(other)
    assert len(server.workspace.files) == 2
    teller.tell(resolved(other))
    assert len(server.workspace.files) == 3
    assert list(server.workspace.files)[-1] in shown(server.messages[0])


def test_a_picture_that_slack_still_works_on_is_placed_a_moment_later(tmp_path: Path) -> None:
    with SlackServer(processing_refusals=2) as server:
        Teller(tmp_path, server).tell(INCIDENT)
        assert "[picture F" in shown(server.messages[0])
        assert server.replies == []


def test_a_picture_that_slack_refuses_in_the_message_is_in_the_thread(tmp_path: Path) -> None:
    with SlackServer(processing_refusals=-1) as server:
        teller = Teller(tmp_path, server)
        teller.tell(INCIDENT)
        assert "[picture" not in shown(server.messages[0])
        assert [reply["files"] for reply in server.replies] == [[{"id": next(iter(server.workspace.files))}]]
        teller.tell(resolved(INCIDENT))
        assert len(server.workspace.files) == 1
        assert shown(server.messages[0]).startswith("✓")


def test_no_picture_is_no_trouble(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server, Desk(picture=None)).tell(INCIDENT)
    assert len(server.messages) == 1
    assert "files.getUploadURLExternal" not in server.requests


def test_pictures_can_be_switched_off(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server, pictures=False).tell(INCIDENT)
    assert server.workspace.files == {}


def test_the_reference_is_short_and_holds_no_secret(server: SlackServer, tmp_path: Path) -> None:
    teller = Teller(tmp_path, server, answers=True)
    reference = teller.tell(resolved(INCIDENT))
    assert len(reference) < 400
    assert "xox" not in reference
    assert "xapp" not in reference


def test_no_secret_is_ever_logged(server: SlackServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.NOTSET)
    teller = Teller(tmp_path, server, answers=True)
    teller.tell(INCIDENT)
    teller.receiver.listen()
    assert server.links.wait_for_links(1)
    server.outage("error")
    with pytest.raises(ReceiverError) as caught:
        teller.tell(resolved(INCIDENT))
    teller.receiver.close()
    for secret in (BOT_TOKEN, "xapp-", "ticket="):
        assert secret not in caplog.text
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("base_url", "http://slack.example.org/api", "must begin with https"),
        ("channel", "#shift-crew", "channel"),
        ("timeout_s", 0, "timeout_s"),
        ("colour", "red", "colour"),
    ],
)
def test_wrong_options_are_named(option: str, value: object, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SlackOptions.model_validate({"token_file": "t", "channel": CHANNEL, option: value})


def test_a_token_that_cannot_be_read_is_named_by_its_key(tmp_path: Path) -> None:
    options = SlackOptions(token_file=tmp_path / "none", channel=CHANNEL)
    with pytest.raises(SecretError, match=r"receiver\.crew\.token_file: No such file"):
        SlackReceiver("crew", options, Desk().surroundings())


def test_nothing_is_sent_while_it_is_built(server: SlackServer, tmp_path: Path) -> None:
    Teller(tmp_path, server, answers=True).receiver.close()
    assert server.requests == []


def test_an_error_names_slacks_word_for_it_and_what_to_do(server: SlackServer, tmp_path: Path) -> None:
    with pytest.raises(ReceiverError, match=r"slack: chat\.postMessage: channel_not_found .*invite the app"):
        Teller(tmp_path, server, channel="C0NOWHERE0").tell(INCIDENT)
