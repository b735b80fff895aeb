"""Labels re-rank findings where that is proved to be better, never at the cost of what is critical, and not after a change."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.feature_shift import shifted
from detectors.finding import Certainty, Contribution, Evidence, Finding, Severity, Unit
from detectors.reranker_training import train
from detectors.reranking import Case, Labelled, Reranker, none_critical_later, unsupervised_order

NOISY, GOOD = "X/pump", "X/HV"


def case(number: int, rng: np.random.Generator, place: str = GOOD, **changes: object) -> Case:
    made = Case(
        f"f{number}", number * 10**9, "outlier", place, Severity.WARNING, Certainty.LIKELY, 10.0 ** -rng.uniform(3, 9), 1,
        int(rng.integers(1, 5)), float(rng.exponential(60)),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def labelled(count: int, *, informative: bool = True, seed: int = 1) -> list[Labelled]:
    """Findings of a noisy pump are nothing, those of the high voltage are real; tail probabilities say nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        is_noisy = bool(rng.random() < 0.5)
        is_real = (not is_noisy if rng.random() < 0.95 else is_noisy) if informative else bool(rng.random() < 0.5)
        found.append(Labelled(case(number, rng, NOISY if is_noisy else GOOD), is_real, number * 10**9))
    return found


def test_labels_put_what_is_real_in_front() -> None:
    model = train(labelled(200))
    assert model.used, model.why
    assert "later labels" in model.why
    rng = np.random.default_rng(5)
    cases = [case(i, rng, NOISY if i % 2 else GOOD) for i in range(40)]
    front = [cases[i].place for i in model.order(cases)[:20]]
    assert front.count(GOOD) >= 19
    assert [cases[i].place for i in unsupervised_order(cases)[:20]].count(GOOD) < 15


def test_labels_that_say_nothing_are_not_used_and_it_says_so() -> None:
    model = train(labelled(200, informative=False))
    assert not model.used
    assert model.why.startswith("not used, no better than the tail probability")
    rng = np.random.default_rng(5)
    cases = [case(i, rng) for i in range(20)]
    assert model.order(cases) == unsupervised_order(cases)


def test_labels_without_information_are_seldom_used() -> None:
    assert sum(train(labelled(120, informative=False, seed=seed)).used for seed in range(20)) <= 4


@pytest.mark.parametrize("count", [0, 1, 29])
def test_few_labels_are_not_used(count: int) -> None:
    model = train(labelled(count))
    assert not model.used
    assert "too few" in model.why


def test_labels_of_one_kind_are_not_used() -> None:
    model = train([replace(one, is_real=True) for one in labelled(100)])
    assert not model.used
    assert "100 of them real" in model.why


def test_a_label_does_not_tell_of_itself() -> None:
    rng = np.random.default_rng(3)  # every finding has a place of its own: no rate of earlier labels can help
    alone = [Labelled(case(i, rng, f"X/{i}"), bool(rng.random() < 0.5), i * 10**9) for i in range(200)]
    assert not train(alone).used


def test_nothing_critical_moves_down() -> None:
    model = train(labelled(200))
    rng = np.random.default_rng(6)
    severities = [Severity.CRITICAL if i % 3 == 0 else Severity.WARNING for i in range(60)]
    cases = [case(i, rng, NOISY if i % 2 else GOOD, severity=severity) for i, severity in enumerate(severities)]
    before, after = unsupervised_order(cases), model.order(cases)
    assert sorted(after) == sorted(before)
    assert after != before
    assert all(after.index(i) <= before.index(i) for i in range(60) if severities[i] is Severity.CRITICAL)


@given(st.data(), st.integers(0, 12))
def test_no_order_moves_anything_critical_down(data: st.DataObject, count: int) -> None:
    plain = data.draw(st.permutations(range(count)))
    better = data.draw(st.permutations(range(count)))
    critical = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    found = none_critical_later(plain, better, critical)
    assert sorted(found) == list(range(count))
    assert all(found.index(i) <= plain.index(i) for i in range(count) if critical[i])
    if not any(critical):
        assert found == list(better)


