"""A small rule, and blocks of one stream to judge, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from collectors.collector import Options
from collectors.conditions import ConditionHistory
from collectors.frame import Channel, Frame, Kind, Layout, digest_of
from collectors.wire import Block, Identity
from daemon.settings import Settings
from detectors.finding import Breaches, Evidence, Unit
from tests.daemon.reports import S

LIMIT = 10.0


class HighRule:
    """Breaks where a channel is above LIMIT; its evidence tells what the highest value before was, which it remembers."""

    options_model: ClassVar[type[Options]] = Options

    def __init__(self, name: str, options: Options) -> None:
        self.name, self.options = name, options
        self._highest: dict[str, float] = {}
        self._before: dict[str, float] = {}

    def judge(self, frame: Frame) -> Breaches:
        channels = frame.layout.channels
        values = frame.readings(frame.layout.of_kind(Kind.GAUGE))
        for channel, column in zip(channels, values.T, strict=True):
            self._before[channel.name] = self._highest.get(channel.name, 0.0)
            self._highest[channel.name] = float(np.nanmax([self._before[channel.name], *column]))
        units = tuple(Unit(digest_of(frame.layout.key(c.name), "high"), c.name, c.place, "high") for c in channels)
        return Breaches(units, values > LIMIT, np.isfinite(values))

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        name = frame.layout.channels[unit].name
        return Evidence(f"{name} is {frame.values[row, unit]:g}, before at most {self._before[name]:g}")

    def state(self) -> dict[str, Any]:
        return {"highest": self._highest}

    def restore(self, state: dict[str, Any]) -> None:
        self._highest = {str(name): float(value) for name, value in state["highest"].items()}


def configuration(**source: Any) -> Settings:
    """One source, "hv", at DEMO/HV, judged by the rule with two rows to raise and two to clear; silent after 30 s."""
    section = {"collector": "any", "place": "DEMO/HV", "period_s": 10, "detectors": ["high"]} | source
    detector = {"raise_rows": 2, "clear_rows": 2}
    return Settings.model_validate({"experiment": "DEMO", "source": {"hv": section}, "detector": {"high": detector}})


class Feed:
    """Blocks of one stream as a producer numbers them."""

    def __init__(self, source: str = "hv", names: Sequence[str] = ("a", "b"), *, part: str = "", epoch: int = 1) -> None:
        self.layout = Layout(source, tuple(Channel(name, "voltage", "V", place=f"DEMO/HV/{name}") for name in names), part)
        self._epoch = epoch
        self._sequence = 0
        self._newest_ns = 0

    def frame(self, *rows: tuple[float, ...]) -> Block:
        """Rows of time in s and a value for each channel; complete up to the last of them."""
        time_ns = np.array([int(row[0] * S) for row in rows], dtype=np.int64)
        frame = Frame(self.layout, time_ns, np.array([row[1:] for row in rows], dtype=np.float64))
        self._newest_ns = max(self._newest_ns, int(time_ns.max()))
        return self._block(frame, int(time_ns.max()), "")

    def heartbeat(self, at: float, problem: str = "", newest: float | None = None) -> Block:
        """Complete up to a time in s; `newest` is what the source published in any of its streams."""
        if newest is not None:
            self._newest_ns = int(newest * S)
        return self._block(None, int(at * S), problem)

    def _block(self, content: Frame | None, complete_ns: int, problem: str) -> Block:
        identity = Identity(self.layout.stream, self._epoch, self._sequence)
        self._sequence += 1
        return Block(identity, content, complete_ns, problem, self._newest_ns)


BEAM = Layout("lhc", (Channel("beam", "beam mode", "", Kind.STATE, "DEMO", ("stable", "ramp", "none")),))


def beam_frame(*changes: tuple[float, str]) -> Frame:
    """The beam mode from times in s on."""
    states = BEAM.channels[0].states
    values = np.array([[states.index(state)] for _, state in changes], dtype=np.float64)
    return Frame(BEAM, np.array([int(at * S) for at, _ in changes], dtype=np.int64), values)


def beam(*changes: tuple[float, str]) -> ConditionHistory:
    """What the beam was when."""
    history = ConditionHistory()
    if changes:
        history.add(beam_frame(*changes))
    return history
