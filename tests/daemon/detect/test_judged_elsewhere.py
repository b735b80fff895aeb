"""Blocks that an agent has judged are not judged again, whichever side begins or ends to do so."""

from __future__ import annotations

from dataclasses import replace

from collectors.conditions import ConditionHistory
from collectors.wire import JUDGED_ALL, Block, decode, encode
from daemon.detect.watch import StreamWatch
from daemon.messages import FindingReport
from daemon.store.packing import pack, unpack
from tests.daemon.judging import Feed, configuration
from tests.daemon.reports import S

BAD = ((1000, 20, 1), (1010, 20, 1))
BY_AGENT = ("upkeep", "high")


def by_agent(block: Block, judged: tuple[str, ...] = BY_AGENT) -> Block:
    return replace(block, judged=judged)


def judged(watch: StreamWatch, *blocks: Block) -> list[FindingReport]:
    return [report for block in blocks for report in watch.judge(block, ConditionHistory())]


def test_who_has_judged_a_block_travels_with_it() -> None:
    feed = Feed()
    frame = feed.frame(*BAD)
    layouts = {feed.layout.digest: feed.layout}
    assert decode(encode(by_agent(frame)), layouts).judged == BY_AGENT
    assert decode(encode(frame), layouts).judged == ()
    assert encode(frame) == encode(by_agent(frame, ()))


def test_what_an_agent_judged_is_only_followed() -> None:
    watch, feed = StreamWatch("hv", configuration()), Feed()
    assert judged(watch, by_agent(feed.frame(*BAD)), by_agent(feed.heartbeat(2000))) == []
    assert watch.progress_ns == 2000 * S


def test_detectors_that_the_agent_does_not_have_judge_centrally() -> None:
    watch, feed = StreamWatch("hv", configuration()), Feed()
    [report] = judged(watch, by_agent(feed.frame(*BAD), ("upkeep", "another")))
    assert report.finding.unit.condition == "high"
    assert judged(watch, by_agent(feed.heartbeat(2000), ("upkeep", "another"))) == [], "silence is the agent's"


def test_a_summary_is_judged_by_nobody() -> None:
    watch, feed = StreamWatch("hv#summary", configuration()), Feed(part="summary")
    assert judged(watch, by_agent(feed.frame(*BAD), JUDGED_ALL)) == []


def test_an_agent_judges_its_own_blocks_and_reports_under_a_name_of_its_own() -> None:
    watch, feed = StreamWatch("hv", configuration(), "agent"), Feed()
    [report] = judged(watch, by_agent(feed.frame(*BAD)))
    assert report.stream == "hv@agent"
    central = StreamWatch("hv", configuration())
    [same] = judged(central, Feed().frame(*BAD))
    assert report.finding.key == same.finding.key


def test_what_was_found_here_ends_when_an_agent_takes_over() -> None:
    watch, feed = StreamWatch("hv", configuration()), Feed()
    [began] = judged(watch, feed.frame(*BAD))
    [ended] = judged(watch, by_agent(feed.frame((1020, 20, 1))))
    assert ended.finding.key == began.finding.key
    assert ended.finding.cleared_ns is not None
    assert judged(watch, by_agent(feed.frame((1030, 20, 1)))) == []


def test_it_judges_again_when_the_agent_no_longer_does() -> None:
    watch, feed = StreamWatch("hv", configuration()), Feed()
    judged(watch, by_agent(feed.frame(*BAD)))
    [report] = judged(watch, feed.frame((1020, 20, 1), (1030, 20, 1)))
    assert (report.finding.since_ns, report.finding.cleared_ns) == (1020 * S, None)


def test_after_a_restart_it_still_leaves_to_the_agent_what_is_the_agents() -> None:
    watch, feed = StreamWatch("hv", configuration()), Feed()
    judged(watch, by_agent(feed.frame(*BAD)))
    again = StreamWatch("hv", configuration())
    again.restore(unpack(pack(watch.state())))
    assert judged(again, by_agent(feed.frame((1020, 20, 1), (1030, 20, 1)))) == []
