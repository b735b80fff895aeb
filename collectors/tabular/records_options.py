"""What records are, which of their columns mean what, and how they are grouped."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from collectors.collector import Options
from collectors.patterns import PlaceTemplates
from collectors.tabular.records_blocks import RecordFormat
from collectors.tabular.records_groups import Pseudonyms
from collectors.tabular.table_values import TimeFormat

Quantity = Literal["records", "record_rate", "bytes", "throughput", "failures", "failure_ratio", "mean", "p50", "p95"]
DEFAULT_QUANTITIES: tuple[Quantity, ...] = ("records", "bytes", "failures", "failure_ratio", "mean", "p50", "p95")


class RecordSum(Options):
    """A further column that is added up."""

    name: str
    """What the channel is called: "written"."""
    column: str
    """The column that is added up."""
    unit: str = "B"
    """Of the column and of its sum."""
    factor: float = 1.0
    """What the numbers of the column are multiplied with, to be in that unit."""


class RecordsOptions(Options):
    """Where the records are and what their columns mean. All columns but the time are optional."""

    files: str = Field(min_length=1)
    """Glob; files are read in the order of their paths."""
    format: RecordFormat = "auto"
    """csv, json_lines (an object a line), json (an array of objects) or parquet; by the file's ending by default. Text may be
    compressed."""
    names: tuple[str, ...] = ()
    """Names of the columns of a CSV file that has none."""
    delimiter: str = Field(default="", max_length=1)
    """CSV: what separates the columns; found out by default."""
    time: str | tuple[str, ...] = ()
    """Column with the time of the record, or columns that make it together: ["year", "month", "day"] and on to hour, minute, second."""
    time_format: TimeFormat = "auto"
    """auto: ISO 8601, or seconds to nanoseconds since 1970 by their size."""
    timezone: str = "UTC"
    """IANA name, for times that name no zone."""
    at: datetime | None = None
    """Records without times, such as totals of a whole period: when they are from."""
    interval_s: int = Field(default=3600, ge=1)
    """Length of the intervals; they begin at multiples of it since 1970. A row stands at the end of its interval: that of day sums
    of 3 March (86400) at 4 March, 0:00 UTC."""
    lateness_s: float | None = Field(default=None, ge=0)
    """How much older than the newest record before it a record may be; a later one is counted and left out. By default records may
    be in any order, as long as the sums of all intervals fit into a few hundred megabytes."""
    group_by: tuple[str, ...] = ()
    """Columns whose values make a group: ["source", "destination"], ["application"]. Without any all records are one group."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the name of a group (its values with a slash between them); one must match."""
    exclude: tuple[str, ...] = ()
    """Patterns of groups that are left out."""
    groups_most: int = Field(default=100, ge=1, le=10_000)
    """Groups with channels of their own: those with the most bytes, or records. All others together are "other"."""
    labels: dict[str, dict[str, str]] = Field(default_factory=dict)
    """What values of a column are called instead: { ttype = { "0" = "migration", "1" = "restore" } }."""
    place_columns: tuple[str, ...] = ()
    """Columns of `group_by` whose values are the place below the source's, from the top down."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on the name of a group = place below the source's; `{1}` is what the first `*` stands for."""
    hash_columns: tuple[str, ...] = ()
    """Columns of `group_by` that name people: groups are called by a pseudonym, which stays the same from day to day."""
    hash_key_file: Path | None = None
    """The secret that pseudonyms are made with, at least 16 bytes; whoever has it can trace them back."""
    count: str = ""
    """Column with the number of events that a record stands for, where that is not one."""
    size: str = ""
    """Column of sizes, for `bytes`."""
    size_factor: float = Field(default=1.0, gt=0)
    """Bytes in one unit of that column."""
    elapsed: str = ""
    """Column with how long it took: with `size` it makes the rate in B/s, of which mean and quantiles are. A record of no time has
    no rate."""
    elapsed_unit: Literal["s", "ms", "us", "ns"] = "s"
    """Of the column `elapsed`."""
    value: str = ""
    """Instead of a rate: the column of which mean and quantiles are."""
    value_unit: str = "1"
    """Of the column `value`."""
    sums: tuple[RecordSum, ...] = ()
    """Further columns that are added up: [{ name = "read", column = "rb" }]."""
    distinct: tuple[str, ...] = ()
    """Columns of which the number of different values is counted: ["user"] says how many, and never who."""
    status: str = ""
    """Column with the outcome."""
    failed: tuple[str, ...] = ()
    """Patterns of outcomes that are failures."""
    succeeded: tuple[str, ...] = ()
    """Instead: patterns of those that are none."""
    quantities: tuple[Quantity, ...] = DEFAULT_QUANTITIES
    """What is made of each group, as far as the columns are known. `record_rate` and `throughput` are records and bytes a second."""
    block_records: int = Field(default=65_536, ge=1)
    """Records that are read at once: more are faster, fewer need less memory."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"no time zone {name!r}") from None
        return name

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.time) == (self.at is not None):
            raise ValueError("give either `time` or, for records without times, `at`")
        if not isinstance(self.time, str) and self.time and not 3 <= len(self.time) <= 6:
            raise ValueError("`time` is one column, or those of year, month, day, hour, minute and second")
        if self.elapsed and (not self.size or self.value):
            raise ValueError("`elapsed` makes a rate with `size`; give it without `value`")
        if bool(self.status) != (bool(self.failed) != bool(self.succeeded)):
            raise ValueError("give `status` with either `failed` or `succeeded`")
        if loose := {*self.place_columns, *self.hash_columns} - {*self.group_by}:
            raise ValueError(f"{min(loose)!r} is none of the columns in `group_by`")
        if bool(self.hash_columns) != (self.hash_key_file is not None):
            raise ValueError("`hash_columns` and `hash_key_file` need one another")
        names = [sum_.name for sum_ in self.sums] + [*(["bytes"] if self.size else [])]
        if len(set(names)) < len(names) or {*names} & {*DEFAULT_QUANTITIES, "record_rate", "throughput"} - {"bytes"}:
            raise ValueError("two sums with one name")
        self.pseudonyms()
        if not (self.shown() or self.sums or self.distinct):
            raise ValueError("the columns give none of the `quantities`")
        return self

    def shown(self) -> tuple[Quantity, ...]:
        """Those of `quantities` for which the columns are known."""
        known: set[Quantity] = {"records", "record_rate"}
        known |= {"bytes", "throughput"} if self.size else set()
        known |= {"failures", "failure_ratio"} if self.status else set()
        known |= {"mean", "p50", "p95"} if self.value or self.elapsed else set()
        return tuple(quantity for quantity in self.quantities if quantity in known)

    def pseudonyms(self) -> Pseudonyms | None:
        """What makes pseudonyms, where any are wanted. Raises ValueError where the key cannot be read."""
        return Pseudonyms(self.hash_key_file) if self.hash_key_file is not None else None

    @property
    def time_columns(self) -> tuple[str, ...]:
        """Columns that make the time."""
        return (self.time,) if isinstance(self.time, str) else self.time

    @property
    def all_sums(self) -> tuple[RecordSum, ...]:
        """Columns that are added up, that of `size` first."""
        size = (RecordSum(name="bytes", column=self.size, factor=self.size_factor),) if self.size else ()
        return (*size, *self.sums)

    def wanted_columns(self) -> tuple[str, ...]:
        """All columns that must be there."""
        single = (self.count, self.elapsed, self.value, self.status)
        sums = (sum_.column for sum_ in self.all_sums)
        named = (*self.time_columns, *self.group_by, *self.distinct, *sums, *(name for name in single if name))
        return tuple(dict.fromkeys(named))
