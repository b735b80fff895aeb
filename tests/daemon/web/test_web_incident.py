"""An incident's own page, as data."""

from __future__ import annotations

from dataclasses import replace

from daemon.records import IncidentState, Label, LabelKind, TimelineEntry
from daemon.sections import ClockSettings
from daemon.settings import parse
from daemon.store.search import Delivery
from daemon.web.views.incident import Entry, actions, event_ns, incident_page, similar_rows, told_entries, victim_branches
from daemon.web.words import Times
from detectors.finding import Certainty
from tests.page import CONFIG, S, incident, resolved

NOW = 1_700_000_000 * S
TIMES = Times(parse(CONFIG).zone, NOW)
MINE = incident("mine", now_ns=NOW)


def said(kind: LabelKind, at_s: float, comment: str = "", until_ns: int | None = None) -> tuple[Label, TimelineEntry]:
    at_ns = NOW - int(at_s * S)
    return Label(f"{kind}{at_s}", "mine", kind, "J.", at_ns, comment, until_ns), TimelineEntry(at_ns, "J.", str(kind))


def test_timeline_has_data_people_and_deliveries_in_order() -> None:
    label, entry = said(LabelKind.SILENCE, 200, "pump", NOW + 3400 * S)
    told = told_entries([Delivery("slack", 3, NOW - 350 * S), Delivery("logbook", 0, NOW - 350 * S)], ClockSettings(), TIMES)
    page = incident_page(replace(MINE, timeline=(*MINE.timeline, entry)), "CMS", TIMES, labels=[label], told=told)
    assert [(e.kind, e.who, e.what) for e in page.timeline] == [
        ("data", "", "data are unusual: dead-time 100 %"),
        ("data", "", "opened: FED 101 is stuck in WARNING"),
        ("delivery", "slack", "told"),
        ("person", "J.", "silenced it until 00:10: pump"),
    ]


def test_what_a_person_said_without_a_label_is_still_there() -> None:
    entry = TimelineEntry(NOW, "J.", "silence until 2023-11-14T23:10:00.000Z")
    page = incident_page(replace(MINE, timeline=(entry,)), "CMS", TIMES)
    assert page.timeline[-1].what == "silence until 00:10"


def test_buttons_follow_the_state() -> None:
    def shown(changed: object, me: str = "") -> list[str]:
        return [action.text for action in actions(changed, me, NOW)]  # type: ignore[arg-type] # an incident

    rest = ["It is real", "Not a problem", "Resolve"]
    assert shown(MINE) == ["On it", "Silence 1 h", *rest]
    owned = replace(MINE, state=IncidentState.ACKNOWLEDGED, owner="J.")
    assert shown(owned, "J.") == ["Silence 1 h", *rest]
    assert shown(owned, "M.") == ["On it", "Silence 1 h", *rest]
    assert shown(replace(MINE, silenced_until_ns=NOW + S)) == ["On it", "End silence", *rest]
    assert shown(resolved(MINE)) == ["It is real", "Not a problem"]
    assert shown(replace(MINE, merged_into="other")) == []


def test_state_in_words() -> None:
    _, entry = said(LabelKind.ACKNOWLEDGE, 120)
    owned = replace(MINE, state=IncidentState.ACKNOWLEDGED, owner="J.", timeline=(*MINE.timeline, entry))
    assert incident_page(owned, "CMS", TIMES).state_words == "J. is on it, since 23:11 (2 min)."
    assert incident_page(MINE, "CMS", TIMES).state_words == "Nobody is on it yet."
    assert incident_page(resolved(MINE), "CMS", TIMES).state_words == "Resolved after 3 min, at 23:10."


def test_certainty_is_a_word_with_its_reason() -> None:
    unsure = replace(MINE, certainty=Certainty.UNSURE, reason="pile-up is not known")
    assert incident_page(unsure, "CMS", TIMES).certainty == "Unsure because pile-up is not known."
    assert incident_page(MINE, "CMS", TIMES).certainty == "Sure: a rule or a state says so."


def test_victims_are_grouped_and_many_fold_away() -> None:
    branches = victim_branches([f"CMS/DAQ/FED{n}" for n in range(20)] + ["CMS/ECAL/EB", "T2/rack"], "CMS")
    assert [(b.name, b.count, len(b.shown), len(b.hidden)) for b in branches] == [("DAQ", 20, 8, 12), ("ECAL", 1, 1, 0), ("T2", 1, 1, 0)]


def test_similar_ones_say_what_became_of_them() -> None:
    other = replace(resolved(incident("other", now_ns=NOW, age_s=86_400)), owner="")
    label = Label("k", "other", LabelKind.REAL, "M. Rossi", NOW - 86_000 * S, "recycled, 3 min lost")
    [row] = similar_rows(MINE, [other], {"other": [label]}, TIMES)
    assert (row.date, row.lasted, row.same_place) == ("2023-11-13", "3 min", True)
    assert row.verdicts == ("M. Rossi says it is real: recycled, 3 min lost",)


def test_deliveries_of_a_demonstration_are_on_its_own_time() -> None:
    clock = ClockSettings(speed=10, origin_wall_ns=NOW, origin_data_ns=5 * S)
    assert event_ns(clock, NOW + 3 * S) == 35 * S
    [entry] = told_entries([Delivery("slack", 1, NOW + 3 * S)], clock, TIMES)
    assert isinstance(entry, Entry)
    assert entry.time_ns == 35 * S
