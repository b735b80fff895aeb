"""Servers of metrics that are dead, slow, cut off or ask for secrets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.collector import CollectError
from collectors.prometheus import PrometheusOptions
from tests.collectors.metrics_server import Serve, collect, serving


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"body": "", "status": 200}, "an empty answer"),
        ({"body": "a 1\n", "status": 503}, "HTTP status 503"),
        ({"body": "<html>log in</html>", "Content_Type": "text/html"}, "answers with a page"),
        ({"body": "a 1\nb 2\n", "cut": 3}, "the answer ended early"),
        ({"body": "a 1\nb 2\n", "cut": 2, "Content_Length": ""}, "the answer ended early"),
        ({"body": "a 1\n", "Content_Type": "application/openmetrics-text; version=1.0.0"}, "the answer ended early"),
        ({"body": "a 1\n" * 1000}, "more than 1000 bytes"),
        ({"body": "", "status": 302, "Location": "http://127.0.0.2:1/metrics"}, "a redirect to another server is not followed"),
        ({"body": "", "status": 302, "Location": "/metrics"}, "more than 3 redirects"),
        ({"body": "nonsense\n"}, "not a single sample"),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(serve: Serve, answer: dict[str, Any], message: str) -> None:
    url = serve(**answer)
    with pytest.raises(CollectError, match=message) as error:
        collect(url, max_bytes=1000)
    assert "127.0.0.1" in str(error.value)


def test_a_server_that_is_dead_or_mute_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(CollectError, match=rf"127.0.0.1:{port}/metrics: no answer within 0.2 s"):
            collect(f"http://127.0.0.1:{port}/metrics?token=hidden", request_timeout_s=0.2)
    with pytest.raises(CollectError, match=rf"127.0.0.1:{port}/metrics: no connection: Connection refused") as error:
        collect(f"http://127.0.0.1:{port}/metrics?token=hidden")
    assert "hidden" not in str(error.value)
    with pytest.raises(CollectError, match=r"missing\.prom: No such file"):
        collect((tmp_path / "missing.prom").as_uri())


def test_a_slow_answer_does_not_take_longer_than_its_time() -> None:
    body = "a 1\n" * 10
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n")
                for character in body.encode():
                    try:
                        connection.sendall(bytes([character]))
                    except OSError:
                        return
                    if stopped.wait(0.05):
                        return

        stopped = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(CollectError, match=r"longer than 0\.3 s"):
                collect(f"http://127.0.0.1:{server.getsockname()[1]}/metrics", request_timeout_s=0.3)
        finally:
            stopped.set()
            thread.join()


def test_secrets_reach_the_server_and_nothing_else(serve: Serve, tmp_path: Path) -> None:
    seen: list[dict[str, str]] = []
    url = serve("a 1\n", seen=seen, status=403)
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    for options in ({"bearer_token": "s3cret-token"}, {"bearer_token_file": token}, {"username": "me", "password": "s3cret-token"}):
        settings = PrometheusOptions.model_validate({"url": url, **options})
        assert "s3cret-token" not in repr(settings)
        with pytest.raises(CollectError) as error:
            collect(url, **options)
        assert "s3cret" not in str(error.value)
    assert [headers["Authorization"] for headers in seen] == ["Bearer s3cret-token"] * 2 + ["Basic bWU6czNjcmV0LXRva2Vu"]


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://host/metrics"},
        {"url": "host:9100"},
        {"url": "http://me:secret@host/metrics"},
        {"url": "http://host/metrics", "bearer_token": "x"},
        {"url": "https://host/metrics", "bearer_token": "x", "bearer_token_file": "y"},
        {"url": "https://host/metrics", "username": "x"},
        {"url": "https://host/metrics", "places": {"a": "{1}"}},
    ],
)
def test_options_that_cannot_work_or_leak_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"url|places|secret|give one of"):
        PrometheusOptions.model_validate(options)
