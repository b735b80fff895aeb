"""The agent's bus while its broker is there, away, slow and back; the disk full; the process killed."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from collectors.wire import Block, Identity, encode
from daemon.bus import spool_lane
from daemon.bus.bus import BusError, TooLarge
from tests.daemon.bus.spooling import Broker, Connection, accepted, spool_bus, until


def values(broker: Broker, topic: str) -> list[bytes]:
    return [value or b"" for name, _, value in broker.arrived if name == topic]


def dropped(lane: str, reason: str) -> float:
    return REGISTRY.get_sample_value("shiftwatch_spool_dropped_records_total", {"lane": lane, "reason": reason}) or 0.0


def heartbeat(stream: str, epoch: int, sequence: int) -> bytes:
    return encode(Block(Identity(stream, epoch, sequence), None, 1_000 + sequence))


def test_what_is_published_while_the_broker_is_away_arrives_in_the_order_of_what_matters(tmp_path: Path) -> None:
    broker = Broker()
    broker.here = False
    bus = spool_bus(tmp_path, broker.connect)
    for number in range(3):
        bus.publish("frames", "node", b"block %d" % number)
    bus.publish("frames", "node#summary", b"summary")
    bus.publish("conditions", "beam", b"condition")
    bus.publish("layouts", "d1", b"layout")
    bus.publish("dead-letters", "node", b"letter")
    bus.publish("findings", "node", b"finding")
    bus.flush(1.0)
    assert bus.away
    assert broker.arrived == []
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    bus.close()
    order = [value for _, _, value in broker.arrived]
    assert order == [b"letter", b"finding", b"layout", b"condition", b"summary", b"block 0", b"block 1", b"block 2"]


def test_new_blocks_of_a_stream_never_overtake_those_that_wait(tmp_path: Path) -> None:
    broker = Broker()
    broker.here = False
    bus = spool_bus(tmp_path, broker.connect)
    for sequence in range(500):
        bus.publish("frames", "node", heartbeat("node", 1, sequence))
    broker.here = True
    for sequence in range(500, 1000):
        bus.publish("frames", "node", heartbeat("node", 1, sequence))
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert accepted(broker.records("frames")) == [("node", 1, sequence) for sequence in range(1000)]


def test_a_broker_that_gives_records_up_gets_them_again(tmp_path: Path) -> None:
    broker = Broker()
    bus = spool_bus(tmp_path, broker.connect)
    for sequence in range(300):
        if sequence % 60 == 30:
            broker.here = not broker.here
        bus.publish("frames", "node", heartbeat("node", 1, sequence))
        time.sleep(0.001)
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert accepted(broker.records("frames")) == [("node", 1, sequence) for sequence in range(300)]


def test_a_broker_that_acknowledges_nothing_counts_as_away_and_delays_no_publisher(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker()
    bus = spool_bus(tmp_path, broker.connect)
    bus.publish("findings", "node", b"one")
    assert bus.wait_until_delivered(20.0)
    broker.silent = True
    with caplog.at_level(logging.INFO):
        bus.publish("findings", "node", b"two")
        until(lambda: bus.away, "the broker is away")
        bus.publish("findings", "node", b"three")
        assert bus.status()["lanes"]["findings"]["records"] == 2
        assert bus.status()["problem"] == "not acknowledged"
        broker.silent = False
        assert bus.wait_until_delivered(20.0)
    bus.close()
    assert values(broker, "findings") == [b"one", b"two", b"three"]
    said = [record.getMessage() for record in caplog.records]
    assert sum("broker away" in line for line in said) == 1
    assert sum("broker there" in line for line in said) == 1


def test_what_the_agent_did_not_deliver_is_delivered_by_the_next_one(tmp_path: Path) -> None:
    broker = Broker()
    broker.here = False
    first = spool_bus(tmp_path, broker.connect)
    first.publish("findings", "node", b"early")
    first.publish("frames", "node", b"raw")
    first.close()
    broker.here = True
    second = spool_bus(tmp_path, broker.connect)
    second.publish("findings", "node", b"late")
    assert second.wait_until_delivered(20.0)
    second.close()
    assert values(broker, "findings") == [b"early", b"late"]
    assert values(broker, "frames") == [b"raw"]
    third = spool_bus(tmp_path, broker.connect)
    assert third.status()["lanes"]["findings"]["records"] == 0
    third.close()


KILLED = """
import sys, time
from pathlib import Path
from tests.daemon.bus.spooling import Broker, spool_bus
from tests.daemon.bus.test_spool import heartbeat
broker = Broker()
broker.here = False
bus = spool_bus(Path(sys.argv[1]), broker.connect)
epoch, sequence = int(sys.argv[2]), 0
while True:
    bus.publish("frames", "node", heartbeat("node", epoch, sequence))
    bus.flush(1.0)
    print(sequence, flush=True)
    sequence += 1
