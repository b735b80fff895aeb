"""The `[optimizer]` section."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from collectors.collector import Options
from daemon import plugins

Positive = Annotated[float, Field(gt=0)]
Ratio = Annotated[float, Field(ge=0, le=1)]
NODE = "{node}"


class DrainSettings(Options):
    """When draining a node is proposed: `[optimizer.drain]`."""

    gain_least_core_hours: float = Field(default=0.0, ge=0)
    """The low end of the interval of the gain must be this at least."""
    repair_is_due: bool = True
    """What the conditions name has to be repaired in any case, sooner or later: then only what a failure would destroy counts, and the
    time that a planned repair takes does not. Otherwise a drain is weighed against never repairing."""
    repair_s: Positive = 4 * 3600.0
    """How long a node is out for a repair that was planned, once it is empty."""
    unplanned_repair_s: Positive = 86400.0
    """The same after a failure that nobody expected."""
    failure_probability: float = Field(default=0.1, gt=0, lt=1)
    """What is expected of each finding at least, and where it comes without a failure rate: that the node fails with this
    probability … (a rate of all disks with such readings is an average over years; one that was found failing now is worse)"""
    failure_within_s: Positive = 7 * 86400.0
    """… within this time."""
    resume_after_s: float = Field(default=900.0, ge=0)
    """What put the node at risk must be over for this long before the daemon takes the node back. Where a person says that it is not a
    problem, it does so at once."""
    rest_s: float = Field(default=86400.0, ge=0)
    """Once a person has taken the node back, what the same disk does within this time is only proposed; once the daemon has taken it
    back, and drained it again within this time, it is left to a person to take it back."""


class OrderSettings(Options):
    """When another order of the queue is proposed: `[optimizer.order]`. It is advice only, whatever `act` says."""

    enabled: bool = True
    policies: tuple[str, ...] = ("sjf", "saf", "f1", "f2", "f3", "f4")
    """Orders that are tried."""
    queued_least: int = Field(default=10, ge=2)
    """With fewer jobs waiting nothing is proposed."""
    gain_least: float = Field(default=1.0, ge=0)
    """Mean bounded slowdown that the low end of the interval must gain."""
    starvation_factor: float = Field(default=1.5, ge=1)
    """An order is refused where its longest wait is over this factor of that of the present order."""
    rest_s: float = Field(default=86400.0, ge=0)
    """After somebody said that it is not a problem, nothing is proposed for this long."""


class OptimizerSettings(Options):
    """The scheduling optimizer; off unless a cluster is named."""

    cluster: str = ""
    """The adapter of the batch system ("slurm"); "" switches the optimizer off."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The adapter's own options: `[optimizer.options]`."""
    act: bool = False
    """Drain nodes and take them back, instead of only proposing it. Running jobs are never ended."""
    period_s: Positive = 30.0
    """How often the batch system is read."""
    node_pattern: str = "T2_X/{node}/**"
    """Which place belongs to which node: `{node}` is one step, `*` any one step, `**` any number of them."""
    conditions: tuple[str, ...] = ("disk_failing",)
    """Conditions of findings that put the node at their place at risk."""
    max_drained_ratio: Ratio = 0.1
    """Share of the processors that may be out of service, drained by anybody or down, for the daemon to drain a node."""
    valid_for_s: Positive = 3600.0
    """A proposal is worked out again before this time is over, and ends where that could not be done."""
    horizon_s: Positive = 86400.0
    """How far ahead is simulated."""
    samples: int = Field(default=100, ge=2)
    """Futures that are simulated for each question."""
    load_ratio: float = Field(default=0.8, ge=0)
    """Share of the processors that newly submitted jobs are assumed to fill (0: nothing is submitted)."""
    backfill: bool = True
    """Whether the batch system backfills."""
    drain: DrainSettings = DrainSettings()
    order: OrderSettings = OrderSettings()
    _adapter_options: Options = PrivateAttr(default_factory=Options)

    @property
    def adapter_options(self) -> Options:
        """The adapter's options, validated."""
        return self._adapter_options

    @field_validator("node_pattern")
    @classmethod
    def _names_the_node(cls, pattern: str) -> str:
        if pattern.count(NODE) != 1 or not re.search(r"(^|/)\{node\}($|/)", pattern):
            raise ValueError(f"must have {NODE} as one of its steps, once")
        return pattern

    @model_validator(mode="after")
    def _bind(self) -> OptimizerSettings:
        """Validates the adapter's options; it is imported only where it is named."""
        if not self.cluster:
            return self
        try:
            model: type[Options] = plugins.load("clusters", self.cluster).options_model
            self._adapter_options = model.model_validate(self.options)
        except plugins.PluginError as error:
            raise ValueError(str(error)) from None
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
            raise ValueError(f"options.{'.'.join(str(step) for step in problem['loc'])}: {what}") from None
        return self
