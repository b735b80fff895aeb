"""Which finding can explain which: patterns, chains, times."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.correlate.graph import MAX_STEPS, CausalityGraph, place_expression
from daemon.sections import CausalitySettings
from tests.daemon.reports import S, finding

STEPS = st.text("abcEB+-_.03 ()[]", min_size=1, max_size=6)
PLACES = st.lists(STEPS, min_size=1, max_size=4).map("/".join)


def edge(cause: str, effect: str, **more: Any) -> CausalitySettings:
    """An edge between places; `conditions` are those of cause and effect."""
    causes, effects = more.pop("conditions", ("*", "*"))
    sides = {"cause": {"place": cause, "condition": causes}, "effect": {"place": effect, "condition": effects}}
    return CausalitySettings.model_validate(sides | more)


def graph(*edges: CausalitySettings, tolerance_s: float = 60) -> CausalityGraph:
    return CausalityGraph(edges, int(tolerance_s * S))


@pytest.mark.parametrize(
    ("pattern", "place", "fits"),
    [
        ("DEMO/HV", "DEMO/HV", True),
        ("DEMO/HV", "DEMO/HV/ch03", False),
        ("DEMO/*", "DEMO/HV", True),
        ("DEMO/*", "DEMO/HV/ch03", False),
        ("DEMO/*/ch03", "DEMO/HV/ch03", True),
        ("DEMO/HV/ch*", "DEMO/HV/ch03", True),
        ("DEMO/HV/ch*", "DEMO/HV/xch03", False),
        ("DEMO/**", "DEMO", True),
        ("DEMO/**", "DEMO/HV/ch03", True),
        ("DEMO/**", "DEMO2/HV", False),
        ("**", "anything/at/all", True),
        ("**/ch03", "DEMO/HV/ch03", True),
        ("DEMO/**/ch03", "DEMO/ch03", True),
        ("DEMO/**/ch03", "DEMO/a/b/ch03", True),
        ("DEMO/{a}/{a}", "DEMO/x/x", True),
        ("DEMO/{a}/{a}", "DEMO/x/y", False),
        ("DEMO/{a}", "DEMO/x/y", False),
        ("DEMO/EB+.07", "DEMO/EB+.07", True),
        ("DEMO/EB+.07", "DEMO/EBB.07", False),
    ],
)
def test_patterns_of_places(pattern: str, place: str, fits: bool) -> None:
    assert (place_expression(pattern).fullmatch(place) is not None) is fits


@given(PLACES, PLACES)
def test_a_place_without_signs_fits_itself_alone(place: str, other: str) -> None:
    assert place_expression(place).fullmatch(place)
    assert (place_expression(place).fullmatch(other) is not None) is (place == other)


@given(STEPS, STEPS, st.sampled_from(["n", "1", "ch_2"]))
def test_what_has_a_name_is_the_same_on_both_sides(one: str, other: str, name: str) -> None:
    fed = graph(edge(f"HV/ch{{{name}}}", f"EB/region {{{name}}}"))
    assert fed.explains(finding(f"HV/ch{one}"), finding(f"EB/region {one}"))
    assert fed.explains(finding(f"HV/ch{one}"), finding(f"EB/region {other}")) is (one == other)


def test_a_name_beside_a_star_takes_what_fits_both_sides() -> None:
    fed = graph(edge("HV/*{nn}", "EB*/{nn}"), edge("HV/{crate}{nn}", "DAQ/**{nn}"))
    assert fed.explains(finding("HV/ch03"), finding("EB+/03"))
    assert fed.explains(finding("HV/ch03"), finding("DAQ/FEDs/FED603"))
    assert not fed.explains(finding("HV/ch03"), finding("DAQ/FEDs/FED604"))


@pytest.mark.parametrize(
    ("cause", "effect", "related"),
    [
        ("hv_trip", "dead_region", True),
        ("hv_trip", "hot_region", False),
        ("outlier", "dead_region", False),
        ("hv_sag", "dead_region", True),
    ],
)
def test_conditions_count_on_both_sides(cause: str, effect: str, related: bool) -> None:
    fed = graph(edge("HV/{n}", "EB/{n}", conditions=("hv_*", ("dead_*", "silent"))))
    assert fed.explains(finding("HV/3", cause), finding("EB/3", effect)) is related


@pytest.mark.parametrize(("delay_s", "related"), [(-61, False), (-60, True), (0, True), (600, True), (601, False)], ids=str)
def test_an_effect_begins_after_its_cause_within_the_longest_delay_and_what_clocks_allow(delay_s: float, related: bool) -> None:
    fed = graph(edge("A", "B"), tolerance_s=60)
    assert fed.explains(finding("A", since=1000), finding("B", since=1000 + delay_s)) is related


class TestSameBranch:
    @pytest.mark.parametrize(
        ("cause", "effect", "related"),
        [
            ("DEMO/ECAL", "DEMO/ECAL/EB/tower", True),
            ("DEMO/ECAL/EB/tower", "DEMO/ECAL", True),
            ("DEMO/ECAL/EB", "DEMO/HCAL", False),
            ("DEMO/ECAL", "DEMO/ECAL2", False),
        ],
    )
    def test_one_place_contains_the_other(self, cause: str, effect: str, related: bool) -> None:
        fed = graph(edge("**", "**", within="same_branch"))
        assert fed.explains(finding(cause), finding(effect)) is related

    def test_a_chain_does_not_leave_the_branch_either(self) -> None:
        edges = edge("DEMO/ECAL/{x}", "DEMO/DAQ", within="same_branch"), edge("DEMO/DAQ", "DEMO/HLT")
        assert not graph(*edges).explains(finding("DEMO/ECAL/EB"), finding("DEMO/HLT"))


class TestChains:
    def test_goes_through_places_without_findings(self) -> None:
        chain = graph(edge("HV/ch{n}", "EB/{n}"), edge("EB/{n}", "DAQ/FED 6{n}"), edge("DAQ/FED {m}", "DAQ/partition"))
        assert chain.explains(finding("HV/ch03"), finding("DAQ/FED 603"))
        assert chain.explains(finding("HV/ch03"), finding("DAQ/partition"))
        assert not chain.explains(finding("HV/ch03"), finding("DAQ/FED 604"))
        assert not chain.explains(finding("DAQ/FED 603"), finding("HV/ch03"))

    def test_goes_through_a_place_that_stands_for_all_below_it(self) -> None:
        assert graph(edge("HV/ch{n}", "EB/{n}/**"), edge("EB/{n}/**", "DAQ/{n}")).explains(finding("HV/ch3"), finding("DAQ/3"))

    def test_does_not_go_through_what_could_be_many_places(self) -> None:
        assert not graph(edge("HV", "EB/*"), edge("EB/7", "DAQ")).explains(finding("HV"), finding("DAQ"))

    def test_goes_through_the_condition_that_the_cause_brings_about_and_no_other(self) -> None:
        trip = edge("HV", "EB", conditions=("trip", "dead_*"))
        through_dead, through_hot = (edge("EB", "DAQ", conditions=(middle, "busy")) for middle in ("dead_region", "hot"))
        assert graph(trip, through_dead).explains(finding("HV", "trip"), finding("DAQ", "busy"))
        assert not graph(trip, through_hot).explains(finding("HV", "trip"), finding("DAQ", "busy"))

    def test_is_as_quick_as_its_quickest_edge(self) -> None:
        chain = graph(edge("A", "B", max_delay_s=10), edge("B", "C", max_delay_s=600))
        assert chain.explains(finding("A"), finding("C", since=1010))
        assert not chain.explains(finding("A"), finding("C", since=1011))

    def test_takes_the_slower_of_two_ways(self) -> None:
        ways = graph(edge("A", "B", max_delay_s=10), edge("A", "B2"), edge("B", "C"), edge("B2", "C"))
        assert ways.explains(finding("A"), finding("C", since=1500))

    def test_uses_one_edge_twice(self) -> None:
        tree = graph(edge("{a}/{b}/{c}", "{b}/{c}/0"), edge("z/{x}/0", "end"))
        assert tree.explains(finding("y/z/k"), finding("end"))

    def test_has_a_longest_length(self) -> None:
        steps = [edge(f"P{i}", f"P{i + 1}") for i in range(MAX_STEPS + 1)]
        assert graph(*steps).explains(finding("P0"), finding(f"P{MAX_STEPS}"))
        assert not graph(*steps).explains(finding("P0"), finding(f"P{MAX_STEPS + 1}"))


class TestCycles:
    def test_nothing_explains_itself(self) -> None:
        everything = graph(edge("**", "**"))
        one = finding("A")
        assert not everything.explains(one, one)
        assert everything.explains(one, finding("A", name="another channel"))

    def test_a_cycle_comes_to_an_end(self) -> None:
        cycle = graph(edge("A", "B"), edge("B", "C"), edge("C", "A"))
        assert all(cycle.explains(finding(x), finding(y)) for x in "ABC" for y in "ABC" if x != y)
        assert not cycle.explains(finding("A"), finding("D"))

    @given(st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from("ABCDE")), max_size=12))
    def test_any_graph_explains_what_can_be_reached(self, arrows: list[tuple[str, str]]) -> None:
        fed = graph(*(edge(one, other) for one, other in arrows))
        reached = {one: {other for start, other in arrows if start == one} for one in "ABCDE"}
        for _ in range(MAX_STEPS):
            reached = {one: found | {y for x, y in arrows if x in found} for one, found in reached.items()}
        for one in "ABCDE":
            for other in "ABCDE":
                assert fed.explains(finding(one), finding(other, name="other")) is (other in reached[one])
