"""What proves who we are over HTTP: odd secrets are errors that do not tell them, and nobody sends us to another server with them."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import ValidationError

from collectors.collector import CollectError
from collectors.fetched.http_options import HttpOptions, HttpSource


class Server:
    """Answers with {} or a redirect, and remembers what it was shown."""

    def __init__(self) -> None:
        self.location = ""
        self.shown: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.shown.append(self.headers.get("Authorization", ""))
                self.send_response(302 if server.location else 200)
                if server.location:
                    self.send_header("Location", server.location)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Says nothing."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def get(options: HttpOptions) -> bytes:
    source = HttpSource(options)
    try:
        return source.get().body
    finally:
        source.close()


@pytest.mark.parametrize(
    "content", ["s3cret\n# of the web server", "s3cret\nX-Other: s3cret", "s3\x00cret", "s3cret\r\n\r\ns3cret", "s3cret€"]
)
def test_a_file_that_holds_more_than_a_token_is_named_and_not_told(server: Server, tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(CollectError, match=f"{tmp_path / 'token'}: not a token") as raised:
        get(HttpOptions(url=server.url, bearer_token_file=tmp_path / "token"))
    assert "cret" not in str(raised.value)
    assert server.shown == []


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_secret_is_an_error(server: Server, tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text(content)
    for options in (
        HttpOptions(url=server.url, bearer_token_file=tmp_path / "secret"),
        HttpOptions(url=server.url, username="shifter", password_file=tmp_path / "secret"),
    ):
        with pytest.raises(CollectError, match=f"{tmp_path / 'secret'}: it is empty"):
            get(options)
    assert server.shown == []


def test_a_token_is_read_anew_each_time(server: Server, tmp_path: Path) -> None:
    source = HttpSource(HttpOptions(url=server.url, bearer_token_file=tmp_path / "token"))
    for token in ("first", "second"):
        (tmp_path / "token").write_text(f"{token}\n")
        source.get()
    source.close()
    assert server.shown == ["Bearer first", "Bearer second"]


def test_a_password_may_have_any_letters(server: Server, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("größer €5")
    assert get(HttpOptions(url=server.url, username="shifter", password_file=tmp_path / "password")) == b"{}"
    assert server.shown == ["Basic " + b64encode("shifter:größer €5".encode()).decode()]


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/", "//127.0.0.1:1/", "https://127.0.0.1/", "file:///etc/hostname", "http://127.0.0.2/"]
)
def test_another_server_is_not_shown_the_token(server: Server, location: str) -> None:
    server.location = location
    with pytest.raises(CollectError, match="a redirect to another server is not followed"):
        get(HttpOptions.model_validate({"url": server.url, "bearer_token": "s3cret"}))
    assert server.shown == ["Bearer s3cret"]


@pytest.mark.parametrize("location", ["http://127.0.0.1:port/", "http://127.0.0.1:99999/", "http://[", "//["])
def test_a_redirect_to_nowhere_is_an_error_that_names_who_sent_it(server: Server, location: str) -> None:
    server.location = location
    with pytest.raises(CollectError, match=f"{server.url}: a redirect to what is no address"):
        get(HttpOptions(url=server.url))


@pytest.mark.parametrize("url", ["http://localhost:port/", "https://localhost:99999/"])
def test_an_address_with_a_bad_port_is_an_error_at_the_start(url: str) -> None:
    with pytest.raises(ValidationError, match="is not a port"):
        HttpOptions(url=url)
