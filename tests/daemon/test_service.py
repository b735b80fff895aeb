"""The daemon as its operator meets it: a process with health endpoints, metrics, signals and commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from daemon.demo.session import free_port
from daemon.examples import example_names, example_text
from daemon.settings import parse

CONFIG = """
experiment = "LAB"
[store]
url = "sqlite:///{folder}/lab.db"
[http]
port = {port}
[web]
port = {page}
[source.hv]
collector = "prometheus"
url = "file://{folder}/hv.txt"
period_s = 0.1
silent_after_s = 3600
detectors = ["limits"]
[detector.limits]
raise_rows = 1
clear_rows = 1
[[detector.limits.rules]]
channel = "*_volts"
high = {limit}
condition = "overvoltage"
"""


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "daemon", *arguments], capture_output=True, text=True, timeout=60, check=False)


def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


class Lab:
    """A daemon in a process of its own that watches a file."""

    def __init__(self, folder: Path) -> None:
        self.port, self.page = free_port(), free_port()
        self.folder = folder
        self.config = folder / "lab.toml"
        self.configure(10)
        self.write(5)
        self._process: subprocess.Popen[str] | None = None
        self._log = folder / "lab.log"

    def configure(self, limit: object) -> None:
        self.config.write_text(CONFIG.format(folder=self.folder, port=self.port, page=self.page, limit=limit))

    def write(self, volts: float) -> None:
        (self.folder / "hv.new").write_text(f"crate_volts {volts}\n")
        (self.folder / "hv.new").rename(self.folder / "hv.txt")

    def start(self) -> None:
        with self._log.open("a") as log, (self.folder / "lab.out").open("a") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daemon", "run", "-c", str(self.config), "--json"], stdout=out, stderr=log, text=True
            )
        until(lambda: self.get("/readyz")[0] == 200)

    def send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        assert self._process is not None
        return self._process.wait(30)

    def get(self, path: str) -> tuple[int, str]:
        try:
            answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}{path}", timeout=5.0, retries=False)
        except urllib3.exceptions.HTTPError:
            return 0, ""
        return answer.status, answer.data.decode()

    def log(self) -> str:
        return self._log.read_text()

    def printed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "lab.out").read_text().splitlines()]

    def listed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in cli("incidents", "-c", str(self.config), "--json").stdout.splitlines()]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    made.start()
    yield made
    if made._process is not None and made._process.poll() is None:
        made._process.kill()
        made._process.wait(10)


def test_a_label_from_the_command_line_reaches_a_daemon_with_the_memory_bus(lab: Lab) -> None:
    lab.write(12)
    (incident,) = until(lab.listed)
    said = cli("label", incident["id"][:6], "acknowledge", "-c", str(lab.config), "--who", "Ada", "--comment", "on my way")
    assert (said.returncode, said.stdout.strip()) == (0, f"{incident['id']}: acknowledge by Ada"), said.stderr
    until(lambda: lab.listed()[0]["owner"] == "Ada")
    assert cli("label", incident["id"], "silence", "-c", str(lab.config), "--hours", "2", "--who", "Ada").returncode == 0
    until(lambda: lab.listed()[0]["silenced_until"])
    assert lab.end() == 0
    late = cli("label", incident["id"], "resolve", "-c", str(lab.config))
    assert (late.returncode, late.stderr) == (1, f"shiftwatch: no daemon answers at http://127.0.0.1:{lab.page}\n")


def test_a_fault_is_printed_listed_counted_and_clears(lab: Lab) -> None:
    lab.write(12)
    until(lambda: any(i["state"] == "open" for i in lab.printed()))
    (incident,) = lab.listed()
    assert incident["condition"] == "overvoltage"
    assert incident["cause"]["place"] == "LAB"
    metrics = until(
        lambda: 'shiftwatch_incidents{severity="warning",state="open"} 1.0' in lab.get("/metrics")[1] and lab.get("/metrics")[1]
    )
    assert f'incident="{incident["id"]}"' in metrics
    assert 'shiftwatch_rows_total{source="hv"}' in metrics

    lab.write(5)
    until(lambda: any(i["state"] == "resolved" for i in lab.printed()))
    assert [i["state"] for i in lab.listed()] == ["resolved"]
    assert lab.end() == 0


def test_killed_while_an_incident_is_open_it_goes_on_with_the_same_one(lab: Lab) -> None:
    lab.write(12)
    until(lab.listed)
    lab.end(signal.SIGKILL)
    lab.start()
    lab.write(5)
    until(lambda: all(i["state"] == "resolved" for i in lab.listed()))

    assert len(lab.listed()) == 1
    assert [i["state"] for i in lab.printed()] == ["open", "resolved"], "each change is told once"


def test_health_status_and_orderly_end(lab: Lab) -> None:
    assert lab.get("/livez") == (200, "ok\n")
    assert lab.get("/nothing")[0] == 404
    screen = cli("status", "-c", str(lab.config)).stdout
    assert all(stage in screen for stage in ("collect", "detect", "correlate", "notify"))
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert len(screen.splitlines()) <= 24
    assert json.loads(cli("status", "-c", str(lab.config), "--json").stdout)["stages"]
    assert lab.end() == 0
    assert "stopped stages=collect,detect,correlate,notify,web clean=True" in lab.log()
    gone = cli("status", "-c", str(lab.config))
    assert gone.returncode == 1
    assert f"no daemon answers at http://127.0.0.1:{lab.port}" in gone.stderr


def test_reload_takes_a_good_file_and_refuses_a_wrong_one(lab: Lab) -> None:
    lab.configure('"many"')
    lab.send(signal.SIGHUP)
    until(lambda: "reload refused" in lab.log())
    lab.write(12)
    until(lambda: any(i["state"] == "open" for i in lab.printed()))

    lab.configure(100)
    lab.send(signal.SIGHUP)
    until(lambda: lab.log().count("started version=") == 2)
    lab.write(12)
    until(lambda: all(i["state"] == "resolved" for i in lab.listed()))
    assert len(lab.listed()) == 1, "what did not change keeps its state"


def test_a_reload_may_take_stages_away_and_is_refused_where_a_secret_is_missing(lab: Lab) -> None:
    good = lab.config.read_text()
    lab.config.write_text(f'{good}\n[receiver.webhook]\nurl = "http://127.0.0.1:1"\nsecret_file = "{lab.folder}/absent"\n')
    lab.send(signal.SIGHUP)
    until(lambda: f"receiver.webhook.secret_file: No such file or directory: {lab.folder}/absent" in lab.log())
    assert lab.get("/readyz")[0] == 200
    lab.config.write_text(good.replace("[web]", "[web]\nenabled = false"))
    lab.send(signal.SIGHUP)
    until(lambda: lab.log().count("started version=") == 2)
    until(lambda: lab.get("/readyz")[0] == 200)
    assert [stage["stage"] for stage in json.loads(lab.get("/status")[1])["stages"]] == ["collect", "detect", "correlate", "notify"]
    assert lab.end() == 0
    assert "stopped stages=collect,detect,correlate,notify,web clean=True" in lab.log()
    assert "stopped stages=collect,detect,correlate,notify clean=True" in lab.log()


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ('[receiver.slack]\nchannel = "C0123456789"\ntoken_file = "{absent}"', "receiver.slack.token_file"),
        ('[receiver.pager]\nreceiver = "webhook"\nurl_file = "{absent}"', "receiver.pager.url_file"),
        ('[web]\ntoken_file = "{absent}"', "web.token_file"),
    ],
)
def test_a_secret_that_is_missing_at_the_start_is_one_clear_line(tmp_path: Path, section: str, key: str) -> None:
    config = tmp_path / "lab.toml"
    config.write_text(
        f'[http]\nenabled = false\n[store]\nurl = "sqlite:///{tmp_path}/lab.db"\n' + section.format(absent=tmp_path / "absent")
    )
    started = cli("run", "-c", str(config))
    assert (started.returncode, started.stderr) == (2, f"shiftwatch: {key}: No such file or directory: {tmp_path}/absent\n")
    assert cli("config", "check", "-c", str(config)).returncode == 0, "it may be checked where the secrets are not"


def test_wrong_use_is_one_clear_line_and_an_exit_code(tmp_path: Path) -> None:
    absent = cli("run", "-c", str(tmp_path / "absent.toml"))
    assert (absent.returncode, absent.stderr) == (2, f"shiftwatch: {tmp_path}/absent.toml: No such file or directory\n")

    wrong = tmp_path / "wrong.toml"
    wrong.write_text('experimnt = "LAB"\n[source.hv]\ncollector = "telepathy"\n')
    checked = cli("config", "check", "-c", str(wrong), "--json")
    assert checked.returncode == 2
    assert "experimnt: unknown key" in checked.stderr
    assert "Traceback" not in checked.stderr

    alone = tmp_path / "alone.toml"
    alone.write_text("[http]\nenabled = false\n[web]\nenabled = false\n")
    staged = cli("run", "-c", str(alone), "--stage", "detect")
    assert staged.returncode == 2
    assert "kafka" in staged.stderr


def test_every_command_has_help_with_an_example() -> None:
    for command in ("run", "replay", "incidents", "label", "status", "demo", "config check", "config example"):
        text = cli(*command.split(), "--help").stdout
        assert "Example: shiftwatch" in text, command
        assert "--json" in text, command
    assert cli("--version").stdout.startswith("shiftwatch")


@pytest.mark.parametrize("name", example_names())
def test_examples_are_valid(name: str) -> None:
    settings = parse(example_text(name).replace("{source}", "/recorded"), name)
    assert settings.source
