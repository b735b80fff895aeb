"""What deploy/README.md says is so: paths, secrets, units, names."""

from __future__ import annotations

import re

import yaml

from tests.deploy.configurations import DEPLOY

README = (DEPLOY / "README.md").read_text(encoding="utf-8")
MADE_BY_ITS_COMMANDS = {"deploy/compose/secrets/grafana-admin-password", "deploy/compose/secrets/ingest-token"}


def test_every_path_that_it_names_is_there() -> None:
    named = set(re.findall(r"(?<![\w/])(?:deploy/)[\w./*@-]+", README)) - MADE_BY_ITS_COMMANDS
    assert len(named) > 8
    assert [path for path in named if not list(DEPLOY.parent.glob(path.rstrip(".")))] == []


def test_its_table_has_every_secret_that_units_and_pods_take() -> None:
    table = set(re.findall(r"^\| `([a-z-]+)` \|", README, flags=re.MULTILINE))
    credentials = set(
        re.findall(r"^LoadCredential=shiftwatch\.(.+)$", (DEPLOY / "systemd/shiftwatch.service").read_text(), flags=re.MULTILINE)
    )
    keys: set[str] = set()
    for path in (DEPLOY / "kubernetes").rglob("*.yaml"):
        keys |= set(re.findall(r"key: ([a-z]+-[a-z-]+)$", path.read_text(), flags=re.MULTILINE))
    assert table == credentials | keys


def test_the_kubernetes_folders_and_components_are_those_that_it_names() -> None:
    folders = {str(path.parent.relative_to(DEPLOY / "kubernetes")) for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml")}
    assert [folder for folder in folders if folder.removeprefix("base") and folder not in README] == []


def test_ports_and_names_of_the_compose_file_are_those_that_it_names() -> None:
    services = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text())["services"]
    for name, port in (("prometheus", 9090), ("alertmanager", 9093), ("grafana", 3000), ("shiftwatch", 9110)):
        assert f"127.0.0.1:{port}:{port}" in services[name]["ports"]
        assert f"<http://127.0.0.1:{port}>" in README
