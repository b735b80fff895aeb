"""Labels of people on incidents, and the series that show what lasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from daemon import messages
from daemon.messages import Progress
from daemon.records import IncidentState, Label, LabelKind
from detectors.finding import Evidence
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

    @pytest.mark.parametrize("between", [Site.work, Site.crash], ids=["at once", "after a restart"])
    def test_the_same_label_is_known_by_its_key(self, site: Site, between: Callable[[Site], None]) -> None:
        label = self.said(self.open_one(site))
        site.say(label)
        between(site)
        site.say(replace(label, time_ns=label.time_ns + 7 * S), replace(label, time_ns=label.time_ns + 9 * S))
        assert [(i.revision, len(i.timeline)) for i in site.incidents] == [(2, 2)]

    def test_what_is_said_of_what_was_over_long_ago_is_kept_and_shown(self, site: Site) -> None:
        incident = self.open_one(site)
        site.say(cleared(FOUND[0], 1100), Progress("hv", 5000 * S))
        site.say(raised(trip(4, 5010)[0]), Progress("hv", 5020 * S))
        before = site.store.incident(incident)
        site.told()
        said = [self.said(incident, LabelKind.NOT_A_PROBLEM, at_s) for at_s in (9000, 9001)]
        for label in said:
            site.bus.publish("feedback", incident, messages.encode(label))
        site.work()
        after = site.store.incident(incident)
        assert before is not None
        assert after is not None
        assert (after.state, after.resolved_ns) == (before.state, before.resolved_ns)
        assert [(e.time_ns, e.what) for e in after.timeline[-2:]] == [(at_s * S, "not a problem: on my way") for at_s in (9000, 9001)]
        assert site.store.labels(incident) == said
        told = [messages.decode(value) for value in site.told()]
        assert told == [after], "the page and the receivers hear of it"

    def test_what_a_person_ended_does_not_come_back_while_it_lasts(self, site: Site) -> None:
        site.say(self.said(self.open_one(site), LabelKind.NOT_A_PROBLEM))
        (ended,) = site.incidents
        site.say(raised(trip(4, 5000)[0]), Progress("hv", 5010 * S))
        site.crash()
        lasting = replace(FOUND[0], last_ns=5020 * S)
        site.say(raised(lasting, 5020), Progress("hv", 5030 * S))
        assert [i for i in site.incidents if i.id == ended.id] == [ended]
        assert len(site.incidents) == 2
        site.say(cleared(lasting, 5040), raised(trip(3, 6000)[0]), Progress("hv", 6010 * S))
        assert len(site.incidents) == 3, "what begins anew is another one"

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

    def test_a_silence_holds_while_it_comes_and_goes(self, site: Site) -> None:
        incident = self.open_one(site)
        site.say(Label("a", incident, LabelKind.SILENCE, "Ada", 1060 * S, "it flaps", 4660 * S))
        site.say(cleared(FOUND[0], 1100), raised(trip(3, 1120)[0]), Progress("hv", 1130 * S))
        (again,) = site.incidents
        assert (again.id, again.state, again.silenced(1130 * S)) == (incident, IncidentState.OPEN, True)
        site.say(self.said(incident, LabelKind.RESOLVE, 1140), raised(trip(3, 1160)[0]), Progress("hv", 1170 * S))
        (back,) = site.incidents
        assert (back.state, back.silenced_until_ns) == (IncidentState.OPEN, None), "it was said to be over and is not"

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

    def test_who_is_on_what_lasts_is_on_what_opens_again_with_it(self, live: Site) -> None:
        """The dead region was over; it comes back as a part of the trip, which joins it with the busy front end."""
        _, dead, busy = FOUND
        live.say(raised(dead, 1010), cleared(dead, 1015), Progress("a", 1016 * S))
        live.say(raised(busy, 1020), Progress("a", 1021 * S))
        over, lasting = live.incidents
        assert (over.state, lasting.state) == (IncidentState.RESOLVED, IncidentState.OPEN)
        again = replace(dead, key="again", since_ns=1022 * S, last_ns=1022 * S, evidence=Evidence("dead", victims=(busy.unit.place,)))
        live.say(self.said(lasting.id, at_s=1022), raised(again, 1023), Progress("a", 1024 * S))
        (whole,) = [i for i in live.incidents if not i.merged_into]
        assert (whole.id, whole.owner, whole.state, whole.resolved_ns) == (over.id, "Ada", IncidentState.ACKNOWLEDGED, None)
        assert "opened again" in [entry.what for entry in whole.timeline]

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
