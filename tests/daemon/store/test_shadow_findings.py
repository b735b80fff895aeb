"""What is in shadow is kept beside what was sent, and comes from the detect stage in one transaction with its state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from collectors.frame import Channel, Frame, Layout
from collectors.wire import Block, Identity, encode, encode_layout
from daemon.bus.memory import MemoryBus
from daemon.detect.stage import DetectStage
from daemon.pipeline import check_stages
from daemon.records import ShadowFinding
from daemon.sections import ConfigurationError
from daemon.settings import parse
from daemon.store.shadow import KEPT_DAYS, beside_what_was_sent, put_shadow_findings, shadow_findings
from daemon.store.store import Store
from tests.daemon.modelling import START_NS, STEP_NS, S, Site, normal

FOUND = ShadowFinding("k", "table", "vae", 2, START_NS, START_NS, None, "likely", "ch0", "LAB/hv/ch0", "outlier", "ch0 is \0off")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def keep(site: Site, *found: ShadowFinding) -> None:
    store = Store(site.settings.store.resolve())
    with store.transaction() as connection:
        put_shadow_findings(connection, found)
    store.close()


def kept(site: Site) -> list[ShadowFinding]:
    store = Store(site.settings.store.resolve())
    try:
        return shadow_findings(store)
    finally:
        store.close()


def test_a_finding_is_kept_once_and_ended(site: Site) -> None:
    keep(site, FOUND)
    keep(site, replace(FOUND, cleared_ns=START_NS + 9))
    assert kept(site) == [replace(FOUND, cleared_ns=START_NS + 9, summary="ch0 is off")]


def test_what_is_old_goes(site: Site) -> None:
    keep(site, FOUND)
    later_ns = START_NS + int((KEPT_DAYS + 1) * 86_400 * S)
    keep(site, replace(FOUND, key="new", since_ns=later_ns, raised_ns=later_ns))
    assert [finding.key for finding in kept(site)] == ["new"]


def test_beside_what_was_sent(site: Site) -> None:
    site.incident(0, 3)
    site.incident(500, 502)
    site.incident(10, 12, place="LAB/disks/sda")
    alone = replace(FOUND, key="alone", since_ns=START_NS + 100 * STEP_NS, raised_ns=START_NS + 100 * STEP_NS)
    keep(site, replace(FOUND, cleared_ns=START_NS + STEP_NS), replace(alone, cleared_ns=alone.since_ns + 60 * S))
    store = Store(site.settings.store.resolve())
    (silent,) = beside_what_was_sent(store)
    store.close()
    assert (silent.stream, silent.detector, silent.version) == ("table", "vae", 2)
    assert [finding.key for finding in silent.findings] == ["alone", "k"]
    assert (silent.also_sent, silent.sent_only) == (1, 1)
    said = site.run("models", "shadow").output
    assert "table/vae version 2: 2 findings, 1 of them sent by others too; 1 sent that it did not find" in said
    assert "(for 60 s)" in said


LAYOUT = Layout("table", tuple(Channel(f"ch{i}", "voltage", "V", place=f"LAB/hv/ch{i}") for i in range(4)))


def test_a_stage_records_what_is_in_shadow_and_sends_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, extra="[detector.robust_z]\nshadow = true\n")
    bus, store = MemoryBus(), Store(site.settings.store.resolve())
    stage = DetectStage(site.settings, bus, store)
    findings = bus.subscribe(["findings"], "test")
    bus.publish("layouts", LAYOUT.digest, encode_layout(LAYOUT))
    values = normal(600)
    values[500:560, 0] += 60.0
    for first in range(0, 600, 20):
        part = Frame(LAYOUT, START_NS + (first + np.arange(20)) * STEP_NS, values[first : first + 20])
        bus.publish("frames", "table", encode(Block(Identity("table", 1, first // 20), part, int(part.time_ns[-1]))))
    while stage.step(0.0):
        pass
    assert not shadow_findings(store), "it is kept with the state, not before"
    stage.save()
    said = [record.value for record in findings.poll(0.1, 1000)]
    assert said
    assert not [value for value in said if b"robust_z" in value]
    assert {finding.condition for finding in shadow_findings(store)} <= {"outlier", "drift", "group_outlier"}
    assert shadow_findings(store)[-1].since_ns >= START_NS + 500 * STEP_NS
    stage.close()
    store.close()


def test_an_agent_has_nothing_in_shadow() -> None:
    text = """
        [agent]
        enabled = true
        [bus]
        driver = "kafka"
        [source.hv]
        collector = "pushed"
        detectors = ["robust_z"]
        [detector.robust_z]
        shadow = true
    """
    with pytest.raises(ConfigurationError, match=r"detector\.robust_z\.shadow: an agent has no record"):
        check_stages(parse(text), [])
