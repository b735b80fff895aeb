"""Records of single events or of sums: file transfers, accesses, tape mounts, daily accounting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.patterns import Selection
from collectors.tabular.records_blocks import record_blocks, text_of_lists
from collectors.tabular.records_groups import LEFT_OUT, GroupColumns, Groups, Survey
from collectors.tabular.records_options import RecordsOptions
from collectors.tabular.records_reading import RecordReader
from collectors.tabular.records_rows import IntervalRows
from collectors.tabular.table_blocks import Block, expand
from collectors.tabular.table_values import NO_TIME

AHEAD_NS = 86_400_000_000_000
"""Records that lie further ahead than this are no records: one of them would make all others late."""


class RecordsCollector:
    """Turns records (a transfer, an access, a day's sum) into intervals: how many, how much, how fast, how many failed.

    Each group of records has channels `GROUP/records`, `GROUP/bytes`, `GROUP/rate_p50` and so on; without `group_by` they are
    `records`, `bytes` …. Sums are exact; p50 and p95 are within 1 % of a value that was there. A group without records in an
    interval has 0 of them, and no mean. Records need not be in the order of their time, and there may be any number of them: what is
    kept are the sums of open intervals (`lateness_s`). Files are read twice where there are groups, first to find the largest.

    Names of users are personal data. They appear in names of channels only where you put their column into `group_by`, and there
    `hash_columns` replaces them by pseudonyms; `distinct` counts people without naming anybody. Lines that cannot be read are
    reported without their content.

    Recorded data only: files that grow are not followed.

    Example:
        [source.tape]
        collector = "records"
        place = "SLAC/tape"
        files = "/data/transfers/*.csv.gz"
        time = "start"
        group_by = ["ttype"]
        size = "fsz"
        elapsed = "elap"
        elapsed_unit = "ms"

    """

    options_model: ClassVar[type[Options]] = RecordsOptions
    finite: ClassVar[bool] = True

    def __init__(self, origin: Origin, options: RecordsOptions) -> None:
        self._origin = origin
        self._options = options
        self._selection = Selection(options.include, options.exclude)
        self._columns = GroupColumns(options.group_by, options.labels, options.hash_columns, options.pseudonyms())
        self._reader = RecordReader(options)
        self._interval_ns = options.interval_s * 1_000_000_000

    def collect(self) -> Iterator[Collected]:
        """All records of all files, as one row for each interval. What cannot be read is named, and the rest goes on."""
        paths = expand(self._options.files)
        groups = self._survey(paths)
        rows = IntervalRows(self._origin, self._options, groups)
        for path in paths:
            try:
                for block in self._blocks(path):
                    if isinstance(block, Rejected):
                        yield block
                    else:
                        yield from self._take(path, block, groups, rows)
            except CollectError as error:
                if len(paths) == 1:
                    raise
                yield Rejected(path, str(error).removeprefix(f"{path}: "))
        yield from rows.rest()

    def close(self) -> None:
        """Nothing stays open after the last record."""

    def _blocks(self, path: str) -> Iterator[Block | Rejected]:
        """Blocks with all columns that are needed. Raises CollectError."""
        options = self._options
        checked = False
        try:
            for block in record_blocks(path, options.format, options.delimiter, options.names, options.block_records):
                if isinstance(block, Block) and not checked:
                    self._reader.check(path, block)
                    checked = True
                yield self._whole(block) if isinstance(block, Block) else block
        except pa.ArrowException as error:
            raise CollectError(f"{path}: {str(error).partition(chr(10))[0]}") from None

    def _whole(self, block: Block) -> Block:
        """Of JSON lines a block may lack a column that earlier ones had: no record of it says anything there. Lists become text."""
        there = {name: block.columns[name] for name in self._options.wanted_columns() if name in block.columns}
        texts = {name: text_of_lists(column) for name, column in there.items() if pa.types.is_nested(column.type)}
        block = block._replace(columns={**block.columns, **texts}) if texts else block
        missing = [name for name in self._options.wanted_columns() if name not in block.columns]
        nothing = {name: pa.nulls(block.rows, pa.string()) for name in missing}
        return block._replace(columns={**block.columns, **nothing}) if missing else block

    def _survey(self, paths: list[str]) -> Groups:
        """The groups that get channels; what is wrong with a file is said when it is read again."""
        if not self._options.group_by:
            return Groups([()], Selection(["*"]), has_other=False)
        survey = Survey(self._options.groups_most)
        for path in paths:
            try:
                for block in self._blocks(path):
                    if isinstance(block, Block):
                        found, which = self._columns.of(block.columns, block.rows)
                        volume = np.bincount(which, self._reader.volume(block), len(found))
                        survey.add(found, volume.astype(np.float64))
            except (CollectError, pa.ArrowException):
                continue
        return survey.chosen(self._selection)

    def _take(self, path: str, block: Block, groups: Groups, rows: IntervalRows) -> Iterator[Collected]:
        """Adds a block up; what intervals are complete after it."""
        time_ns = self._reader.time_ns(block)
        found, which = self._columns.of(block.columns, block.rows)
        group = groups.numbers(found)[which] if found else np.empty(0, dtype=np.int64)
        timed = time_ns != NO_TIME
        ahead = timed & (time_ns > self._origin.now_ns() + AHEAD_NS)
        interval = np.where(timed, time_ns, 0) // self._interval_ns
        late = timed & (interval < rows.first_open)
        records, rejected = self._reader.records(path, block, interval, group, timed)
        yield from rejected
        for which_rows, why in ((ahead, "lie in the future"), (late, "came after their interval was complete (lateness_s)")):
            if which_rows.any():
                row = block.first_row + int(np.argmax(which_rows))
                yield Rejected(path, f"{int(which_rows.sum())} records {why} and are left out, the first in row {row}")
        kept = timed & ~ahead & ~late & (group != LEFT_OUT)
        if kept.any():
            yield from rows.add(records.some(kept) if not kept.all() else records, int(time_ns[kept].max()))
