"""From the detector to the shifter and to the batch system: real servers, stages in processes of their own, each killed once.

A high-voltage channel trips, takes a supermodule with it and makes a front end busy: one incident, told once everywhere. A disk
fails: its node is drained. Nothing of it is lost or doubled by killing any stage.
"""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.broker import KafkaBroker
from tests.elog_server import ElogServer
from tests.grafana_server import GrafanaServer
from tests.integration.mission import Mission, eventually, kafka_sections
from tests.postgresql_server import PostgresqlServer
from tests.prometheus_server import AlertmanagerServer, StartPrometheus
from tests.slack_server import SlackServer
from tests.slack_workspace import APP_TOKEN, BOT_TOKEN, CHANNEL
from tests.slurm_cluster import SlurmServer

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgresql,
    pytest.mark.prometheus,
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

SECTIONS = """
[receiver.slack]
token_file = "{folder}/bot-token"
app_token_file = "{folder}/app-token"
channel = "{channel}"
base_url = "{slack}"

[receiver.alertmanager]
urls = ["{alertmanager}"]
keep_alive_s = 2

[receiver.grafana]
url = "{grafana}"
token_file = "{folder}/grafana-token"

[receiver.logbook]
url = "{elog}"
logbook = "{logbook}"
username = "{elog_user}"
password_file = "{folder}/elog-password"
attributes = {{ Author = "{{author}}", Type = "Problem", Category = "General", Subject = "{{sentence}}" }}
resolved_attributes = {{ Type = "Problem Fixed" }}

[optimizer]
cluster = "slurm"
act = true
period_s = 1
node_pattern = "DEMO/COMPUTING/{{node}}/**"
max_drained_ratio = 0.5

[optimizer.drain]
resume_after_s = 0

[optimizer.options]
conf = "{slurm_conf}"
"""
NODES = ("node01", "node02", "node03", "node04")


class Surrounded:
    """The mission with everybody whom it tells, and what they have seen."""

    def __init__(
        self, mission: Mission, slack: SlackServer, alertmanager: AlertmanagerServer, grafana: GrafanaServer, elog: ElogServer
    ) -> None:
        self.mission = mission
        self.slack = slack
        self.alertmanager = alertmanager
        self.grafana = grafana
        self.elog = elog

    def incidents(self, condition: str) -> list[dict[str, Any]]:
        """Of this condition, as the page's interface gives them."""
        listed: list[dict[str, Any]] = self.mission.get(f"{self.mission.page_url}/api/incidents")
        return [incident for incident in listed if incident["condition"] == condition]

    def messages(self, incident: str) -> list[dict[str, Any]]:
        """In Slack."""
        return [m for m in self.slack.messages if (m.get("metadata") or {}).get("event_payload", {}).get("incident") == incident]

    def alerts(self, incident: str) -> list[dict[str, Any]]:
        """Active ones in Alertmanager."""
        alerts: list[dict[str, Any]] = self.alertmanager.request("GET", "/api/v2/alerts?active=true")
        return [alert for alert in alerts if alert["labels"].get("incident") == incident]

    def annotations(self, incident: str) -> list[dict[str, Any]]:
        """In Grafana."""
        return self.grafana.annotated("shiftwatch", f"incident:{incident}")

    def entries(self, incident: str) -> list[Any]:
        """In the logbook, without replies."""
        return [entry for entry in self.elog.entries if incident in entry.text and not entry.reply_to]

    def rows(self, incident: str) -> int:
        """Rows of what is wrong now, on the page."""
        return self.mission.text(f"{self.mission.page_url}/").count(f'data-incident="{incident}"')

    def told_once(self, incident: str) -> dict[str, int]:
        """How often each shows an incident that lasts."""
        return {
            "slack": len(self.messages(incident)),
            "alertmanager": len(self.alerts(incident)),
            "grafana": len(self.annotations(incident)),
            "logbook": len(self.entries(incident)),
            "page": self.rows(incident),
        }


ONCE = {"slack": 1, "alertmanager": 1, "grafana": 1, "logbook": 1, "page": 1}


@pytest.fixture
def slack_server() -> Iterator[SlackServer]:
    """A workspace with one channel."""
    with SlackServer() as server:
        yield server


@pytest.fixture
def slurm_of_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmServer]:
    """Nodes with the names that the demo's disks are in."""
    folder = tmp_path_factory.mktemp("slurm")
    for part in (folder, *folder.parents):  # munge wants its socket's folder open to all
        if part.stat().st_uid == folder.stat().st_uid and part != Path("/"):
            part.chmod(part.stat().st_mode | 0o055)
    with SlurmServer(folder, NODES) as server:
        yield server


