"""Tables that fit into a terminal."""

from __future__ import annotations

import click
import numpy as np

from collectors.frame import Channel, Column, Quality
from daemon.inspection.look import Recording
from daemon.inspection.reading import Reading
from daemon.inspection.table import live_lines, recorded_lines

LONG = 'node_filesystem_avail_bytes{device="/dev/mapper/system-home",fstype="ext4",mountpoint="/home"}'


def reading(name: str, value: float) -> Reading:
    column: Column = Channel(name, "free", "B", place="T2_X/rack4/node17")
    return Reading(column, np.array([value]), Quality.GOOD, 1)


def lines(width: int) -> list[str]:
    found = live_lines([reading("node_load1", 4.33), reading(LONG, 1e9)], 2_000_000_000, folded=True, width=width)
    return [click.unstyle(line) for line in found]


def test_a_name_that_is_too_long_for_the_terminal_stands_whole_on_a_line_of_its_own() -> None:
    heading, short, long, rest = lines(100)
    assert max(map(len, (heading, short, rest))) <= 100
    assert long == LONG, "a name is there to be copied, so it is not cut"
    assert rest.split() == ["1", "G", "B", "T2_X/rack4/node17", "2", "s", "good"]
    assert short.index("T2_X") == rest.index("T2_X") == heading.index("place")


def test_where_there_is_no_terminal_each_reading_is_one_line() -> None:
    assert len(lines(0)) == 3
    assert lines(0)[2].startswith(LONG + "  ")


def test_a_recording_shows_as_many_rows_as_there_is_space_for() -> None:
    column = (reading("occupancy", 348.0), reading("occupancy", 373.0), reading("occupancy", 399.0))
    found = Recording(columns=[column], rows=10)
    whole, narrow, tiny = (recorded_lines(found, [column], folded=True, width=width)[0] for width in (0, 63, 20))
    assert [click.unstyle(line).count("row ") for line in (whole, narrow, tiny)] == [3, 2, 1]
