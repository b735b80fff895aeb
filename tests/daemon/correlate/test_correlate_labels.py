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

    def test_an_opinion_changes_no_state(self, site: Site) -> None:
        site.say(self.said(self.open_one(site), LabelKind.NOT_A_PROBLEM))
        assert [(i.state, i.owner) for i in site.incidents] == [(IncidentState.OPEN, "")]

    def test_one_for_what_became_part_of_another_incident_is_one_on_that(self, live: Site) -> None:
        trip_, dead, busy = FOUND
        live.say(raised(dead, 1010), raised(busy, 1010), Progress("a", 1010 * S), raised(trip_, 1012), Progress("a", 1020 * S))
        (part,) = [i for i in live.incidents if i.merged_into]
        live.say(self.said(part.id))
        assert {i.id: i.owner for i in live.incidents} == {part.id: "", part.merged_into: "Ada"}

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
