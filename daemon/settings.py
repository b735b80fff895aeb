"""The configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from collectors.collector import Options
from daemon import plugins
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.memory import MemoryOptions
from daemon.optimizer.settings import OptimizerSettings
from daemon.web.settings import WebSettings

Positive = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class ConfigurationError(Exception):
    """A configuration that cannot be used: one line for each thing wrong, with its path in the file."""


class Section(BaseModel):
    """A section of the file: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class BusSettings(Section):
    """What carries blocks and messages between the stages."""

    driver: Literal["memory", "kafka"] = "memory"
    """memory: all stages in one process; kafka: any number of processes."""
    memory: MemoryOptions = MemoryOptions()
    kafka: KafkaOptions = KafkaOptions()


class StoreSettings(Section):
    """The database of incidents, labels, deliveries and stage state."""

    url: str = "sqlite:///shiftwatch.db"
    """SQLAlchemy URL; PostgreSQL where several replicas run. A password is better put into `url_file`."""
    url_file: Path | None = None
    """A file that holds the URL (systemd LoadCredential, a Kubernetes secret); it wins over `url`."""

    def resolve(self) -> str:
        """The URL. Raises ConfigurationError where the file cannot be read."""
        if self.url_file is None:
            return self.url
        try:
            return self.url_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"store.url_file: {error.strerror}: {self.url_file}") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"store.url_file: not a text in UTF-8: {self.url_file}") from None


class HttpSettings(Section):
    """Where /metrics, /livez and /readyz are served."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(default=9109, ge=0, le=65535)
    """0 takes a free port and logs it."""


class LogSettings(Section):
    """One line an event on stderr."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class ClockSettings(Section):
    """Time that runs faster than wall time, for demonstrations; leave it out in production."""

    speed: Positive = 1.0
    origin_wall_ns: int = 0
    origin_data_ns: int = 0


class ConditionNames(Section):
    """Which channels of the sources with the role `conditions` say what every picture and the page's head line show."""

    run: str = "run"
    lumisection: str = "lumisection"
    beam_mode: str = "beam_mode"


class LearningSettings(Section):
    """How statistical detectors come to know what is normal."""

    rows: int = Field(default=400, ge=20)
    """Normal rows after which a detector begins to judge (a detector may need more). Until then it says "learning"."""
    hold_out_ratio: float = Field(default=0.4, gt=0.05, lt=0.9)
    """The later part of them, not shown to the model, from which its scores are calibrated."""
    refit_rows: int = Field(default=0, ge=0)
    """Normal rows after which the model is fitted again (0: never)."""