@pytest.fixture
def surrounded(
    tmp_path: Path,
    kafka: KafkaBroker,
    postgresql: PostgresqlServer,
    alertmanager: AlertmanagerServer,
    start_prometheus: StartPrometheus,
    slack_server: SlackServer,
    grafana: GrafanaServer,
    elog: ElogServer,
    slurm_of_the_demo: SlurmServer,
) -> Iterator[Surrounded]:
    """Everything runs, and the daemon has learned."""
    secrets = {
        "bot-token": BOT_TOKEN,
        "app-token": APP_TOKEN,
        "grafana-token": grafana.token,
        "elog-password": elog.password,
        "database-url": postgresql.new_database(),
    }
    for name, secret in secrets.items():
        (tmp_path / name).write_text(secret)
    sections = SECTIONS.format(
        folder=tmp_path,
        channel=CHANNEL,
        slack=slack_server.url,
        alertmanager=alertmanager.url,
        grafana=grafana.url,
        elog=elog.url,
        logbook=elog.logbook,
        elog_user=elog.user,
        slurm_conf=slurm_of_the_demo.conf,
    )
    replaced = {**kafka_sections(kafka.bootstrap), f'url = "sqlite:///{tmp_path}/demo.db"': f'url_file = "{tmp_path}/database-url"'}
    mission = Mission(tmp_path, sections, replaced)
    try:
        start_prometheus({stage: f"127.0.0.1:{port}" for stage, port in mission.ports.items()}, alertmanagers=[alertmanager.address])
        mission.start()
        mission.wait_until_learned()
        yield Surrounded(mission, slack_server, alertmanager, grafana, elog)
    finally:
        codes = mission.stop()
        gc.collect()
    assert set(codes.values()) <= {0}, f"stages did not end in order: {codes}\n{mission.logs()}"


def two_clicks(mission: Mission, message: dict[str, Any]) -> None:
    """From the message to the cause with its picture, and to the runbook."""
    elements = [element for block in message["blocks"] for element in block.get("elements", [])]
    (page,) = {element["url"] for element in elements if element.get("url")}
    shown = mission.text(page)
    picture = re.search(r'src="(/incidents/[^"]+\.svg)[^"]*"', shown)
    assert picture is not None, "the incident's page has no picture"
    assert "TRIPPED" in shown
    assert mission.text(mission.page_url + picture[1]).lstrip().startswith(("<?xml", "<svg"))
    (runbook,) = set(re.findall(r"<(http[^|>]+/runbooks/[^|>]+)\|", str(message["blocks"])))
    assert "ramp" in mission.text(runbook)


def test_one_incident_is_told_once_everywhere_and_a_failing_disk_drains_its_node(
    surrounded: Surrounded, slurm_of_the_demo: SlurmServer
) -> None:
    mission = surrounded.mission
    mission.experiment.tell("trip")
    trip = mission.experiment_says("injected")
    time.sleep(0.5)
    mission.kill("detect", "correlate", "notify")
    mission.start(("detect", "correlate", "notify"))
    (incident,) = eventually("the trip", lambda: surrounded.incidents("hv_trip"))
    key = incident["id"]
    eventually("told everywhere", lambda: surrounded.told_once(key) == ONCE)
    mission.kill("web", "optimize")
    mission.start(("web", "optimize"))
    eventually("its effects", lambda: {"ECAL", "DAQ"} <= {p.split("/")[1] for p in surrounded.incidents("hv_trip")[0]["places"]})
    assert incident["cause"]["place"] == trip["cause"]

    mission.experiment.tell("disk")
    disk = mission.experiment_says("injected")
    node = disk["places"][0].split("/")[2]
    eventually("the node is drained", lambda: "drain" in slurm_of_the_demo.node(node)[0], 120.0)
    assert slurm_of_the_demo.node(node)[1].startswith("shiftwatch")
    mission.kill("optimize", "notify", "correlate", "collect")
    mission.start(("optimize", "notify", "correlate", "collect"))
    (failing,) = eventually("the disk", lambda: surrounded.incidents("disk_failing"))
    eventually("told everywhere of the disk", lambda: surrounded.told_once(failing["id"]) == ONCE)
    assert surrounded.told_once(key) == ONCE
    assert [state for name in NODES if "drain" in (state := slurm_of_the_demo.node(name)[0])] == [slurm_of_the_demo.node(node)[0]]

    (message,) = surrounded.messages(key)
    pictures = [block["slack_file"]["id"] for block in message["blocks"] if block["type"] == "image"]
    assert len(pictures) == 1, "the message has no picture"
    assert surrounded.slack.workspace.files[pictures[0]].content.startswith(b"\x89PNG")  # type: ignore[union-attr]
    two_clicks(mission, message)
    assert surrounded.slack.click("shiftwatch_acknowledge", "ada", message["ts"])
    eventually("on it", lambda: "ada" in str(surrounded.messages(key)[0]["blocks"]))

    mission.experiment.tell("repair")
    eventually("resolved on the page", lambda: surrounded.rows(key) == 0)
    eventually("resolved in Slack", lambda: "Resolved" in str(surrounded.messages(key)[0]["blocks"]))
    eventually("resolved in Alertmanager", lambda: not surrounded.alerts(key))
    eventually("a region in Grafana", lambda: surrounded.annotations(key)[0]["timeEnd"] > surrounded.annotations(key)[0]["time"])
    eventually("the resolution in the logbook", lambda: [e for e in surrounded.elog.entries if e.reply_to and key in e.text])
    assert len(surrounded.messages(key)) == len(surrounded.annotations(key)) == len(surrounded.entries(key)) == 1
    eventually("the node is back", lambda: "drain" not in slurm_of_the_demo.node(node)[0], 60.0)
