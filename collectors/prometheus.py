"""Metrics of anything that speaks the text format of Prometheus or OpenMetrics: exporters, node exporters' files, servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.fetched.http_options import HttpOptions
from collectors.fetched.prometheus_columns import Describer, Target
from collectors.fetched.prometheus_exposition import Exposition, Expositions
from collectors.fetched.prometheus_scrape import Scrape, ScrapeFrames
from collectors.fetched.prometheus_text import Families, MalformedLineError, Series
from collectors.patterns import Places, PlaceTemplates, Selection

REPORTED_LINES = 20
"""Malformed lines of one answer that are named; the rest is counted."""


class PrometheusOptions(HttpOptions):
    """Where the metrics are, who may read them, and what they become."""

    url: str
    """http://, https:// or file:// (a node exporter's text file)."""
    include: tuple[str, ...] = ("*",)
    """Patterns on the metric's name or on `name{label="value"}`, labels in alphabetical order. One must match."""
    exclude: tuple[str, ...] = ("*_created",)
    """Patterns of series that are left out."""
    place_labels: tuple[str, ...] = ()
    """Labels whose values are the place below the source's: ["subsystem", "fed"]."""
    places: PlaceTemplates = Field(default_factory=dict)
    """Pattern on `name{label="value"}` = place below the source's; `{1}` is what the first `*` stands for."""
    states: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Pattern = names of the values 0, 1, 2 … of a metric that is a state: { tts_state = ["READY", "WARNING"] }."""
    buckets: bool = False
    """Histograms also with their buckets, as totals: give the source `accumulation = "since_start"`."""
    honor_timestamps: bool = True
    """Readings with a time of their own keep it; else all have the time of the scrape."""


class PrometheusCollector:
    """Metrics of any exporter, in the text format of Prometheus or OpenMetrics, by HTTP or from a file.

    One address is scraped. Names are `metric{label="value"}` with the labels in alphabetical order.

    Example:
        [source.hv-exporter]
        collector = "prometheus"
        place = "CMS/ECAL/HV"
        url = "http://localhost:9100/metrics"
        include = ["hv_*"]
        place_labels = ["crate", "channel"]

    """

    options_model: ClassVar[type[Options]] = PrometheusOptions
    finite: ClassVar[bool] = False

    def __init__(self, origin: Origin, options: PrometheusOptions) -> None:
        self._origin = origin
        self._options = options
        selection = Selection(options.include, options.exclude)
        self._describer = Describer(selection, Places(origin.place, options.places), options.place_labels, options.states, options.buckets)
        self._known: dict[str, Target] = {}
        self._families = Families()
        self._frames = ScrapeFrames(origin.source)
        self._expositions = Expositions(options, origin.now_ns)

    def collect(self) -> Iterator[Collected]:
        """One snapshot of all metrics: a frame, or updates where readings bring times of their own."""
        exposition = self._expositions.newest()
        if exposition is None:
            return
        address = self._expositions.address
        scrape = self._parse(exposition)
        rejected = [Rejected(f"{address} line {bad.line}", bad.reason, bad.text.encode()) for bad in scrape.malformed]
        if not scrape.lines and rejected:
            raise CollectError(f"{address}: not a single sample; line {scrape.malformed[0].line}: {scrape.malformed[0].reason}")
        if exposition.cut_line:
            rejected.append(Rejected(address, "ends in the middle of a line", exposition.cut_line.encode()))
        frame, disputed = self._frames.frame(exposition.time_ns, scrape)
        rejected += [Rejected(f"{address}: {name}", reason) for name, reason in disputed]
        yield from rejected[:REPORTED_LINES]
        if len(rejected) > REPORTED_LINES:
            yield Rejected(address, f"{len(rejected) - REPORTED_LINES} more lines could not be used")
        if frame is not None:
            yield self._frames.updates(frame, scrape) if scrape.times_ns and self._options.honor_timestamps else frame

    def close(self) -> None:
        """Ends the connection."""
        self._expositions.close()

    def _parse(self, exposition: Exposition) -> Scrape:
        families, text, is_openmetrics = Families(), exposition.text, exposition.is_openmetrics

        def describe(series: Series) -> Target:
            try:
                return self._describer.target(series, families)
            except ValueError as error:
                raise MalformedLineError(f"a bucket without a bound: {error}") from None

        scrape = Scrape.read(text, is_openmetrics=is_openmetrics, families=families, known=self._known, describe=describe)
        if families != self._families:
            is_first = self._families == Families()
            self._families = families
            if not is_first:  # what is known was described by other types and units
                self._known = {}
                scrape = Scrape.read(text, is_openmetrics=is_openmetrics, families=families, known=self._known, describe=describe)
        if len(self._known) > 2 * scrape.lines + 1000:  # series that come and go are not kept for ever
            self._known = {}
        return scrape
