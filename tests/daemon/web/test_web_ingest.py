"""POST /ingest: who may push, what is taken, and what the sender is told of the rest."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from daemon.bus.bus import BusError
from daemon.ingest_message import read_message
from daemon.web import pushing
from daemon.web.pushing import AT_ONCE, MAX_MESSAGES, split
from tests.daemon.web.site import Application
from tests.page import CONFIG

TOKEN = "open sesame"
BEARER = f"Bearer {TOKEN}".encode()
LIMIT = 20_000


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    section = f'[web]\ningest_token_file = "{tmp_path / "token"}"\ningest_max_bytes = {LIMIT}'
    made = Door(Application(tmp_path, CONFIG.replace("[web]", section)))
    yield made
    made.close()


class Door:
    """A page that takes readings, and who reads the topic."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._topic = application.bus.subscribe(["ingest"], None)

    def push(self, body: Any, headers: dict[str, str] | None = None, authorization: bytes = BEARER) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        proof = {b"Authorization": authorization} if authorization else {}
        given = {name.encode(): value.encode() for name, value in {"Content-Type": "application/json", **(headers or {})}.items()}
        return self.application.client.post("/ingest", content=content, headers=given | proof)

    def taken(self) -> list[tuple[str, float]]:
        """Key and first value of each record on the topic."""
        records = self._topic.poll(0.0, 100_000)
        return [(record.key, next(iter(read_message(record.value).values.values()))) for record in records]

    def close(self) -> None:
        self._topic.close()
        self.application.close()


def message(value: Any = 21.5, source: str = "weather", **changes: Any) -> dict[str, Any]:
    return {"source": source, "time": time.time(), "values": {"temperature": value}, **changes}


def test_one_message_reaches_the_bus_under_its_source(door: Door) -> None:
    answer = door.push(message(place="CMS/HALL", units={"temperature": "degC"}))
    assert (answer.status_code, answer.json()) == (202, {"taken": 1})
    assert door.taken() == [("weather", 21.5)]


def test_several_messages_keep_their_order(door: Door) -> None:
    assert door.push([message(1), message(2, "hall"), message(3)]).json() == {"taken": 3}
    lines = b"\n".join(json.dumps(message(value)).encode() for value in (4, 5)) + b"\n\n"
    assert door.push(lines, {"Content-Type": "application/x-ndjson"}).status_code == 202
    assert [pair for pair in door.taken() if pair[0] == "weather"] == [("weather", value) for value in (1, 3, 4, 5)]


def test_a_message_over_several_lines_is_one(door: Door) -> None:
    assert door.push(json.dumps(message(), indent=2).encode()).json() == {"taken": 1}


