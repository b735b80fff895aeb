"""The Kustomize base and its overlays: built, strictly validated, and consistent with the daemon that runs in them."""

from __future__ import annotations

import copy
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs
import pytest
import yaml

from daemon.bus.kafka_options import KafkaOptions
from daemon.pipeline import STAGES
from daemon.settings import Settings
from daemon.version import VERSION
from deploy.kubernetes.rules import TARGET, prometheus_rule, rules_files
from tests.deploy.configurations import DEPLOY, checked, everything_on, secret_files
from tests.deploy.manifests import Manifest, built, of_kind, problems

FOLDER = DEPLOY / "kubernetes"
BASE, PRODUCTION = FOLDER / "base", FOLDER / "overlays" / "production"
FOLDERS = pytest.mark.parametrize("folder", [BASE, PRODUCTION], ids=["base", "production"])
CUSTOM = ("monitoring.coreos.com/", "keda.sh/")
KUBERNETES = ("1.30", "1.34")
"""Versions that the manifests must suit."""
PLAIN = {"resources": "base", "components": "components/without-prometheus-operator"}
SECRETS = "/run/secrets/shiftwatch/"


def is_custom(manifest: Manifest) -> bool:
    return str(manifest["apiVersion"]).startswith(CUSTOM)


def pod(deployment: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def stages(deployment: Manifest) -> list[str]:
    arguments: list[str] = pod(deployment)["containers"][0]["args"]
    return [argument.removeprefix("--stage=") for argument in arguments if argument.startswith("--stage=")]


def mounted_secrets(deployment: Manifest) -> set[str]:
    (volume,) = [v for v in pod(deployment)["volumes"] if v["name"] == "secrets"]
    return {item["path"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]}


def configuration(folder: Path, tmp_path: Path) -> Settings:
    """As the pods get it."""
    (config,) = of_kind(built(folder), "ConfigMap").values()
    (tmp_path / "shiftwatch.toml").write_text(config["data"]["shiftwatch.toml"])
    return checked(tmp_path / "shiftwatch.toml")


def trigger(manifests: tuple[Manifest, ...]) -> dict[str, Any]:
    (scaled,) = of_kind(manifests, "ScaledObject").values()
    (only,) = scaled["spec"]["triggers"]
    found: dict[str, Any] = only
    return found


@FOLDERS
@pytest.mark.parametrize("version", KUBERNETES)
def test_core_manifests_are_strictly_valid(folder: Path, version: str) -> None:
    core = [m for m in built(folder) if not is_custom(m)]
    assert len(core) > 10
    for manifest in core:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_validation_is_strict() -> None:
    wrong = copy.deepcopy(of_kind(built(BASE), "Deployment")["shiftwatch-web"])
    pod(wrong)["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(wrong, KUBERNETES[0], strict=True)


def test_custom_resources_are_strictly_valid() -> None:
    custom = [m for folder in (BASE, PRODUCTION) for m in built(folder) if is_custom(m)]
    assert {m["kind"] for m in custom} == {"ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"}
    assert problems(custom) == [""] * len(custom)


def test_a_wrong_key_or_a_number_for_a_string_in_a_custom_resource_is_noticed() -> None:
    monitor = copy.deepcopy(of_kind(built(BASE), "ServiceMonitor")["shiftwatch"])
    monitor["spec"]["endpoints"][0]["intervall"] = "15s"
    scaled = copy.deepcopy(of_kind(built(PRODUCTION), "ScaledObject")["shiftwatch-detect"])
    scaled["spec"]["triggers"][0]["metadata"]["lagThreshold"] = 100
    unknown_key, number = problems([monitor, scaled])
    assert "intervall" in unknown_key
    assert "lagThreshold must be string" in number


NEEDS_A_SHARED_VOLUME = {"history", "train"}
"""Not in the base: the history and the models are files that several pods read, on a volume that only the site can name."""
ONE_POD = {"collect": "two would read every source twice", "train": "two would train every model twice", "history": "Kafka keeps the rest"}
MOUNTED = {
    "history": {"/srv/shiftwatch/history": True},
    "train": {"/srv/shiftwatch/history": False, "/srv/shiftwatch/models": True},
    "detect": {"/srv/shiftwatch/models": True},
}
"""Shared volumes by stage, and whether it may write there."""


@FOLDERS
def test_every_stage_has_a_deployment_and_only_those_that_may_run_twice_do(folder: Path) -> None:
    deployments = of_kind(built(folder), "Deployment").values()
    wanted = set(STAGES) - (NEEDS_A_SHARED_VOLUME if folder == BASE else set())
    assert sorted(stage for d in deployments for stage in stages(d)) == sorted(wanted)
    for deployment in deployments:
        for stage in stages(deployment):
            replicas = deployment["spec"].get("replicas", 2)
            assert replicas == 1 if stage in ONE_POD else replicas >= 2, ONE_POD.get(stage, stage)
            if stage in ("collect", "train"):
                assert deployment["spec"]["strategy"]["type"] == "Recreate", "not even while it is replaced"


def test_history_and_models_are_on_volumes_that_their_stages_and_no_others_mount(tmp_path: Path) -> None:
    settings = configuration(PRODUCTION, tmp_path)
    manifests = built(PRODUCTION)
    claims = of_kind(manifests, "PersistentVolumeClaim")
    for deployment in of_kind(manifests, "Deployment").values():
        spec = pod(deployment)
        of_claim = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
        mounts = [m for m in spec["containers"][0]["volumeMounts"] if m["name"] in of_claim]
        assert {m["mountPath"]: not m.get("readOnly", False) for m in mounts} == MOUNTED.get(stages(deployment)[0], {})
        assert {claims[name]["spec"]["accessModes"][0] for name in of_claim.values()} <= {"ReadWriteMany"}
    assert (str(settings.history.path), str(settings.models.path)) == ("/srv/shiftwatch/history", "/srv/shiftwatch/models")
    assert settings.learning.retrain, "else the stage has nothing to do"


def test_training_gives_way_to_everything_else() -> None:
    manifests = built(PRODUCTION)
    train = pod(of_kind(manifests, "Deployment")["shiftwatch-train"])
    priority = of_kind(manifests, "PriorityClass")[train["priorityClassName"]]
    assert priority["value"] < 0
    assert priority["preemptionPolicy"] == "Never"
    assert train["containers"][0]["resources"]["limits"].keys() == {"cpu", "memory"}
    assert all("priorityClassName" not in pod(d) for name, d in of_kind(manifests, "Deployment").items() if name != "shiftwatch-train")


def test_pods_of_the_history_are_like_all_others() -> None:
    assert (FOLDER / "components" / "history" / "pod.yaml").read_text() == (BASE / "pod.yaml").read_text(), "copy base/pod.yaml"


def test_the_history_can_be_added_to_the_base_alone(tmp_path: Path) -> None:
    paths = {"resources": "base", "components": "components/history"}
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({key: [os.path.relpath(FOLDER / folder, tmp_path.resolve())] for key, folder in paths.items()})
    )
    deployments = of_kind(built(tmp_path), "Deployment")
    assert {pod(d)["containers"][0]["image"] for d in deployments.values()} == {f"shiftwatch:{VERSION}"}
    assert sorted(stage for d in deployments.values() for stage in stages(d)) == sorted(STAGES)


@FOLDERS
def test_pods_suit_the_restricted_standard_and_have_no_token(folder: Path) -> None:
    for deployment in of_kind(built(folder), "Deployment").values():
        spec = pod(deployment)
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert {next(iter(v.keys() - {"name"})) for v in spec["volumes"]} <= {"configMap", "emptyDir", "projected", "persistentVolumeClaim"}
        assert container["resources"]["limits"]["memory"]
        written = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
        assert {path for path in written if not path.startswith("/srv/")} == {"/var/lib/shiftwatch", "/var/cache/shiftwatch", "/tmp"}


@FOLDERS
def test_the_configuration_is_valid_and_pods_and_probes_reach_what_it_opens(folder: Path, tmp_path: Path) -> None:
    settings = configuration(folder, tmp_path)
    assert settings.bus.driver == "kafka"
    assert (settings.http.host, settings.web.host) == ("0.0.0.0", "0.0.0.0")
    for deployment in of_kind(built(folder), "Deployment").values():
        (container,) = pod(deployment)["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"metrics": settings.http.port} | ({"page": settings.web.port} if stages(deployment) == ["web"] else {})
        probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert probes == [{"path": path, "port": "metrics"} for path in ("/livez", "/livez", "/readyz")]


@FOLDERS
def test_each_group_gets_the_secrets_that_it_needs_and_no_others(folder: Path, tmp_path: Path) -> None:
    source = everything_on(folder / "shiftwatch.toml", tmp_path)
    checked(source)
    document = tomllib.loads(source.read_text())
    told = {path.removeprefix(SECRETS) for path in secret_files(document["receiver"])}
    page = {path.removeprefix(SECRETS) for path in secret_files(document["web"])}
    every = {path.removeprefix(SECRETS) for path in secret_files(document)} - told - page
    assert "database-url" in every
    for deployment in of_kind(built(folder), "Deployment").values():
        needed = every | (told if "notify" in stages(deployment) else set()) | (page if "web" in stages(deployment) else set())
        assert needed <= mounted_secrets(deployment), deployment["metadata"]["name"]
        if "notify" not in stages(deployment):
            assert not mounted_secrets(deployment) & {"slack-token", "slack-app-token", "grafana-token", "logbook-password"}


@FOLDERS
def test_no_secret_is_in_the_manifests(folder: Path) -> None:
    assert not of_kind(built(folder), "Secret")
    assert not re.search(r"xox[bap]-|xapp-|password: \S+$", yaml.safe_dump_all(built(folder)), flags=re.MULTILINE)


@FOLDERS
def test_selectors_meet_pods_and_disruption_budgets_let_nodes_be_drained(folder: Path) -> None:
    manifests = built(folder)
    labels = [d["spec"]["template"]["metadata"]["labels"] for d in of_kind(manifests, "Deployment").values()]
    budgets = of_kind(manifests, "PodDisruptionBudget").values()
    assert len(budgets) == len(labels)
    assert all(b["spec"]["maxUnavailable"] == 1 for b in budgets)
    selectors = [b["spec"]["selector"]["matchLabels"] for b in budgets]
    selectors += [p["spec"]["podSelector"]["matchLabels"] for p in of_kind(manifests, "NetworkPolicy").values()]
    selectors += [s["spec"]["selector"] for s in of_kind(manifests, "Service").values()]
    for selector in selectors:
        assert any(selector.items() <= pod_labels.items() for pod_labels in labels), selector


def test_prometheus_scrapes_every_pod_through_the_monitor() -> None:
    manifests = built(BASE)
    monitor = of_kind(manifests, "ServiceMonitor")["shiftwatch"]["spec"]
    (service,) = [
        s for s in of_kind(manifests, "Service").values() if monitor["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items()
    ]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "shiftwatch"
    assert [e["port"] for e in monitor["endpoints"]] == [p["name"] for p in service["spec"]["ports"]]
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_rules_are_those_that_were_generated_for_prometheus() -> None:
    assert TARGET.read_text() == prometheus_rule(), "run `python -m deploy.kubernetes.rules`"
    rule = of_kind(built(BASE), "PrometheusRule")["shiftwatch"]
    generated = [yaml.safe_load(path.read_text())["groups"] for path in rules_files()]
    assert rule["spec"]["groups"] == [group for groups in generated for group in groups]


def test_detect_grows_with_the_lag_of_its_own_group_up_to_the_partitions(tmp_path: Path) -> None:
    settings = configuration(PRODUCTION, tmp_path)
    kafka: KafkaOptions = settings.bus.kafka
    found = trigger(built(PRODUCTION))
    assert found["metadata"]["topic"] == kafka.topic("frames")
    assert found["metadata"]["consumerGroup"] == kafka.group("detect")
    assert found["metadata"]["bootstrapServers"] == ",".join(kafka.bootstrap_servers)
    assert (found["metadata"]["sasl"], found["metadata"]["tls"]) == ("scram_sha512", "enable")
    assert kafka.sasl_mechanism == "SCRAM-SHA-512"
    scaled = of_kind(built(PRODUCTION), "ScaledObject")["shiftwatch-detect"]["spec"]
    assert scaled["maxReplicaCount"] == kafka.frames_partitions
    detect = of_kind(built(PRODUCTION), "Deployment")[scaled["scaleTargetRef"]["name"]]
    assert "replicas" not in detect["spec"], "the number is KEDA's"


def test_production_is_in_its_namespace_with_its_registry_and_this_version() -> None:
    manifests = built(PRODUCTION)
    namespace = of_kind(manifests, "Namespace")["shiftwatch"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    of_the_cluster = {"Namespace", "PriorityClass"}
    assert {m["metadata"].get("namespace") for m in manifests if m["kind"] not in of_the_cluster} == {"shiftwatch"}
    images = {pod(d)["containers"][0]["image"] for d in of_kind(manifests, "Deployment").values()}
    assert images == {f"registry.example.org/shiftwatch:{VERSION}"}


def test_a_changed_configuration_rolls_the_pods() -> None:
    for folder in (BASE, PRODUCTION):
        (config,) = of_kind(built(folder), "ConfigMap")
        assert re.fullmatch(r"shiftwatch-[a-z0-9]{10}", config)
        for deployment in of_kind(built(folder), "Deployment").values():
            assert {"name": "configuration", "configMap": {"name": config}} in pod(deployment)["volumes"]


def test_without_the_prometheus_operator_its_resources_are_left_out(tmp_path: Path) -> None:
    paths = {key: [os.path.relpath(FOLDER / folder, tmp_path.resolve())] for key, folder in PLAIN.items()}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(paths))
    kinds = {m["kind"] for m in built(tmp_path)}
    assert "Deployment" in kinds
    assert not kinds & {"ServiceMonitor", "PrometheusRule"}
