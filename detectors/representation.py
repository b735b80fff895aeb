"""What a training sample has much of and what it lacks, compared with the time that it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame, Quality

OVER, UNDER = 1.5, 0.5
"""The share of something in the sample over its share outside, from which it is said."""
SHARE_LEAST = 0.03
"""What is rarer than this in both is not said."""
READINGS_LEAST = 0.5
"""Part of the rows in which a channel should have a reading."""
NAMED_MOST = 5
QUARTER_NS = 900_000_000_000
"""Offsets of time zones are whole quarters of an hour: all rows within one have the same part of the day and day."""
PARTS_OF_DAY = ("night", "morning", "afternoon", "evening")
DAYS = ("weekday", "weekend")


def representation(
    sample: Frame, all_time_ns: NDArray[np.int64], conditions: Mapping[str, tuple[Sequence[str], Sequence[str]]], zone: tzinfo = UTC
) -> list[str]:
    """Sentences about the sample of normal rows, the most important first.

    all_time_ns: times of all rows of the interval, those left out too. conditions: by name, their values in words for each row
    of the sample and for all rows. Parts of the day are compared with the calendar, the rest with all rows.
    """
    said = _calendar(sample.time_ns, zone)
    for name, (in_sample, in_all) in conditions.items():
        said += _compared(name, in_sample, in_all)
    left_out = 1.0 - len(sample) / max(1, len(all_time_ns))
    if left_out >= SHARE_LEAST:
        said.append(f"{left_out:.0%} of the rows were left out: incidents, muted times")
    return said + _thin_channels(sample)


def _calendar(time_ns: NDArray[np.int64], zone: tzinfo) -> list[str]:
    """Times of day and days of the week; each part of the calendar would have its share of a long sample."""
    if not len(time_ns):
        return []
    hours: Counter[str] = Counter()
    days: Counter[str] = Counter()
    for quarter, rows in zip(*np.unique(time_ns // QUARTER_NS, return_counts=True), strict=True):
        moment = datetime.fromtimestamp(int(quarter) * (QUARTER_NS // 1_000_000_000), zone)
        hours[PARTS_OF_DAY[moment.hour // 6]] += int(rows)
        days[DAYS[moment.weekday() >= 5]] += int(rows)
    return _against("time of day", hours, dict.fromkeys(PARTS_OF_DAY, 0.25)) + _against(
        "day", days, dict(zip(DAYS, (5 / 7, 2 / 7), strict=True))
    )


def _compared(name: str, in_sample: Sequence[str], in_all: Sequence[str]) -> list[str]:
    """What is known of a condition; rows in which it is not known ("") say nothing about either."""
    found, everywhere = (Counter(value for value in values if value) for values in (in_sample, in_all))
    if not found:
        return [f"under-represented {name}: not known in any row"] if everywhere else []
    return _against(name, found, {value: rows / everywhere.total() for value, rows in sorted(everywhere.items())})


def _against(name: str, rows: Counter[str], expected: Mapping[str, float]) -> list[str]:
    """What is over- and under-represented; rows: how many have each value; expected: the share that each should have."""
    total = max(1, rows.total())
    over, under = [], []
    for value, share in expected.items():
        found = rows[value] / total
        if max(found, share) < SHARE_LEAST:
            continue
        words = f"{value} {found:.0%} instead of {share:.0%}"
        if found > OVER * share:
            over.append(words)
        elif found < UNDER * share:
            under.append(words)
    said = [f"over-represented {name}: {', '.join(over[:NAMED_MOST])}"] if over else []
    return said + ([f"under-represented {name}: {', '.join(under[:NAMED_MOST])}"] if under else [])


def _thin_channels(sample: Frame) -> list[str]:
    """Channels that have few readings in it."""
    good = np.isfinite(sample.values)
    if sample.quality is not None:
        good &= sample.quality == Quality.GOOD
    share = good.mean(axis=0) if len(sample) else np.zeros(sample.layout.width)
    thin = [(float(share[start]), column.name) for column, start in zip(sample.layout.columns, sample.layout.starts[:-1], strict=True)]
    few = sorted(entry for entry in thin if entry[0] < READINGS_LEAST)
    if not few:
        return []
    named = ", ".join(f"{name} ({part:.0%} of the rows)" for part, name in few[:NAMED_MOST])
    more = f" and {len(few) - NAMED_MOST} more" if len(few) > NAMED_MOST else ""
    return [f"under-represented channels: {named}{more}"]
