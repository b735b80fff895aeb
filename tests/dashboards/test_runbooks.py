"""Every runbook that is named is there, and says in a few lines what a shifter needs at night."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from daemon.correlate.words import DECISIONS
from daemon.demo.configuration import TEMPLATE
from daemon.optimizer.knowledge import DECISIONS as PLANS
from dashboards import runbooks
from dashboards.prometheus.alerts import ALERTS
from detectors.daq_advice import ADVICE
from detectors.disk_forecast import DiskForecastRule
from detectors.limits import Limit
from detectors.states import StateLimit
from detectors.verdicts import VerdictsRule

HEADINGS = ["Check first", "Do", "Call", "Silence"]
NAMES = runbooks.names()
RULES_OF_THE_USER = {"hv_trip"}
"""Conditions that configurations which come with shiftwatch name."""


def slug(condition: str) -> str:
    """The runbook of a condition that names none."""
    return condition.replace("_", "-")


def named() -> set[str]:
    """All runbooks that something names."""
    names = {runbook for _, runbook in (*DECISIONS.values(), *PLANS.values())}
    names |= {advice.runbook for advice in (*ADVICE.values(), *DiskForecastRule.advice.values(), *VerdictsRule.advice.values())}
    names |= {alert.runbook for alert in ALERTS}
    defaults = {model.model_fields["condition"].default for model in (Limit, StateLimit)}
    return names | {slug(condition) for condition in defaults | RULES_OF_THE_USER}


def test_every_runbook_that_is_named_exists_and_each_one_is_named() -> None:
    assert set(NAMES) == named()


def test_what_the_demonstration_raises_has_a_runbook() -> None:
    text = files("daemon.demo").joinpath(TEMPLATE).read_text(encoding="utf-8")
    conditions = set(re.findall(r'^condition = "(\w+)"', text, re.MULTILINE))
    assert conditions >= {"hv_trip", "fed_deadtime"}
    assert all(runbooks.text(slug(condition)) for condition in conditions)


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_is_short_and_has_the_same_parts(name: str) -> None:
    text = runbooks.text(name)
    assert text is not None
    assert text.startswith("# ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert "**What it means.**" in text
    assert len(text) < 2_000
    assert all(part.strip() for part in re.split(r"^## .+$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_runbooks(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", runbooks.text(name) or ""):
        assert target in NAMES
        assert target != name


@pytest.mark.parametrize("name", ["", "none", "../__init__", "/etc/passwd", "fed-stuck.md", "FED-STUCK", "fed stuck", "a" * 500])
def test_what_is_no_runbook_has_no_text(name: str) -> None:
    assert runbooks.text(name) is None


def test_conditions_of_a_configuration_lead_to_the_runbook_of_the_same_thing() -> None:
    assert runbooks.text("fed-deadtime") == runbooks.text("dead-time")
