"""The units, judged by systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from daemon.pipeline import STAGES
from daemon.sections import ConfigurationError
from tests.conftest import missing
from tests.deploy.configurations import DEPLOY, checked, everything_on, secret_files

FOLDER = DEPLOY / "systemd"
UNITS = (
    "shiftwatch.service",
    "shiftwatch@.service",
    "shiftwatch.target",
    "shiftwatch-agent.service",
    "shiftwatch-smartctl.service",
    "shiftwatch-smartctl.timer",
)
SERVICES = [unit for unit in UNITS if unit.endswith(".service")]
PROGRAMS = ("opt/shiftwatch/bin/shiftwatch", "usr/local/libexec/shiftwatch/smartctl-reports", "bin/kill")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a host on which shiftwatch is installed as deploy/README.md says."""
    root = tmp_path_factory.mktemp("host")
    system = next((path for path in (Path("/usr/lib/systemd/system"), Path("/lib/systemd/system")) if path.is_dir()), None)
    if system is None:
        missing("systemd's own units: apt-get install systemd")
    assert system is not None
    shutil.copytree(system, root / "usr/lib/systemd/system", symlinks=True)
    installed = root / "etc/systemd/system"
    installed.mkdir(parents=True)
    for unit in UNITS:
        shutil.copy(FOLDER / unit, installed)
    for program in PROGRAMS:
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).write_text("#!/bin/sh\n")
        (root / program).chmod(0o755)
    return root


def settings_of(unit: str) -> dict[str, list[str]]:
    """Settings of a unit with all their values."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", (FOLDER / unit).read_text(), flags=re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", [unit.replace("@.", "@detect.") for unit in UNITS])
def test_systemd_verifies_the_unit(host: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", "--recursive-errors=no", f"--root={host}", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_verification_notices_a_wrong_unit(host: Path) -> None:
    wrong = host / "etc/systemd/system/wrong.service"
    wrong.write_text((FOLDER / "shiftwatch.service").read_text().replace("WatchdogSec=60", "WatchdogSec=often"))
    assert "ignoring: often" in analyze("verify", "--man=no", "--recursive-errors=no", f"--root={host}", "wrong.service").stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_is_low(unit: str) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", str(FOLDER / unit))
    assert done.returncode == 0, done.stdout[-200:]


def test_both_services_are_confined_alike() -> None:
    single, stage = settings_of("shiftwatch.service"), settings_of("shiftwatch@.service")
    differing = {key for key in single.keys() | stage.keys() if single.get(key) != stage.get(key)}
    assert differing == {"Description", "Conflicts", "PartOf", "ExecStart", "EnvironmentFile", "WantedBy"}
    assert stage["ExecStart"] == [f"{single['ExecStart'][0]} --stage %i"]


def test_each_stage_has_a_port_of_its_own() -> None:
    texts = {path.stem: path.read_text() for path in (FOLDER / "stages").glob("*.env")}
    assert set(texts) == set(STAGES)
    ports = {text.strip().removeprefix("SHIFTWATCH_HTTP_PORT=") for text in texts.values()}
    assert len(ports) == len(STAGES)
    settings = checked(FOLDER / "shiftwatch.toml")
    assert ports.isdisjoint({str(settings.http.port), str(settings.web.port)})


def test_the_configuration_is_valid_as_it_is_and_with_everything_on(tmp_path: Path) -> None:
    plain = checked(FOLDER / "shiftwatch.toml")
    assert plain.source["disks"].model_extra == {"files": "/run/shiftwatch-smartctl/*.json"}
    full = checked(everything_on(FOLDER / "shiftwatch.toml", tmp_path))
    assert set(full.receiver) == {"alertmanager", "grafana", "logbook", "slack"}
    assert full.bus.driver == "kafka"
    assert full.optimizer.cluster == "slurm"


def test_every_secret_of_the_configuration_is_a_credential_of_the_units(tmp_path: Path) -> None:
    document = tomllib.loads(everything_on(FOLDER / "shiftwatch.toml", tmp_path).read_text())
    wanted = {path.removeprefix("$CREDENTIALS_DIRECTORY/") for path in secret_files(document)}
    assert not [name for name in wanted if "/" in name], "secrets come from credentials only"
    for unit in ("shiftwatch.service", "shiftwatch@.service"):
        assert set(settings_of(unit)["LoadCredential"]) == wanted


def test_the_database_s_address_is_read_from_its_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = checked(everything_on(FOLDER / "shiftwatch.toml", tmp_path))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"store\.url_file: No such file or directory: .*/shiftwatch\.database-url"):
        settings.store.resolve()
    (tmp_path / "shiftwatch.database-url").write_text("postgresql+psycopg://shiftwatch@db/shiftwatch\n")
    assert settings.store.resolve() == "postgresql+psycopg://shiftwatch@db/shiftwatch"


def test_the_privileged_helper_and_the_daemon_agree_on_the_folder() -> None:
    helper = settings_of("shiftwatch-smartctl.service")
    folder = f"/run/{helper['RuntimeDirectory'][0]}"
    assert helper["ExecStart"][0].split()[1:] == [folder]
    assert str((checked(FOLDER / "shiftwatch.toml").source["disks"].model_extra or {})["files"]).startswith(f"{folder}/")
