"""The agent's unit, its DaemonSet and their configurations."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs
import pytest
import yaml

from benchmarks.agent import HEAVY
from daemon.pipeline import check_stages
from tests.deploy.configurations import DEPLOY, checked, everything_on, secret_files
from tests.deploy.manifests import Manifest, built, of_kind
from tests.deploy.test_kubernetes import KUBERNETES, SECRETS
from tests.deploy.test_systemd_units import settings_of

KUBERNETES_FOLDER = DEPLOY / "kubernetes"
EXAMPLE = DEPLOY / "examples" / "agent.toml"
COMPONENT = KUBERNETES_FOLDER / "components" / "agent"
LARGER_OR_OTHER = {
    "Description", "After", "PartOf", "ExecStart", "TimeoutStartSec", "TimeoutStopSec", "User", "StateDirectory", "CacheDirectory",
    "CacheDirectoryMode", "WorkingDirectory", "Environment", "EnvironmentFile", "LoadCredential", "MemoryHigh", "MemoryMax", "CPUQuota",
    "TasksMax", "LimitNOFILE", "CPUWeight", "IOWeight", "Nice", "OOMScoreAdjust", "MemoryDenyWriteExecute", "WantedBy",
}  # fmt: skip


@pytest.fixture(params=[EXAMPLE, COMPONENT / "agent.toml"], ids=["systemd", "kubernetes"])
def configuration(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def daemon_set(folder: Path) -> tuple[tuple[Manifest, ...], Manifest]:
    paths = {"resources": "base", "components": "components/agent"}
    text = {key: [os.path.relpath(KUBERNETES_FOLDER / path, folder.resolve())] for key, path in paths.items()}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(text))
    manifests = built(folder)
    (found,) = of_kind(manifests, "DaemonSet").values()
    return manifests, found


def test_the_configuration_is_valid_and_each_node_has_sources_of_its_own(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for node in ("node17", "node18"):
        monkeypatch.setenv("SHIFTWATCH_NODE", node)
        settings = checked(configuration)
        assert check_stages(settings, []) == ("collect", "detect")
        assert all(node in name and node in source.place for name, source in settings.source.items())
        names += list(settings.source)
    assert len(set(names)) == len(names)
    copy = everything_on(configuration, tmp_path)
    assert checked(copy).bus.kafka.security_protocol == "SASL_SSL"


def test_the_agent_is_confined_as_the_other_units_and_smaller(tmp_path: Path) -> None:
    agent, stage = settings_of("shiftwatch-agent.service"), settings_of("shiftwatch@.service")
    differing = {key for key in agent.keys() | stage.keys() if agent.get(key) != stage.get(key)}
    assert differing <= LARGER_OR_OTHER | {"SystemCallFilter", "OOMPolicy"}, "an agent starts no training, which these are for"
    assert set(agent["SystemCallFilter"]) < set(stage["SystemCallFilter"])
    assert agent["OOMPolicy"] == ["stop"]
    assert agent["MemoryDenyWriteExecute"] == ["yes"]
    assert int(agent["MemoryMax"][0].removesuffix("M")) <= 256
    document = tomllib.loads(everything_on(EXAMPLE, tmp_path).read_text())
    assert set(agent["LoadCredential"]) == {path.removeprefix("$CREDENTIALS_DIRECTORY/") for path in secret_files(document)}


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_daemon_set_is_strictly_valid(tmp_path: Path, version: str) -> None:
    manifests, found = daemon_set(tmp_path)
    for manifest in (found, of_kind(manifests, "NetworkPolicy")["shiftwatch-agent"]):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_its_pods_suit_the_restricted_standard_and_the_configuration(tmp_path: Path) -> None:
    _, found = daemon_set(tmp_path)
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {next(iter(volume.keys() - {"name"})) for volume in spec["volumes"]} <= {"configMap", "emptyDir", "projected"}
    settings = checked(COMPONENT / "agent.toml")
    assert [port["containerPort"] for port in container["ports"]] == [settings.http.port]
    state = next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "state")
    assert settings.agent.spool.folder.is_relative_to(state)
    assert settings.agent.state.is_relative_to(state)
    (size,) = [volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if volume["name"] == "state"]
    assert settings.agent.spool.max_bytes < int(size.removesuffix("Mi")) * 1024 * 1024
    (secrets,) = [volume for volume in spec["volumes"] if volume["name"] == "secrets"]
    mounted = {item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]}
    document = tomllib.loads(everything_on(COMPONENT / "agent.toml", tmp_path).read_text())
    assert {path.removeprefix(SECRETS) for path in secret_files(document)} == mounted
    assert "SHIFTWATCH_NODE" in {entry["name"] for entry in container["env"]}


IMPORTED = """
import sys
from pathlib import Path
from daemon.commands import run
from daemon.settings import load
from daemon.pipeline import builders, open_bus, open_clock, open_store
settings = load(Path(sys.argv[1]))
store, bus = open_store(settings), open_bus(settings, ("collect", "detect"))
made = builders(settings, bus, store, open_clock(settings), (), ("collect", "detect"))
stages = [made[name]() for name in ("detect", "collect")]
for stage in stages:
    stage.step(0.0)
for stage in stages:
    stage.close()
bus.close()
print(*{name.partition(".")[0] for name in sys.modules})
"""


def test_an_agent_as_it_is_deployed_imports_nothing_large(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    text = EXAMPLE.read_text().replace("kafka1.example.org:9093", "127.0.0.1:9").replace("kafka2.example.org:9093", "127.0.0.1:9")
    (tmp_path / "agent.toml").write_text(text)
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "agent.toml"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.split())
    assert "kafka" in imported
    assert [module for module in HEAVY if module in imported] == []
