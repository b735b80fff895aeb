"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from collectors.collector import Origin
from collectors.frame import Channel, Frame, Layout
from daemon.ingest_message import read_message
from daemon.settings import parse

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def defined(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(text, str(README), "exec", dont_inherit=True), names)
    return names


def test_the_configuration_is_valid() -> None:
    settings = parse(blocks("toml")[0])
    assert set(settings.source) == {"ecal-dqm", "ecal-hv"}
    assert settings.causality


def test_receivers_and_optimizer_are_configured_so() -> None:
    receivers, optimizer = (next(text for text in blocks("toml") if f"[{name}" in text) for name in ("receiver.", "optimizer]"))
    settings = parse(receivers + optimizer)
    assert set(settings.receiver) == {"slack", "alertmanager", "grafana", "logbook", "webhook"}
    assert settings.optimizer.cluster == "slurm"


def test_the_collector_collects() -> None:
    names = defined(blocks("python")[0])
    options = names["FreeSpaceOptions"](folders=("/",))
    collector = names["FreeSpaceCollector"](Origin("space", "LAB/node1", lambda: 1_700_000_000_000_000_000), options)
    (frame,) = collector.collect()
    assert frame.values[0, 0] > 0
    assert frame.layout.channels[0].unit == "B"


def test_the_detector_judges_and_explains() -> None:
    names = defined(blocks("python")[1])
    rule = names["NegativeRule"]("negative", names["NegativeOptions"]())
    layout = Layout("hv", (Channel("a", "voltage", "V"), Channel("b", "voltage", "V")))
    frame = Frame(layout, np.arange(2, dtype=np.int64), np.array([[1.0, -2.0], [np.nan, 3.0]]))
    breaches = rule.judge(frame)
    assert breaches.holds.tolist() == [[False, True], [False, False]]
    assert breaches.judged.tolist() == [[True, True], [False, True]]
    assert rule.explain(frame, 0, 1).summary == "b is -2, below 0"


def test_the_message_of_a_third_party_is_read() -> None:
    source, place, _, values, units = read_message(blocks("json")[0].encode())
    assert (source, place, values, units) == ("weather", "CMS/HALL", {"temperature": 21.5}, {"temperature": "degC"})


def test_every_file_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
