"""One document of verdicts: which of its rows is about which check, what it says of it, and what could not be used."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jmespath
from pydantic import Field, model_validator

from collectors.collector import Options, Rejected
from collectors.fetched.json_mapping import EVALUATION_ERRORS, JsonPath, Template, TimeZone, fill, references, time_ns
from collectors.fetched.json_values import number, shown
from collectors.fetched.verdict_words import Codes, Limits, Verdict, Vocabulary
from collectors.tabular.table_values import TimeFormat

REPORTED_PROBLEMS = 20
"""Problems of one document that are named; the rest is counted."""
CHECKS_MOST = 100_000
_NUMBER = re.compile(r"(?<![A-Za-z_\d])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|\d{3,}")
_PLAIN_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class VerdictMapping(Options):
    """Where in a document the verdicts are. Paths are JMESPath expressions (https://jmespath.org)."""

    rows: JsonPath = "@"
    """Path to the list of checks, or to an object whose members are the checks (`{key}` is the name of each)."""
    name: Template = "{name}"
    """Name of a check: `{path}` is what the path finds in the row."""
    verdict: JsonPath | None = None
    """Path in the row to the word, colour or code; without one the verdict follows from the score."""
    codes: Codes = ""
    """Whose numbers they are: alice_qc (1 good, 2 medium, 3 bad, 10 null), cms_qtest (100, 200, 300 …), nagios (0 to 3)."""
    words: dict[str, Verdict] = Field(default_factory=dict)
    """What words, numbers or truth values mean beyond those that are known: { "true" = "good", "false" = "bad", "7" = "medium" }."""
    score: JsonPath | None = None
    """Path in the row to the number behind the verdict; it becomes a channel NAME/score."""
    score_unit: str = "1"
    """Of the score."""
    threshold: JsonPath | None = None
    """Path in the row to the score above which this check is bad, instead of `bad_above`."""
    bad_above: float | None = None
    """A score above this is bad."""
    medium_above: float | None = None
    """A score above this is medium."""
    bad_below: float | None = None
    """A score below this is bad."""
    medium_below: float | None = None
    """A score below this is medium."""
    missing: tuple[float, ...] = ()
    """Scores that stand for none: [-99]."""
    message: JsonPath | None = None
    """Path in the row to what the check says when it is not good; it becomes a channel NAME/message."""
    place: Template = ""
    """Place of a check below the source's, in the same way as its name: "{detector}/{module}"."""
    time: JsonPath | None = None
    """Path in the row to when the check was made, for `max_age_s`."""
    max_age_s: float = Field(default=0.0, ge=0)
    """A verdict that is older than this, at the document's time, is stale (0: never)."""
    document_time: JsonPath | None = None
    """Path in the document to its time; by default it is when the file was written, or now. A document whose time stands still is
    not read again."""
    time_format: TimeFormat = "auto"
    """auto: ISO 8601, or seconds to nanoseconds since 1970 by their size."""
    timezone: TimeZone = "UTC"
    """IANA name, for times that name no zone."""

    @model_validator(mode="after")
    def _says_something(self) -> VerdictMapping:
        has_limit = any(limit is not None for limit in (self.threshold, *self.limits()[:4]))
        if self.score is None and has_limit:
            raise ValueError("limits need `score`")
        if self.verdict is None and not (self.score and has_limit):
            raise ValueError("give `verdict`, or `score` with `threshold`, `bad_above`, `bad_below`, `medium_above` or `medium_below`")
        if self.verdict is not None and has_limit:
            raise ValueError("a check has either a `verdict` or limits on its `score`")
        if self.max_age_s and self.time is None:
            raise ValueError("`max_age_s` needs `time`")
        return self

    def limits(self) -> Limits:
        """Limits on scores."""
        return Limits(self.medium_above, self.bad_above, self.medium_below, self.bad_below, self.missing)


class Said(NamedTuple):
    """What a document says of one check. verdict: None where it says nothing; `problem`: what was wrong with it."""

    verdict: Verdict | None
    score: float
    message: str
    place: str
    is_stale: bool
    problem: str


@dataclass(slots=True)
class Verdicts:
    """What a document says, by the names of the checks; time_ns: its own time, None where it has none."""

    time_ns: int | None = None
    said: dict[str, Said] = field(default_factory=dict)
    problems: list[tuple[str, str, bytes]] = field(default_factory=list)

    def rejected(self, origin: str) -> Iterator[Rejected]:
        """A few of the problems (subject, reason, input), and how many more there are."""
        for subject, reason, payload in self.problems[:REPORTED_PROBLEMS]:
            yield Rejected(f"{origin}: {subject}", reason, payload)
        if len(self.problems) > REPORTED_PROBLEMS:
            yield Rejected(origin, f"{len(self.problems) - REPORTED_PROBLEMS} more verdicts could not be used")


class VerdictReader:
    """Reads documents by the mapping. Once it has found anything at all, a document without any verdict is just that."""

    def __init__(self, mapping: VerdictMapping) -> None:
        self._mapping = mapping
        self._limits = mapping.limits()
        self._vocabulary = Vocabulary(mapping.codes, mapping.words)
        self._found_any = False
        self._rows = _finder(mapping.rows)
        self._document_time = _finder(mapping.document_time)
        paths = {"verdict": mapping.verdict, "score": mapping.score, "threshold": mapping.threshold, "message": mapping.message}
        self._find = {name: _finder(path) for name, path in {**paths, "time": mapping.time}.items()}
        self._labels = {label: _finder(label) for label in references(mapping.name, mapping.place)}

    def read(self, document: object, arrived_ns: int) -> Verdicts:
        """All verdicts of a document that was written or fetched at `arrived_ns`. Raises ValueError where there are none at all."""
        mapping, found = self._mapping, Verdicts()
        if mapping.document_time is not None:
            value = self._document_time(document)
            found.time_ns = time_ns(value, mapping.time_format, mapping.timezone)
            if found.time_ns is None:
                raise ValueError(f"{mapping.document_time} is {shown(value)}, which is no time")
        rows = self._rows(document)
        if not isinstance(rows, list | dict):
            raise ValueError(f"{mapping.rows}: {shown(rows)} is no list of checks")
        named = rows.items() if isinstance(rows, dict) else ((str(i), row) for i, row in enumerate(rows))
        for key, row in named:
            self._take(key, row, arrived_ns if found.time_ns is None else found.time_ns, found)
        if rows and not found.problems and not self._found_any:
            raise ValueError(f"no verdict in any of {len(rows)} rows at {mapping.verdict or mapping.score}")
        return found

    def _take(self, key: str, row: object, now_ns: int, found: Verdicts) -> None:
        """Adds what one row says."""
        mapping = self._mapping
        try:
            labels = {label: self._label(label, key, row) for label in self._labels}
        except ValueError as error:
            found.problems.append((f"{mapping.rows}[{key}]", str(error), shown(row).encode()))
            return
        name = fill(mapping.name, labels)
        if name in found.said:
            found.problems.append((name, "is there twice; the first is taken", b""))
            return
        if len(found.said) >= CHECKS_MOST:
            found.problems.append((name, f"more than {CHECKS_MOST} checks", b""))
            return
        said = self._said(row, fill(mapping.place, labels), now_ns)
        found.said[name] = said
        if said.problem:
            found.problems.append((name, said.problem, shown(row).encode()))

    def _label(self, label: str, key: str, row: object) -> str:
        if label in ("key", "index"):
            return key
        value = self._labels[label](row)
        text = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
        if not text:
            raise ValueError(f"no {label!r} for its name" if value is None else f"{label!r} is {shown(value)}, which is no name")
        return text

    def _said(self, row: object, place: str, now_ns: int) -> Said:
        mapping = self._mapping
        message = self._find["message"](row)
        self._found_any |= any(self._find[what](row) is not None for what in ("verdict", "score"))
        verdict: Verdict | None = None
        score, problem, is_stale = math.nan, "", False
        try:
            score = self._number("score", row, mapping.missing)
            if mapping.verdict is not None:
                verdict = self._vocabulary.verdict(self._find["verdict"](row))
            else:
                threshold = None if mapping.threshold is None else self._number("threshold", row)
                unlimited = threshold is not None and math.isnan(threshold)
                verdict = None if math.isnan(score) or unlimited else self._limits.verdict(score, threshold)
            is_stale = self._is_stale(row, now_ns)
        except ValueError as error:
            verdict, problem = None, str(error)
        return Said(verdict, score, message if isinstance(message, str) else "", place, is_stale, problem)

    def _number(self, what: str, row: object, missing: tuple[float, ...] = ()) -> float:
        """NaN for none. Raises ValueError."""
        value = self._find[what](row)
        found = number(value)
        if found is None or math.isinf(found):
            raise ValueError(f"{shown(value)} is no {what}")
        return math.nan if found in missing else found

    def _is_stale(self, row: object, now_ns: int) -> bool:
        """Raises ValueError where the time is none."""
        mapping = self._mapping
        if not mapping.max_age_s:
            return False
        value = self._find["time"](row)
        given_ns = time_ns(value, mapping.time_format, mapping.timezone)
        if given_ns is None:
            raise ValueError(f"{shown(value)} is no time")
        return now_ns - given_ns > mapping.max_age_s * 1e9


def _finder(path: str | None) -> Callable[[Any], Any]:
    """What a path finds; None where it finds nothing or cannot be used on what is there."""
    if path is None:
        return lambda _: None
    if _PLAIN_KEY.fullmatch(path):  # most paths are a plain key, for which JMESPath takes many times as long
        key = path
        return lambda row: row.get(key) if isinstance(row, dict) else None
    search = jmespath.compile(path).search

    def find(row: object) -> Any:  # noqa: ANN401 - a value of JSON
        try:
            return search(row)
        except EVALUATION_ERRORS:
            return None

    return find


def generalised(message: str, most: int) -> str:
    """A message without its numbers, so that "mean 3.1" and "mean 3.2" are the same one; cut after so many characters.

    One or two digits after a letter belong to a name: "chi2", "A07".
    """
    plain = _NUMBER.sub("#", " ".join(message.split()))
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
