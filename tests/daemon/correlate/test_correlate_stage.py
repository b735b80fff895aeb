"""The correlate stage on a bus and a database: the order of streams, restarts, two of them, the outbox."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon import messages
from daemon.bus.bus import BusError
from daemon.bus.memory import MemoryBus
from daemon.messages import Progress
from daemon.records import Incident, IncidentState
from daemon.store.store import Fenced
from detectors.finding import Finding
from tests.daemon.correlating import Message, Site, trip
from tests.daemon.reports import S, cleared, raised

STREAMS = ("hv", "dqm", "daq")


def stream(name: str, found: Sequence[Finding], length_s: float = 100) -> list[Message]:
    """What a detect stage says of one stream: findings that are raised and clear, with progress in between."""
    reports = sorted([r for f in found for r in (raised(f), cleared(f, f.since_ns / S + length_s))], key=lambda r: r.at_ns)
    said: list[Message] = [Progress(name, 0)]
    for report in reports:
        said += [report, Progress(name, report.at_ns + S)]
    return [*said, Progress(name, 10_000 * S)]


FOUND = [part for number, since in ((3, 1000), (4, 1002), (3, 1110), (5, 2000)) for part in trip(number, since)]
SAID = {name: stream(name, [f for f in FOUND if f.source == name]) for name in STREAMS}


@contextmanager
def temporary_site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        yield site
        site.close()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[Incident]:
    """What comes of the three streams one after the other."""
    made = Site(tmp_path_factory.mktemp("expected"))
    made.say(*(said[0] for said in SAID.values()))
    for name in STREAMS:
        made.say(*SAID[name][1:])
    made.close()
    return made.incidents


INTERLEAVED = st.permutations([name for name in STREAMS for _ in SAID[name][1:]])


def interleaved(names: Sequence[str]) -> list[Message]:
    """The streams in this order; the order within each is kept, and all are known at the start, as a replay makes sure."""
    rest = {name: iter(said[1:]) for name, said in SAID.items()}
    return [said[0] for said in SAID.values()] + [next(rest[name]) for name in names]


def test_a_trip_with_its_victims_is_one_incident_and_again_after_it_cleared(expected: list[Incident]) -> None:
    whole = [i for i in expected if not i.merged_into]
    assert [(i.cause_place, i.state) for i in whole] == [(f"DEMO/HV/ch0{n}", IncidentState.RESOLVED) for n in (3, 4, 5)]
    assert all(len(i.places) == 3 for i in whole)


@settings(max_examples=15, deadline=None)
@given(INTERLEAVED)
def test_any_order_of_the_streams_gives_the_same_incidents(expected: list[Incident], names: list[str]) -> None:
    with temporary_site() as site:
        site.say(*interleaved(names))
        assert site.incidents == expected


@settings(max_examples=15, deadline=None)
@given(INTERLEAVED, st.lists(st.integers(0, 6), max_size=12), st.integers(0, 3))
def test_a_restart_at_any_point_loses_and_doubles_nothing(
    expected: list[Incident], names: list[str], sizes: list[int], die_early: int
) -> None:
    said = interleaved(names)
    with temporary_site() as site:
        for size in sizes:
            for message in said[:size]:
                site.bus.publish("findings", "key", messages.encode(message))
            said = said[size:]
            if size != die_early:  # else it dies before it has read them
                site.stage.step(0.0)
            site.crash()
        site.say(*said)
        assert site.incidents == expected
        revisions = [(i.id, i.revision) for i in map(messages.decode, site.told()) if isinstance(i, Incident)]
        assert len(revisions) == len(set(revisions))
        assert {i.id: i.revision for i in expected}.items() <= set(revisions)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_what_a_detect_stage_says_again_after_a_crash_changes_nothing(expected: list[Incident], data: st.DataObject) -> None:
    with temporary_site() as site:
        site.say(*(said[0] for said in SAID.values()))
        for name in STREAMS:
            cut = data.draw(st.integers(0, len(SAID[name])))
            start = data.draw(st.integers(0, cut))
            site.say(*SAID[name][1:cut])
            site.say(*SAID[name][start:])
        assert site.incidents == expected


def test_a_stage_that_was_replaced_cannot_write(site: Site) -> None:
    site.say(Progress("hv", 0))
    site.store.acquire("correlate", "somebody else")
    with pytest.raises(Fenced):
        site.say(raised(FOUND[0]), Progress("hv", 5000 * S))
    assert site.incidents == []
    site.crash()
    site.work()
    assert [i.condition for i in site.incidents] == ["hv_trip"]
    assert len(site.told()) == 1


def test_one_is_active_and_the_other_takes_over(site: Site) -> None:
    standby = site.new_stage()
    standby.step(0.0)
    site.say(Progress("hv", 0), raised(FOUND[0]), Progress("hv", 1500 * S))
    assert (site.stage.status()["active"], standby.status()["active"]) == (True, False)
    site.stage.close()
    site.stage = standby
    site.say(cleared(FOUND[0], 1600), Progress("hv", 1700 * S))
    assert standby.status()["active"]
    assert [(i.state, i.revision) for i in site.incidents] == [(IncidentState.RESOLVED, 2)]


class Failing(MemoryBus):
    """A bus that takes no incidents for a while."""

    down = True

    def publish(self, topic: str, key: str, value: bytes | None) -> None:
        if topic == "incidents" and self.down:
            raise BusError("no broker")
        super().publish(topic, key, value)


def test_an_incident_that_could_not_be_published_is_published_after_a_restart(tmp_path: Path) -> None:
    bus = Failing()
    site = Site(tmp_path, bus)
    with pytest.raises(BusError):
        site.say(raised(FOUND[0]), Progress("hv", 5000 * S))
    assert (len(site.incidents), site.told()) == (1, [])
    bus.down = False
    site.crash()
    site.work()
    assert [messages.decode(value) for value in site.told()] == site.incidents
    site.close()


def test_a_new_memory_bus_is_read_from_its_beginning(tmp_path: Path) -> None:
    first = Site(tmp_path)
    first.say(*(Progress("hv", number) for number in range(10)))
    first.close()
    bus = MemoryBus()
    said: list[Message] = [raised(FOUND[0]), Progress("hv", 1100 * S), *(Progress("hv", (1100 + number) * S) for number in range(20))]
    for message in said:
        bus.publish("findings", "key", messages.encode(message))
    second = Site(tmp_path, bus)
    second.work()
    assert [i.condition for i in second.incidents] == ["hv_trip"]
    second.close()


def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(site: Site) -> None:
    site.bus.publish("findings", "key", b"\xff not a message")
    site.say(raised(FOUND[0]), Progress("hv", 5000 * S))
    assert len(site.incidents) == 1
    site.crash()
    site.work()
    (letter,) = site.told("dead-letters")
    assert b"findings 0/0" in letter
