"""The stage: serves at once, says what it cannot hear, ends promptly."""

from __future__ import annotations

import http.client
import logging
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from daemon.bus.bus import BusError
from daemon.bus.memory import MemoryBus
from daemon.clock import SystemClock
from daemon.secret_files import SecretError
from daemon.settings import parse
from daemon.store.store import Store
from daemon.web.stage import WebStage
from tests.page import CONFIG, RunningPage, incident


def get(url: str, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_serves_on_a_free_port_and_logs_where(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "daemon.web.stage"), RunningPage(tmp_path) as page:
        assert f"page url={page.url}" in caplog.text
        assert page.web.status() == {"url": page.url}
        assert get(page.url)[0] == 200


def test_knows_what_was_before_it(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/page.db")
    with store.transaction() as connection:
        store.put_incident(connection, incident())
    store.close()
    with RunningPage(tmp_path) as page:
        assert 'data-incident="a1b2c3"' in get(page.url)[1]


def test_ends_while_somebody_listens(tmp_path: Path) -> None:
    with RunningPage(tmp_path) as page:
        connection = http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=10)
        connection.request("GET", "/events")
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.readline() == b"event: change\n"
        page.stop()
        assert b"" in [answer.readline() for _ in range(50)]
        connection.close()
        with pytest.raises(OSError, match="refused"):
            get(page.url)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = parse(CONFIG.replace("port = 0", f"port = {port}"))
        bus, store = MemoryBus(settings.bus.memory), Store(f"sqlite:///{tmp_path}/page.db")
        stage = WebStage(settings, bus, store, SystemClock())
        with pytest.raises(OSError, match=f"web: 127.0.0.1:{port} cannot be served".replace(".", r"\.")):
            stage.step(0.0)
        stage.close()
        bus.close()
        store.close()


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = parse(CONFIG.replace("[web]", f'[web]\ntoken_file = "{tmp_path}/none"'))
    bus, store = MemoryBus(settings.bus.memory), Store(f"sqlite:///{tmp_path}/page.db")
    with pytest.raises(SecretError, match=r"web\.token_file"):
        WebStage(settings, bus, store, SystemClock())
    bus.close()
    store.close()


def test_a_bus_that_refuses_leaves_the_page_and_greys_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = parse(CONFIG)
    bus, store = MemoryBus(settings.bus.memory), Store(f"sqlite:///{tmp_path}/page.db")
    stage = WebStage(settings, bus, store, SystemClock())
    stage.step(0.0)
    subscription = stage._present

    def refuse(_timeout_s: float, _most: int = 0) -> None:
        raise BusError("broker gone")

    monkeypatch.setattr(subscription, "poll", refuse)
    assert stage.step(0.0) == 0
    status, text = get(stage.url)
    assert status == 200
    assert "This page cannot hear the daemon: broker gone." in text
    deadline_s = time.monotonic() + 20
    while stage._present is None or stage.site.live.snapshot().trouble:
        assert time.monotonic() < deadline_s
        stage.step(0.05)
    stage.close()
    bus.close()
    store.close()
