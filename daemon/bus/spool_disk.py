"""The spool of an agent on disk: one lane for each kind of record, in the order in which they are delivered, within a bound.

Delivered first are findings and dead letters, then layouts (no block can be read without), conditions, summaries, and blocks of
data the oldest first. Given up first, where there is no room, are the oldest blocks of data; findings last.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon import metrics
from daemon.bus.bus import BusError
from daemon.bus.spool_lane import Lane
from daemon.bus.spool_options import SpoolOptions
from daemon.bus.spool_segment import Spooled

log = logging.getLogger(__name__)

FINDINGS, LAYOUTS, CONDITIONS, SUMMARIES, FRAMES = LANES = ("findings", "layouts", "conditions", "summaries", "frames")
"""In the order of delivery."""
GIVEN_UP = (FRAMES, SUMMARIES, CONDITIONS, LAYOUTS, FINDINGS)
"""In the order in which they are dropped."""
LEAST_SEGMENT_BYTES = 16 * 1024
SAID_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class LaneUsage:
    """What a lane holds: records that are not delivered, bytes on disk, and when the oldest was published (ns; 0: none)."""

    records: int
    bytes: int
    oldest_ns: int
    dropped: int


Batch = Sequence[tuple[str, Spooled]]
"""Records with the names of their lanes."""


class Spool:
    """All lanes. Safe for use by several threads."""

    def __init__(self, options: SpoolOptions) -> None:
        """Opens the folder, new or as it was left. Raises BusError where it cannot, or where another process uses it."""
        self._options = options
        self._lock = threading.Lock()
        self._dropped = dict.fromkeys(LANES, 0)
        self._unsaid = dict.fromkeys(LANES, 0)
        self._said_s = -SAID_EVERY_S
        self._refused = ""
        folder = options.folder
        segment_bytes = min(options.segment_bytes, max(LEAST_SEGMENT_BYTES, options.max_bytes // 16))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._guard = _locked(folder)
            self._lanes = {name: Lane(folder / name, segment_bytes) for name in LANES}
            self._layouts = self._lanes[LAYOUTS].keys()
        except OSError as error:
            raise BusError(f"spool {folder}: {error.strerror or error}") from None

    @property
    def problem(self) -> str:
        """Why the disk takes nothing at present; empty where it does."""
        return self._refused

    @property
    def records(self) -> int:
        """How many are not delivered."""
        with self._lock:
            return sum(lane.records for lane in self._lanes.values())

    def put(self, lane_name: str, topic: str, key: str, value: bytes | None) -> None:
        """Adds a record; where there is no room, what matters less is dropped for it, or the record itself."""
        lane = self._lanes[lane_name]
        with self._lock:
            if lane_name == LAYOUTS and key in self._layouts:
                return  # a digest says all: an agent that is started again and again says it again
            if not self._make_room(lane_name, len(value or b"") + len(key) + 64):
                self._give_up(lane_name, 1, "full")
                return
            refused = lane.append(topic, key, value, time.time_ns())
            self._note_disk(lane, refused)
            self._give_up(lane_name, lane.drop_waiting(self._options.memory_bytes), "disk")
            if lane_name == LAYOUTS:
                self._layouts.add(key)

    def next_batch(self, max_records: int, max_bytes: int) -> Batch:
        """The records to be delivered next; the same again until `delivered`."""
        batch: list[tuple[str, Spooled]] = []
        size = 0
        with self._lock:
            for name, lane in self._lanes.items():
                if lane.records and len(batch) < max_records and size < max_bytes:
                    found = lane.read(max_records - len(batch), max_bytes - size)
                    batch += [(name, record) for record in found]
                    size += sum(record.size for record in found)
                    self._note_damage(name, lane)
        return batch

    def delivered(self, batch: Batch) -> None:
        """The broker has these."""
        last = dict(batch)
        with self._lock:
            for name, record in last.items():
                self._lanes[name].delivered(record)
            self._layouts -= {record.key for name, record in batch if name == LAYOUTS}

    def sync(self, *, everything: bool) -> None:
        """Has the disk keep what the policy says must outlive a loss of power: findings, or all. A disk that refuses is said once."""
        if self._options.sync == "none":
            return
        with self._lock:
            for name in LANES if everything and self._options.sync == "all" else (FINDINGS,):
                try:
                    self._lanes[name].sync()
                except OSError as error:
                    self._note_disk(self._lanes[name], error)

    def save(self) -> None:
        """Notes how far it is delivered, so that little is sent again after a crash."""
        with self._lock:
            for lane in self._lanes.values():
                lane.save_delivered()

    def usage(self) -> dict[str, LaneUsage]:
        """What each lane holds."""
        with self._lock:
            return {n: LaneUsage(lane.records, lane.size, lane.oldest_ns(), self._dropped[n]) for n, lane in self._lanes.items()}

    def close(self) -> None:
        """Lets go of the folder. Raises BusError where the disk did not take what waited in memory."""
        lost: list[str] = []
        with self._lock:
            for lane in self._lanes.values():
                try:
                    lane.close()
                except OSError as error:
                    lost.append(f"{lane.name}: {error.strerror or error}")
            os.close(self._guard)
        if lost:
            raise BusError(f"spool {self._options.folder}: {', '.join(lost)}")

    def _make_room(self, lane_name: str, size: int) -> bool:
        """Drops the oldest of what matters no more than a record of this lane, until so many bytes fit; whether they do."""
        excess = sum(lane.size for lane in self._lanes.values()) + size - self._options.max_bytes
        for name in GIVEN_UP[: GIVEN_UP.index(lane_name) + 1]:
            lane = self._lanes[name]
            while excess > 0 and lane.size:
                excess -= lane.size
                self._give_up(name, lane.drop_oldest(), "full")
                excess += lane.size
                self._note_damage(name, lane)
                if name == LAYOUTS:
                    self._layouts.clear()
        return excess <= 0

    def _give_up(self, lane_name: str, records: int, reason: str) -> None:
        if not records:
            return
        self._dropped[lane_name] += records
        self._unsaid[lane_name] += records
        metrics.SPOOL_DROPPED.labels(lane=lane_name, reason=reason).inc(records)
        if time.monotonic() - self._said_s >= SAID_EVERY_S:
            self._said_s = time.monotonic()
            told = " ".join(f"{name}={count}" for name, count in self._unsaid.items() if count)
            log.error("spool drops records reason=%s max_bytes=%d %s", reason, self._options.max_bytes, told)
            self._unsaid = dict.fromkeys(LANES, 0)

    def _note_damage(self, name: str, lane: Lane) -> None:
        damaged, lane.damaged = lane.damaged, 0
        self._give_up(name, damaged, "damaged")

    def _note_disk(self, lane: Lane, error: OSError | None) -> None:
        if error is not None and not self._refused:
            self._refused = f"{self._options.folder}: {error.strerror or error}"
            log.error("spool cannot write, records wait in memory reason=%r", self._refused)
        elif error is None and self._refused and not lane.waiting_bytes:
            log.info("spool can write again folder=%s", self._options.folder)
            self._refused = ""


def _locked(folder: Path) -> int:
    """A lock that ends with the process: two agents that write into one folder would spoil it. Raises OSError."""
    guard = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(guard)
        raise OSError(f"another process uses it ({folder / 'lock'} is locked)") from None
    return guard
