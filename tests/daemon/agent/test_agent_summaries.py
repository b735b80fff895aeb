"""Summaries of the time without a broker: what they say, when they are made, and that nothing judges them."""

from __future__ import annotations

import numpy as np

from collectors.frame import Channel, Frame, Kind, Layout, Quality
from collectors.wire import Block, Identity, decode, decode_layout, encode, encode_layout
from daemon.agent.summaries import Publication, Summaries, summary_layout
from daemon.bus.spool import lane_of

MINUTE_NS = 60_000_000_000
LAYOUT = Layout("node", (Channel("temperature", "temperature", "C", place="FARM/node"), Channel("fan", "state", "", Kind.STATE)))


def block(sequence: int, second: int, *temperatures: float, quality: int = Quality.GOOD) -> bytes:
    time_ns = 5 * MINUTE_NS + second * 1_000_000_000 + np.arange(len(temperatures))
    values = np.column_stack([temperatures, np.ones(len(temperatures))])
    frame = Frame(LAYOUT, time_ns, values, np.full(values.shape, quality, dtype=np.uint8))
    return encode(Block(Identity("node", 1, sequence), frame, int(time_ns[-1])))


def heartbeat(sequence: int, second: int) -> bytes:
    return encode(Block(Identity("node", 1, sequence), None, 5 * MINUTE_NS + second * 1_000_000_000))


def started() -> Summaries:
    summaries = Summaries(MINUTE_NS, epoch=7)
    assert summaries.take("layouts", encode_layout(LAYOUT), away=False) == []
    return summaries


def read(publications: list[Publication]) -> list[Block]:
    layouts = {layout.digest: layout for topic, _, value in publications if topic == "layouts" for layout in [decode_layout(value)]}
    return [decode(value, {**layouts, (s := summary_layout(LAYOUT)).digest: s}) for topic, _, value in publications if topic == "frames"]


def test_a_minute_without_a_broker_is_told_in_four_numbers_a_gauge() -> None:
    summaries = started()
    assert summaries.take("frames", block(0, 0, 20.0, 22.0), away=True) == []
    assert summaries.take("frames", block(1, 10, 30.0), away=True) == []
    told = summaries.take("frames", block(2, 60, 99.0), away=True)
    assert [topic for topic, _, _ in told] == ["layouts", "frames"]
    [summary] = read(told)
    assert isinstance(summary.content, Frame)
    assert [c.name for c in summary.content.layout.columns] == [f"temperature/{what}" for what in ("min", "mean", "max", "count")]
    assert summary.content.values.tolist() == [[20.0, 24.0, 30.0, 3.0]]
    assert summary.content.time_ns.tolist() == [6 * MINUTE_NS - 1]
    assert summary.identity == Identity("node#summary", 7, 0)
    assert summary.judged == ("*",)
    assert {lane_of(topic, key) for topic, key, _ in told} == {"layouts", "summaries"}


def test_nothing_is_told_of_minutes_in_which_the_broker_was_there() -> None:
    summaries = started()
    assert summaries.take("frames", block(0, 0, 20.0), away=False) == []
    assert summaries.take("frames", block(1, 60, 20.0), away=False) == []
    assert summaries.take("frames", block(2, 61, 20.0), away=True) == []
    assert len(read(summaries.take("frames", block(3, 120, 20.0), away=False))) == 1
    assert summaries.take("frames", block(4, 180, 20.0), away=False) == []


def test_readings_that_are_not_good_do_not_count() -> None:
    summaries = started()
    summaries.take("frames", block(0, 0, 20.0, float("nan")), away=True)
    summaries.take("frames", block(1, 10, -999.0, quality=Quality.STALE), away=True)
    [summary] = read(summaries.take("frames", heartbeat(2, 60), away=True))
    assert isinstance(summary.content, Frame)
    assert summary.content.values.tolist() == [[20.0, 20.0, 20.0, 1.0]]


def test_a_minute_without_any_good_reading_has_a_count_of_zero_and_no_values() -> None:
    summaries = started()
    summaries.take("frames", block(0, 0, float("nan")), away=True)
    [summary] = read(summaries.take("frames", heartbeat(1, 60), away=True))
    assert isinstance(summary.content, Frame)
    assert np.isnan(summary.content.values[0, :3]).all()
    assert summary.content.values[0, 3] == 0


def test_the_sequence_of_summaries_rises_and_their_layout_is_told_once() -> None:
    summaries = started()
    told: list[Publication] = []
    for minute in range(4):
        told += summaries.take("frames", block(minute, 60 * minute, 20.0), away=True)
    assert [topic for topic, _, _ in told] == ["layouts", "frames", "frames", "frames"]
    assert [summary.identity.sequence for summary in read(told)] == [0, 1, 2]
