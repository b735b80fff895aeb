"""Labels of people on incidents, and the series that show what lasts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from daemon.messages import Progress
from daemon.records import IncidentState, Label, LabelKind
from tests.daemon.correlating import Site, trip
from tests.daemon.reports import S, cleared, raised

FOUND = trip(3, 1000)


class TestLabels:
    def open_one(self, site: Site) -> str:
        site.say(raised(FOUND[0]), Progress("hv", 1050 * S))
        return site.incidents[0].id

    def said(self, incident: str, kind: LabelKind = LabelKind.ACKNOWLEDGE, at_s: int = 1060) -> Label:
        return Label(f"{incident}{kind}{at_s}", incident, kind, "Ada", at_s * S, "on my way")

    def test_an_acknowledgement_makes_somebody_the_owner(self, site: Site) -> None:
        site.say(self.said(self.open_one(site)))
        (incident,) = site.incidents
        assert (incident.state, incident.owner) == (IncidentState.ACKNOWLEDGED, "Ada")
        assert (incident.timeline[-1].who, incident.timeline[-1].what) == ("Ada", "acknowledge: on my way")
        site.say(cleared(FOUND[0], 1100), Progress("hv", 5000 * S))
        assert site.incidents[0].state is IncidentState.RESOLVED

    @pytest.mark.parametrize("between", [Site.work, Site.crash], ids=["at once", "after a restart"])
    def test_the_same_label_twice_is_one(self, site: Site, between: Callable[[Site], None]) -> None:
        label = self.said(self.open_one(site))
        site.say(label)
        between(site)
        site.say(label)
        assert [(i.revision, len(i.timeline)) for i in site.incidents] == [(2, 2)]

    def test_that_it_is_real_changes_no_state(self, site: Site) -> None:
        site.say(self.said(self.open_one(site), LabelKind.REAL))
        assert [(i.state, i.owner) for i in site.incidents] == [(IncidentState.OPEN, "")]

    @pytest.mark.parametrize("kind", [LabelKind.NOT_A_PROBLEM, LabelKind.RESOLVE])
    def test_what_a_person_ends_stays_ended_until_it_begins_anew(self, site: Site, kind: LabelKind) -> None:
        site.say(self.said(self.open_one(site), kind))
        (incident,) = site.incidents
        assert (incident.state, incident.resolved_ns) == (IncidentState.RESOLVED, 1060 * S)
        site.crash()
        site.say(cleared(FOUND[0], 1100), Progress("hv", 1110 * S))
        assert site.incidents[0].resolved_ns == 1060 * S
        again = trip(3, 1120)[0]
        site.say(raised(again), Progress("hv", 1130 * S))
        assert [i.state for i in site.incidents] == [IncidentState.OPEN]
        assert site.store.labels(incident.id)[0].kind is kind

    def test_a_silence_holds_until_its_time_or_until_it_is_taken_back(self, site: Site) -> None:
        incident = self.open_one(site)
        site.say(Label("a", incident, LabelKind.SILENCE, "Ada", 1060 * S, "known", 4660 * S))
        (silenced,) = site.incidents
        assert (silenced.silenced(4659 * S), silenced.silenced(4660 * S)) == (True, False)
        assert silenced.timeline[-1].what == "silence until 1970-01-01T01:17:40.000Z: known"
        site.say(Label("b", incident, LabelKind.SILENCE, "Ada", 1070 * S, "", 1070 * S))
        assert site.incidents[0].silenced_until_ns is None

    def test_one_for_what_became_part_of_another_incident_is_one_on_that(self, live: Site) -> None:
        trip_, dead, busy = FOUND
        live.say(raised(dead, 1010), raised(busy, 1010), Progress("a", 1010 * S), raised(trip_, 1012), Progress("a", 1020 * S))
        (part,) = [i for i in live.incidents if i.merged_into]
        live.say(self.said(part.id))
        assert {i.id: i.owner for i in live.incidents} == {part.id: "", part.merged_into: "Ada"}

    def test_who_was_on_the_part_is_on_the_whole(self, live: Site) -> None:
        trip_, dead, busy = FOUND
        live.say(raised(dead, 1010), raised(busy, 1010), Progress("a", 1010 * S))
        second = max(live.incidents, key=lambda i: (i.opened_ns, i.id))
        live.say(self.said(second.id), raised(trip_, 1012), Progress("a", 1020 * S))
        (whole,) = [i for i in live.incidents if not i.merged_into]
        assert second.id != whole.id
        assert (whole.owner, whole.state) == ("Ada", IncidentState.ACKNOWLEDGED)

    def test_one_for_an_unknown_incident_is_refused_and_the_rest_goes_on(self, site: Site) -> None:
        incident = self.open_one(site)
        site.say(self.said("no such"), self.said(incident))
        assert site.incidents[0].owner == "Ada"


def test_lasting_incidents_are_series_until_they_end(site: Site) -> None:
    labels = {"severity": "critical", "condition": "hv_trip", "place": "DEMO/HV/ch03"}
    site.say(raised(FOUND[0]), Progress("hv", 1050 * S))
    series = "shiftwatch_incident", labels | {"incident": site.incidents[0].id}
    assert REGISTRY.get_sample_value(*series) == 1
    site.crash()
    site.work()
    assert REGISTRY.get_sample_value(*series) == 1
    site.say(cleared(FOUND[0], 1100), Progress("hv", 5000 * S))
    assert REGISTRY.get_sample_value(*series) is None
