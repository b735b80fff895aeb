"""What a listener gets, and how it can tell who sent it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError

from daemon.notify.receiver import ReceiverError, Told
from daemon.notify.webhook import WebhookOptions, WebhookReceiver
from tests.contract.test_receivers import OPEN, RESOLVED, WORSE
from tests.receiver_cases import WebhookCase, surroundings


@pytest.fixture
def case(tmp_path: Path) -> Iterator[WebhookCase]:
    built = WebhookCase(tmp_path)
    yield built
    built.close()


def test_the_body_has_the_incident_its_event_and_its_page(case: WebhookCase) -> None:
    receiver = case.build()
    reference = receiver.tell(OPEN, Told())
    reference = receiver.tell(WORSE, Told(reference))
    receiver.tell(RESOLVED, Told(reference))
    bodies = [json.loads(raw) for raw in case.raw]
    assert [body["event"] for body in bodies] == ["opened", "changed", "resolved"]
    assert bodies[0] == {
        "event": "opened",
        "revision": 1,
        "experiment": "DEMO",
        "incident": OPEN.as_json(),
        "merged_into": "",
        "url": f"http://127.0.0.1:9110/incidents/{OPEN.id}",
        "runbook_url": "http://127.0.0.1:9110/runbooks/fed-stuck",
    }
    assert [headers["idempotency-key"] for headers in case.headers] == [f"{OPEN.id}/1", f"{OPEN.id}/2", f"{OPEN.id}/4"]
    receiver.close()


def test_the_signature_is_that_of_time_and_body(case: WebhookCase) -> None:
    receiver = case.build()
    receiver.tell(OPEN, Told())
    receiver.close()
    moment, digest = (part.split("=")[1] for part in case.headers[0]["x-shiftwatch-signature"].split(","))
    expected = hmac.new(case.secrets[1].encode(), f"{moment}.".encode() + case.raw[0], hashlib.sha256).hexdigest()
    assert digest == expected
    assert int(moment) == pytest.approx(time.time(), abs=60)
    assert case.headers[0]["authorization"] == f"Bearer {case.secrets[0]}"


def test_the_address_may_be_the_secret(case: WebhookCase) -> None:
    options = WebhookOptions(url_file=Path(case.secret(f"{case.network.url}/s3cret-path")), timeout_s=1)
    receiver = WebhookReceiver("hook", options, surroundings([]))
    receiver.tell(OPEN, Told())
    assert case.count(OPEN) == 1
    case.network.fault("cut")
    with pytest.raises(ReceiverError) as caught:
        receiver.tell(WORSE, Told("1"))
    assert "s3cret" not in str(caught.value)
    receiver.close()


@pytest.fixture
def grumpy() -> Iterator[tuple[str, dict[str, Any]]]:
    """A listener that answers with a status and headers of the test's choice."""
    answer: dict[str, Any] = {"status": 200, "headers": {}}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", answer
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "headers", "retry_after_s"),
    [
        (500, {}, None),
        (404, {}, None),
        (302, {"Location": "http://127.0.0.1:1/"}, None),
        (429, {"Retry-After": "17"}, 17),
        (503, {"Retry-After": "99999999"}, 3600),
        (503, {"Retry-After": "soon"}, None),
        (429, {"Retry-After": format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)}, 0),
    ],
)
def test_a_refusal_says_when_to_try_again(
    grumpy: tuple[str, dict[str, Any]], status: int, headers: dict[str, str], retry_after_s: float | None
) -> None:
    url, answer = grumpy
    answer.update(status=status, headers=headers)
    receiver = WebhookReceiver("hook", WebhookOptions(url=url), surroundings([]))
    with pytest.raises(ReceiverError, match=f"HTTP status {status}") as caught:
        receiver.tell(OPEN, Told())
    assert caught.value.retry_after_s == retry_after_s
    answer.update(status=202, headers={})
    assert receiver.tell(replace(OPEN, revision=7), Told(in_doubt=True)) == "7"
    receiver.close()


@pytest.mark.parametrize("options", [{}, {"url": "http://localhost", "url_file": "/x"}, {"url": "localhost"}])
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookOptions.model_validate(options)


def test_a_secret_may_be_replaced_while_it_runs(case: WebhookCase) -> None:
    receiver = case.build()
    receiver.tell(OPEN, Told())
    case.secret_path(case.secrets[0]).write_text("another")
    receiver.tell(WORSE, Told("1"))
    assert case.headers[1]["authorization"] == "Bearer another"
    receiver.close()
