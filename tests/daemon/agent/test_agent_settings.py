"""The configuration of an agent: names by node, stages that it has, and what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.agent.state import AgentState
from daemon.pipeline import check_stages
from daemon.sections import ConfigurationError
from daemon.settings import Settings, parse
from daemon.store.state import Fenced, StoreError

AGENT = """
[bus]
driver = "kafka"
[agent]
enabled = true
node = "node17"
"""
SOURCE = """
[source."load.{node}"]
collector = "prometheus"
url = "http://127.0.0.1:9100/metrics"
place = "FARM/{node}"
"""


def agent(*more: str) -> Settings:
    return parse(AGENT + SOURCE + "".join(more))


def test_one_configuration_gives_the_sources_of_each_node_names_and_places_of_their_own() -> None:
    settings = agent()
    assert list(settings.source) == ["load.node17"]
    assert settings.source["load.node17"].place == "FARM/node17"


def test_the_name_of_the_node_is_that_of_the_environment_or_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    text = AGENT.replace('node = "node17"', "") + SOURCE
    monkeypatch.setenv("SHIFTWATCH_NODE", "worker-3")
    assert list(parse(text).source) == ["load.worker-3"]
    monkeypatch.delenv("SHIFTWATCH_NODE")
    monkeypatch.setattr("socket.gethostname", lambda: "b7s12p3455.cern.ch")
    assert list(parse(text).source) == ["load.b7s12p3455"]


def test_without_an_agent_the_word_is_no_name() -> None:
    with pytest.raises(ConfigurationError, match="node"):
        parse(SOURCE)


def test_an_agent_detects_where_it_has_detectors() -> None:
    assert check_stages(agent(), []) == ("collect",)
    assert check_stages(agent('detectors = ["channel_health"]\n'), []) == ("collect", "detect")
    assert check_stages(agent('detectors = ["channel_health"]\n'), ["collect"]) == ("collect",)


def test_an_agent_has_no_other_stages_and_needs_kafka() -> None:
    with pytest.raises(ConfigurationError, match="stage correlate does not run in an agent"):
        check_stages(agent(), ["correlate"])
    with pytest.raises(ConfigurationError, match=r"set bus\.driver to kafka"):
        check_stages(parse("[agent]\nenabled = true\n"), [])


def test_an_agent_cannot_mute_by_conditions_that_it_does_not_collect() -> None:
    mute = 'detectors = ["channel_health"]\nmute = [{condition = "beam_mode", unless = ["STABLE"]}]\n'
    with pytest.raises(ConfigurationError, match=r"source\.load\.node17\.mute: an agent knows only conditions"):
        check_stages(agent(mute), [])


def test_the_state_of_an_agent_outlives_it_and_is_fenced(tmp_path: Path) -> None:
    first = AgentState(tmp_path / "agent.db")
    lease = first.acquire("detect/0", "me")
    assert first.load_state("detect/0") is None
    with first.transaction(lease) as connection:
        first.save_state(connection, "detect/0", b"learned", {"frames": 7}, 5)
    second = AgentState(tmp_path / "agent.db")
    second.acquire("detect/0", "you")
    with pytest.raises(Fenced), first.transaction(lease) as connection:
        first.save_state(connection, "detect/0", b"late", {"frames": 8}, 6)
    saved = second.load_state("detect/0")
    assert saved is not None
    assert (saved.state, saved.offsets, saved.saved_ns) == (b"learned", {"frames": 7}, 5)
    first.close()
    second.close()


def test_a_state_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "agent.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"agent\.db"):
        AgentState(tmp_path / "agent.db")
