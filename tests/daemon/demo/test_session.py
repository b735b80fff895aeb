"""The demo's processes: started in order, listened to, ended in order. A small script stands in for the daemon."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import click
import pytest

from daemon.demo import session
from daemon.demo.processes import DemoError
from daemon.demo.session import DAEMON, EXPERIMENT, Session, run_demo, still_learning

STAND_IN = """
import json, sys, threading, time, tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer

STREAMS = [dict(stream=name, rows=1, state="watching") for name in ("dqm#part", "hv", "daq", "disks")]

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(stages=[dict(streams=STREAMS)])).encode() if self.path == "/status" else b""
        self.send_response(200 if self.path in ("/readyz", "/status") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

config = tomllib.loads(open(sys.argv[sys.argv.index("-c") + 1]).read())
server = HTTPServer(("127.0.0.1", config["http"]["port"]), Ready)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""
SAID = {
    "id": "a",
    "cause": {"place": "DEMO/TRACKER", "channel": ""},
    "places": ["DEMO/TRACKER"],
    "opened": "2026-01-01T00:00:00.000Z",
    "resolved": None,
    "sentence": "hot module",
    "decision": "Look at it.",
}
SPEAK_AND_WAIT = f"print({json.dumps(SAID)!r}, flush=True)\ntime.sleep(60)\n"


def stand_in(folder: Path, behaviour: str) -> tuple[str, ...]:
    """Arguments that start a daemon which is ready at once and then does this."""
    script = folder / "stand_in.py"
    script.write_text(STAND_IN + behaviour)
    return (str(script),)


def test_the_daemon_is_started_when_the_experiment_can_be_read(tmp_path: Path) -> None:
    with Session(tmp_path, 30, 1, stand_in(tmp_path, SPEAK_AND_WAIT)) as demo:
        demo.start()
        assert list((tmp_path / "dqm").glob("*.root"))
        assert 'collector = "epics"' in (tmp_path / "demo.toml").read_text()
        said: dict[str, list[str]] = {DAEMON: [], EXPERIMENT: []}
        for name, event in demo.events():
            said[name].append(event.get("sentence") or event["event"])
            if said[DAEMON] and said[EXPERIMENT].count("progress") > 3:
                break
    assert said[DAEMON] == ["hot module"]
    assert set(said[EXPERIMENT]) == {"progress"}


def test_a_daemon_that_does_not_start_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("import sys\nsys.stderr.write('demo.toml: source.hv: no such collector\\n')\nsys.exit(2)\n")
    with (
        Session(tmp_path, 30, 1, (str(script),)) as demo,
        pytest.raises(DemoError, match=r"the daemon did not start, exit code 2\ndemo.toml: source.hv: no such collector"),
    ):
        demo.start()


def test_a_daemon_that_dies_ends_the_demo(tmp_path: Path) -> None:
    dying = "time.sleep(0.5)\nraise SystemExit('out of memory')\n"
    with Session(tmp_path, 30, 1, stand_in(tmp_path, dying)) as demo:
        demo.start()
        with pytest.raises(DemoError, match=r"the daemon has ended before its time\nout of memory"):
            list(demo.events())


def test_a_time_that_is_too_short_is_said(tmp_path: Path) -> None:
    with Session(tmp_path, 5, 1) as demo, pytest.raises(DemoError, match="25 lumisections are too few"):
        demo.start()


def test_what_is_still_to_be_learned_is_named() -> None:
    def status(**states: str) -> dict[str, Any]:
        streams = [{"stream": name, "rows": 10 if state else 0, "state": state} for name, state in states.items()]
        return {"stages": [{"stage": "collect"}, {"stage": "detect", "streams": streams}]}

    assert still_learning(status()) == ["dqm: nothing yet", "hv: nothing yet", "daq: nothing yet", "disks: nothing yet"]
    learning = status(dqm="watching", hv="learning, 40 of 80 rows", daq="watching", disks="")
    assert still_learning(learning) == ["disks: nothing yet", "hv: learning, 40 of 80 rows"]
    assert still_learning(status(dqm="watching", hv="watching", daq="watching", disks="watching")) == []


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    with Session(tmp_path, 30, 1, stand_in(tmp_path, "print('Traceback', flush=True)\ntime.sleep(60)\n")) as demo:
        demo.start()
        with pytest.raises(DemoError, match="printed what is not JSON: 'Traceback'"):
            list(demo.events())


def test_both_processes_end_with_the_session(tmp_path: Path) -> None:
    with Session(tmp_path, 30, 1, stand_in(tmp_path, SPEAK_AND_WAIT)) as demo:
        demo.start()
        children = list(demo._children)
    assert [child.name for child in children] == [EXPERIMENT, DAEMON]
    assert all(child.exit_code is not None for child in children)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_early_end_still_shows_the_scoreboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    arguments = stand_in(tmp_path, SPEAK_AND_WAIT)
    monkeypatch.setattr(session, "DAEMON_ARGUMENTS", arguments)

    def interrupt() -> None:
        log = tmp_path / "demo" / "daemon.log"
        while not log.exists():
            time.sleep(0.05)
        time.sleep(1.5)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    passed = run_demo(30, 1, folder=tmp_path / "demo")
    assert not passed  # the stand-in's incident is false
    lines = click.unstyle(capsys.readouterr().out).splitlines()
    assert ", 1 false" in lines[-1]  # and a fault or none was missed, by how far it came
    assert (tmp_path / "demo" / "demo.toml").exists()
