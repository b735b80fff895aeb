"""deploy/examples/push.sh, run as cron would, against a page that is served."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ingest_message import IngestMessage, read_message
from tests.conftest import missing
from tests.daemon.web.site import Application
from tests.page import CONFIG

SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "examples" / "push.sh"
TOKEN = "open-sesame"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Application]:
    if shutil.which("curl") is None:
        missing("curl; apt-get install curl")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    made = Application(tmp_path, CONFIG.replace("[web]", f'[web]\ningest_token_file = "{tmp_path / "token"}"'))
    yield made
    made.close()


def push(page: Application, token_file: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"SHIFTWATCH_URL": str(page.client.base_url).rstrip("/"), "SHIFTWATCH_TOKEN_FILE": str(token_file), **environment}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **variables})


def arrived(page: Application) -> list[IngestMessage]:
    topic = page.bus.subscribe(["ingest"], None)
    records = topic.poll(0.0)
    topic.close()
    assert [record.key for record in records] == [read_message(record.value).source for record in records]
    return [read_message(record.value) for record in records]


def test_readings_arrive_at_the_bus(page: Application, tmp_path: Path) -> None:
    done = push(page, tmp_path / "token", "weather", "temperature=21.5", "wind speed=-3e0", PLACE="CMS/HALL")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"taken": 1}), done.stderr
    [message] = arrived(page)
    assert (message.source, message.place, message.values) == ("weather", "CMS/HALL", {"temperature": 21.5, "wind speed": -3.0})
    assert abs(message.time_ns - time.time_ns()) < 120e9


def test_a_refusal_is_shown_and_is_a_failure(page: Application, tmp_path: Path) -> None:
    done = push(page, tmp_path / "token", "weather", "temperature=warm")
    assert done.returncode != 0
    assert "not JSON" in done.stdout
    assert arrived(page) == []


def test_a_wrong_token_is_a_failure_and_no_token_is_shown(page: Application, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("something-else")
    done = push(page, tmp_path / "wrong", "weather", "temperature=1")
    assert done.returncode != 0
    assert "403" in done.stderr
    assert "something-else" not in done.stdout + done.stderr
    assert arrived(page) == []


@pytest.mark.parametrize("arguments", [(), ("weather",), ("weather", "temperature"), ("weather", 'a"b=1')])
def test_wrong_usage_is_said(page: Application, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = push(page, tmp_path / "token", *arguments)
    assert done.returncode == 2
    assert "push.sh" in done.stderr


def test_a_large_body_with_a_wrong_token_is_answered(page: Application, tmp_path: Path) -> None:
    """curl hears the answer although it has not sent all of its body."""
    (tmp_path / "body").write_bytes(b" " * 30_000_000)
    url = f"{str(page.client.base_url).rstrip('/')}/ingest"
    header = ["--header", "Content-Type: application/json"]
    for token, status in (("wrong", "403"), (TOKEN, "413")):
        curl = ["curl", "--silent", "--show-error", "--write-out", "%{http_code}", "--output", "/dev/null", "--max-time", "30", *header]
        done = subprocess.run(
            [*curl, "--header", f"Authorization: Bearer {token}", "--data-binary", f"@{tmp_path / 'body'}", url],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stdout == status, done.stderr
