"""The compose file: valid, on the loopback address only, with every file there and every server's configuration checked by its own tool."""

from __future__ import annotations

import copy
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import yaml

from daemon.notify.alertmanager import AlertmanagerOptions
from daemon.version import VERSION
from deploy.kafka.broker import VERSION as KAFKA_VERSION
from deploy.kubernetes.rules import rules_files
from tests.conftest import missing
from tests.deploy.configurations import DEPLOY, checked, everything_on, secret_files
from tests.deploy.manifests import problems

FOLDER = DEPLOY / "compose"
INSTALL = "apt-get install prometheus prometheus-alertmanager"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def binds(service: dict[str, Any]) -> dict[str, Path]:
    """What is mounted from the source tree: path in the container and the file here."""
    pairs = [volume.split(":") for volume in service.get("volumes", []) if volume.startswith(".")]
    assert all(rest == ["ro"] for _, _, *rest in pairs), "our files cannot be written from inside"
    return {inside: (FOLDER / here).resolve() for here, inside, *_ in pairs}


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(name) is None:
        missing(f"{name}: {INSTALL}")
    return subprocess.run([name, *arguments], capture_output=True, text=True, timeout=60, check=False)


def receiver_of(**labels: str) -> str:
    """Who hears of an alert with these labels, by Alertmanager's own routing."""
    file = f"--config.file={FOLDER / 'alertmanager.yml'}"
    done = tool("amtool", "config", "routes", "test", file, *(f"{key}={value}" for key, value in labels.items()))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def alerts() -> dict[str, str]:
    """The monitor's own alerts and their severities."""
    groups = [group for path in rules_files() for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"] if "alert" in rule}


def test_it_is_a_valid_compose_file() -> None:
    right = {key: value for key, value in compose().items() if key != "name"}  # the schema is older than this key
    wrong = copy.deepcopy(right)
    wrong["services"]["kafka"]["restrat"] = "always"
    valid, invalid = problems([right, wrong])
    assert valid == ""
    assert "restrat" in invalid


def test_everything_listens_on_the_loopback_address_only() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)


def test_every_file_volume_and_secret_that_is_named_is_there() -> None:
    document = compose()
    for service in document["services"].values():
        assert all(path.exists() for path in binds(service).values()), binds(service)
        assert set(service.get("secrets", [])) <= document["secrets"].keys()
        assert service.get("depends_on", {}).keys() <= document["services"].keys()
        named = {volume.split(":")[0] for volume in service.get("volumes", []) if not volume.startswith(".")}
        assert named <= document["volumes"].keys()
    build = document["services"]["shiftwatch"]["build"]
    assert ((FOLDER / build["context"]).resolve() / build["dockerfile"]).is_file()


def test_images_are_pinned_and_ours_and_kafka_are_the_versions_of_the_project() -> None:
    images = {name: service["image"] for name, service in compose()["services"].items()}
    assert all(re.search(r":v?\d+(\.\d+)*(-\w+)?$", image) for image in images.values()), images
    assert images["shiftwatch"] == f"shiftwatch:{VERSION}"
    assert images["kafka"].endswith(f":{KAFKA_VERSION}")


def test_our_configuration_is_valid_and_its_secrets_are_mounted(tmp_path: Path) -> None:
    service = compose()["services"]["shiftwatch"]
    file = binds(service)["/etc/shiftwatch/shiftwatch.toml"]
    settings = checked(file)
    checked(everything_on(file, tmp_path))
    assert {f"127.0.0.1:{port}:{port}" for port in (settings.http.port, settings.web.port)} == set(service["ports"])
    assert {path.removeprefix("/run/secrets/") for path in secret_files(settings.model_dump(mode="json"))} - {"None"} <= set(
        service["secrets"]
    )
    hosts = {server.partition(":")[0] for server in settings.bus.kafka.bootstrap_servers}
    hosts |= set(re.findall(r"http://([a-z]+):", file.read_text()))
    assert hosts <= compose()["services"].keys()


def test_prometheus_accepts_its_configuration_and_our_rules_as_they_are_mounted(tmp_path: Path) -> None:
    for inside, here in binds(compose()["services"]["prometheus"]).items():
        target = tmp_path / inside.removeprefix("/etc/prometheus/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(here, target)
    done = tool("promtool", "check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ rules found", done.stdout), "the pattern of rule_files meets the mounted rules"
    document = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in document["scrape_configs"]}
    assert targets["shiftwatch"] == ["shiftwatch:9109"]
    assert set(document["global"]["external_labels"]) == {"shiftwatch_page", "shiftwatch_grafana"}


def test_alertmanager_accepts_its_configuration() -> None:
    done = tool("amtool", "check-config", str(FOLDER / "alertmanager.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_incidents_are_announced_by_shiftwatch_alone() -> None:
    alertname = AlertmanagerOptions.model_fields["alertname"].default
    for severity in ("critical", "warning"):
        assert receiver_of(alertname=alertname, severity=severity) == "shown-only"
    (shown,) = [r for r in yaml.safe_load((FOLDER / "alertmanager.yml").read_text())["receivers"] if r["name"] == "shown-only"]
    assert set(shown) == {"name"}


def test_slack_hears_that_the_monitor_is_dead_and_the_heartbeat_has_a_way_of_its_own() -> None:
    expected = {"critical": "monitor-is-dead", "warning": "shown-only", "none": "heartbeat"}
    found = {name: receiver_of(alertname=name, severity=severity) for name, severity in alerts().items()}
    assert found == {name: expected[severity] for name, severity in alerts().items()}
    assert {"ShiftwatchDown", "ShiftwatchDeadMansSwitch"} <= found.keys()


def test_grafana_finds_its_data_source_and_the_dashboards() -> None:
    service = compose()["services"]["grafana"]
    mounted = binds(service)
    provisioning = mounted["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "shiftwatch.yaml").read_text())["datasources"]
    (variable,) = re.findall(r"\$\{?(\w+)\}?", source["url"])
    assert service["environment"][variable] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "shiftwatch.yaml").read_text())["providers"]
    assert len(list(mounted[provider["options"]["path"]].glob("*.json"))) >= 2


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets"
    shutil.copy(FOLDER / "make-secrets", script)
    first = subprocess.run([str(script)], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    assert "slack-webhook is empty" in first.stdout
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert {f"./secrets/{name}" for name in made} == {secret["file"] for secret in compose()["secrets"].values()}
    assert made["database-password"] in made["database-url"]
    assert len(made["database-password"]) == 48
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    (tmp_path / "secrets" / "slack-webhook").write_text("https://hooks.example.org/1")
    subprocess.run([str(script)], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    again = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert again == made | {"slack-webhook": "https://hooks.example.org/1"}


def test_secrets_are_never_committed_nor_part_of_the_image() -> None:
    assert "/secrets/" in (FOLDER / ".gitignore").read_text().split()
    ignored = (DEPLOY.parent / ".containerignore").read_text().split()
    assert ignored.index("deploy/compose/secrets") > ignored.index("!deploy"), "the last line that fits counts"
