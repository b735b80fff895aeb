"""Metrics of anything that speaks the text format of Prometheus or OpenMetrics: exporters, node exporters' files, servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from urllib3.util import make_headers

from collectors.collector import Collected, CollectError, Options, Origin, Rejected
from collectors.patterns import Places, PlaceTemplates, Selection
from collectors.prometheus_columns import Describer, Target
from collectors.prometheus_http import HttpText, file_path, is_loopback, shown
from collectors.prometheus_scrape import Scrape, ScrapeFrames
from collectors.prometheus_text import Families, MalformedLineError, Series

REPORTED_LINES = 20
"""Malformed lines of one answer that are named; the rest is counted."""


class PrometheusOptions(Options):
    """Where the metrics are, who may read them, and what they become."""

    url: str
    """http://, https:// or file:// (a node exporter's text file)."""
    request_timeout_s: float = Field(default=5.0, gt=0)
    """For the connection, and for the whole answer."""
    max_bytes: int = Field(default=64_000_000, ge=1)
    """An answer that is larger is refused."""
    bearer_token: SecretStr | None = None
    bearer_token_file: Path | None = None
    """Read anew each time, so that it may be replaced."""
    username: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    """Read anew each time."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's. Certificates are always verified."""
    certificate_file: Path | None = None
    """The client's own certificate, where the server asks for one."""
    key_file: Path | None = None
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

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "file" and parts.path and parts.netloc in ("", "localhost"):
            return url
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an address: http://HOST:PORT/metrics, https://… or file:///PATH")
        if parts.username or parts.password:
            raise ValueError("put user and password into `username` and `password_file`, not into the address")
        return url

    @model_validator(mode="after")
    def _check_secrets(self) -> PrometheusOptions:
        tokens = [self.bearer_token, self.bearer_token_file]
        passwords = [self.password, self.password_file]
        given = [secret for secret in (*tokens, *passwords) if secret is not None]
        if len(given) > 1 or bool(self.username) != any(secret is not None for secret in passwords):
            raise ValueError("give one of bearer_token, bearer_token_file, or username with password or password_file")
        parts = urlsplit(self.url)
        if given and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError("a secret must not go over http:// to another machine; use https://")
        return self


class Exposition(NamedTuple):
    """The text of all metrics at one time; `cut_line` is what stands after the last end of a line."""

    text: str
    is_openmetrics: bool
    time_ns: int
    cut_line: str = ""


class PrometheusCollector:
    """Scrapes one address. Names are `metric{label="value"}` with the labels in alphabetical order.

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
        self._file_seen_ns = 0
        self._http = HttpText(
            timeout_s=options.request_timeout_s,
            max_bytes=options.max_bytes,
            ca_file=str(options.ca_file) if options.ca_file else None,
            certificate_file=str(options.certificate_file) if options.certificate_file else None,
            key_file=str(options.key_file) if options.key_file else None,
        )

    def collect(self) -> Iterator[Collected]:
        """One snapshot of all metrics: a frame, or updates where readings bring times of their own."""
        exposition = self._file() if self._options.url.startswith("file:") else self._scrape()
        if exposition is None:
            return
        address = shown(self._options.url)
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
        self._http.close()

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

    def _scrape(self) -> Exposition:
        """What the server answers. Raises CollectError."""
        address, time_ns = shown(self._options.url), self._origin.now_ns()
        answer = self._http.get(self._options.url, self._authorization())
        text = answer.body.decode("utf-8", "replace")
        if not text.strip():
            raise CollectError(f"{address}: an empty answer")
        if "html" in answer.content_type:
            raise CollectError(f"{address}: answers with a page ({answer.content_type}), not with metrics")
        is_openmetrics = "openmetrics" in answer.content_type
        if (is_openmetrics and not text.rstrip().endswith("# EOF")) or not (answer.is_whole or text.endswith("\n")):
            raise CollectError(f"{address}: the answer ended early")
        return Exposition(text, is_openmetrics, time_ns)

    def _file(self) -> Exposition | None:
        """What the file holds, at the time of its last modification; None where it did not change. Raises CollectError."""
        path = file_path(self._options.url)
        try:
            status = path.stat()
            if status.st_mtime_ns == self._file_seen_ns:
                return None
            if status.st_size > self._options.max_bytes:
                raise CollectError(f"{path}: a file of more than {self._options.max_bytes} bytes")
            text = path.read_bytes().decode("utf-8", "replace")
        except OSError as error:
            raise CollectError(f"{path}: {error.strerror or error}") from None
        if not text.strip():
            raise CollectError(f"{path}: it is empty")
        self._file_seen_ns = status.st_mtime_ns
        whole, newline, cut_line = text.rpartition("\n")
        return Exposition(whole + newline, whole.endswith("# EOF"), status.st_mtime_ns, cut_line)

    def _authorization(self) -> dict[str, str]:
        """The header that proves who we are, read anew where it comes from a file. Raises CollectError."""
        options = self._options
        if options.bearer_token or options.bearer_token_file:
            return {"Authorization": f"Bearer {_secret(options.bearer_token, options.bearer_token_file)}"}
        if options.username:
            return make_headers(basic_auth=f"{options.username}:{_secret(options.password, options.password_file)}")
        return {}


def _secret(secret: SecretStr | None, path: Path | None) -> str:
    if secret is not None:
        return secret.get_secret_value()
    assert path is not None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CollectError(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
