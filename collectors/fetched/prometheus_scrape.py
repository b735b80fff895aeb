"""One answer of an exporter, and the blocks it becomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from collectors.fetched.prometheus_columns import Bucket, BucketError, Target, Unwanted, bucket_histogram
from collectors.fetched.prometheus_text import Families, Malformed, Sample, Series, samples
from collectors.frame import Channel, Frame, Histogram, Kind, Layout, Quality, Updates
from collectors.snapshot import SnapshotFrames


@dataclass(slots=True)
class Scrape:
    """The readings of one answer, by the names of their columns."""

    lines: int = 0
    channels: list[Channel] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)
    bad: dict[str, Quality] = field(default_factory=dict)
    times_ns: dict[str, int] = field(default_factory=dict)
    buckets: dict[str, dict[Bucket, float]] = field(default_factory=dict)
    malformed: list[Malformed] = field(default_factory=list)

    @classmethod
    def read(
        cls, text: str, *, is_openmetrics: bool, families: Families, known: dict[str, Target], describe: Callable[[Series], Target]
    ) -> Self:
        """Sorts the samples of a text by what they are."""
        scrape = cls()
        for item in samples(text, is_openmetrics=is_openmetrics, families=families, known=known, describe=describe):
            if isinstance(item, Malformed):
                scrape.malformed.append(item)
                continue
            target, sample = item
            if isinstance(target, Unwanted):
                scrape.lines += 1
                continue
            if sample.problem:
                scrape.malformed.append(Malformed(sample.line, target.name, sample.problem))
            else:
                scrape.lines += 1
            if isinstance(target, Bucket):
                scrape.buckets.setdefault(target.name, {})[target] = sample.value
                name = target.name
            elif target.name in scrape.values:
                scrape.malformed.append(Malformed(sample.line, target.name, "the same series is there twice"))
                continue
            else:
                scrape.add(sample, target)
                name = target.name
            if sample.time_ns is not None:
                scrape.times_ns[name] = sample.time_ns
        return scrape

    def add(self, sample: Sample, channel: Channel) -> None:
        """Takes one reading. An infinite one is no reading; one that cannot be true is reported as well."""
        value, reason = sample.value, ""
        if channel.kind is Kind.COUNTER and value < 0:
            reason = f"a counter of {value:g}"
        elif channel.kind is Kind.STATE and not math.isnan(value) and value not in range(len(channel.states)):
            reason = f"{value:g} is none of its {len(channel.states)} states"
        if reason:
            self.malformed.append(Malformed(sample.line, channel.name, reason))
        is_invalid = bool(reason or sample.problem) or math.isinf(value)
        self.channels.append(channel)
        self.values[channel.name] = math.nan if is_invalid else value
        if is_invalid:
            self.bad[channel.name] = Quality.INVALID


class ScrapeFrames:
    """Makes blocks of scrapes, with a layout that stays as long as the series do."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._snapshots = SnapshotFrames(source)
        self._layout = Layout(source, ())

    def frame(self, time_ns: int, scrape: Scrape) -> tuple[Frame | None, list[tuple[str, str]]]:
        """A frame of one row (None where nothing was wanted), and which histograms are left out, each with its reason."""
        histograms: list[Histogram] = []
        sections: list[float] = []
        disputed: list[tuple[str, str]] = []
        for name, buckets in scrape.buckets.items():
            try:
                if name in scrape.values:
                    raise BucketError("a metric has the same name")
                histogram, section = bucket_histogram(buckets)
            except BucketError as error:
                disputed.append((name, str(error)))
            else:
                histograms.append(histogram)
                sections += section
        if not scrape.channels and not histograms:
            return None, disputed
        frame = self._snapshots.frame(time_ns, scrape.channels, scrape.values, scrape.bad)
        if not histograms:
            return frame, disputed
        columns = (*frame.layout.columns, *histograms)
        if columns != self._layout.columns:
            self._layout = Layout(self._source, columns)
        quality = frame.quality
        if quality is not None:
            quality = np.concatenate([quality, np.full((1, len(sections)), Quality.GOOD, dtype=np.uint8)], axis=1)
        return Frame(self._layout, frame.time_ns, np.concatenate([frame.values, [sections]], axis=1), quality), disputed

    def updates(self, frame: Frame, scrape: Scrape) -> Updates:
        """The same readings, each at the time the exporter gave it; those without one at the time of the scrape."""
        layout = frame.layout
        own_ns = np.array([scrape.times_ns.get(column.name, int(frame.time_ns[0])) for column in layout.columns], dtype=np.int64)
        time_ns = np.repeat(own_ns, np.diff(layout.starts))
        quality = np.full(layout.width, Quality.GOOD, dtype=np.uint8) if frame.quality is None else frame.quality[0]
        return Updates(layout, time_ns, np.arange(layout.width, dtype=np.int32), frame.values[0].astype(np.float64), quality)