def test_good_ones_are_taken_and_the_sender_is_told_of_the_others(door: Door) -> None:
    late = message(time=time.time() + 3600)
    answer = door.push([message(1), message("warm"), {"source": "weather"}, 7, late, message(2)])
    assert answer.status_code == 400
    said = answer.json()
    assert said["taken"] == 2
    assert [refusal["message"] for refusal in said["refused"]] == [2, 3, 4, 5]
    assert "'temperature'" in said["refused"][0]["reason"]
    assert "ahead of the clock" in said["refused"][3]["reason"]
    assert [value for _, value in door.taken()] == [1, 2]
    dead = door.application.bus.subscribe(["dead-letters"], None)
    assert dead.poll(0.0) == []
    dead.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"{", "not JSON"),
        (b"[1", "not JSON"),
        (b'{\n"source": "weather",\n}', "not JSON"),
        (b"[]", "empty"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 9000, "not JSON"),
        (b"[" + b"1," * 4 + b"1]", "not an object"),
        (b"null", "not an object"),
        (b'[{"source": "a", "time": 1.7e9, "values": {"x": 1, "x": 2}}]', "'x' is there twice"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(door: Door, body: bytes, words: str) -> None:
    answer = door.push(body)
    assert answer.status_code == 400
    assert words in answer.text
    assert door.taken() == []


def test_without_a_token_file_there_is_no_such_address(application: Application) -> None:
    answer = application.client.post("/ingest", json=message(), headers={"Authorization": BEARER.decode()})
    assert answer.status_code == 404
    assert "web.ingest_token_file" in answer.json()["error"]


@pytest.mark.parametrize("authorization", [b"", b"Bearer", f"Basic {TOKEN}".encode(), TOKEN.encode()])
def test_who_shows_no_token_is_asked_for_one(door: Door, authorization: bytes) -> None:
    answer = door.push(message(), authorization=authorization)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert door.taken() == []


@pytest.mark.parametrize("token", ["open", TOKEN + "s", TOKEN.upper(), "ö", "x" * 5000])
def test_a_wrong_token_is_refused_and_not_shown(door: Door, token: str) -> None:
    answer = door.push(message(), authorization=f"bearer {token}".encode())
    assert answer.status_code == 403
    assert TOKEN not in answer.text
    assert door.taken() == []


def test_the_token_is_nowhere_to_be_seen(door: Door) -> None:
    assert TOKEN not in repr(door.application.site)
    assert TOKEN not in repr(door.application.settings)


def test_another_origin_does_not_matter_but_another_name_does(door: Door) -> None:
    assert door.push(message(), {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}).status_code == 202
    assert door.push(message(), {"Host": "evil.example"}).status_code == 421


def test_only_json_as_it_is(door: Door) -> None:
    form = door.push(message(), {"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status_code == 415
    assert "--data-binary" in form.json()["error"]
    assert door.push(message(), {"Content-Type": "text/html"}).status_code == 415
    assert door.push(message(), {"Content-Encoding": "gzip"}).status_code == 415
    assert door.push(message(), {"Content-Type": "application/json; charset=utf-8"}).status_code == 202
    assert door.application.client.get("/ingest").json() == {"error": "This address takes no such request."}


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT, 2 * LIMIT + 1, 50 * LIMIT])
@pytest.mark.parametrize("is_announced", [True, False])
def test_a_body_over_the_limit_is_read_no_further(door: Door, size: int, *, is_announced: bool) -> None:
    def chunks() -> Iterator[bytes]:
        for start in range(0, size, 1000):
            yield b" " * min(1000, size - start)

    headers = {
        "Content-Type": "application/json",
        "Authorization": BEARER.decode(),
        **({"Content-Length": str(size)} if is_announced else {}),
    }
    try:
        answer = door.application.client.post("/ingest", content=chunks(), headers=headers)
    except httpx.WriteError:
        assert size > 2 * LIMIT  # closed on a sender that does not stop
    else:
        assert answer.status_code == 413
        assert "ingest_max_bytes" in answer.json()["error"]
    assert door.push(message()).status_code == 202


def test_too_many_messages_are_refused_as_a_whole() -> None:
    with pytest.raises(ValueError, match="more than 10000"):
        list(split(b"{}\n" * (MAX_MESSAGES + 1)))
    with pytest.raises(ValueError, match="more than 10000"):
        list(split(b"[" + b"{}," * MAX_MESSAGES + b"{}]"))


def test_a_message_that_no_record_can_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    config = CONFIG.replace("[web]", f'[web]\ningest_token_file = "{tmp_path / "token"}"') + "\n[bus.memory]\nmax_record_bytes = 2000\n"
    door = Door(Application(tmp_path, config))
    answer = door.push([message(), message(units={"temperature": "C", **{f"n{i}": "x" * 100 for i in range(30)}})])
    assert (answer.status_code, answer.json()["taken"]) == (400, 1)
    assert "2000" in answer.json()["refused"][0]["reason"]
    door.close()


def test_a_bus_that_refuses_is_said_and_when_to_come_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: object, _timeout_s: float) -> None:
        raise BusError("broker gone")

    with monkeypatch.context() as patched:
        patched.setattr(type(door.application.bus), "flush", refuse)
        answer = door.push(message())
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "again" in answer.json()["error"]
    assert door.push(message()).status_code == 202


def test_nothing_is_acknowledged_before_the_bus_has_it(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders wait while the bus does; who comes then is asked to come again, and the page itself goes on."""
    has_room, waiting = threading.Event(), threading.Semaphore(0)
    flush = type(door.application.bus).flush

    def slow(bus: Any, timeout_s: float) -> None:
        waiting.release()
        assert has_room.wait(20)
        flush(bus, timeout_s)

    monkeypatch.setattr(type(door.application.bus), "flush", slow)
    answers: list[httpx.Response] = []
    senders = [threading.Thread(target=lambda: answers.append(door.push(message()))) for _ in range(AT_ONCE)]
    for sender in senders:
        sender.start()
    assert all(waiting.acquire(timeout=10) for _ in senders)
    refused = door.push(message())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert not answers
    assert door.application.client.get("/").status_code == 200
    has_room.set()
    for sender in senders:
        sender.join(10)
    assert {answer.status_code for answer in answers} == {202}


def test_a_bus_that_does_not_answer_in_time_is_said(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.ingest.HAND_OVER_S", 0.05)
    has_room = threading.Event()
    monkeypatch.setattr(type(door.application.bus), "flush", lambda _bus, _timeout_s: has_room.wait(20))
    assert door.push(message()).status_code == 503
    has_room.set()


def test_a_slow_sender_is_not_waited_for_long(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.web.ingest.READ_S", 0.1)
    may_go_on = threading.Event()

    def dripping() -> Iterator[bytes]:
        yield b"{"
        may_go_on.wait(1.0)
        yield b"}"

    answer = door.application.client.post(
        "/ingest", content=dripping(), headers={"Content-Type": "application/json", "Authorization": BEARER.decode()}
    )
    assert answer.status_code == 408


def test_receipts_are_of_what_was_flushed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused as a whole does not bother the bus."""
    monkeypatch.setattr(pushing, "FLUSH_S", -1.0)
    flushed: list[float] = []
    monkeypatch.setattr(type(door.application.bus), "flush", lambda _bus, timeout_s: flushed.append(timeout_s))
    door.push(b"{}")
    assert flushed == []
    door.push(message())
    assert flushed == [-1.0]


def test_a_page_that_is_ending_takes_no_more(door: Door) -> None:
    door.application.site.intake.close()
    answer = door.push(message())
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
