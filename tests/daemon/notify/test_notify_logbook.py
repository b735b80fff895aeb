"""Entries and replies as shifters read them in an ELOG logbook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.notify.logbook import LogbookOptions, LogbookReceiver
from daemon.notify.receiver import ReceiverError, Told
from daemon.notify.sha256_crypt import sha256_crypt
from daemon.records import IncidentState
from tests.contract.test_receivers import HOSTILE, OPEN, OWNED, RESOLVED, WORSE
from tests.elog_server import ElogServer
from tests.receiver_cases import PICTURE, surroundings

Build = Callable[..., LogbookReceiver]


@pytest.fixture
def server() -> Iterator[ElogServer]:
    with ElogServer() as running:
        yield running


@pytest.fixture
def build(server: ElogServer, tmp_path: Path) -> Iterator[Build]:
    password = tmp_path / "password"
    password.write_text(f"{server.password}\n")
    built: list[LogbookReceiver] = []

    def make(**options: Any) -> LogbookReceiver:
        known = {"url": server.url, "logbook": server.logbook, "username": server.user, "password_file": password}
        built.append(LogbookReceiver("logbook", LogbookOptions.model_validate({**known, **options}), surroundings([])))
        return built[-1]

    yield make
    for receiver in built:
        receiver.close()


def test_an_entry_says_what_where_since_when_why_and_what_to_do(server: ElogServer, build: Build) -> None:
    build().tell(OPEN, Told())
    (entry,) = server.entries
    assert entry.attributes == {"Author": "shiftwatch", "Type": "Other", "Category": "General", "Subject": OPEN.sentence}
    assert entry.encoding == "HTML"
    for part in (OPEN.sentence, OPEN.why, OPEN.decision, "CMS/Tracker/FED101", f"/incidents/{OPEN.id}", "/runbooks/fed-stuck"):
        assert part in entry.text
    assert entry.attachments == {f"{OPEN.id}.png": PICTURE}


def test_attributes_are_those_of_the_logbook(server: ElogServer, build: Build) -> None:
    attributes = {"Author": "{author}", "Type": "Problem", "Category": "{place}", "Subject": "{severity}: {sentence} ({incident})"}
    receiver = build(attributes=attributes, author="watch", resolved_attributes={"Type": "Problem Fixed"})
    reference = receiver.tell(OPEN, Told())
    receiver.tell(RESOLVED, Told(reference))
    first, last = server.entries
    subject = f"warning: {OPEN.sentence} ({OPEN.id})"
    assert first.attributes == {"Author": "watch", "Type": "Problem", "Category": OPEN.cause_place, "Subject": subject}
    assert last.attributes["Type"] == "Problem Fixed"


def test_a_reply_says_how_it_ended_and_who_was_on_it(server: ElogServer, build: Build) -> None:
    receiver = build()
    reference = receiver.tell(OPEN, Told())
    reference = receiver.tell(OWNED, Told(reference))
    receiver.tell(replace(RESOLVED, reading="rate 98 kHz"), Told(reference))
    first, worse, last = server.entries
    assert worse.reply_to == last.reply_to == first.number
    assert "Now critical: FED 102 is the cause" in worse.text
    for part in ("Resolved after 8 min, rate 98 kHz.", "On it: Ada", "Ada: acknowledge", f"Decision: {OPEN.decision}"):
        assert part in last.text
    assert not last.attachments


def test_a_change_of_owner_alone_is_not_written(server: ElogServer, build: Build) -> None:
    receiver = build()
    reference = receiver.tell(WORSE, Told())
    receiver.tell(OWNED, Told(reference))
    assert len(server.entries) == 1


def test_one_that_opens_again_says_so(server: ElogServer, build: Build) -> None:
    receiver = build()
    reference = receiver.tell(RESOLVED, Told(receiver.tell(WORSE, Told())))
    reference = receiver.tell(replace(WORSE, revision=9), Told(reference))
    receiver.tell(replace(WORSE, revision=9), Told(reference, in_doubt=True))
    assert [entry.reply_to for entry in server.entries] == [0, 1, 1]


def test_a_reply_to_an_entry_that_was_deleted_is_an_entry(server: ElogServer, build: Build) -> None:
    receiver = build()
    reference = receiver.tell(OPEN, Told())
    server.delete(1)
    reference = receiver.tell(WORSE, Told(reference))
    receiver.tell(RESOLVED, Told(reference))
    assert [(entry.number, entry.reply_to) for entry in server.entries] == [(1, 0), (2, 1)]


def test_a_logbook_that_shows_its_list_after_an_entry_is_searched_for_it(server: ElogServer, build: Build) -> None:
    server.list_after_submit = True
    receiver = build()
    receiver.tell(replace(OPEN, id="77"), Told())
    reference = receiver.tell(OPEN, Told())
    receiver.tell(RESOLVED, Told(reference))
    assert [entry.reply_to for entry in server.entries] == [0, 0, 2]


@pytest.mark.parametrize("encoding", ["HTML", "plain"])
def test_signs_that_the_logbook_has_not_are_said_otherwise(server: ElogServer, build: Build, encoding: str) -> None:
    build(encoding=encoding).tell(replace(OPEN, sentence="occupancy → 3 µA ≥ 2", why="a → b"), Told())
    (entry,) = server.entries
    assert entry.attributes["Subject"] == "occupancy -> 3 µA >= 2"
    assert "a -> b" in entry.text.replace("&#8594;", "->")
    assert entry.encoding == encoding


def test_html_of_others_is_text(server: ElogServer, build: Build) -> None:
    build().tell(HOSTILE, Told())
    (entry,) = server.entries
    assert "<script" not in entry.text
    assert "<script" not in entry.attributes["Subject"]


def test_without_picture_and_without_mail(server: ElogServer, build: Build) -> None:
    build(picture=False, suppress_email=True).tell(OPEN, Told())
    (entry,) = server.entries
    assert (entry.attachments, entry.suppressed) == ({}, True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"attributes": {"Author": "{author}", "Subject": "x"}}, "Attribute Type not supplied"),
        ({"attributes": {"Author": "{author}", "Type": "Nonsense"}}, "Attribute option Nonsense not existing"),
        ({"logbook": "nowhere"}, 'logbook "nowhere" not defined'),
        ({"username": "", "password_file": None}, "user or password not accepted"),
        ({"username": "somebody"}, "user or password not accepted"),
    ],
)
def test_what_the_logbook_refuses_is_said_in_its_words(build: Build, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ReceiverError, match=reason) as caught:
        build(**options).tell(OPEN, Told())
    assert "<" not in str(caught.value)


def test_a_wrong_password_is_noticed_while_it_looks_too(server: ElogServer, build: Build) -> None:
    server.user = "renamed"
    with pytest.raises(ReceiverError, match="user or password not accepted"):
        build(username="shiftwatch").tell(OPEN, Told(in_doubt=True))


def test_a_gateway_that_fails_is_an_error(server: ElogServer, build: Build) -> None:
    server.failing = 502
    with pytest.raises(ReceiverError, match="HTTP status 502"):
        build().tell(OPEN, Told())
    server.failing = 200
    with pytest.raises(ReceiverError, match="did not say that the entry was written"):
        build().tell(replace(OPEN, state=IncidentState.ACKNOWLEDGED), Told())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"attributes": {"Subject": "{password}"}}, "no field {password}"),
        ({"charset": "klingon"}, "unknown charset"),
        ({"bearer_token_file": "/x"}, "user and password only"),
        ({"url": "http://elog.example.org", "username": "a", "password_file": "/x"}, "https"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        LogbookOptions.model_validate({"url": "http://localhost", "logbook": "demo", **options})


@pytest.mark.parametrize(
    ("salt", "password", "digest"),
    [  # from `crypt` of glibc 2.36
        ("saltstring", "Hello world!", "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        ("toolongsaltstring", "This is just a test", "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"),
        ("abc", "päss" * 30, "D7jf8EHOZVcsfkJIADsm5CnGvHJfgAb8zXkWGEgLUc2"),
        ("x", "", "yHbtfs4Y8t6X1xcJemNX.4JQRfUTafA2qQenWGLBee2"),
        ("", "corr3ct horse", "Feu.qFoG37Q58alvV/2MJcH4uGHf3gO8nGfMrfzCK58"),
    ],
)
def test_passwords_are_hashed_as_the_system_does(salt: str, password: str, digest: str) -> None:
    assert sha256_crypt(password, salt) == digest
