"""Messages decoded without a broker: Arrow with many channels, one a row, and messages that could stop all that come after them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.collector import Origin, Rejected
from collectors.frame import Layout, Updates
from collectors.kafka_topic import KafkaTopicOptions
from collectors.messages import kafka_messages
from collectors.messages.kafka_messages import ArrowDecoder, JsonDecoder

ORIGIN = Origin("links", "WLCG", lambda: 0)


def message(names: list[str], values: list[float], times: dict[str, list[int]] | None = None) -> SimpleNamespace:
    stamps = {"time": [1_700_000_000] * len(names)} if times is None else times
    batch = pa.record_batch({**stamps, "pv": pa.array(names, pa.string()), "value": pa.array(values, pa.float64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return SimpleNamespace(topic="t", partition=0, offset=0, timestamp=0, key=None, value=sink.getvalue().to_pybytes())


def decoder(**options: object) -> ArrowDecoder:
    wanted = {"bootstrap_servers": "broker:9092", "topics": ["t"], "format": "arrow", "channel_column": "pv", **options}
    return ArrowDecoder(ORIGIN, KafkaTopicOptions.model_validate(wanted))


def test_thousands_of_new_channels_join_the_layout_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(source: str, columns: tuple[object, ...]) -> Layout:
        made.append(len(columns))
        return Layout(source, columns)  # type: ignore[arg-type] # as it was called

    reader = decoder()
    monkeypatch.setattr(kafka_messages, "Layout", counted)
    names = [f"channel {i}" for i in range(3000)]
    (block,) = reader.decode([message(names, [float(i) for i in range(3000)])], 0)
    assert isinstance(block, Updates)
    assert made == [3000]
    assert [c.name for c in block.layout.channels] == names
    np.testing.assert_array_equal(block.value, np.arange(3000.0))
    np.testing.assert_array_equal(block.column, np.arange(3000))


def test_each_reading_goes_to_its_channel_whatever_their_order() -> None:
    reader = decoder(exclude=["no*"])
    list(reader.decode([message(["b"], [0.0])], 0))
    (block,) = reader.decode([message(["a", "no", "b", "c", "a", "b"], [1.0, 9.0, 2.0, 3.0, 4.0, 5.0])], 0)
    assert isinstance(block, Updates)
    assert [(block.layout.columns[i].name, v) for i, v in zip(block.column.tolist(), block.value.tolist(), strict=True)] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
        ("a", 4),
        ("b", 5),
    ]


@pytest.mark.parametrize("options", [{"format": "arrow", "channel_column": "pv", "time_column": ""}, {"format": "json", "flatten": True}])
def test_message_with_its_time_in_microseconds_stops_nothing(options: dict[str, object]) -> None:
    """A message that fails is read again and again, and with it all that came after it."""
    wanted = {"bootstrap_servers": "broker:9092", "topics": ["t"], **options}
    made = KafkaTopicOptions.model_validate(wanted)
    reader = ArrowDecoder(ORIGIN, made) if made.format == "arrow" else JsonDecoder(ORIGIN, made)
    record = message(["a"], [1.0], {}) if made.format == "arrow" else SimpleNamespace(**{**vars(message([], [])), "value": b'{"a": 1}'})
    record.timestamp = 1_700_000_000_000_000
    (block,) = reader.decode([record], 1_800_000_000_000_000_000)
    assert isinstance(block, Updates)
    assert block.time_ns.tolist() == [1_800_000_000_000_000_000]


_KEYS = st.sampled_from(["src", "v", "time"]) | st.text(max_size=3)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**310, 10**311) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=10,
)


@example(document={"time": 10**310, "v": 1}, key=None, timestamp=0)
@given(document=_JSON, key=st.none() | st.binary(max_size=4), timestamp=st.none() | st.integers(-(2**63), 2**63 - 1))
def test_no_message_stops_the_reading(document: object, key: bytes | None, timestamp: int | None) -> None:
    record = SimpleNamespace(topic="t", partition=0, offset=0, timestamp=timestamp, key=key, value=json.dumps(document).encode())
    table = {"rows": "[@]", "name": "{src}/{message_key}", "columns": {"v": "v"}, "time": "time"}
    for options in ({"tables": [table]}, {"flatten": True, "time": "time"}, {"values": {"a": "sum(v)"}}):
        made = KafkaTopicOptions.model_validate({"bootstrap_servers": "broker:9092", "topics": ["t"], **options})
        for item in JsonDecoder(ORIGIN, made).decode([record], 1):
            text = f"{item.subject}{item.reason}" if isinstance(item, Rejected) else item.layout.digest
            assert text.encode()
