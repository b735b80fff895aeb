"""An incident's own page, top to bottom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.records import Incident, IncidentState, Label, LabelKind
from daemon.sections import ClockSettings
from daemon.store.search import Delivery
from daemon.web.views.home import outcome
from daemon.web.views.marks import Mark, branch_of, certainty_of, mark_of
from daemon.web.words import Times, clean, lasted

VICTIMS_SHOWN = 8
"""Places of a branch that are named at once; the others unfold."""

LABEL_WORDS = {
    LabelKind.ACKNOWLEDGE: "is on it",
    LabelKind.REAL: "says it is real",
    LabelKind.NOT_A_PROBLEM: "says it is not a problem",
    LabelKind.SILENCE: "silenced it",
    LabelKind.RESOLVE: "resolved it",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Evidence of a finding: where it is drawn and what it is called."""

    url: str
    title: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the timeline. kind: "data" (what was found), "person" or "delivery"."""

    time_ns: int
    moment: str
    exact: str
    iso: str
    kind: str
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class VictimBranch:
    """Places in one branch that only suffer: some at once, the others unfold."""

    name: str
    count: int
    shown: tuple[str, ...]
    hidden: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Similar:
    """An earlier incident that looked alike."""

    id: str
    date: str
    sentence: str
    place: str
    lasted: str
    verdicts: tuple[str, ...]
    same_place: bool


@dataclass(frozen=True, slots=True)
class Action:
    """A button. `hours`: of a silence; 0 ends one."""

    kind: str
    text: str
    key: str
    hours: float | None = None
    primary: bool = False


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """All that the page shows of an incident."""

    id: str
    mark: Mark
    sentence: str
    branch: str
    severity: str
    certainty: str
    reading: str
    since: str
    since_exact: str
    since_iso: str
    state: str
    state_words: str
    owner: str
    silenced: str
    merged_into: str
    why: str
    decision: str
    runbook: str
    condition: str
    detectors: str
    cause_place: str
    cause_channel: str
    victims: tuple[VictimBranch, ...]
    victims_count: int
    timeline: tuple[Entry, ...]
    pictures: tuple[Picture, ...]
    similar: tuple[Similar, ...]
    actions: tuple[Action, ...]
    revision: int
    chance: str = ""


def incident_page(
    incident: Incident,
    root: str,
    times: Times,
    *,
    labels: Sequence[Label] = (),
    told: Sequence[Entry] = (),
    pictures: Sequence[Picture] = (),
    similar: Sequence[Similar] = (),
    me: str = "",
    chance: str = "",
) -> IncidentPage:
    """The page of an incident; `me` is the name of who looks, "" where it is not known. chance: how likely it is real, in words."""
    silenced = incident.silenced_until_ns if incident.silenced(times.now_ns) else None
    return IncidentPage(
        incident.id,
        mark_of(incident),
        clean(incident.sentence),
        branch_of(incident.cause_place, root),
        str(incident.severity),
        certainty_of(incident.certainty, incident.reason),
        clean(incident.reading),
        times.since(incident.started_ns),
        times.exact(incident.started_ns),
        times.iso(incident.started_ns),
        str(incident.state),
        state_words(incident, times),
        clean(incident.owner),
        times.moment(silenced) if silenced is not None else "",
        incident.merged_into,
        clean(times.localised(incident.why)),
        clean(incident.decision),
        clean(incident.runbook),
        clean(incident.condition),
        ", ".join(clean(name) for name in incident.detectors),
        clean(incident.cause_place),
        clean(incident.cause_channel),
        victim_branches(incident.victims, root),
        len(incident.victims),
        timeline(incident, labels, told, times),
        tuple(pictures),
        tuple(similar),
        actions(incident, me, times.now_ns),
        incident.revision,
        chance,
    )


def state_words(incident: Incident, times: Times) -> str:
    """How it stands, in a sentence."""
    if incident.merged_into:
        return "It turned out to be part of another incident."
    if incident.state is IncidentState.RESOLVED and incident.resolved_ns is not None:
        return f"{outcome(incident).capitalize()}, at {times.moment(incident.resolved_ns)}."
    if incident.owner:
        taken = [e.time_ns for e in incident.timeline if e.who == incident.owner and e.what.startswith(LabelKind.ACKNOWLEDGE)]
        ago = f", since {times.since(taken[-1])}" if taken else ""
        return f"{clean(incident.owner)} is on it{ago}."
    return "Nobody is on it yet."


def actions(incident: Incident, me: str, now_ns: int) -> tuple[Action, ...]:
    """What a person can say of it now."""
    verdicts = (Action("real", "It is real", "real"), Action("not_a_problem", "Not a problem", "nothing"))
    if incident.merged_into:
        return ()
    if incident.state is IncidentState.RESOLVED:
        return verdicts
    mine = bool(me) and incident.owner == me
    take = () if mine else (Action("acknowledge", "On it", "ack", primary=not incident.owner),)
    silenced = incident.silenced(now_ns)
    quiet = Action("silence", "End silence" if silenced else "Silence 1 h", "silence", 0.0 if silenced else 1.0)
    return (*take, quiet, *verdicts, Action("resolve", "Resolve", "resolve"))


def victim_branches(victims: Sequence[str], root: str) -> tuple[VictimBranch, ...]:
    """Places that only suffer, by branch, the largest first."""
    branches: dict[str, list[str]] = {}
    for place in victims:
        branches.setdefault(branch_of(place, root), []).append(clean(place))
    return tuple(
        VictimBranch(name, len(places), tuple(places[:VICTIMS_SHOWN]), tuple(places[VICTIMS_SHOWN:]))
        for name, places in sorted(branches.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def timeline(incident: Incident, labels: Iterable[Label], told: Iterable[Entry], times: Times) -> tuple[Entry, ...]:
    """Data, findings, people and deliveries in order of time."""
    by_moment = {(label.time_ns, label.who): label for label in labels}
    entries = list(told)
    if incident.started_ns < min((e.time_ns for e in incident.timeline), default=incident.opened_ns):
        began = f"data are unusual: {clean(incident.reading)}" if incident.reading else "data begin to be unusual"
        entries.append(_entry(incident.started_ns, "data", "", began, times))
    for entry in incident.timeline:
        kind = "data" if entry.who == "shiftwatch" else "person"
        label = by_moment.get((entry.time_ns, entry.who))
        what = label_words(label, times) if label is not None else clean(times.localised(entry.what))
        entries.append(_entry(entry.time_ns, kind, "" if kind == "data" else clean(entry.who), what, times))
    return tuple(sorted(entries, key=lambda entry: entry.time_ns))


def told_entries(found: Iterable[Delivery], clock: ClockSettings, times: Times) -> tuple[Entry, ...]:
    """Deliveries as lines of the timeline; what a receiver has still to be told is none yet."""
    told = [(delivery, event_ns(clock, delivery.delivered_ns)) for delivery in found if delivery.revision > 0]
    return tuple(_entry(at_ns, "delivery", clean(delivery.receiver), "told", times) for delivery, at_ns in told)


def event_ns(clock: ClockSettings, wall_ns: int) -> int:
    """Event time of a wall time: the same, but for demonstrations whose time runs faster."""
    if not clock.origin_wall_ns:
        return wall_ns
    return clock.origin_data_ns + int((wall_ns - clock.origin_wall_ns) * clock.speed)


def label_words(label: Label, times: Times) -> str:
    """What a person said, as a line of the timeline without the name."""
    text = LABEL_WORDS[label.kind]
    if label.kind is LabelKind.SILENCE and label.until_ns is not None:
        text = f"silenced it until {times.moment(label.until_ns)}" if label.until_ns > label.time_ns else "ended the silence"
    return f"{text}: {clean(label.comment)}" if label.comment else text


def similar_rows(
    incident: Incident, earlier: Iterable[Incident], labels: Mapping[str, Sequence[Label]], times: Times
) -> tuple[Similar, ...]:
    """Earlier incidents with what became of them."""
    return tuple(
        Similar(
            other.id,
            f"{times.local(other.started_ns):%Y-%m-%d}",
            clean(other.sentence),
            clean(other.cause_place),
            lasted((other.resolved_ns or other.updated_ns) - other.started_ns),
            tuple(f"{clean(label.who)} {label_words(label, times)}" for label in labels.get(other.id, ())),
            other.cause_place == incident.cause_place,
        )
        for other in earlier
    )


def _entry(time_ns: int, kind: str, who: str, what: str, times: Times) -> Entry:
    return Entry(time_ns, times.moment(time_ns, seconds=True), times.exact(time_ns), times.iso(time_ns), kind, who, what)
