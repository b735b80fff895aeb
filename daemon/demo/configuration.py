"""The daemon's configuration for the simulated experiment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from daemon.demo import geometry

PERIOD_S = geometry.LUMISECTION_NS / 1e9
JUDGED_SOURCES = ("dqm", "hv", "daq", "disks")
SILENT_AFTER_WALL_S = 6.0
"""At the speed of the demo a busy machine looks like a silent source sooner than in earnest."""
TEMPLATE = "demo_template.toml"
CONFIGURATION, CHANNELS, DATABASE = "demo.toml", "high_voltage.csv", "demo.db"


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
    page_port: int = 0


def write_configuration(endpoints: Endpoints, origin: ClockOrigin, folder: Path) -> Path:
    """Writes the configuration and the list of high-voltage channels that it names into the folder; its path."""
    channels = folder / CHANNELS
    channels.write_text("\n".join(["name,quantity", *_high_voltage_channels()]) + "\n", encoding="utf-8")
    template = Template(files("daemon.demo").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    text = template.substitute(
        experiment=geometry.EXPERIMENT,
        speed=origin.speed,
        origin_wall_ns=origin.wall_ns,
        origin_data_ns=origin.data_ns,
        store=json.dumps(f"sqlite:///{folder / DATABASE}"),
        daemon_port=endpoints.daemon_port,
        page_port=endpoints.page_port,
        root_files=json.dumps(f"{endpoints.dqm_folder}/DQM_*.root"),
        smart_files=json.dumps(f"{endpoints.smart_folder}/*.json"),
        channels_file=json.dumps(str(channels)),
        epics_port=endpoints.epics_port,
        http_port=endpoints.http_port,
        period_s=PERIOD_S,
        disk_period_s=5 * PERIOD_S,
        silent_after_s=SILENT_AFTER_WALL_S * geometry.SPEED,
        cabling="\n".join(_cabling()),
    )
    path = folder / CONFIGURATION
    path.write_text(text, encoding="utf-8")
    return path


def _high_voltage_channels() -> Iterator[str]:
    for channel in geometry.CHANNELS:
        for quantity in ("VMon", "IMon", "Status"):
            yield f"{geometry.CRATE}:{channel.name}:{quantity},{quantity}"


def _cabling() -> Iterator[str]:
    """Edges of the causality graph: what each channel of the crate feeds, as in the cabling database of an experiment."""
    for channel in geometry.CHANNELS:
        if channel.fed is None or channel.supermodule is None:
            continue
        for fed_by_it in (geometry.BARREL_PLACE, channel.fed.place):
            yield "[[causality]]"
            yield f'cause = {{ condition = "hv_trip", place = {json.dumps(channel.place)} }}'
            yield f"effect = {{ place = {json.dumps(fed_by_it)} }}"
            yield ""
