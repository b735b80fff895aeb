"""The examples of pushing in collectors/README.md, run against a page that is served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.ingest_message import IngestMessage, read_message
from daemon.reference.page import path
from tests.conftest import missing
from tests.daemon.web.site import Application
from tests.page import CONFIG

TOKEN_FILE = "/etc/shiftwatch/ingest-token"


def block(language: str, word: str) -> str:
    """The example in a language that has a word in it."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", path().read_text(encoding="utf-8"), flags=re.DOTALL)
    return next(text for text in blocks if word in text)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Application]:
    (tmp_path / "token").write_text("sesame\n")
    made = Application(tmp_path, CONFIG.replace("[web]", f'[web]\ningest_token_file = "{tmp_path / "token"}"'))
    yield made
    made.close()


def url(page: Application) -> str:
    return str(page.client.base_url).rstrip("/")


def arrived(page: Application) -> IngestMessage:
    topic = page.bus.subscribe(["ingest"], None)
    [record] = topic.poll(0.0)
    topic.close()
    return read_message(record.value)


def test_the_message_is_one() -> None:
    message = read_message(block("json", "weather").encode())
    assert (message.source, message.place, message.values) == ("weather", "CMS/HALL", {"temperature": 21.5})


def test_curl(page: Application, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        missing("curl; apt-get install curl")
    command = block("sh", "curl").replace("http://127.0.0.1:9110", url(page)).replace(TOKEN_FILE, str(tmp_path / "token"))
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"taken": 1}), done.stderr
    assert arrived(page).values == {"temperature": 21.5}


def test_python(page: Application, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(block("python", "def push"), "README.md", "exec"), names)
    names["push"](url(page), str(tmp_path / "token"), "weather", {"temperature": -3.0})
    assert arrived(page).values == {"temperature": -3.0}


@pytest.mark.slow
def test_go(page: Application, tmp_path: Path) -> None:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        missing("Go; apt-get install golang-go")
    assert go is not None
    (tmp_path / "push.go").write_text(block("go", "package main"))
    done = subprocess.run(
        [go, "run", "push.go", url(page), str(tmp_path / "token")], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert arrived(page).values == {"temperature": 21.5}
