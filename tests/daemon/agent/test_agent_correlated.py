"""Two that report one finding (an agent and the centre, for a while, at a change of the configuration) open one incident."""

from __future__ import annotations

from pathlib import Path

from daemon.messages import Progress
from daemon.records import IncidentState
from tests.daemon.correlating import Site
from tests.daemon.reports import S, cleared, finding, raised


def test_a_finding_that_two_report_is_one_incident_and_the_second_changes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, wait_for_all=False)
    found = finding("FARM/node17", "overheated", since=1000, source="node17")
    site.say(raised(found, 1000, "node17@agent"), Progress("node17@agent", 1001 * S))
    opened = site.incidents[0].revision
    site.say(raised(found, 1000, "node17"), Progress("node17", 1001 * S))
    assert [incident.revision for incident in site.incidents] == [opened]
    site.say(cleared(found, 1060, "node17@agent"), Progress("node17@agent", 1061 * S))
    site.say(raised(found, 1030, "node17"), cleared(found, 1060, "node17"), Progress("node17", 1061 * S))
    [incident] = site.incidents
    assert incident.state is IncidentState.RESOLVED
    assert [entry.what.split(":")[0] for entry in incident.timeline].count("opened") == 1
    assert not [entry for entry in incident.timeline if "again" in entry.what]
    site.close()
