"""The history stage: writes frames and conditions to files, and commits them once they are on the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.frame import Layout
from collectors.wire import UnknownLayout, WireError, decode, decode_layout
from daemon import metrics
from daemon.bus.bus import Bus, BusError, NotAssigned, Record, TopicPartition, read_existing
from daemon.clock import Clock
from daemon.history.upkeep import tidy
from daemon.history.writer import Writer
from daemon.history_sections import HistorySettings

log = logging.getLogger(__name__)

READ_EXISTING_S = 30.0
HOLD_S = 5.0
"""How long a block waits for its layout (wall time)."""
BLOCKS_MOST = 4000
"""Blocks, heartbeats among them, after which files are closed anyway: the memory bus holds them until they are committed."""
TIDY_EVERY_S = 3600.0


@dataclass(slots=True)
class _Part:
    """One partition: what is gathered of it, how far it was read, and what waits for its layout."""

    writer: Writer
    next_offset: int | None = None
    held: list[tuple[Record, float]] = field(default_factory=list)


class HistoryStage:
    """Any number of them share the partitions out among themselves.

    On the memory bus, a disk that is full costs history and never holds up the watch: rows that cannot be written are given up
    and counted. On Kafka they stay there, and the stage tries again.
    """

    name = "history"

    def __init__(self, settings: HistorySettings, bus: Bus, clock: Clock, *, bus_outlives_us: bool) -> None:
        """Raises OSError where the folder cannot be written."""
        assert settings.path is not None
        self._settings = settings
        self._root: Path = settings.path
        self._clock = clock
        self._bus_outlives_us = bus_outlives_us
        self._root.mkdir(parents=True, exist_ok=True)
        self._layouts: dict[str, Layout] = {}
        self._parts: dict[TopicPartition, _Part] = {}
        self._opened_s = time.monotonic()
        self._tidy_due_s = time.monotonic()
        self._rows, self._problem, self._begun = 0, "", False
        self._reference = bus.subscribe(["layouts"], None)
        self._blocks = bus.subscribe(["frames", "conditions"], "history", on_assign=self._assigned, on_revoke=self._revoked)

    def step(self, timeout_s: float) -> int:
        """Takes in what has arrived; the number of records read. Raises OSError where it cannot be written and can be read again."""
        references = self._reference.poll(0.0) if self._begun else read_existing(self._reference, READ_EXISTING_S)
        self._begun = True
        for record in references:
            self._take_layout(record)
        records = self._blocks.poll(timeout_s)
        for record in records:
            self._parts[TopicPartition(record.topic, record.partition)].held.append((record, time.monotonic()))
        for part in self._parts.values():
            self._gather(part)
        if self._is_due():
            self._close_files()
        if time.monotonic() >= self._tidy_due_s:
            self._tidy()
            self._tidy_due_s = time.monotonic() + TIDY_EVERY_S
        return len(records)

    def close(self) -> None:
        """Writes what was gathered and leaves."""
        try:
            self._close_files()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leaves without writing: what was not committed is read again."""
        self._parts.clear()
        self._blocks.close()
        self._reference.close()

    def status(self) -> dict[str, Any]:
        """For `shiftwatch status`."""
        return {"rows": self._rows, "gathered_bytes": self._bytes(), "problem": self._problem}

    def _take_layout(self, record: Record) -> None:
        try:
            layout = decode_layout(record.value)
            self._layouts[layout.digest] = layout
        except WireError as error:
            log.warning("layout refused reason=%r", str(error))

    def _gather(self, part: _Part) -> None:
        """In order, as far as layouts are known; what cannot be read is left out here: the detect stage tells of it."""
        while part.held:
            record, since_s = part.held[0]
            try:
                part.writer.take(decode(record.value, self._layouts), record.offset)
            except UnknownLayout:
                if time.monotonic() - since_s <= HOLD_S:
                    return
            except WireError as error:
                log.debug("block refused reason=%r", str(error))
            part.held.pop(0)
            part.next_offset = record.offset + 1

    def _tidy(self) -> None:
        """What cannot be tidied waits for the next time; writing goes on."""
        try:
            tidy(self._root, self._settings.retention_days, self._clock.now_ns())
        except OSError as error:
            log.warning("history not tidied folder=%s reason=%r", self._root, error.strerror or str(error))

    def _bytes(self) -> int:
        return sum(part.writer.bytes for part in list(self._parts.values()))

    def _is_due(self) -> bool:
        blocks = sum(part.writer.blocks for part in self._parts.values())
        old = time.monotonic() - self._opened_s > self._settings.close_after_s
        return self._bytes() > self._settings.buffer_bytes or blocks >= BLOCKS_MOST or (old and blocks > 0)

    def _close_files(self) -> None:
        self._opened_s = time.monotonic()
        for tp in list(self._parts):
            self._close_part(tp, self._parts[tp])

    def _close_part(self, tp: TopicPartition, part: _Part) -> None:
        """Files first, then the commit: what was not committed comes again and is recognised."""
        try:
            rows = part.writer.close()
            self._rows += rows
            self._problem = self._problem if not rows else ""
            metrics.HISTORY_ROWS.inc(rows)
        except OSError as error:
            self._problem = f"history cannot be written: {error.strerror or error}"
            if self._bus_outlives_us:
                raise
            lost = part.writer.drop()
            metrics.HISTORY_LOST_ROWS.inc(lost)
            log.error("history lost rows=%d reason=%r", lost, self._problem)
        if part.next_offset is not None:
            try:
                self._blocks.commit({tp: part.next_offset})
            except (NotAssigned, BusError) as error:
                log.warning("history not committed partition=%s-%d reason=%r", tp.topic, tp.partition, str(error))
            part.next_offset = None

    def _assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        for tp in partitions:
            self._parts[tp] = _Part(Writer(self._root, tp.topic, tp.partition))
        return {}

    def _revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Writes what is given up, so that the next one need not read it again."""
        for tp in partitions:
            part = self._parts.pop(tp, None)
            if part is not None:
                self._close_part(tp, part)
