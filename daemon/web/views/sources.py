"""Sources and stages: what is alive, and what only looks as if it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.messages import StageStatus
from daemon.sections import SourceSettings
from daemon.settings import Settings
from daemon.web.live import Snapshot
from daemon.web.views.marks import CRITICAL, NO_DATA, QUIET, WARNING, Mark
from daemon.web.words import Times, clean, lasted, plural

STALE_AFTER_S = 30.0
"""Without word from a stage for this long, what is shown may be out of date."""
GONE_AFTER_S = 600.0
"""A process that has been silent for this long, while another one runs the stage, was replaced."""
ESSENTIAL = ("collect", "detect", "correlate")
"""Stages without which the page shows what was, not what is."""
S_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage in one process. heard_s: wall seconds since it last said how it is."""

    stage: str
    process: str
    mark: Mark
    word: str
    heard_s: float
    heard: str
    detail: str
    error: str
    failures: int


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A part of a source that is judged by itself."""

    name: str
    rows: int
    findings: int
    state: str
    problem: str
    newest_ns: int
    detectors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source. newest_ns: event time of its newest data, 0 before the first."""

    name: str
    collector: str
    place: str
    role: str
    mark: Mark
    word: str
    newest_ns: int
    newest: str
    age: str
    rows: int
    findings: int
    learning: str
    problem: str
    detectors: tuple[str, ...]
    streams: tuple[StreamRow, ...]

    @property
    def alive(self) -> bool:
        """Whether new data arrive."""
        return self.word in ("alive", "learning")


def heard_s(status: StageStatus, wall_ns: int) -> float:
    """Wall seconds since a stage spoke. A sender whose clock is ahead of ours has just spoken."""
    return max(0.0, (wall_ns - status.time_ns) / S_NS)


def fresh(states: Iterable[StageStatus], stage: str, wall_ns: int) -> list[StageStatus]:
    """What was heard of a stage lately, the newest first."""
    heard = [s for s in states if s.stage == stage and heard_s(s, wall_ns) <= STALE_AFTER_S]
    return sorted(heard, key=lambda s: -s.time_ns)


def staleness(snapshot: Snapshot, wall_ns: int) -> tuple[str, ...]:
    """Why what is shown may be out of date, a sentence each; empty where it is not."""
    if snapshot.trouble:
        return (f"This page cannot hear the daemon: {clean(snapshot.trouble)}.",)
    if not snapshot.ready:
        return ("This page has just been started and is still reading what the daemon knows.",)
    reasons = []
    for stage in ESSENTIAL:
        known = sorted((s for s in snapshot.states if s.stage == stage), key=lambda s: -s.time_ns)
        now = fresh(known, stage, wall_ns)
        if not known:
            reasons.append(f"Nothing has been heard of the stage {stage} yet.")
        elif not now:
            reasons.append(f"Nothing heard of the stage {stage} for {lasted(int(heard_s(known[0], wall_ns) * S_NS))}.")
        elif all(s.status.get("state") == "failing" for s in now):
            reasons.append(f"The stage {stage} fails: {clean(str(now[0].status.get('error', '')))[:300]}.")
    return tuple(reasons)


def stage_rows(snapshot: Snapshot, wall_ns: int) -> list[StageRow]:
    """All stages of all processes; those that were replaced long ago are left out."""
    order = ("collect", "detect", "correlate", "optimize", "notify", "web", "history", "train")
    rows = []
    for status in snapshot.states:
        silent_s = heard_s(status, wall_ns)
        if silent_s > GONE_AFTER_S and fresh(snapshot.states, status.stage, wall_ns):
            continue
        state = clean(str(status.status.get("state", "unknown")))
        mark, word = _stage_mark(state, silent_s)
        detail, error = _stage_detail(status.status), clean(str(status.status.get("error", "")))[:500]
        heard = f"{lasted(int(silent_s * S_NS))} ago"
        failures = _count(status.status.get("failures"))
        rows.append(StageRow(clean(status.stage), clean(status.process), mark, word, silent_s, heard, detail, error, failures))
    return sorted(rows, key=lambda r: (order.index(r.stage) if r.stage in order else len(order), r.process))


def _stage_mark(state: str, silent_s: float) -> tuple[Mark, str]:
    if silent_s > STALE_AFTER_S:
        return NO_DATA, "not heard"
    if state == "failing":
        return CRITICAL, state
    return (QUIET if state == "running" else NO_DATA), state