class CausePattern(Section):
    """Which findings, by patterns of their condition and place.

    In a place `*` is one step, `**` any number of them, `{name}` one step that must be the same on both sides of the edge.
    """

    condition: tuple[str, ...] = ("*",)
    place: str = "**"

    @field_validator("condition", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class CausalitySettings(Section):
    """One edge of the causality graph: what can block, feed or power what."""

    cause: CausePattern
    effect: CausePattern
    within: Literal["anywhere", "same_branch"] = "anywhere"
    """same_branch: one of the two places must contain the other."""
    max_delay_s: Positive = 600.0
    """An effect that begins later than this after its cause is not put down to it."""


class CorrelationSettings(Section):
    """How findings become incidents."""

    join_window_s: float = Field(default=60.0, ge=0)
    """Findings that are this far apart in time can still belong together."""
    reopen_window_s: float = Field(default=300.0, ge=0)
    """The same thing again within this time after it cleared is the same incident: no flapping."""
    max_wait_s: float = Field(default=10.0, ge=0)
    """How long findings wait for slower sources, so that they are taken in the order of their time."""
    idle_after_s: Positive = 60.0
    """A stream from which nothing was heard for this long (wall time) is not waited for."""


class Mute(Section):
    """When a source is not judged: while a condition has (or has not) one of these values."""

    condition: str
    values: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Mute:
        if bool(self.values) == bool(self.unless):
            raise ValueError("give either values or unless")
        return self


class DetectorSettings(Section):
    """One detector with its options: `[detector.NAME]`; the other keys are those of its method."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    method: str = ""
    """The plugin; the section's name by default."""
    raise_rows: int = Field(default=2, ge=1)
    """Bad rows in a row before it is a finding."""
    critical_raise_rows: int | None = Field(default=None, ge=1)
    """The same for what is critical, where that should be quicker."""
    clear_rows: int = Field(default=3, ge=1)
    """Good rows in a row before it has cleared."""
    _options: Options = PrivateAttr(default_factory=Options)

    @property
    def options(self) -> Options:
        """The method's own options, validated."""
        return self._options


class SourceSettings(Section):
    """One source: `[source.NAME]`; the keys that are not listed here are those of its collector."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    collector: str
    place: str = ""
    """Where its columns lie in the tree of places ("CMS/ECAL"); the experiment's root by default."""
    period_s: Positive = 10.0
    jitter_s: float = Field(default=0.0, ge=0)
    timeout_s: Positive = 30.0
    """A run that takes longer is reported; it never delays another source."""
    role: Literal["data", "conditions"] = "data"
    accumulation: Literal["interval", "since_start"] = "interval"
    """since_start: histograms are totals and are differenced into intervals. Counters always become rates."""
    stale_after_s: float = Field(default=0.0, ge=0)
    extremes: bool = False
    """Event-driven sources: also the minimum, the maximum and the number of updates of each interval."""
    silent_after_s: float = Field(default=0.0, ge=0)
    """No new data for this long is a finding; three periods, at least 30 s, by default."""
    longest_gap_s: float = Field(default=0.0, ge=0)
    """After a longer gap in the data, what lasted before it counts as ended (0: never); for recordings with holes."""
    max_clock_skew_s: Positive = 300.0
    """Readings that are further from the clock than this are taken at the time of arrival, and it is a finding."""
    watch_vanished: bool = True
    """A channel or histogram that is no longer shown is a finding."""
    detectors: tuple[str, ...] = ()
    """Detectors that judge it, by name; none: it is collected only."""
    mute: tuple[Mute, ...] = ()
    _options: Options = PrivateAttr(default_factory=Options)

    @property
    def options(self) -> Options:
        """The collector's own options, validated."""
        return self._options

    @property
    def silence_s(self) -> float:
        """How long it may be silent."""
        return self.silent_after_s or max(3 * self.period_s, 30.0)


class ReceiverSettings(Section):
    """One receiver of incidents: `[receiver.NAME]`; the other keys are its own."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    receiver: str = ""
    """The plugin; the section's name by default."""
    _options: Options = PrivateAttr(default_factory=Options)

    @property
    def options(self) -> Options:
        """The receiver's own options, validated."""
        return self._options


class Settings(Section):
    """The whole file."""

    experiment: str = "experiment"
    """Root of the tree of places."""
    time_zone: str = "UTC"
    false_alarms_per_day: Positive = 1.0
    """Incidents opened for nothing that the operator accepts, over all sources."""
    bus: BusSettings = BusSettings()
    store: StoreSettings = StoreSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    clock: ClockSettings = ClockSettings()
    learning: LearningSettings = LearningSettings()
    conditions: ConditionNames = ConditionNames()
    correlation: CorrelationSettings = CorrelationSettings()
    causality: tuple[CausalitySettings, ...] = ()
    decisions: dict[str, str] = {}
    """What to do about a condition, in a sentence; overrides what the detectors suggest."""
    source: dict[Name, SourceSettings] = Field(default_factory=dict)
    detector: dict[Name, DetectorSettings] = Field(default_factory=dict)
    receiver: dict[Name, ReceiverSettings] = Field(default_factory=dict)
    web: WebSettings = WebSettings()
    optimizer: OptimizerSettings = OptimizerSettings()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # the last for a folder of zones
            raise ValueError(f"no time zone {value!r}; use a name such as Europe/Zurich") from None
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The experiment's time zone."""
        return ZoneInfo(self.time_zone)


def load(path: Path) -> Settings:
    """The configuration in a file. Raises ConfigurationError with a line for each thing that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not a text in UTF-8 (byte {error.start})") from None
    return parse(text, str(path))


def parse(text: str, origin: str = "configuration") -> Settings:
    """The configuration in a text. Raises ConfigurationError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{origin}: {error}") from None
    return validate(document, origin)


def validate(document: Mapping[str, Any], origin: str = "configuration") -> Settings:
    """Checks a whole configuration, plugins' options included. Raises ConfigurationError."""
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_lines(origin, "", error))) from None
    problems: list[str] = []
    for name, source in settings.source.items():
        problems += _bind(origin, f"source.{name}", "collectors", source.collector, source)
        unknown = [d for d in source.detectors if d not in settings.detector and d not in plugins.names("detectors")]
        problems += [f"{origin}: source.{name}.detectors: no detector {d!r}" for d in unknown]
        twice = sorted({d for d in source.detectors if source.detectors.count(d) > 1})
        problems += [f"{origin}: source.{name}.detectors: {d!r} is named twice" for d in twice]
    named = {d for source in settings.source.values() for d in source.detectors} & set(plugins.names("detectors"))
    for name in sorted(named - settings.detector.keys()):  # without a section: their methods' defaults must do
        problems += _bind(origin, f"detector.{name}", "detectors", name, DetectorSettings())
    for name, receiver in settings.receiver.items():
        problems += _bind(origin, f"receiver.{name}", "receivers", receiver.receiver or name, receiver)
    for name, detector in settings.detector.items():
        problems += _bind(origin, f"detector.{name}", "detectors", detector.method or name, detector)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def _bind(origin: str, path: str, group: str, plugin: str, section: SourceSettings | DetectorSettings | ReceiverSettings) -> list[str]:
    """Validates the plugin's own options of a section; lines about what is wrong with them."""
    try:
        model: type[Options] = plugins.load(group, plugin).options_model
        section._options = model.model_validate(section.model_extra or {})
    except plugins.PluginError as error:
        return [f"{origin}: {path}: {error}"]
    except ValidationError as error:
        return _lines(origin, path, error)
    return []


def _lines(origin: str, path: str, error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        where = ".".join([*([path] if path else []), *(str(step) for step in problem["loc"])])
        what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        lines.append(f"{origin}: {where}: {what}")
    return lines


def detector_settings(settings: Settings, name: str) -> DetectorSettings:
    """The section of a detector; its method's defaults where there is none."""
    if name in settings.detector:
        return settings.detector[name]
    section = DetectorSettings()
    _bind("configuration", f"detector.{name}", "detectors", name, section)
    return section
