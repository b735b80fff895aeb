"""`shiftwatch grafana push` against a server that refuses what Grafana's documented API refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daemon.commands.grafana import grafana as command
from dashboards.generated import dashboards
from tests.grafana_server import TOKEN, GrafanaServer

ALL = len(dashboards())


@pytest.fixture
def grafana() -> Iterator[GrafanaServer]:
    with GrafanaServer() as server:
        yield server


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def push(grafana: GrafanaServer, token_file: Path, *more: str) -> Result:
    nowhere = token_file.with_name("none.toml")
    return CliRunner().invoke(command, ["push", "-c", str(nowhere), "--url", grafana.url, "--token-file", str(token_file), *more])


def outcomes(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["outcome"] for line in result.stdout.splitlines()]


def test_all_dashboards_are_in_the_folder_and_a_second_time_nothing_is_written(grafana: GrafanaServer, token_file: Path) -> None:
    assert outcomes(push(grafana, token_file, "--json")) == ["created"] * ALL
    assert [folder["title"] for folder in grafana.dashboards.folders.values()] == ["Shiftwatch"]
    assert {saved["meta"]["folderUid"] for saved in grafana.dashboards.saved.values()} == {"shiftwatch"}
    assert set(grafana.dashboards.saved) == {dashboard["uid"] for dashboard in dashboards()}
    asked = len(grafana.requests)
    assert outcomes(push(grafana, token_file, "--json")) == ["unchanged"] * ALL
    assert {method for method, _ in grafana.requests[asked:]} == {"GET"}


def test_people_see_the_address_of_each_dashboard(grafana: GrafanaServer, token_file: Path) -> None:
    first = push(grafana, token_file).stdout.splitlines()[0]
    assert first == f"created   {grafana.url}/d/shiftwatch-overview"


def test_what_somebody_changed_is_overwritten_as_a_new_version(grafana: GrafanaServer, token_file: Path) -> None:
    push(grafana, token_file)
    saved = grafana.dashboards.saved["shiftwatch-daemon"]["dashboard"]
    saved.update(title="mine", version=5)
    assert sorted(outcomes(push(grafana, token_file, "--json"))) == ["unchanged"] * (ALL - 1) + ["updated"]
    after = grafana.dashboards.saved["shiftwatch-daemon"]["dashboard"]
    assert (after["title"], after["version"]) == ("shiftwatch · the daemon itself", 6)
    assert grafana.dashboards.messages["shiftwatch-daemon"][-1].startswith("shiftwatch ")


def test_the_folder_follows_its_title_and_dashboards_follow_the_folder(grafana: GrafanaServer, token_file: Path) -> None:
    push(grafana, token_file)
    grafana.dashboards.saved["shiftwatch-daemon"]["meta"]["folderUid"] = ""
    assert "updated" in outcomes(push(grafana, token_file, "--folder", "Control room", "--json"))
    assert [folder["title"] for folder in grafana.dashboards.folders.values()] == ["Control room"]
    assert grafana.dashboards.saved["shiftwatch-daemon"]["meta"]["folderUid"] == "shiftwatch"


def test_a_folder_that_somebody_made_under_the_same_title_is_used(grafana: GrafanaServer, token_file: Path) -> None:
    grafana.dashboards.folders["theirs"] = {"id": 9, "uid": "theirs", "title": "Shiftwatch", "version": 3}
    assert outcomes(push(grafana, token_file, "--json")) == ["created"] * ALL
    assert {saved["meta"]["folderUid"] for saved in grafana.dashboards.saved.values()} == {"theirs"}


def test_a_prefix_behind_a_proxy_is_kept(token_file: Path) -> None:
    with GrafanaServer(prefix="/grafana") as server:
        assert outcomes(push(server, token_file, "--json")) == ["created"] * ALL
        assert all(path.startswith("/grafana/api/") for _, path in server.requests)


def test_a_provisioned_dashboard_is_left_alone(grafana: GrafanaServer, token_file: Path) -> None:
    push(grafana, token_file)
    grafana.dashboards.saved["shiftwatch-overview"]["meta"]["provisioned"] = True
    result = push(grafana, token_file)
    assert result.exit_code == 1
    assert "shiftwatch-overview is provisioned from a file" in result.stderr


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "HTTP status 401: not today"), (403, "HTTP status 403: not today"), (503, "HTTP status 503: not today")],
)
def test_a_refusal_is_one_line(grafana: GrafanaServer, token_file: Path, status: int, said: str) -> None:
    grafana.failing = status
    result = push(grafana, token_file)
    assert result.exit_code == 1
    assert result.stderr == f"shiftwatch: {grafana.url}: {said}\n"


def test_a_wrong_token_is_not_shown(grafana: GrafanaServer, token_file: Path) -> None:
    token_file.write_text("glsa_wrong_secret")
    result = push(grafana, token_file)
    assert result.exit_code == 1
    assert "HTTP status 401" in result.stderr
    assert "glsa_wrong_secret" not in result.output
    token_file.write_text("")
    assert push(grafana, token_file).exit_code == 2


def test_nobody_who_answers_is_one_line(grafana: GrafanaServer, token_file: Path) -> None:
    grafana.close()
    result = push(grafana, token_file)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"{grafana.url}: no connection" in result.stderr


CONFIGURATION = """
experiment = "T"
[source.hv]
collector = "prometheus"
url = "http://127.0.0.1:1/metrics"
place = "T/HV"
{receiver}
"""


def test_address_and_token_come_from_the_configuration(grafana: GrafanaServer, token_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "shiftwatch.toml"
    section = f'[receiver.wall]\nreceiver = "grafana"\nurl = "{grafana.url}"\ntoken_file = "{token_file}"\nfolder = "Wall"\n'
    section += '[web]\npublic_url = "https://watch.example/"\n'
    config.write_text(CONFIGURATION.format(receiver=section))
    assert outcomes(CliRunner().invoke(command, ["push", "-c", str(config), "--json"])) == ["created"] * ALL
    assert [folder["title"] for folder in grafana.dashboards.folders.values()] == ["Wall"]
    (page,) = (v for v in grafana.dashboards.saved["shiftwatch-overview"]["dashboard"]["templating"]["list"] if v["name"] == "page")
    assert page["query"] == page["current"]["value"] == "https://watch.example"


def test_the_token_goes_to_the_server_that_it_was_made_for_only(grafana: GrafanaServer, token_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "shiftwatch.toml"
    section = f'[receiver.grafana]\nurl = "http://127.0.0.1:9"\ntoken_file = "{token_file}"\n'
    config.write_text(CONFIGURATION.format(receiver=section))
    result = CliRunner().invoke(command, ["push", "-c", str(config), "--url", grafana.url])
    assert (result.exit_code, "HTTP status 401" in result.stderr) == (1, True)


def test_without_a_receiver_or_an_address_the_options_are_named(tmp_path: Path) -> None:
    config = tmp_path / "shiftwatch.toml"
    config.write_text(CONFIGURATION.format(receiver=""))
    result = CliRunner().invoke(command, ["push", "-c", str(config)])
    assert result.exit_code == 2
    assert "--url and --token-file" in result.stderr