def _stage_detail(said: Mapping[str, Any]) -> str:
    """What a stage says of its work, in words."""
    parts = []
    if "active" in said:
        parts.append("active" if said["active"] else "stands by")
    for key, noun, state in (("lag", "record", "behind"), ("held", "block", "held"), ("incidents", "incident", "open")):
        if isinstance(said.get(key), int) and not isinstance(said[key], bool):
            parts.append(f"{plural(said[key], noun)} {state}")
    for key, words in (("next", "next"), ("problem", "problem:")):
        if isinstance(said.get(key), str) and said[key]:
            parts.append(f"{words} {clean(said[key])[:200]}")
    if isinstance(said.get("outcomes"), list):
        parts += [clean(str(outcome))[:200] for outcome in said["outcomes"][:20]]
    owed = said.get("owed")
    if isinstance(owed, dict):
        parts += [f"{clean(str(name))} has still to be told of {count}" for name, count in owed.items() if count]
    return ", ".join(parts)


def source_rows(settings: Settings, snapshot: Snapshot, times: Times, wall_ns: int) -> list[SourceRow]:
    """All sources of the configuration, those that need a look first."""
    streams = _listed(fresh(snapshot.states, "detect", wall_ns), "streams")
    runs = _listed(fresh(snapshot.states, "collect", wall_ns), "sources")
    heard = bool(fresh(snapshot.states, "detect", wall_ns) or fresh(snapshot.states, "collect", wall_ns))
    rows = []
    for name, section in settings.source.items():
        own = [_stream_row(s) for s in streams if str(s.get("stream", "")).split("#")[0] == name]
        run = next((r for r in runs if r.get("source") == name), {})
        newest_ns = max([s.newest_ns for s in own] + [snapshot.heard_ns.get(name, 0)])
        rows.append(_source_row(name, settings.experiment, section, own, run, newest_ns, times, heard=heard))
    return sorted(rows, key=lambda row: (-row.mark.rank, row.name))


def _source_row(
    name: str,
    root: str,
    section: SourceSettings,
    streams: Sequence[StreamRow],
    run: Mapping[str, Any],
    newest_ns: int,
    times: Times,
    *,
    heard: bool,
) -> SourceRow:
    problem = clean(str(run.get("problem") or "")) or next((s.problem for s in streams if s.problem), "")
    learning = "; ".join(s.state for s in streams if s.rows and s.state != "watching")
    silent = bool(newest_ns) and times.now_ns - newest_ns > section.silence_s * S_NS
    mark, word = _source_mark(heard=heard, problem=problem, seen=bool(newest_ns), silent=silent, learning=bool(learning))
    return SourceRow(
        name,
        section.collector,
        section.place or root,
        section.role,
        mark,
        word,
        newest_ns,
        times.moment(newest_ns, seconds=True) if newest_ns else "",
        times.age(newest_ns) if newest_ns else "",
        sum(s.rows for s in streams) or _count(run.get("rows")),
        sum(s.findings for s in streams),
        learning,
        problem[:500],
        section.detectors,
        tuple(streams),
    )


def _source_mark(*, heard: bool, problem: str, seen: bool, silent: bool, learning: bool) -> tuple[Mark, str]:
    if not heard:
        return NO_DATA, "not heard"
    if problem:
        return WARNING, "failing"
    if not seen:
        return NO_DATA, "nothing yet"
    if silent:
        return WARNING, "silent"
    return QUIET, "learning" if learning else "alive"


def summary(rows: Sequence[SourceRow]) -> str:
    """All sources in a few words: "41 sources, all alive"."""
    if not rows:
        return "no sources"
    count = f"{len(rows)} source{'' if len(rows) == 1 else 's'}"
    learning = sum(row.word == "learning" for row in rows)
    odd = [(sum(row.word == word for row in rows), word) for word in ("silent", "failing", "not heard", "nothing yet")]
    parts = [f"{number} {word}" for number, word in odd if number] or ["all alive"]
    return ", ".join([count, *parts, *([f"{learning} learning"] if learning else [])])


def _stream_row(said: Mapping[str, Any]) -> StreamRow:
    detectors = said.get("detectors")
    return StreamRow(
        clean(str(said.get("stream", ""))),
        _count(said.get("rows")),
        _count(said.get("findings")),
        clean(str(said.get("state") or "watching"))[:300],
        clean(str(said.get("problem") or ""))[:500],
        _count(said.get("last_ns")),
        tuple(clean(str(name)) for name in detectors) if isinstance(detectors, list) else (),
    )


def _listed(states: Iterable[StageStatus], key: str) -> list[dict[str, Any]]:
    found = (status.status.get(key) for status in states)
    return [entry for entries in found if isinstance(entries, list) for entry in entries if isinstance(entry, dict)]


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
