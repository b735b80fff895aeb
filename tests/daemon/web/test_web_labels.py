"""Labels by form: who may, what is asked back, what reaches the bus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.bus.bus import BusError
from daemon.records import LabelKind
from daemon.web import posting
from tests.daemon.web.site import SAME, Application
from tests.page import CONFIG, incident

LABELS = "/incidents/a1b2c3/labels"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes labels in here, so that no answer need wait for it."""
    monkeypatch.setattr(posting, "PATIENCE_S", 0.01)


@pytest.fixture
def with_token(tmp_path: Path) -> Iterator[Application]:
    (tmp_path / "token").write_text("open sesame\n")
    made = Application(tmp_path, CONFIG.replace("[web]", f'[web]\ntoken_file = "{tmp_path / "token"}"'))
    made.put(incident())
    yield made
    made.close()


@pytest.fixture
def behind_proxy(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path, CONFIG.replace("[web]", '[web]\nuser_header = "X-Forwarded-User"'))
    made.put(incident())
    yield made
    made.close()


def test_label_reaches_the_bus_and_the_name_is_remembered(application: Application) -> None:
    application.put(incident())
    answer = application.client.post(
        LABELS, data={"kind": "silence", "who": " Zoë\u202e D. ", "comment": "pump", "hours": "2"}, headers=SAME
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/incidents/a1b2c3?said=silence")
    assert "HttpOnly" in answer.headers["set-cookie"]
    [label] = application.labels()
    assert (label.incident, label.kind, label.who, label.comment) == ("a1b2c3", LabelKind.SILENCE, "Zoë D.", "pump")
    assert label.until_ns == label.time_ns + 7_200_000_000_000
    assert 'value="Zoë D."' in application.client.get("/incidents/a1b2c3").text
    again = application.client.post(LABELS, data={"kind": "real", "back": "home"}, headers=SAME)
    assert again.headers["location"] == "/?said=real"
    assert [said.who for said in application.labels()] == ["Zoë D."]


def test_a_double_click_is_one_label(application: Application) -> None:
    application.put(incident())
    for _ in range(2):
        assert application.client.post(LABELS, data={"kind": "acknowledge", "who": "J."}, headers=SAME).status_code == 303
    assert len(application.labels()) == 1


def test_answer_leads_to_the_page_once_it_is_taken_in(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    application.put(incident())
    monkeypatch.setattr(posting, "PATIENCE_S", 10.0)
    publish = type(application.bus).publish

    def taken_in(_self: object, topic: str, key: str, value: bytes | None) -> None:
        publish(application.bus, topic, key, value)
        application.put(replace(incident(), revision=2, owner="J."))

    monkeypatch.setattr(type(application.bus), "publish", taken_in)
    answer = application.client.post(LABELS, data={"kind": "acknowledge", "who": "J."}, headers=SAME)
    assert answer.headers["location"] == "/incidents/a1b2c3"


def test_without_a_name_it_is_asked_for(application: Application) -> None:
    application.put(incident())
    answer = application.client.post(LABELS, data={"kind": "acknowledge", "back": "home", "comment": '"><b>'}, headers=SAME)
    assert answer.status_code == 422
    assert "Who are you?" in answer.text
    assert 'name="kind" value="acknowledge"' in answer.text
    assert 'name="back" value="home"' in answer.text
    assert "<b>" not in answer.text
    assert application.labels() == []


@pytest.mark.parametrize(
    "form",
    [{"kind": "explode"}, {}, {"kind": "real", "hours": "1e9"}, {"kind": "real", "back": "//evil"}, {"kind": "real", "hours": "nan"}],
)
def test_what_does_not_fit_is_refused(application: Application, form: dict[str, str]) -> None:
    application.put(incident())
    answer = application.client.post(LABELS, data={"who": "J.", **form}, headers=SAME)
    assert answer.status_code == 422
    assert "What was sent does not fit" in answer.text
    assert application.labels() == []


def test_unknown_incidents_and_strange_origins_get_no_label(application: Application) -> None:
    application.put(incident())
    form = {"kind": "real", "who": "J."}
    assert application.client.post("/incidents/none/labels", data=form, headers=SAME).status_code == 404
    assert application.client.post(LABELS, data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    assert application.client.post(LABELS, data=form).status_code == 403
    assert application.labels() == []


def test_a_bus_that_is_gone_is_said_and_it_can_be_said_again(application: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    application.put(incident())
    flush = type(application.bus).flush

    def refuse(_self: object, _timeout_s: float) -> None:
        raise BusError("broker gone")

    monkeypatch.setattr(type(application.bus), "flush", refuse)
    form = {"kind": "real", "who": "J."}
    answer = application.client.post(LABELS, data=form, headers=SAME)
    assert answer.status_code == 503
    assert "please try again" in answer.text
    monkeypatch.setattr(type(application.bus), "flush", flush)
    assert application.client.post(LABELS, data=form, headers=SAME).status_code == 303


def test_the_token_is_asked_for_once(with_token: Application) -> None:
    form = {"kind": "real", "who": "J."}
    asked = with_token.client.post(LABELS, data=form, headers=SAME)
    assert asked.status_code == 403
    assert 'name="token"' in asked.text
    wrong = with_token.client.post(LABELS, data={**form, "token": "open"}, headers=SAME)
    assert wrong.status_code == 403
    assert "That was not the token." in wrong.text
    assert with_token.labels() == []
    right = with_token.client.post(LABELS, data={**form, "token": "open sesame"}, headers=SAME)
    assert right.status_code == 303
    assert "sesame" not in right.headers["set-cookie"]
    assert with_token.client.post(LABELS, data={"kind": "resolve"}, headers=SAME).status_code == 303
    assert len(with_token.labels()) == 2


def test_the_proxy_has_the_only_word_on_who_it_is(behind_proxy: Application) -> None:
    form = {"kind": "real", "who": "somebody else"}
    assert behind_proxy.client.post(LABELS, data=form, headers=SAME).status_code == 422
    assert behind_proxy.client.post(LABELS, data=form, headers={**SAME, "X-Forwarded-User": "jdoe"}).status_code == 303
    assert [label.who for label in behind_proxy.labels()] == ["jdoe"]
