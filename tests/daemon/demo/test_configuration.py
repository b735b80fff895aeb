"""The configuration that the demo gives the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.demo import geometry
from daemon.demo.configuration import JUDGED_SOURCES, ClockOrigin, Endpoints, write_configuration
from daemon.pipeline import open_clock
from daemon.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    endpoints = Endpoints(str(tmp_path / "dqm"), str(tmp_path / "smart"), 5064, 8000, 9109)
    return load(write_configuration(endpoints, ClockOrigin(1_000, 2_000, 116.5), tmp_path))


def test_the_daemon_accepts_it_and_every_source_is_judged(settings: Settings) -> None:
    judged = {name for name, source in settings.source.items() if source.detectors}
    assert judged == set(JUDGED_SOURCES) == set(settings.source) - {"conditions"}
    assert {source.collector for source in settings.source.values()} == {"root", "epics", "prometheus", "smartctl"}
    assert settings.source["dqm"].accumulation == "since_start"


def test_its_clock_is_that_of_the_experiment(settings: Settings) -> None:
    assert open_clock(settings).speed == geometry.SPEED
    assert settings.clock.origin_wall_ns == 1_000
    assert settings.clock.origin_data_ns == 2_000


def test_the_cabling_names_what_each_channel_powers(settings: Settings) -> None:
    edges = {(edge.cause.place, edge.effect.place) for edge in settings.causality}
    for channel in geometry.CHANNELS:
        if channel.fed is None:
            assert not any(cause == channel.place for cause, _ in edges)
        else:
            assert (channel.place, channel.fed.place) in edges
            assert (channel.place, geometry.BARREL_PLACE) in edges
