"""Strangers who open connections and say nothing, or say it slowly, and what others notice of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from daemon.web import connections, guard
from tests.daemon.web.site import Application
from tests.page import CONFIG

SOON_S = 0.3
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setattr(connections, "REQUEST_S", SOON_S)
    monkeypatch.setattr(guard, "BODY_S", SOON_S)
    (tmp_path / "token").write_text("open sesame")
    made = Application(tmp_path, CONFIG.replace("[web]", f'[web]\ningest_token_file = "{tmp_path / "token"}"'))
    yield made
    made.close()


def connect(page: Application) -> socket.socket:
    return socket.create_connection(("127.0.0.1", page.client.base_url.port or 0), timeout=20)


def rest(stranger: socket.socket) -> bytes:
    """All that still comes until the other end closes."""
    received = b""
    try:
        while piece := stranger.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def is_cut(stranger: socket.socket) -> bool:
    """Sends some more of a body, now and then; whether the other end has closed."""
    stranger.settimeout(0.05)
    try:
        stranger.sendall(b"1\r\nx\r\n")
        return not stranger.recv(65536)
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("begun", [b"", b"G", HEAD, b"POST /ingest HTTP/1.1\r\n"])
def test_who_sends_no_whole_request_is_sent_away(page: Application, begun: bytes) -> None:
    with connect(page) as stranger:
        stranger.sendall(begun)
        assert rest(stranger) == b""


def test_who_begins_a_second_request_and_does_not_end_it_is_sent_away(page: Application) -> None:
    with connect(page) as stranger:
        stranger.sendall(b"GET /static/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stranger.recv(65536).startswith(b"HTTP/1.1 404")
        stranger.sendall(HEAD)
        rest(stranger)


def test_what_is_sent_on_after_a_refusal_is_not_read_for_ever(page: Application) -> None:
    with connect(page) as stranger:
        stranger.sendall(b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        assert stranger.recv(65536).startswith(b"HTTP/1.1 401")
        assert any(is_cut(stranger) for _ in range(300))


def test_a_form_that_does_not_arrive_is_given_up(page: Application) -> None:
    with connect(page) as stranger:
        head = "POST /incidents/x/labels HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 60000\r\n"
        stranger.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nkind=".encode())
        assert b" 400 " in rest(stranger).partition(b"\r\n")[0]


def test_a_stranger_cannot_take_all_handles_of_the_daemon(page: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 60.0)
    monkeypatch.setattr(connections, "CONNECTIONS_MOST", 5)
    with ExitStack() as opened:
        several = [opened.enter_context(connect(page)) for _ in range(8)]
        for refused in several[-3:]:
            assert rest(refused) == b""
        several[0].sendall(b"GET /static/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert several[0].recv(65536).startswith(b"HTTP/1.1 404")


def test_answers_go_on_however_long_they_take(page: Application) -> None:
    with page.client.stream("GET", "/events") as answer:
        pieces = answer.iter_bytes()
        assert answer.status_code == 200
        assert next(pieces)
        assert next(pieces), "some seconds later"
