"""How a detector comes to judge: silent while it learns, then calibrated; new columns are learned later."""

from __future__ import annotations

import numpy as np

from collectors.conditions import ConditionHistory
from collectors.frame import Channel, Frame, Layout
from collectors.wire import Block, Identity
from daemon.detect.watch import StreamWatch
from daemon.messages import FindingReport
from daemon.settings import parse
from detectors.finding import Certainty

S = 1_000_000_000
START_NS = 1_700_000_000 * S
SETTINGS = parse("""
experiment = "LAB"
[learning]
rows = 200
[source.hv]
collector = "pushed"
period_s = 10
detectors = ["robust_z"]
""")


class Feed:
    """A watch over a source of Gaussian channels; readings are given as a function of the row."""

    def __init__(self) -> None:
        self.watch = StreamWatch("hv", SETTINGS)
        self._row = 0
        self._rng = np.random.default_rng(5)

    def rows(self, count: int, channels: int = 3, shift: float = 0.0, shifted: int = 0) -> list[FindingReport]:
        """Feeds rows, one a block; `shift` is added to the channel `shifted`."""
        layout = Layout("hv", tuple(Channel(f"ch{i}", "voltage", "V", place=f"LAB/ch{i}") for i in range(channels)))
        said = []
        for _ in range(count):
            values = 1500 + self._rng.normal(size=(1, channels))
            values[0, shifted] += shift
            time_ns = np.array([START_NS + self._row * 10 * S])
            block = Block(Identity("hv", 1, self._row), Frame(layout, time_ns, values), int(time_ns[0]))
            said += self.watch.judge(block, ConditionHistory())
            self._row += 1
        return said


def test_says_what_it_needs_and_when_it_begins_and_is_silent_until_then() -> None:
    feed = Feed()
    assert feed.rows(60, shift=0) == []
    assert feed.rows(40, shift=500.0) == [], "it does not know yet what is normal"
    state = feed.watch.status()["state"]
    assert "robust_z learning, 100 of 200 rows" in state
    assert "begins in 16.7 min" in state


def test_finds_a_shift_after_learning_and_not_the_noise() -> None:
    feed = Feed()
    feed.rows(200)
    assert feed.watch.status()["state"] == "watching"
    assert [r for r in feed.rows(300) if r.finding.certainty is not Certainty.UNSURE] == []
    said = feed.rows(5, shift=30.0)
    assert any(r.finding.unit.place == "LAB/ch0" and r.finding.certainty is Certainty.LIKELY for r in said)


def test_a_column_that_appears_is_learned_while_the_others_are_watched() -> None:
    feed = Feed()
    feed.rows(200, channels=2)
    assert any(r.finding.unit.place == "LAB/ch0" for r in feed.rows(5, channels=3, shift=30.0)), "known ones are judged meanwhile"
    feed.rows(250, channels=3)
    reports = feed.rows(5, channels=3, shift=30.0, shifted=2)
    assert any(r.finding.unit.place == "LAB/ch2" for r in reports)


def test_goes_on_after_a_restart_in_the_middle_of_learning() -> None:
    feed = Feed()
    feed.rows(120)
    state = feed.watch.state()
    feed.watch = StreamWatch("hv", SETTINGS)
    feed.watch.restore(state)
    assert "120 of 200" in feed.watch.status()["state"]
    feed.rows(80)
    assert feed.watch.status()["state"] == "watching"
