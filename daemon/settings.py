"""The configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator

from collectors.collector import Options
from daemon import plugins
from daemon.agent.node import for_node
from daemon.history_sections import HistorySettings, ModelSettings
from daemon.optimizer.settings import OptimizerSettings
from daemon.sections import (
    AgentSettings,
    BusSettings,
    CausalitySettings,
    ClockSettings,
    ConditionNames,
    ConfigurationError,
    CorrelationSettings,
    DetectorSettings,
    HttpSettings,
    LearningSettings,
    LogSettings,
    Positive,
    ReceiverSettings,
    Section,
    SourceSettings,
    StoreSettings,
)
from daemon.web.settings import WebSettings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class Settings(Section):
    """The whole file."""

    experiment: str = "experiment"
    """Root of the tree of places."""
    time_zone: str = "UTC"
    false_alarms_per_day: Positive = 1.0
    """Incidents opened for nothing that the operator accepts, over all sources."""
    bus: BusSettings = BusSettings()
    agent: AgentSettings = AgentSettings()
    store: StoreSettings = StoreSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    clock: ClockSettings = ClockSettings()
    learning: LearningSettings = LearningSettings()
    history: HistorySettings = HistorySettings()
    models: ModelSettings = ModelSettings()
    conditions: ConditionNames = ConditionNames()
    correlation: CorrelationSettings = CorrelationSettings()
    causality: tuple[CausalitySettings, ...] = ()
    decisions: dict[str, str] = Field(default_factory=dict)
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
        settings = Settings.model_validate(for_node(document))
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
        loaded = plugins.load(group, plugin)
        model: type[Options] = loaded.options_model
        section._options = model.model_validate(section.model_extra or {})
        if isinstance(section, DetectorSettings) and (section.conditions or section.season) and not hasattr(loaded, "fit"):
            return [f"{origin}: {path}: conditions and season are for methods that learn, {plugin} does not"]
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
