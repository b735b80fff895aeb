"""From Kafka to a score on a gauge, through kafka-python, against the raw consumer and against one reading a message.

A real broker is started for it (Java and Maven). In each round the same topic of Arrow blocks is read twice: by the bare
kafka-python consumer, which looks at nothing, and by our bus with decoding, an EWMA chart of every channel and a gauge.
`univariate_share_of_raw` is the ratio of their bytes a second. `univariate_vs_naive` is the ratio of readings a second to
those of the usual way: a JSON message for each reading, a Python object for each channel, a gauge set each time.
`multivariate_vs_microbatched` is the ratio of rows a second with an isolation forest of 100 trees over the 32 channels: our
blocks and packed forest against a JSON message for each row and scikit-learn on what each poll brings, the same model.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median

import numpy as np
from kafka import KafkaConsumer
from prometheus_client import CollectorRegistry, Gauge
from sklearn.ensemble import IsolationForest

from benchmarks.measure import Round, main
from collectors.frame import Channel, Frame, Layout
from collectors.wire import Block, Identity, decode, encode
from daemon.bus.kafka import KafkaBus
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.kafka_subscription import FETCH_BYTES, PARTITION_FETCH_BYTES, SOCKET_BYTES
from deploy.kafka.broker import KafkaBroker
from detectors.ewma import EwmaDetector, EwmaOptions
from detectors.packed_forest import PackedForest, pack

CHANNELS, ROWS, BLOCKS, NAIVE_MESSAGES = 32, 1000, 1200, 40_000
ROW_MESSAGES, FOREST_BLOCKS, POLLED_MOST = 40_000, 400, 500
TREES, SAMPLES = 100, 256
PASSES = 4
LAYOUT = Layout("bench", tuple(Channel(f"channel{i}", "voltage", "V") for i in range(CHANNELS)))


def frame(number: int) -> Frame:
    """A block of normal readings, 1 ms apart."""
    values = np.random.default_rng(number).normal(size=(ROWS, CHANNELS)).astype(np.float32)
    return Frame(LAYOUT, (number * ROWS + np.arange(ROWS, dtype=np.int64)) * 1_000_000, values)


def fill(bus: KafkaBus) -> None:
    """Publishes the blocks, and the readings of the naive way to another topic."""
    for number in range(BLOCKS):
        content = frame(number)
        bus.publish("frames", "bench", encode(Block(Identity("bench", 1, number), content, int(content.time_ns[-1]))))
    readings = frame(0).values.reshape(-1)
    for number in range(NAIVE_MESSAGES):
        value = float(readings[number % len(readings)])
        message = {"channel": f"channel{number % CHANNELS}", "time": number / 1000, "value": value}
        bus.publish("ingest", "bench", json.dumps(message).encode())
    bus.flush(120.0)


def bare_consumer(bootstrap: str, topic: str) -> KafkaConsumer:
    """A kafka-python consumer that fetches as much at a time as ours: the difference is not to be one of settings."""
    return KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        group_id=None,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
        receive_buffer_bytes=SOCKET_BYTES,
    )


def raw(bootstrap: str, topic: str) -> float:
    """Bytes a second of the bare consumer, over all blocks."""
    consumer = bare_consumer(bootstrap, topic)
    size = records = 0
    started = 0.0
    while records < BLOCKS:
        for batch in consumer.poll(timeout_ms=1000, max_records=500).values():
            started = started or time.perf_counter()
            records += len(batch)
            size += sum(len(record.value) for record in batch)
    elapsed = time.perf_counter() - started
    consumer.close()
    return size / elapsed


def ours(bus: KafkaBus) -> tuple[float, float]:
    """Bytes and readings a second of poll, decode, score and gauge."""
    detector = EwmaDetector("ewma", EwmaOptions()).fit(frame(BLOCKS))
    detector.score(frame(BLOCKS + 1))  # compiles
    gauge = Gauge("score", "Highest score", registry=CollectorRegistry())
    layouts = {LAYOUT.digest: LAYOUT}
    subscription = bus.subscribe(["frames"], None)
    size = records = 0
    started = 0.0
    while records < BLOCKS:
        for record in subscription.poll(1.0):
            started = started or time.perf_counter()
            content = decode(record.value, layouts).content
            assert isinstance(content, Frame)
            gauge.set(float(detector.score(content).values.max()))
            records += 1
            size += len(record.value)
    elapsed = time.perf_counter() - started
    subscription.close()
    return size / elapsed, records * ROWS * CHANNELS / elapsed


class NaiveChannel:
    """What one writes first: an object for each channel."""

    def __init__(self) -> None:
        self.mean = 0.0
        self.variance = 1.0

    def score(self, value: float) -> float:
        """Distance from the moving mean in moving standard deviations."""
        step = value - self.mean
        score = abs(step) / math.sqrt(self.variance)
        self.mean += 0.01 * step
        self.variance += 0.01 * (step * step - self.variance)
        return score


def naive(bootstrap: str, topic: str) -> float:
    """Readings a second of one JSON message a reading."""
    gauge = Gauge("score", "Score", ["channel"], registry=CollectorRegistry())
    channels: dict[str, NaiveChannel] = {}
    consumer = bare_consumer(bootstrap, topic)
    records = 0
    started = 0.0
    while records < NAIVE_MESSAGES:
        for batch in consumer.poll(timeout_ms=1000, max_records=500).values():
            started = started or time.perf_counter()
            for record in batch:
                message = json.loads(record.value)
                channel = channels.setdefault(message["channel"], NaiveChannel())
                gauge.labels(channel=message["channel"]).set(channel.score(message["value"]))
                records += 1
    elapsed = time.perf_counter() - started
    consumer.close()
    return records / elapsed


def forests() -> tuple[IsolationForest, PackedForest]:
    """A forest of scikit-learn and the same one packed."""
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLES, random_state=1, n_jobs=1).fit(frame(BLOCKS).values)
    return forest, pack([tree.tree_ for tree in forest.estimators_], SAMPLES)


def fill_rows(bus: KafkaBus) -> None:
    """Publishes rows as JSON, for the micro-batched way."""
    rows = frame(0).values
    for number in range(ROW_MESSAGES):
        bus.publish("ingest", "bench", json.dumps({"time": number / 1000, "values": rows[number % ROWS].tolist()}).encode())
    bus.flush(120.0)


def forest_on_blocks(bus: KafkaBus, packed: PackedForest) -> float:
    """Rows a second of poll, decode, packed forest and gauge."""
    gauge = Gauge("score", "Highest score", registry=CollectorRegistry())
    layouts = {LAYOUT.digest: LAYOUT}
    subscription = bus.subscribe(["frames"], None)
    records = 0
    started = 0.0
    while records < FOREST_BLOCKS:
        for record in subscription.poll(1.0):
            started = started or time.perf_counter()
            content = decode(record.value, layouts).content
            assert isinstance(content, Frame)
            gauge.set(float(packed.score(content.values).max()))
            records += 1
    elapsed = time.perf_counter() - started
    subscription.close()
    return records * ROWS / elapsed


def microbatched(bootstrap: str, topic: str, forest: IsolationForest) -> float:
    """Rows a second of one JSON message a row, scored by scikit-learn poll by poll."""
    gauge = Gauge("score", "Highest score", registry=CollectorRegistry())
    consumer = bare_consumer(bootstrap, topic)
    records = 0
    started = 0.0
    while records < ROW_MESSAGES:
        for batch in consumer.poll(timeout_ms=1000, max_records=POLLED_MOST).values():
            started = started or time.perf_counter()
            rows = np.array([json.loads(record.value)["values"] for record in batch], dtype=np.float32)
            gauge.set(float(-forest.score_samples(rows).min()))
            records += len(batch)
    elapsed = time.perf_counter() - started
    consumer.close()
    return records / elapsed


def run() -> None:
    """Starts a broker, fills it once, and measures in rounds."""
    with tempfile.TemporaryDirectory(prefix="shiftwatch-bench-") as folder, KafkaBroker(Path(folder)) as broker:
        prefix = f"bench-{uuid.uuid4().hex[:8]}"
        bus = KafkaBus(KafkaOptions(bootstrap_servers=(broker.bootstrap,), prefix=prefix, frames_partitions=1))
        fill(bus)
        rows_prefix = f"{prefix}-rows"
        rows_bus = KafkaBus(KafkaOptions(bootstrap_servers=(broker.bootstrap,), prefix=rows_prefix, frames_partitions=1))
        fill_rows(rows_bus)
        forest, packed = forests()

        raw(broker.bootstrap, f"{prefix}.frames")  # the broker's and the system's caches are warm from here on
        ours(bus)
        forest_on_blocks(bus, packed)

        def multivariate(number: int) -> float:
            ours_rows, theirs_rows = [], []
            for turn in range(number, number + 2):
                if turn % 2:
                    theirs_rows.append(microbatched(broker.bootstrap, f"{rows_prefix}.ingest", forest))
                ours_rows.append(forest_on_blocks(bus, packed))
                if not turn % 2:
                    theirs_rows.append(microbatched(broker.bootstrap, f"{rows_prefix}.ingest", forest))
            return median(ours_rows) / median(theirs_rows)

        def measure(number: int) -> Round:
            topic = f"{prefix}.frames"
            bare, scored, readings = [], [], []
            for turn in range(number, number + PASSES):  # the topic is read in half a second: several passes make a round
                if turn % 2:
                    bare.append(raw(broker.bootstrap, topic))
                bytes_s, readings_s = ours(bus)
                scored.append(bytes_s)
                readings.append(readings_s)
                if not turn % 2:
                    bare.append(raw(broker.bootstrap, topic))
            return {
                "univariate_share_of_raw": median(scored) / median(bare),
                "univariate_vs_naive": median(readings) / naive(broker.bootstrap, f"{prefix}.ingest"),
                "multivariate_vs_microbatched": multivariate(number),
            }

        main("bus", __doc__ or "", measure, rounds=5)
        rows_bus.close()
        bus.close()


if __name__ == "__main__":
    run()
