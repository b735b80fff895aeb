"""Messages of a third party's topic, on a real broker: JSON by a mapping, Arrow, and what is neither."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from collectors.frame import Frame, Updates
from deploy.kafka.broker import KafkaBroker
from tests.collectors.kafka_topics import Topic, turn

BATCH = pa.record_batch({"time": pa.array([1_700_000_000, 1_700_000_010]), "volts [V]": pa.array([1.5, None])})


@pytest.fixture(autouse=True)
def _collect() -> Iterator[None]:
    """Sockets that kafka-python dropped are collected within the test that made them (see tests/kafka_broker.py)."""
    yield
    gc.collect()


@pytest.fixture
def topic(kafka: KafkaBroker) -> Iterator[Topic]:
    kafka.start()
    made = Topic(kafka)
    yield made
    for collector in made.built:
        collector.close()
    kafka.start()


def stream(*batches: pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, **options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


@pytest.mark.kafka
class TestMessages:
    def test_messages_of_one_sensor_each(self, topic: Topic) -> None:
        sensors = {"rows": "[@]", "name": "{sensor}", "place": "{crate}", "columns": {"celsius": "t"}}
        collector = topic.build(tables=[sensors], time="ts")
        topic.publish(
            {"sensor": "a", "crate": "c1", "t": 20.5, "ts": 1_700_000_000_250},
            {"sensor": "b", "crate": "c2", "t": "21", "ts": 1_700_000_001},
        )
        topic.publish({"sensor": "a", "crate": "c1", "t": 22}, timestamp_ms=1_700_000_002_000)
        blocks, rejected = turn(collector)
        (block,) = blocks
        assert isinstance(block, Updates)
        assert [(column.name, column.unit, column.place) for column in block.layout.channels] == [
            ("a/celsius", "degC", "WLCG/c1"),
            ("b/celsius", "degC", "WLCG/c2"),
        ]
        assert block.column.tolist() == [0, 1, 0]
        assert block.value.tolist() == [20.5, 21, 22]
        assert block.time_ns.tolist() == [1_700_000_000_250_000_000, 1_700_000_001_000_000_000, 1_700_000_002_000_000_000]
        assert [item.subject for item in rejected] == [f"{topic.name}[0]@2: time"]

    def test_broken_messages_are_rejected_with_their_offset_and_the_rest_goes_on(self, topic: Topic) -> None:
        topic.publish(b'{"n": 1', b"\xff\xfe", None, b"", {"other": 1}, {"n": "x"}, {"n": 7}, key=b"k")
        (block,), rejected = turn(topic.build())
        at = f"{topic.name}[0]"
        assert [(item.subject, item.reason) for item in rejected] == [
            (f"{at}@0", "not JSON: Expecting ',' delimiter in line 1, column 8"),
            (f"{at}@1", "not UTF-8 at byte 0"),
            (f"{at}@3", "an empty message"),
            (f"{at}@4", "there is nothing at any of the paths"),
            (f"{at}@5: n", '"x" is not a number'),
        ]
        assert rejected[0].payload == b'{"n": 1'
        assert isinstance(block, Updates)
        assert block.value[-1] == 7

    def test_arrow_columns_are_channels(self, topic: Topic) -> None:
        fields = [pa.field("Timestamp", pa.timestamp("ms", "UTC")), pa.field("imon", pa.float32(), metadata={"unit": "uA"}),
                  pa.field("tts", pa.string()), pa.field("note", pa.string()), pa.field("ok", pa.bool_())]  # fmt: skip
        times = pa.array([1_700_000_000_000, 1_700_000_001_000], pa.timestamp("ms", "UTC"))
        texts = [pa.array(["READY", "?"]), pa.array(["a", "b"])]
        arrays = [times, pa.array([1.5, None], pa.float32()), *texts, pa.array([True, False])]
        batch = pa.record_batch(arrays, schema=pa.schema(fields))
        topic.publish(stream(batch, batch))
        blocks, rejected = turn(topic.build(format="arrow", states={"tts": ("READY", "BUSY")}))
        assert len(blocks) == 2
        assert isinstance(blocks[0], Frame)
        assert [(c.name, c.unit, c.states) for c in blocks[0].layout.channels] == [
            ("imon", "uA", ()),
            ("tts", "", ("READY", "BUSY")),
            ("ok", "", ("false", "true")),
        ]
        np.testing.assert_array_equal(blocks[0].values, [[1.5, 0, 1], [np.nan, np.nan, 0]])
        assert blocks[0].time_ns.tolist() == [1_700_000_000_000_000_000, 1_700_000_001_000_000_000]
        assert [item.reason for item in rejected] == ["row 2: '?' is no reading"] * 2

    def test_arrow_rows_that_name_their_channel(self, topic: Topic) -> None:
        names = pa.array(["a", "b", None, "a", "c"]).dictionary_encode()
        batch = pa.record_batch({"time": pa.array([1, 2, 3, 4, 5]), "pv": names, "value": pa.array([1.0, 2.0, 3.0, -4.0, 5.0])})
        topic.publish(stream(batch))
        options = {"format": "arrow", "channel_column": "pv", "kinds": {"a": "counter"}, "exclude": ["c"], "time_format": "epoch_s"}
        (block,), rejected = turn(topic.build(**options))
        assert isinstance(block, Updates)
        assert [block.layout.columns[i].name for i in block.column] == ["a", "b", "a"]
        np.testing.assert_array_equal(block.value, [1, 2, np.nan])
        assert [item.reason for item in rejected] == ["row 2: -4.0 is no reading", "1 rows name no channel"]

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            (stream(BATCH)[:-40], "cut off"),
            (b"{}", "cut off"),
            (stream(BATCH, options=pa.ipc.IpcWriteOptions(compression="lz4")), "compressed"),
            (stream(pa.record_batch({"a": pa.nulls(10_000_000), "b": pa.nulls(10_000_000)})), "more cells"),
            (stream(pa.record_batch({"text": ["a"]})), "no column of numbers"),
            (stream(pa.record_batch([pa.array([1]), pa.array([2])], names=["a", "a"])), "two columns"),
        ],
    )
    def test_streams_that_are_none_are_rejected(self, topic: Topic, message: bytes, reason: str) -> None:
        topic.publish(message, stream(BATCH))
        blocks, rejected = turn(topic.build(format="arrow"))
        assert len(blocks) == 1
        assert [item.subject for item in rejected] == [f"{topic.name}[0]@0"]
        assert reason in rejected[0].reason
