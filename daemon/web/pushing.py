"""Messages that third parties push: read, checked as the ingest topic's reader does, and handed over to the bus.

Whoever pushes is told what became of each message, so nothing of it goes to the dead letters.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore

from daemon.bus.bus import Bus, TooLarge
from daemon.ingest_message import IngestError, each_once, read_message

log = logging.getLogger(__name__)

MAX_MESSAGES = 10_000
"""In one request."""
FLUSH_S = 10.0
AT_ONCE = 4
"""Requests whose messages are being handed over. A bus that has no room keeps them waiting, and they must not keep the page."""


class BusyError(Exception):
    """As many requests as are taken at once are waiting for the bus already."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was not taken. `message`: its number in the request, from 1."""

    message: int
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a request: how many messages the bus has acknowledged, and those that were refused."""

    taken: int
    refused: tuple[Refusal, ...]


class Intake:
    """Takes requests to the bus, in threads of its own. Safe for any number of threads."""

    def __init__(self, bus: Bus, now_ns: Callable[[], int]) -> None:
        self._bus = bus
        self._now_ns = now_ns
        self._free = BoundedSemaphore(AT_ONCE)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ingest")

    def submit(self, body: bytes) -> Future[Receipt]:
        """Hands a request's body over; the receipt comes when the bus has acknowledged what was taken. Raises BusyError.

        The future raises BusError where the bus does not take it: then any of the messages may have been taken, or none.
        """
        if not self._free.acquire(blocking=False):
            raise BusyError
        try:
            future = self._threads.submit(self._take, body)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(lambda _: self._free.release())
        return future

    def close(self) -> None:
        """Takes no more; what is being handed over goes on until the bus is closed."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _take(self, body: bytes) -> Receipt:
        taken, refused, sources = 0, [], set()
        for number, data in enumerate(split(body), start=1):
            try:
                message = read_message(data)
                message.check_time(self._now_ns())
                self._bus.publish("ingest", message.source, data)
            except (IngestError, TooLarge) as error:
                refused.append(Refusal(number, str(error)))
                continue
            taken += 1
            sources.add(message.source)
        if taken:
            self._bus.flush(FLUSH_S)
        if refused:
            log.warning("pushed messages refused taken=%d refused=%d first=%r", taken, len(refused), refused[0].reason)
        log.debug("pushed taken=%d sources=%s", taken, ",".join(sorted(sources)))
        return Receipt(taken, tuple(refused))


def split(body: bytes) -> Iterator[bytes]:
    """The messages of a body: one object, an array of them, or one a line. What is none of these is one message, to be refused.

    Raises IngestError where there are too many of them.
    """
    text = body.strip()
    if text.startswith(b"["):
        yield from _array(text)
        return
    lines = [line for line in text.splitlines() if line.strip()] if b"\n" in text else []
    if len(lines) > 1 and _is_object(lines[0]):
        _check_number(len(lines))
        yield from lines
    elif text:
        yield text


def _array(text: bytes) -> Iterator[bytes]:
    try:
        messages = json.loads(text, object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        yield text
        return
    _check_number(len(messages))
    for message in messages:
        yield json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")


def _is_object(line: bytes) -> bool:
    """Whether a first line is a message by itself; otherwise the lines are those of one message."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _check_number(messages: int) -> None:
    if messages > MAX_MESSAGES:
        raise IngestError(f"{messages} messages, more than {MAX_MESSAGES} in one request")
