"""`shiftwatch collect`: what a newcomer sees first."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daemon.__main__ import cli
from tests.collectors.epics_server import Server
from tests.collectors.metrics_server import Serve, serving

METRICS = """\
# TYPE hv_volts gauge
hv_volts{channel="0"} 1400.5
hv_volts{channel="1"} NaN
# TYPE tts_state gauge
tts_state 1
# TYPE errors_total counter
errors_total 12345678
broken line here
"""


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["collect", *arguments], prog_name="shiftwatch")


def configuration(folder: Path, text: str) -> str:
    path = folder / "shiftwatch.toml"
    path.write_text(text)
    return str(path)


def rows(output: str) -> dict[str, list[str]]:
    """Cells of the table by name."""
    return {
        line.split("  ")[0]: [cell.strip() for cell in line.split("  ") if cell.strip()] for line in output.splitlines() if "  " in line
    }


def test_a_table_of_what_a_configured_source_sees(serve: Serve, tmp_path: Path) -> None:
    config = configuration(
        tmp_path,
        f"""
        experiment = "CMS"
        [bus]
        driver = "kafka"
        [source.hv]
        collector = "prometheus"
        place = "CMS/HV"
        url = "{serve(METRICS)}"
        states = {{ tts_state = ["READY", "WARNING"] }}
        detectors = ["not-there-yet"]
        [source.other]
        collector = "unheard_of"
        """,
    )
    done = run("hv", "--once", "-c", config)
    assert done.exit_code == 0, done.output
    table = rows(done.stdout)
    assert table["name"] == ["name", "value", "unit", "place", "age", "quality"]
    assert table['hv_volts{channel="0"}'][1:] == ["1400.5", "V", "CMS/HV", "<1 s", "good"]
    assert table['hv_volts{channel="1"}'][1:3] == ["-", "V"]
    assert table["tts_state"][1] == "WARNING"
    assert table["errors_total"][1] == "12345678 (counter)"
    assert "hv (prometheus)" in done.stdout.splitlines()[0]
    assert "1 rejected:" in done.stdout
    assert "line 8" in done.stdout
    assert "\x1b" not in done.stdout
    assert run("prometheus", "--once", "-c", config).stdout.splitlines()[2:6] == done.stdout.splitlines()[2:6]


def test_without_a_configuration(serve: Serve) -> None:
    done = run("--once", "--with", "prometheus", f"url={serve(METRICS)}", 'include=["hv_*"]', "place=LAB", "--json")
    assert done.exit_code == 0, done.output
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reading.get("value") for reading in found if "name" in reading] == [1400.5, None]
    assert found[0]["place"] == "LAB"
    assert (found[0]["kind"], found[0]["unit"]) == ("gauge", "V")
    bare = run("--once", "--with", "prometheus", f"url={serve(METRICS)}", "include=hv_*", "--json")
    assert [json.loads(line)["name"] for line in bare.stdout.splitlines()[:2]] == [reading["name"] for reading in found[:2]]


def test_what_is_missing_is_said_with_the_smallest_configuration() -> None:
    done = run("--with", "prometheus", "period_s=5")
    assert done.exit_code == 2
    assert "--with prometheus: url: Field required" in done.stderr
    assert '\n    collector = "prometheus"\n' in done.stderr
    assert "shiftwatch collect --once --with prometheus " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--with", "prometheus", "url"), "'url' is not KEY=VALUE"),
        (("--with", "prometheus", "url=http://a", "url=http://b"), "given twice"),
        (("--with", "prometheus", "url=http://localhost", "colour=red"), "colour: unknown key"),
        (("--with", "unheard_of"), "no collector 'unheard_of'"),
        (("prometheus", "url=http://localhost"), "--with prometheus"),
        (("--with", "prometheus", "url=http://localhost", "bearer_token=abc"), "bearer_token_file=PATH"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = run("--once", *arguments)
    assert done.exit_code != 0
    assert words in done.stderr.splitlines()[0]
    assert "abc" not in done.output


def test_a_source_that_fails_is_one_line_with_the_seconds() -> None:
    done = run("--once", "--with", "prometheus", "url=http://127.0.0.1:1/metrics")
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("shiftwatch: prometheus failed after 0.")
    assert "127.0.0.1:1/metrics" in line


def test_sources_are_found_by_name_or_collector(tmp_path: Path) -> None:
    two = configuration(tmp_path, '[source.a]\ncollector = "table"\nfiles = "x"\n[source.b]\ncollector = "table"\nfiles = "y"\n')
    assert "2 sources use 'table'; name one of a, b" in run("table", "--once", "-c", two).stderr
    assert "no source 'c'; there are a, b" in run("c", "--once", "-c", two).stderr
    assert "--with epics" in run("epics", "--once", "-c", two).stderr
    absent = run("epics", "--once", "-c", str(tmp_path / "none.toml"))
    assert absent.exit_code == 2
    assert "none.toml: No such file" in absent.stderr
    broken = configuration(tmp_path, "[source.a")
    assert "shiftwatch.toml" in run("a", "--once", "-c", broken).stderr


@pytest.mark.parametrize("name", ["list", "show"])
def test_a_source_called_like_a_command_can_be_reached(serve: Serve, tmp_path: Path, name: str) -> None:
    config = configuration(tmp_path, f'[source.{name}]\ncollector = "prometheus"\nurl = "{serve(METRICS)}"\n')
    for arguments in ((name, "--once", "-c", config), ("--once", "-c", config, name)):
        assert "hv_volts" in run(*arguments).stdout


def test_long_lists_fold(serve: Serve) -> None:
    url = f"url={serve(''.join(f'reading_{i:03} {i}' + chr(10) for i in range(100)))}"
    folded = run("--once", "--with", "prometheus", url).stdout
    assert "reading_039" in folded
    assert "reading_040" not in folded
    assert "… and 60 more; --all shows them" in folded
    assert "reading_099" in run("--once", "--all", "--with", "prometheus", url).stdout
    some = rows(run("--once", "--with", "prometheus", url, "--match", "*_01?", "--match", "g_099").stdout)
    assert [name for name in some if name.startswith("reading")] == [f"reading_{i:03}" for i in (*range(10, 20), 99)]
    assert "none of 100 readings matches" in run("--once", "--with", "prometheus", url, "--match", "voltage").stdout


def test_a_recording_shows_its_first_rows_and_how_many_there_are(tmp_path: Path) -> None:
    lines = [f"2020-01-01T00:0{i}:00Z,{i}.5,{'' if i == 1 else i}" for i in range(5)]
    (tmp_path / "pump.csv").write_text("time,pressure [bar],flow\n" + "\n".join(lines) + "\n")
    done = run("--with", "table", f"files={tmp_path / 'pump.csv'}")
    assert done.exit_code == 0, done.output
    assert "5 rows of 2 columns, 2020-01-01T00:00:00.000Z to 2020-01-01T00:04:00.000Z" in done.stdout
    table = rows(done.stdout)
    assert table["name"][1:4] == ["row 1", "row 2", "row 3"]
    assert next(cells for name, cells in table.items() if name.startswith("pressure"))[1:5] == ["0.5", "1.5", "2.5", "bar"]
    assert table["flow"][1:4] == ["0", "-", "2"]
    found = [json.loads(line) for line in run("--with", "table", f"files={tmp_path / 'pump.csv'}", "--json").stdout.splitlines()]
    assert [(each["value"], each["time"][14:16]) for each in found[:3]] == [(0.5, "00"), (1.5, "01"), (2.5, "02")]


def test_a_recording_that_is_not_there_or_empty(tmp_path: Path) -> None:
    assert run("--with", "table", f"files={tmp_path}/none.csv").exit_code == 1
    (tmp_path / "empty.csv").write_text("time,a\n")
    done = run("--with", "table", f"files={tmp_path}/empty.csv")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_nobody_can_ask_a_pushed_source(tmp_path: Path) -> None:
    config = configuration(tmp_path, '[source.weather]\ncollector = "pushed"\n')
    done = run("weather", "--once", "-c", config)
    assert done.exit_code == 1
    assert "POST /ingest" in done.stderr


def test_monitored_channels_are_waited_for(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    try:
        address = f"addresses=127.0.0.1:{server.port}"
        options = ['channels=["HV:00:VMon", "HV:00:Status", "POWER"]', address, 'bits={ "*:Status" = ["on", "ramp_up"] }']
        done = run("--once", "--with", "epics", *options, "--wait-s", "20")
        assert done.exit_code == 0, done.output
        table = rows(done.stdout)
        assert table["HV:00:VMon"][1:3] == ["1400", "V"]
        assert table["HV:00:Status"][1] == "on"
        assert table["POWER"][1] == "ON"
        server.put("HV:00:Status", 3)
        rule = 'ramping=[{ status = "*:Status", readings = ["{1}:VMon"], bits = [1] }]'
        ramping = run("--once", "--with", "epics", *options, rule, "--wait-s", "20")
        assert rows(ramping.stdout)["HV:00:VMon"][-1] == "ramping"
        absent = run("--once", "--with", "epics", 'channels=["HV:00:VMon", "NOWHERE"]', address, "connect_wait_s=0.2", "--wait-s", "0.5")
        assert rows(absent.stdout)["NOWHERE"][-1] == "disconnected"
        assert rows(absent.stdout)["HV:00:VMon"][1] == "1400"
    finally:
        server.kill()


def test_live_view_says_when_it_fails_and_recovers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "node.prom"
    contents = iter(["load 2\n", None, "load 3\n"])

    def next_turn(_seconds: float) -> None:
        content = next(contents, "")
        if content == "":
            raise KeyboardInterrupt
        path.unlink() if content is None else path.write_text(content)

    path.write_text("load 1\n")
    monkeypatch.setattr(time, "sleep", next_turn)
    done = run("--with", "prometheus", f"url=file://{path}", "period_s=1", "--json")
    assert done.exit_code == 0
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert "failed after" in done.stderr
    assert "node.prom" in done.stderr
    assert "has recovered" in done.stderr


def test_nothing_is_published_and_no_bus_or_store_is_opened(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("daemon.bus.memory.MemoryBus.__init__", forbidden)
    monkeypatch.setattr("daemon.store.store.Store.__init__", forbidden)
    monkeypatch.chdir(tmp_path)
    configuration(tmp_path, f'[source.hv]\ncollector = "prometheus"\nurl = "{serve(METRICS)}"\n[store]\nurl_file = "/nowhere"\n')
    assert run("hv", "--once").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["shiftwatch.toml"]


def test_a_source_that_says_nothing_is_waited_for_and_then_said(tmp_path: Path) -> None:
    started_s = time.monotonic()
    done = run("--once", "--with", "smartctl", f"files={tmp_path}/*.json", "--wait-s", "0.3")
    assert time.monotonic() - started_s > 0.25 or "failed" in done.stderr
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_help_is_shown_without_arguments() -> None:
    for arguments in ((), ("--help",), ("-h",)):
        done = run(*arguments)
        assert "Usage: shiftwatch collect [OPTIONS] NAME" in done.output
        assert "collect list" in done.output
    assert "Usage: shiftwatch collect list" in run("list", "--help").output
    assert "Usage: shiftwatch collect show" in run("show", "--help").output