"""


def test_nothing_acknowledged_is_lost_when_the_agent_is_killed_in_the_outage(tmp_path: Path) -> None:
    last = {}
    for epoch in (1, 2, 3):
        arguments = [sys.executable, "-c", KILLED, str(tmp_path / "spool"), str(epoch)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
        assert process.stdout is not None
        for _ in range(200 * epoch):
            acknowledged = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        process.wait()
        process.stdout.close()
        last[epoch] = int([line for line in [acknowledged.strip(), *rest[:-1]] if line][-1])
    broker = Broker()
    bus = spool_bus(tmp_path / "spool", broker.connect)
    assert bus.wait_until_delivered(20.0)
    bus.close()
    taken = accepted(broker.records("frames"))
    for epoch, sequence in last.items():
        of_epoch = [s for _, e, s in taken if e == epoch]
        assert of_epoch == list(range(len(of_epoch)))
        assert of_epoch[-1] in (sequence, sequence + 1), "the last one may be written and not acknowledged yet"


def test_a_full_spool_drops_the_oldest_blocks_and_keeps_the_findings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broker = Broker()
    broker.here = False
    before = dropped("frames", "full")
    bus = spool_bus(tmp_path, broker.connect, max_bytes=256 * 1024, segment_bytes=16 * 1024)
    for number in range(1000):
        bus.publish("frames", "node", b"%04d" % number + bytes(1000))
        if number % 10 == 0:
            bus.publish("findings", "node", b"%04d" % number)
    held = bus.status()["lanes"]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.segment")) <= 256 * 1024
    assert held["frames"]["dropped"] == dropped("frames", "full") - before > 500
    assert "spool drops records reason=full" in caplog.text
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert values(broker, "findings") == [b"%04d" % number for number in range(0, 1000, 10)]
    numbers = [int(value[:4]) for value in values(broker, "frames")]
    assert numbers == list(range(1000 - len(numbers), 1000))
    assert len(numbers) == 1000 - held["frames"]["dropped"] > 100


def test_where_findings_alone_fill_the_spool_the_oldest_of_them_go(tmp_path: Path) -> None:
    broker = Broker()
    broker.here = False
    bus = spool_bus(tmp_path, broker.connect, max_bytes=64 * 1024, segment_bytes=16 * 1024)
    for number in range(200):
        bus.publish("findings", "node", b"%03d" % number + bytes(1000))
    bus.publish("frames", "node", bytes(30_000))
    assert bus.status()["lanes"]["frames"] == {"records": 0, "bytes": 0, "oldest_ns": 0, "dropped": 1}
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    bus.close()
    numbers = [int(value[:3]) for value in values(broker, "findings")]
    assert numbers == list(range(200 - len(numbers), 200))
    assert len(numbers) > 30


def test_a_full_disk_is_said_and_stops_neither_collecting_nor_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker()
    bus = spool_bus(tmp_path, broker.connect)
    bus.publish("frames", "node", b"0")
    assert bus.wait_until_delivered(20.0)
    real = spool_lane.write

    def full(file: int, data: bytes) -> int:
        if len(data) > 4:
            os.write(file, data[: len(data) // 2])  # a full disk takes a part
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_lane, "write", full)
    broker.here = False
    for number in range(1, 50):
        bus.publish("frames", "node", b"%d" % number)
    assert "No space left" in bus.status()["problem"]
    assert "spool cannot write" in caplog.text
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    monkeypatch.setattr(spool_lane, "write", real)
    monkeypatch.setattr(spool_lane, "RETRY_S", 0.0)
    bus.publish("frames", "node", b"50")
    assert bus.wait_until_delivered(20.0)
    assert bus.status()["problem"] == ""
    bus.close()
    assert values(broker, "frames") == [b"%d" % number for number in range(51)]


def test_what_waits_for_a_full_disk_is_bounded_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    broker.here = False
    before = dropped("frames", "disk")
    bus = spool_bus(tmp_path, broker.connect, memory_bytes=10_000)

    def full(_file: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_lane, "write", full)
    for number in range(100):
        bus.publish("frames", "node", b"%02d" % number + bytes(1000))
    lost = dropped("frames", "disk") - before
    assert 85 <= lost < 100
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert [int(value[:2]) for value in values(broker, "frames")] == list(range(int(lost), 100))


def test_a_layout_is_kept_once_however_often_the_agent_is_started(tmp_path: Path) -> None:
    broker = Broker()
    broker.here = False
    for _ in range(3):
        bus = spool_bus(tmp_path, broker.connect)
        bus.publish("layouts", "d1", b"one")
        bus.publish("layouts", "d2", b"two")
        bus.close()
    broker.here = True
    bus = spool_bus(tmp_path, broker.connect)
    assert bus.wait_until_delivered(20.0)
    bus.publish("layouts", "d1", b"one")  # a broker that was set up anew gets it from the next process
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert values(broker, "layouts") == [b"one", b"two", b"one"]


def test_only_the_last_state_of_a_process_is_told_and_none_of_it_is_on_the_disk(tmp_path: Path) -> None:
    broker = Broker()
    broker.here = False
    bus = spool_bus(tmp_path, broker.connect)
    for number in range(5):
        bus.publish("state", "node17/1/collect", b"status %d" % number)
    assert not list(tmp_path.rglob("*.segment"))
    broker.here = True
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert values(broker, "state") == [b"status 4"]


def test_a_record_that_the_broker_refuses_holds_nothing_up(tmp_path: Path) -> None:
    class Strict(Broker):
        def connect(self) -> Connection:
            connection = super().connect()
            publish = connection.publish

            def limited(topic: str, key: str, value: bytes | None) -> None:
                if len(value or b"") > 100:
                    raise TooLarge("too large for the broker")
                publish(topic, key, value)

            connection.publish = limited  # type: ignore[method-assign]
            return connection

    broker = Strict()
    bus = spool_bus(tmp_path, broker.connect)
    before = dropped("frames", "refused")
    for value in (b"a", bytes(200), b"b"):
        bus.publish("frames", "node", value)
    assert bus.wait_until_delivered(20.0)
    bus.close()
    assert values(broker, "frames") == [b"a", b"b"]
    assert dropped("frames", "refused") == before + 1


def test_two_agents_cannot_share_a_folder(tmp_path: Path) -> None:
    broker = Broker()
    bus = spool_bus(tmp_path, broker.connect)
    with pytest.raises(BusError, match="another process uses it"):
        spool_bus(tmp_path, broker.connect)
    bus.close()
    spool_bus(tmp_path, broker.connect).close()


def test_the_disk_is_given_back_when_all_is_delivered(tmp_path: Path) -> None:
    broker = Broker()
    bus = spool_bus(tmp_path, broker.connect, max_bytes=1024 * 1024, segment_bytes=16 * 1024)
    for number in range(2000):
        bus.publish("frames", "node", b"%04d" % number + bytes(500))
    assert bus.wait_until_delivered(20.0)
    bus.publish("frames", "node", b"last")
    assert bus.wait_until_delivered(20.0)
    until(lambda: sum(path.stat().st_size for path in tmp_path.rglob("*.segment")) <= 17 * 1024, "segments are gone")
    bus.close()
