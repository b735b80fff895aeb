"""The text formats of Prometheus (0.0.4) and OpenMetrics (1.0), line by line: a malformed line costs nothing but itself.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md; names in quotation marks inside the
braces are those of Prometheus 3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_LABEL = re.compile(rf"\s*(?:(?P<name>{_NAME}|{_QUOTED})\s*=\s*(?P<value>{_QUOTED})|(?P<metric>{_QUOTED}))\s*(?:,|$)")
_SERIES = re.compile(rf"(?P<name>{_NAME})?(?:[ \t]*\{{(?P<labels>(?:[^\"{{}}]|{_QUOTED})*)\}})?")
_REST = re.compile(r"[ \t]+(?P<value>[^\s#]+)(?:[ \t]+(?P<time>[^\s#]+))?[ \t]*(?:#.*)?")
_METADATA = re.compile(rf"#[ \t]+(?P<what>HELP|TYPE|UNIT)[ \t]+(?P<name>{_NAME}|{_QUOTED})(?:[ \t]+(?P<text>.*))?")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created", "_info", "_gcount", "_gsum")
_LARGEST_TIME_S = 9e9


class MalformedLineError(ValueError):
    """A line that the format does not allow."""


class Series(NamedTuple):
    """Name and labels of one time series, labels in order of their names."""

    metric: str
    labels: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The canonical spelling, the same however an exporter orders its labels."""
        return spelled(self.metric, self.labels)


class Malformed(NamedTuple):
    """A line that was left out."""

    line: int
    text: str
    reason: str


@dataclass(slots=True)
class Families:
    """What the comments say about metrics: type, unit and help by name."""

    types: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    helps: dict[str, str] = field(default_factory=dict)

    def family(self, metric: str) -> str:
        """The name under which a sample's metric is described: its own or, of "x_total" and the like, "x"."""
        if metric in self.types:
            return metric
        for suffix in _SUFFIXES:
            if metric.endswith(suffix) and metric.removesuffix(suffix) in self.types:
                return metric.removesuffix(suffix)
        return metric


S = TypeVar("S")


class Sample(NamedTuple):
    """One reading: which line, the value, and the time the exporter gave it in ns, or None.

    Where its value or time is malformed, `problem` says so and the value is NaN.
    """

    line: int
    value: float
    time_ns: int | None
    problem: str = ""


def spelled(metric: str, labels: tuple[tuple[str, str], ...]) -> str:
    """`metric{label="value"}` with the labels in the order given."""
    if not labels:
        return metric
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{metric}{{{inside}}}"


def samples(
    text: str, *, is_openmetrics: bool, families: Families, known: dict[str, S], describe: Callable[[Series], S]
) -> Iterator[tuple[S, Sample] | Malformed]:
    """All samples in the order of the text, each with what `describe` makes of its series.

    `known` keeps that by the spelling in the text and is looked up first: between two scrapes only values change, and
    taking labels apart is most of the work. `families` is filled as comments are met, which stand before the samples.
    """
    for number, line in enumerate(text.split("\n"), 1):
        head, _, last = line.rpartition(" ")
        if (described := known.get(head)) is not None:
            yield described, _sample(number, last, None, is_openmetrics=is_openmetrics)
            continue
        stripped = line.strip()
        if not stripped:
            continue
        try:
            if stripped[0] == "#":
                _comment(stripped, families)
                continue
            spelling, value, time = _split(stripped)
            described = known.get(spelling)
            if described is None:
                described = known[spelling] = describe(series(spelling))
        except MalformedLineError as error:
            yield Malformed(number, line, str(error))
        else:
            yield described, _sample(number, value, time, is_openmetrics=is_openmetrics)


def _sample(line: int, value: str, time: str | None, *, is_openmetrics: bool) -> Sample:
    try:
        return Sample(line, _value(value), _time_ns(time, is_openmetrics=is_openmetrics))
    except MalformedLineError as error:
        return Sample(line, math.nan, None, str(error))


def series(spelling: str) -> Series:
    """Takes `metric{label="value", …}` apart. Raises MalformedLineError."""
    match = _SERIES.fullmatch(spelling)
    if match is None:
        raise MalformedLineError("no name of a metric")
    metric, text, at = match["name"] or "", match["labels"] or "", 0
    labels: dict[str, str] = {}
    while at < len(text.rstrip()):
        found = _LABEL.match(text, at)
        if found is None:
            raise MalformedLineError(f"labels cannot be read at {text[at : at + 20]!r}")
        at = found.end()
        if found["metric"] is not None:
            if metric:
                raise MalformedLineError("two names")
            metric = _unquoted(found["metric"])
        elif (name := _unquoted(found["name"])) in labels:
            raise MalformedLineError(f"label {name!r} is there twice")
        else:
            labels[name] = _unquoted(found["value"])
    if not metric:
        raise MalformedLineError("no name of a metric")
    return Series(metric, tuple(sorted(labels.items())))


def _split(line: str) -> tuple[str, str, str | None]:
    """Series, value and time of a sample's line."""
    match = _SERIES.match(line)
    rest = _REST.fullmatch(line, match.end() if match else 0)
    if match is None or rest is None:
        raise MalformedLineError("neither a comment nor a sample")
    return match[0].rstrip(), rest["value"], rest["time"]


def _comment(line: str, families: Families) -> None:
    match = _METADATA.fullmatch(line)
    if match is None:
        return
    kept = {"HELP": families.helps, "TYPE": families.types, "UNIT": families.units}[match["what"]]
    kept[_unquoted(match["name"])] = (match["text"] or "").strip()


def _value(text: str) -> float:
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise MalformedLineError(f"{text[:40]!r} is not a number")


def _time_ns(text: str | None, *, is_openmetrics: bool) -> int | None:
    """OpenMetrics gives seconds, the older format milliseconds."""
    if text is None:
        return None
    try:
        seconds = float(text) if is_openmetrics else int(text) / 1000
    except ValueError:
        raise MalformedLineError(f"{text[:40]!r} is not a time") from None
    if not math.isfinite(seconds) or not 0 <= seconds < _LARGEST_TIME_S:
        raise MalformedLineError(f"{text[:40]!r} is not a time")
    return round(seconds * 1e6) * 1000 if is_openmetrics else int(text) * 1_000_000


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], text[1:-1])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
