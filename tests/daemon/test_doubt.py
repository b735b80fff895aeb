"""What a learning detector says of how sure it is: with each finding, wide at first, and after a restart as before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.conditions import ConditionHistory
from collectors.frame import Frame, Layout
from collectors.wire import Block, Identity
from daemon.detect.watch import StreamWatch
from daemon.messages import FindingReport
from daemon.settings import parse
from detectors.finding import Certainty
from tests.detectors import sample_frames as sample

HALL = sample.gauge("hall", unit="degC", place="X/hall")
LAYOUT = Layout("hv", (*(sample.gauge(f"c{i}", place=f"X/hv/c{i}") for i in range(6)), HALL))
MINUTE_NS = 60_000_000_000


class Watched:
    """A watch over one source, judged by robust_z from `rows` rows on."""

    def __init__(self, rows: int) -> None:
        text = f"""
            experiment = "X"
            [learning]
            rows = {rows}
            [source.hv]
            collector = "table"
            files = "none.csv"
            period_s = 60
            detectors = ["robust_z"]
            [detector.robust_z]
            include = ["c*"]
            raise_rows = 1
        """
        self.watch = StreamWatch("hv", parse(text))
        self._rows = self._blocks = 0

    def feed(self, values: NDArray[np.float64]) -> list[FindingReport]:
        time_ns = sample.START_NS + MINUTE_NS * np.arange(self._rows, self._rows + len(values), dtype=np.int64)
        self._rows, self._blocks = self._rows + len(values), self._blocks + 1
        block = Block(Identity("hv", 1, self._blocks), Frame(LAYOUT, time_ns, values), int(time_ns[-1]))
        return self.watch.judge(block, ConditionHistory())

    def raised(self, values: NDArray[np.float64]) -> FindingReport:
        """The first finding of the group or a channel in these rows."""
        return next(report for report in self.feed(values) if report.finding.cleared_ns is None)


def normal(rows: int, seed: int = 1) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.normal(400.0, 1.0, (rows, 6)), rng.uniform(18.0, 22.0, rows)])


def fault(hall: float = 20.0) -> NDArray[np.float64]:
    values = normal(3, seed=9)
    values[:, 2], values[:, 6] = 440.0, hall
    return values


def test_a_finding_says_how_sure_it_is_and_it_narrows_with_data() -> None:
    widths = []
    for rows in (120, 1200):
        watched = Watched(rows)
        watched.feed(normal(rows))
        uncertainty = watched.raised(fault()).finding.uncertainty
        assert uncertainty is not None
        assert uncertainty.out_of_range > 1.0, "the reading itself was never so high"
        assert uncertainty.statistics == 0.0
        widths.append(uncertainty.training_data)
    assert widths[0] > widths[1] > 0


def test_under_a_condition_that_was_never_seen_it_is_unsure_and_says_so() -> None:
    watched = Watched(1200)
    watched.feed(normal(1200))
    finding = watched.raised(fault(hall=27.0)).finding
    assert finding.certainty is Certainty.UNSURE
    assert finding.reason.startswith("hall is ")
    assert finding.reason.endswith(" degC above anything learned")


def test_under_known_conditions_what_is_far_off_is_likely() -> None:
    watched = Watched(1200)
    watched.feed(normal(1200))
    finding = watched.raised(fault()).finding
    assert (finding.certainty, finding.reason) == (Certainty.LIKELY, "")


def test_a_restart_remembers_what_was_learned() -> None:
    watched, again = Watched(1200), Watched(1200)
    watched.feed(normal(1200))
    again.feed(normal(1))
    again.watch.restore(watched.watch.state())
    again._rows, again._blocks = watched._rows, watched._blocks
    assert again.raised(fault(hall=27.0)).finding == watched.raised(fault(hall=27.0)).finding


def test_what_is_learned_does_not_depend_on_how_many_rows_come_at_a_time() -> None:
    values = np.concatenate([normal(200), normal(100, seed=2)])
    values[250:] += 30.0  # must not be learned, though it comes in the same block
    at_once, one_by_one = Watched(200), Watched(200)
    found = {report.finding.key for report in at_once.feed(values)}
    assert found
    assert found == {report.finding.key for row in values for report in one_by_one.feed(row[None])}