def test_it_steps_back_where_findings_have_changed_and_says_so() -> None:
    model = train(labelled(200))
    rng = np.random.default_rng(8)
    same = [one.case for one in labelled(60, seed=9)]
    assert model.after(same).why == model.why
    longer = [case(i, rng, GOOD if i % 2 else NOISY, duration_s=1e6) for i in range(60)]
    changed = model.after(longer)
    assert "recent findings differ in duration" in changed.why
    assert changed.order(longer) == unsupervised_order(longer)
    assert changed.after(same).shift is None, "it comes back with them"


def test_a_shift_is_seldom_reported_where_there_is_none() -> None:
    names = tuple("abc")
    draws = [np.random.default_rng(seed).normal(size=(90, 3)) for seed in range(40)]
    assert sum(shifted(draw[:50], draw[50:], names, 1) is not None for draw in draws) <= 2
    assert shifted(draws[0][:50], draws[0][50:] + 3.0, names) is not None
    assert shifted(draws[0][:50], draws[0][50:60] + 3.0, names) is None, "ten are too few to tell"


def test_a_state_is_plain_and_orders_the_same() -> None:
    model = train(labelled(200))
    state = model.state()
    text = json.dumps(state, default=lambda array: array.tolist())
    read = Reranker.of(json.loads(text))
    rng = np.random.default_rng(5)
    cases = [case(i, rng, NOISY if i % 2 else GOOD) for i in range(40)]
    assert read.order(cases) == model.order(cases)
    with pytest.raises(ValueError, match="version 2"):
        Reranker.of({**state, "version": 2})
    with pytest.raises(ValueError, match="re-ranker"):
        Reranker.of({**state, "features": ["surprise"]})


def test_features_come_from_a_finding() -> None:
    ranked = tuple(Contribution(f"c{i}", "X", 1.0, 0.0, share) for i, share in enumerate((0.6, 0.38, 0.02)))
    unit = Unit("k", "n", "X", "drift", Severity.CRITICAL)
    finding = Finding("f", "s", unit, ("a", "b"), Severity.CRITICAL, Certainty.SURE, 0, 5, 30 * 10**9, None, None, Evidence("", ranked))
    made = Case.of(finding)
    assert (made.channels, made.detectors, made.duration_s, made.probability) == (2, 2, 30.0, None)
    assert unsupervised_order([case(1, np.random.default_rng(1)), made]) == [1, 0], "what breaks a rule is sure"


def noisy(count: int, seed: int, first: int = 0) -> list[Labelled]:
    """At ten places between nearly always nothing and nearly always real."""
    rng = np.random.default_rng(seed)
    places = rng.integers(10, size=count)
    real = rng.random(count) < 0.05 + 0.1 * places
    found = zip(range(first, first + count), places, real, strict=True)
    return [Labelled(case(number, rng, f"X/{place}"), bool(is_real), number * 10**9) for number, place, is_real in found]


@pytest.mark.parametrize("seed", range(3))
def test_chances_are_as_often_right_as_they_say(seed: int) -> None:
    model = train(noisy(400, seed))
    assert model.used, model.why
    later = [one.case for one in noisy(2000, seed + 100)]
    true = np.array([0.05 + 0.1 * int(one.place[2:]) for one in later])
    chance = model.probabilities(later)
    assert np.abs(chance - true).mean() < 0.1
    assert chance.mean() == pytest.approx(true.mean(), abs=0.06)


def test_places_that_come_only_once_are_no_change() -> None:
    """A labelled case knows the label of its own place; a new one cannot."""
    rng = np.random.default_rng(3)
    learned = [
        replace(one, case=replace(one.case, place=f"{one.case.place}/{i}", condition=one.case.place)) for i, one in enumerate(labelled(200))
    ]
    model = train(learned)
    assert model.used, model.why
    new = [case(i, rng, f"X/new{i}", condition=NOISY if rng.random() < 0.5 else GOOD) for i in range(100)]
    assert model.after(new).acts


def test_after_a_change_only_labels_that_are_like_recent_findings_count() -> None:
    before, after = (
        labelled(200),
        [replace(one, case=replace(one.case, duration_s=1e6), labelled_ns=10**12 + one.labelled_ns) for one in labelled(60, seed=4)],
    )
    recent = [one.case for one in after]
    model = train([*after, *before], recent)
    assert model.used, model.why
    assert "of 260 labels only the last 65 count" in model.why
    assert model.after(recent).acts
    assert not train([*after, *before]).after(recent).acts
    assert model.labels == 260
