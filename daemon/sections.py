"""The sections of the configuration file, one model each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from collectors.collector import Options
from collectors.ramping import RampingRule
from daemon.bus.kafka_options import KafkaOptions
from daemon.bus.memory import MemoryOptions
from daemon.bus.spool_options import SpoolOptions
from daemon.secret_files import SecretError, read_secret

Positive = Annotated[float, Field(gt=0)]


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


class AgentSettings(Section):
    """A node's own process: it collects, judges with cheap detectors, and keeps on disk what the broker does not take."""

    enabled: bool = False
    """Stages collect and detect only, over the Kafka bus by way of a spool; `[store]` is not used."""
    node: str = Field(default="", max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")
    """Stands for `{node}` in names, `place` and `url` of sources; by default $SHIFTWATCH_NODE, else the first part of the host's name."""
    spool: SpoolOptions = SpoolOptions()
    state: Path = Path("agent.db")
    """What the detectors have learned, a SQLite file; relative to the working directory (systemd: the StateDirectory)."""
    save_every_s: Positive = 300.0
    """How often that is written; what begins or ends a finding is written within a few seconds."""
    heartbeat_s: Positive = 5.0
    """How often a source says that it is alive; less than `correlation.max_wait_s` of the detect stage that reads it."""
    summary_s: float = Field(default=60.0, ge=0)
    """Length of the intervals that are summarised (least, mean, greatest, count) while the broker is away; 0: none."""


class StoreSettings(Section):
    """The database of incidents, labels, deliveries and stage state."""

    url: str = "sqlite:///shiftwatch.db"
    """SQLAlchemy URL; PostgreSQL where several replicas run. A password is better put into `url_file`."""
    url_file: Path | None = None
    """A file that holds the URL (systemd LoadCredential, a Kubernetes secret); it wins over `url`. `$CREDENTIALS_DIRECTORY` is expanded."""

    def resolve(self) -> str:
        """The URL. Raises ConfigurationError where the file cannot be read."""
        if self.url_file is None:
            return self.url
        try:
            return read_secret(self.url_file, "store.url_file")
        except SecretError as error:
            raise ConfigurationError(str(error)) from None


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
    retrain: str = ""
    """When models are trained anew from the history: "daily", "weekly", or five fields as in crontab ("30 4 * * 1"); never by default."""
    retrain_days: Positive = 30.0
    """The past that they are trained from."""
    shadow_h: float = Field(default=0.0, ge=0)
    """A new model runs silently beside the old one for so many hours before it takes over; 0: it does so at once."""

    @field_validator("retrain")
    @classmethod
    def _schedule(cls, value: str) -> str:
        if value in ("", "daily", "weekly"):
            return value
        from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - needed for few configurations

        try:
            CronTrigger.from_crontab(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is neither daily, weekly nor five fields as in crontab: {error}") from None
        return value


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
    """A channel of a source with the role `conditions`."""
    values: tuple[str, ...] = ()
    """It is muted while the condition has one of these."""
    unless: tuple[str, ...] = ()
    """Or: while it has none of these."""

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
    raise_rows: int | None = Field(default=None, ge=1)
    """Bad rows in a row before it is a finding; by default what the detector is made for, or 2."""
    critical_raise_rows: int | None = Field(default=None, ge=1)
    """The same for what is critical, where that should be quicker."""
    clear_rows: int | None = Field(default=None, ge=1)
    """Good rows in a row before it has cleared; by default what the detector is made for, or 3."""
    shadow: bool = False
    """It judges silently: what it would have said is kept and shown (`shiftwatch models shadow`), until it is promoted."""
    conditions: tuple[str, ...] = ()
    """Methods that learn: what these account for in gauges is learned and taken out before they are judged ("pile_up", "temperature").
    A condition is a channel of the source itself or of a source with the role `conditions`; one that is a number."""
    season: bool = False
    """Methods that learn: the same for the hour of the day. It takes two days of rows to learn (`learning.rows`, or a trained model)."""
    _options: Options = PrivateAttr(default_factory=Options)

    @property
    def options(self) -> Options:
        """The method's own options, validated."""
        return self._options


class SourceSettings(Section):
    """One source: `[source.NAME]`; the keys that are not listed here are those of its collector."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    collector: str
    """What reads it: a name of `shiftwatch collect list`."""
    place: str = ""
    """Where its columns lie in the tree of places ("CMS/ECAL"); the experiment's root by default."""
    period_s: Positive = 10.0
    """How often it is read; readings that arrive by themselves are aligned to this."""
    jitter_s: float = Field(default=0.0, ge=0)
    """Each run begins by a random time of up to this earlier or later, so that many sources do not ask one server at once."""
    timeout_s: Positive = 30.0
    """A run that takes longer is reported; it never delays another source."""
    role: Literal["data", "conditions"] = "data"
    """conditions: it says what the experiment does (run, beam, magnet), by which others are muted and references are chosen."""
    accumulation: Literal["interval", "since_start"] = "interval"
    """since_start: histograms are totals and are differenced into intervals. Counters always become rates."""
    stale_after_s: float = Field(default=0.0, ge=0)
    """Event-driven sources: a reading that was not sent again for this long is stale (0: it holds until it changes)."""
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
    """While conditions have (or have not) these values, it is not judged."""
    ramping: tuple[RampingRule, ...] = ()
    """When readings ramp, so that they are not judged: by the bits or names of a status channel."""
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
