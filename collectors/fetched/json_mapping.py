"""What a JSON document is turned into: which of its numbers are channels, and what these mean. Options shared by all who read JSON.

Paths are JMESPath expressions (https://jmespath.org/specification.html): `daq.deadTime.total`, `partitions[?name=='ECAL'].rate | [0]`,
`length(jobs[?state=='ACTIVE'])`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

import jmespath
import pyarrow as pa
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from pydantic import AfterValidator, Field, field_validator, model_validator

from collectors.collector import Options
from collectors.fetched.json_channels import ChannelOptions
from collectors.tabular.table_values import NO_TIME, TimeFormat, times

REFERENCE = re.compile(r"\{([^{}]*)\}")
"""A label in the template of a name or a place: a path in the row, or one of the words `column`, `key` and `index`."""
_SCALE_NS = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
_SCALES = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000))
"""Numbers below these are seconds, milliseconds and microseconds, as in tables."""
_LAST_NS = 2**63 - 1
EVALUATION_ERRORS = (JMESPathError, ValueError, TypeError, ArithmeticError, RecursionError)
"""What using an expression can come to: besides its own error those of Python, as for the ceiling of an infinite number."""
OWN_WORDS = ("column", "key", "index")


def _syntax_tree(path: str) -> Any:  # noqa: ANN401 - jmespath does not name the type of its nodes
    """Raises ValueError in one line where the expression is none."""
    try:
        return jmespath.compile(path).parsed
    except JMESPathError as error:
        reason = str(error).partition("\n")[0].removesuffix(":")
        raise ValueError(f"{path!r} is not a JMESPath expression: {reason}") from None


def _check_path(path: str) -> str:
    """What jmespath itself finds out only when the expression is used: functions that there are not."""
    pending = [_syntax_tree(path)]
    while pending:
        node = pending.pop()
        pending += [child for child in node.get("children", ()) if isinstance(child, dict)]
        if node["type"] != "function_expression":
            continue
        known = Functions.FUNCTION_TABLE.get(node["value"])
        if known is None:
            raise ValueError(f"{path!r}: JMESPath has no function {node['value']!r}")
        wanted, given = len(known["signature"]), len(node["children"])
        if given != wanted and not (given > wanted and known["signature"][-1].get("variadic")):
            raise ValueError(f"{path!r}: {node['value']}() takes {wanted} arguments, not {given}")
    return path


def _check_template(template: str) -> str:
    for reference in REFERENCE.findall(template):
        if reference not in OWN_WORDS:
            _check_path(reference)
    if "{" in (rest := REFERENCE.sub("", template)) or "}" in rest:
        raise ValueError(f"{template!r}: a brace without its partner")
    return template


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}") from None
    return name


JsonPath = Annotated[str, Field(min_length=1), AfterValidator(_check_path)]
"""A JMESPath expression."""
Template = Annotated[str, AfterValidator(_check_template)]
"""Text with `{path}` for what a path finds in the row."""
TimeZone = Annotated[str, AfterValidator(_check_zone)]


class JsonTable(Options):
    """Objects of the same form, of which each gives its channels: subsystems, front ends, sites, links."""

    rows: JsonPath
    """Path to a list, or to an object whose members are the rows (`{key}` is the name of each). `[@]` makes one row of all."""
    name: Template
    """Name of a row: `{path}` is what the path finds in the row, `{index}` the number of the row from 0. The name of the column
    follows after a "/", or stands where the template says `{column}`."""
    columns: dict[str, JsonPath] = Field(default_factory=dict)
    """Name = path in the row (`@` is the row itself). Without any, every number of the row is a channel."""
    place: Template = ""
    """Place of a row below the source's, in the same way."""
    time: JsonPath | None = None
    """Path in the row to the time of its readings, where it has one of its own."""


class JsonOptions(ChannelOptions):
    """What is read from a document, and what it means."""

    values: dict[str, JsonPath] = Field(default_factory=dict)
    """Name of a channel = path to its value: { "deadtime" = "daq.deadTime.total" }."""
    tables: tuple[JsonTable, ...] = ()
    """Lists of objects: [{ rows = "subsystems", name = "{name}", columns = { rate = "rate", tts = "ttsState" } }]."""
    flatten: bool = False
    """Every number of the document, under its path (`daq.deadTime.total`, `fed[3].rate`): what a first look shows, and what can be
    copied into `values`. Give `exclude` for what is no measurement, as identifiers."""
    time: JsonPath | None = None
    """Path to the time of the document; by default it is that of its arrival. A document whose time stands still is not read again."""
    time_format: TimeFormat = "auto"
    """auto: ISO 8601, a date of HTTP, or seconds to nanoseconds since 1970 by their size."""
    timezone: TimeZone = "UTC"
    """IANA name, for times that name no zone."""


class RequiredJsonOptions(JsonOptions):
    """The same, for those who read nothing else than JSON."""

    @model_validator(mode="after")
    def _reads_something(self) -> Self:
        if not (self.values or self.tables or self.flatten):
            raise ValueError("say what to read in `values` or `tables`, or take every number with flatten = true")
        return self

    @field_validator("values")
    @classmethod
    def _have_names(cls, values: dict[str, str]) -> dict[str, str]:
        if not all(name.strip() for name in values):
            raise ValueError("a value without a name")
        return values


def time_ns(value: object, time_format: TimeFormat, timezone: str) -> int | None:
    """A time in ns UTC from a number or text of JSON; None where it is none. As `table_values.times`, and dates of HTTP."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None if time_format == "iso" else _epoch_ns(value, time_format)
    if not isinstance(value, str):
        return None
    try:
        found = int(times(pa.array([value]), time_format, timezone)[0])
    except (pa.ArrowException, OverflowError, ValueError):
        found = NO_TIME
    if found == NO_TIME and time_format in ("auto", "iso"):
        return _http_date_ns(value, timezone)
    return None if found == NO_TIME else found


def _epoch_ns(value: float, time_format: TimeFormat) -> int | None:
    """Whole numbers exactly; others to what a float holds."""
    if (isinstance(value, float) and not math.isfinite(value)) or abs(value) > _LAST_NS:  # whole numbers may be too large for a float
        return None
    scale = _SCALE_NS.get(time_format) or next((scale for limit, scale in _SCALES if abs(value) < limit), 1)
    found = value * scale if isinstance(value, int) else math.floor(value) * scale + round((value - math.floor(value)) * scale)
    return found if abs(found) <= _LAST_NS else None


def _http_date_ns(text: str, timezone: str) -> int | None:
    """A date such as "Tue, 14 Nov 2023 22:13:20 GMT", in the zone where it names none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:  # also for UTC, by the words of RFC 5322
        moment = moment.replace(tzinfo=UTC if text.rstrip().endswith(("GMT", "UTC", "-0000")) else ZoneInfo(timezone))
    return round(moment.timestamp()) * 1_000_000_000


def fill(template: str, find: Mapping[str, str]) -> str:
    """The template with its labels filled in."""
    return REFERENCE.sub(lambda reference: find[reference[1]], template)


def references(*templates: str) -> Iterator[str]:
    """All labels of some templates."""
    for template in templates:
        yield from REFERENCE.findall(template)
