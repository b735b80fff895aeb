"""Topics of somebody else's Kafka: monitoring of transfers and networks, slow control that is published, metrics as JSON or Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from collectors.collector import Collected, Options, Origin, Rejected
from collectors.fetched.json_mapping import JsonOptions
from collectors.messages.kafka_messages import ArrowDecoder, ArrowOptions, Decoder, JsonDecoder
from collectors.messages.kafka_source_options import KafkaSourceOptions

if TYPE_CHECKING:
    from collectors.messages.kafka_consumer import TopicReader

Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._*?-]{1,249}$")]


class KafkaTopicOptions(JsonOptions, ArrowOptions, KafkaSourceOptions):
    """Which topics, what their messages are, and what of them becomes what."""

    topics: Annotated[tuple[Topic, ...], Field(min_length=1)]
    """Names or patterns; topics that appear later are read from their beginning."""
    group_id: str = ""
    """Under which the cluster stores how far we have read; by default `shiftwatch.SOURCE`. Two processes with one group would read
    everything twice."""
    start: Literal["latest", "earliest"] = "latest"
    """Where to begin the first time; later it goes on where it ended."""
    format: Literal["json", "arrow"] = "json"
    """json: by `values`, `tables` or `flatten`. arrow: Arrow IPC streams, uncompressed."""
    max_messages: int = Field(default=10_000, ge=1)
    """Most messages of one turn; the rest comes with the next ones."""
    max_bytes: int = Field(default=64_000_000, ge=1)
    """Most bytes of one turn, give or take a batch."""

    @model_validator(mode="after")
    def _fits_its_format(self) -> Self:
        has_mapping = bool(self.values or self.tables or self.flatten)
        if self.format == "json" and not has_mapping:
            raise ValueError("say what to read of a message in `values` or `tables`, or take every number with flatten = true")
        if self.format == "json" and (self.time_column or self.channel_column):
            raise ValueError('time_column and channel_column are for format = "arrow"; JSON has `time` and `tables`')
        if self.format == "arrow" and (has_mapping or self.time):
            raise ValueError("values, tables, flatten and time are for JSON; Arrow has time_column and channel_column")
        return self


class KafkaTopicCollector:
    """Reads the messages that came since the last turn, each at least once: offsets are stored when its blocks are safe.

    A message is a document like an answer of http_json: `values`, `tables`, `flatten` and `time` are the same. Messages of one
    sensor each become channels by a table of one row, `rows = "[@]"`, where `{topic}` and `{message_key}` may stand in names too.
    Without `time` a reading has the time of its message. Messages that cannot be used are rejected with topic, partition and offset.

    The first time it begins with what is sent from then on: where little is sent, a first look needs `start = "earliest"`, or patience
    (`--wait-s 60`).

    Example:
        [source.network]
        collector = "kafka_topic"
        place = "WLCG/network"
        bootstrap_servers = "broker1:9092,broker2:9092"
        topics = ["monitoring.links"]
        time = "timestamp"
        tables = [{ rows = "[@]", name = "{src}-{dst}", columns = { throughput = "bytes_per_s", errors = "errors" } }]
        units = { "*/throughput" = "B/s" }

    With a password: `security_protocol = "SASL_SSL"`, `sasl_username = "shiftwatch"`, `sasl_password_file = "/run/…"`.

    """

    options_model: ClassVar[type[Options]] = KafkaTopicOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: KafkaTopicOptions) -> None:
        self._origin = origin
        self._options = options
        self._decoder: Decoder = JsonDecoder(origin, options) if options.format == "json" else ArrowDecoder(origin, options)
        self._reader: TopicReader | None = None

    def collect(self) -> Iterator[Collected]:
        """Blocks of all messages that have come. Raises CollectError, also where none of the topics is there."""
        reader = self._connected()
        for topic in reader.begin():
            yield Rejected(topic, f"no such topic at {self._options.servers}")
        records: list[Any] = []
        for piece in reader.records(self._options.max_messages, self._options.max_bytes):
            if isinstance(piece, Rejected):
                yield piece
            else:
                records += piece
        yield from self._decoder.decode(records, self._origin.now_ns())
        reader.end()  # only here has the framework taken the last block

    def close(self) -> None:
        """Stores how far the blocks of the last turn came, and ends the connection."""
        if self._reader is not None:
            self._reader.close()

    def _connected(self) -> TopicReader:
        if self._reader is None:
            from collectors.messages.kafka_consumer import TopicReader  # noqa: PLC0415 - kafka-python is for who reads, not to check a configuration

            group_id = self._options.group_id or f"shiftwatch.{self._origin.source}"
            self._reader = TopicReader(self._options, self._options.topics, group_id, self._options.start, stores=not self._origin.is_look)
        return self._reader
