"""Publishing to Kafka: a bounded buffer, acknowledgement by all replicas, and nothing lost without a word.

kafka-python 3 bounds its buffer by time only, and its `flush` reports no failure: both are kept account of here.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from daemon.bus.bus import BusError, Unacknowledged
from daemon.bus.kafka_connection import connect, describe
from daemon.bus.kafka_options import KafkaOptions

log = logging.getLogger(__name__)

BATCH_BYTES = 512 * 1024
REQUEST_BYTES = 8 * 1024 * 1024
UNROUTED_PAUSE_S = 0.1


class Outbox:
    """Records on their way to the brokers. May be used by any number of threads."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._changed = threading.Condition()
        self._waiting: dict[int, int] = {}  # number of the record: its bytes, in the order in which they were published
        self._waiting_bytes = 0
        self._published = 0
        self._failed = 0  # number of the last record that was given up
        self._failure = ""
        self._failing = False
        self._reported = 0  # failures up to this number were reported to some thread
        self._flushed = threading.local()  # .upto: failures up to this number do not concern this thread any more
        self._closed = False
        self._producer = connect(
            KafkaProducer,
            options,
            client_id=f"{options.prefix}-publisher",
            acks="all",
            enable_idempotence=True,  # a repeated request adds nothing twice and changes no order
            max_in_flight_requests_per_connection=5,
            compression_type=None if options.compression == "none" else options.compression,
            linger_ms=int(options.linger_s * 1000),
            batch_size=min(BATCH_BYTES, options.max_record_bytes),
            max_request_size=max(REQUEST_BYTES, 2 * options.max_record_bytes),
            delivery_timeout_ms=int(options.delivery_timeout_s * 1000),
            max_block_ms=int(options.delivery_timeout_s * 1000),
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Hands over a record for a topic by Kafka's name; waits while the buffer is full. Raises BusError."""
        number = self._reserve(topic, len(key) + len(value or b""))
        try:
            future = self._hand_over(topic, key, value)
        except (KafkaError, TypeError, ValueError) as error:
            self._settle(number, "")
            raise BusError(f"{topic} at {self._options.servers}: {describe(error)}") from None
        future.add_callback(lambda _: self._settle(number, ""))
        future.add_errback(lambda error: self._settle(number, f"{topic}: {describe(error)}"))

    def flush(self, timeout_s: float) -> None:
        """Returns when everything sent so far is acknowledged. Raises BusError, see `bus.Bus.flush`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._require_open()
            upto = self._published
            pending = self._pending(upto)
        if pending:
            self._push(timeout_s)
        with self._changed:
            while self._pending(upto):
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    waiting = sum(1 for number in self._waiting if number <= upto)
                    raise Unacknowledged(f"{waiting} records not acknowledged by Kafka at {self._options.servers} within {timeout_s:g} s")
                self._changed.wait(remaining_s)
            since, self._flushed.upto = getattr(self._flushed, "upto", self._reported), upto
            if since < self._failed <= upto:
                self._reported = upto
                raise BusError(f"a record was given up by Kafka at {self._options.servers}: {self._failure}")

    def close(self) -> None:
        """Delivers what is waiting, as long as `delivery_timeout_s` allows, and ends. Raises BusError for what is left."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
        timeout_s = self._options.delivery_timeout_s + 1.0
        try:
            self._producer.close(timeout=timeout_s)
        except KafkaError:  # it does not end its thread then
            self._producer._sender.force_close()
            self._producer.close(timeout=1.0)
        with self._changed:
            if self._waiting or self._failed > getattr(self._flushed, "upto", self._reported):
                left = f"{len(self._waiting)} records not acknowledged" if self._waiting else self._failure
                raise BusError(f"closing the connection to Kafka at {self._options.servers}: {left}")

    def abandon(self) -> None:
        """Ends at once; what was not acknowledged may or may not arrive."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._producer._sender.force_close()
        with suppress(KafkaError):
            self._producer.close(timeout=1.0)

    def _reserve(self, topic: str, size: int) -> int:
        deadline = time.monotonic() + self._options.delivery_timeout_s
        with self._changed:
            self._require_open()
            while self._waiting and self._waiting_bytes + size > self._options.buffer_bytes:
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    raise BusError(
                        f"{topic}: {self._waiting_bytes} bytes wait for Kafka at {self._options.servers}, "
                        f"no room within {self._options.delivery_timeout_s:g} s"
                    )
                self._changed.wait(remaining_s)
                self._require_open()
            self._published += 1
            self._waiting[self._published] = size
            self._waiting_bytes += size
            if not hasattr(self._flushed, "upto"):
                self._flushed.upto = self._reported  # from its first record on, a thread learns of every failure
            return self._published

    def _hand_over(self, topic: str, key: bytes, value: bytes | None) -> Any:  # noqa: ANN401 - kafka-python is untyped
        deadline = time.monotonic() + self._options.delivery_timeout_s
        while True:
            try:
                return self._producer.send(topic, value=value, key=key)
            except (TypeError, ValueError):
                # kafka-python finds no partition while a broker that has just come back does not know the topic yet.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(UNROUTED_PAUSE_S)

    def _push(self, timeout_s: float) -> None:
        """Sends what lingers. kafka-python may report that it is not done; whether it is, our own account says."""
        try:
            self._producer.flush(timeout=timeout_s)
        except KafkaError as error:
            log.debug("flush: %s", describe(error))

    def _pending(self, upto: int) -> bool:
        return bool(self._waiting) and next(iter(self._waiting)) <= upto

    def _settle(self, number: int, failure: str) -> None:
        with self._changed:
            self._waiting_bytes -= self._waiting.pop(number)
            if failure:
                if not self._failing:
                    log.error("a record was given up by Kafka at %s: %s", self._options.servers, failure)
                self._failed = max(self._failed, number)
                self._failure = failure
            self._failing = bool(failure)
            self._changed.notify_all()

    def _require_open(self) -> None:
        if self._closed:
            raise BusError(f"the bus to Kafka at {self._options.servers} is closed")
