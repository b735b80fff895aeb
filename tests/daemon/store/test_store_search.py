"""Looking through incidents: words, places, times, pages. SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from daemon.records import Incident, IncidentState, TimelineEntry
from daemon.store.search import Wanted, deliveries, earlier_like, figure_of, search_incidents
from daemon.store.store import Store
from tests.daemon.store.samples import put
from tests.page import S, incident, resolved

NOW = 1_700_000_000 * S
TRACKER = incident("tracker", now_ns=NOW, age_s=100)
ECAL = incident(
    "ecal",
    now_ns=NOW,
    age_s=50,
    sentence='Crystal "EB+07" draws 100% more, über all',
    cause_place="CMS/ECAL/EB_07",
    places=("CMS/ECAL/EB_07",),
    timeline=(),
    why="",
    condition="dead_region",
)


def found(store: Store, wanted: Wanted, limit: int = 100) -> list[str]:
    return [each.id for each in search_incidents(store, wanted, limit)]


def test_words_occur_in_any_case_and_order(store: Store) -> None:
    said = TimelineEntry(NOW, "J. Doe", "real: recycled the partition")
    put(store, replace(TRACKER, timeline=(*TRACKER.timeline, said)), ECAL)
    for words in (("STUCK", "fed", "triggers"), ("recycled",), ("j.", "doe"), ("tracker",)):
        assert found(store, Wanted(words=words)) == ["tracker"], words
    for words in (("100%",), ('"eb+07"',), ("ÜBER",), ("dead_region",)):
        assert found(store, Wanted(words=words)) == ["ecal"], words
    for words in (("sentence",), ("revision",), ("_nothing_",), ("recycled", "crystal")):
        assert found(store, Wanted(words=words)) == [], words


def test_place_condition_state_and_time(store: Store) -> None:
    put(store, TRACKER, resolved(ECAL, 10))
    assert found(store, Wanted(place="cms/ecal/")) == ["ecal", "tracker"]  # the tracker's victims are there
    assert found(store, Wanted(place="CMS/ECAL/EB_07")) == ["ecal"]
    assert found(store, Wanted(place="CMS/ECAL/EBx07")) == []
    assert found(store, Wanted(condition="dead_region")) == ["ecal"]
    assert found(store, Wanted(condition="dead%")) == []
    assert found(store, Wanted(states=(IncidentState.RESOLVED,))) == ["ecal"]
    assert found(store, Wanted(from_ns=ECAL.opened_ns)) == ["ecal"]
    assert found(store, Wanted(until_ns=TRACKER.opened_ns)) == ["tracker"]


def test_pages_go_on_where_the_last_one_ended(store: Store) -> None:
    put(store, *(incident(f"i{n}", now_ns=NOW, age_s=100 + n // 2) for n in range(7)))
    seen: list[str] = []
    wanted = Wanted()
    while page := search_incidents(store, wanted, 2):
        seen += [each.id for each in page]
        wanted = Wanted(before=(page[-1].opened_ns, page[-1].id))
    assert seen == ["i1", "i0", "i3", "i2", "i5", "i4", "i6"]


def test_parts_of_others_are_left_out(store: Store) -> None:
    put(store, replace(TRACKER, merged_into="ecal"), ECAL)
    assert found(store, Wanted()) == ["ecal"]


def test_those_that_looked_alike_were_over_before(store: Store) -> None:
    def earlier(name: str, age_s: float, **changes: object) -> Incident:
        return resolved(incident(name, now_ns=NOW, age_s=age_s, **changes), 20)

    put(
        store,
        TRACKER,
        earlier("later", 10),
        earlier("same", 9000),
        earlier("elsewhere", 500, cause_place="CMS/Pixel/FED7"),
        earlier("another", 400, condition="outlier"),
        incident("lasting", now_ns=NOW, age_s=900),
    )
    assert [other.id for other in earlier_like(store, TRACKER, 5)] == ["same", "elsewhere"]
    assert [other.id for other in earlier_like(store, TRACKER, 1)] == ["same"]


def test_what_each_receiver_was_told(store: Store) -> None:
    put(store, TRACKER)
    with store.transaction() as connection:
        store.record_delivery(connection, TRACKER, "slack", "reference", NOW + 2)
        store.record_delivery(connection, replace(TRACKER, revision=0), "logbook", "", NOW + 1)
    assert [(d.receiver, d.revision, d.delivered_ns) for d in deliveries(store, "tracker")] == [
        ("logbook", 0, NOW + 1),
        ("slack", 1, NOW + 2),
    ]
    assert deliveries(store, "none") == []


def test_a_picture_by_its_finding(store: Store) -> None:
    with store.transaction() as connection:
        store.put_figure(connection, "tracker", "f1", "figure", NOW)
    assert figure_of(store, "f1") == "figure"
    assert figure_of(store, "f2") is None
