"""The daemon's configuration for the simulated experiment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from daemon.demo import geometry

PERIOD_S = geometry.LUMISECTION_NS / 1e9


@dataclass(frozen=True, slots=True)
class ClockOrigin:
    """Data time is `data_ns` when wall time is `wall_ns`, and runs `speed` times as fast."""

    wall_ns: int
    data_ns: int
    speed: float


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the experiment can be read, and where the daemon serves its own state."""

    dqm_folder: str
    smart_folder: str
    epics_port: int
    http_port: int
    daemon_port: int


def configuration_text(endpoints: Endpoints, origin: ClockOrigin, folder: Path) -> str:
    """The whole file (TOML)."""
    values = {
        "experiment": geometry.EXPERIMENT,
        "period_s": PERIOD_S,
        "speed": origin.speed,
        "wall_ns": origin.wall_ns,
        "data_ns": origin.data_ns,
        "store": json.dumps(f"sqlite:///{folder / 'demo.db'}"),
        "daemon_port": endpoints.daemon_port,
        "root_files": json.dumps(f"{endpoints.dqm_folder}/DQM_*.root"),
        "smart_files": json.dumps(f"{endpoints.smart_folder}/*.json"),
        "epics_address": f"127.0.0.1:{endpoints.epics_port}",
        "http": f"http://127.0.0.1:{endpoints.http_port}",
        "crate": geometry.CRATE,
        "disk_period_s": 5 * PERIOD_S,
    }
    return _SOURCES.format(**values) + _DETECTORS + "".join(_cabling())
