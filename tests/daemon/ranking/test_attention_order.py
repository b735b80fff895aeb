"""The order by attention: what labels call real comes first, and nobody's safety pays for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ranking.attention import by_attention, chance_words, real_percent, urgency
from daemon.ranking.standing import Standing
from daemon.records import Incident, IncidentState
from daemon.store.cases import Likeness
from detectors.feature_shift import Shift
from detectors.finding import Certainty, Severity
from detectors.reranker_training import train
from detectors.reranking import Case, Labelled, Reranker, unused
from tests.daemon.ranking.labelling import HV, PUMP, START_NS, S, case, incident_of, pumps_and_voltages

LEARNED: Reranker = train([Labelled(one, one.place == HV, one.raised_ns) for one in pumps_and_voltages(120)])
NOW = START_NS + 10_000 * 600 * S


def lists(*cases: Case) -> tuple[list[Incident], dict[str, Case]]:
    incidents = [incident_of(one) for one in cases]
    return incidents, {incident.id: one for incident, one in zip(incidents, cases, strict=True)}


def test_what_labels_call_real_comes_first() -> None:
    assert LEARNED.acts, LEARNED.why
    incidents, cases = lists(*pumps_and_voltages(20, 500))
    ordered = by_attention(incidents, cases, LEARNED, NOW)
    assert [incident.cause_place for incident in ordered] == [HV] * 10 + [PUMP] * 10


def test_without_labels_what_is_rarest_comes_first() -> None:
    incidents, cases = lists(case(1, probability=1e-4), case(2, probability=None), case(3, probability=1e-9))
    assert [i.id for i in by_attention(incidents, cases, unused(""), NOW)] == ["i2", "i3", "i1"]


def test_what_somebody_is_on_and_what_is_silenced_stay_behind() -> None:
    (taken, silent, open_), cases = lists(case(1, HV), case(3, HV), case(2, PUMP))
    taken = replace(taken, state=IncidentState.ACKNOWLEDGED, owner="Ada")
    silent = replace(silent, silenced_until_ns=NOW + S)
    over = incident_of(case(9), state=IncidentState.RESOLVED, resolved_ns=NOW)
    assert [i.id for i in by_attention([over, taken, silent, open_], cases, LEARNED, NOW)] == ["i2", "i1", "i9", "i3"]


def test_one_without_a_case_is_not_put_behind_for_that() -> None:
    incidents, cases = lists(*pumps_and_voltages(4, 500))
    older = incident_of(case(0, PUMP))
    assert by_attention([*incidents, older], cases, LEARNED, NOW)[0] == older


@st.composite
def some_incidents(draw: st.DrawFn) -> list[Case]:
    return [
        case(
            number,
            draw(st.sampled_from([HV, PUMP])),
            severity=draw(st.sampled_from(list(Severity))),
            certainty=draw(st.sampled_from(list(Certainty))),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


@given(some_incidents(), st.booleans())
def test_nothing_is_left_out_and_nothing_critical_moves_down(found: list[Case], learned: bool) -> None:
    incidents, cases = lists(*found)
    usual = sorted(incidents, key=lambda incident: urgency(incident, NOW))
    ordered = by_attention(incidents, cases, LEARNED if learned else unused(""), NOW)
    assert sorted(i.id for i in ordered) == sorted(i.id for i in incidents)
    for incident in incidents:
        if incident.severity is Severity.CRITICAL:
            assert ordered.index(incident) <= usual.index(incident)
    ranks = [list(Severity).index(incident.severity) for incident in ordered]
    assert ranks == sorted(ranks, reverse=True), "the severe first"


@pytest.mark.parametrize(
    ("likeness", "words"),
    [
        (Likeness(7, 9, 7, 9), "Of 9 labelled like it (outlier, LAB/hv), 7 were real: 9"),
        (Likeness(1, 1, 5, 9), "Of 1 labelled like it (outlier, LAB/hv), 1 was real: 9"),
        (Likeness(0, 0, 5, 9), "None was labelled at LAB/hv; of 9 elsewhere (outlier), 5 were real: 9"),
        (Likeness(0, 0, 0, 0), "None of its kind (outlier) was labelled; by the labels of others: 9"),
    ],
)
def test_the_chance_is_said_beside_what_it_comes_from(likeness: Likeness, words: str) -> None:
    said = chance_words(Standing(1, LEARNED), case(500, HV), likeness)
    assert said.startswith(words)
    assert said.endswith(" % likely real.")


def test_no_chance_is_said_where_labels_are_not_used() -> None:
    for reranker in (unused("not used"), replace(LEARNED, shift=Shift("duration", 0.6, 0.3))):
        assert real_percent(Standing(1, reranker), case(500)) is None
        assert chance_words(Standing(1, reranker), case(500), Likeness(7, 9, 7, 9)) == ""


def test_nothing_is_said_to_be_certain() -> None:
    assert real_percent(Standing(1, replace(LEARNED, offset=40.0)), case(500)) == 99
    assert real_percent(Standing(1, replace(LEARNED, offset=-40.0)), case(500)) == 1
