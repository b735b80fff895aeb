"""After how many rows there is a finding, and after how many it has cleared: as configured, else as the method is made for."""

from __future__ import annotations

from daemon.sections import DetectorSettings
from detectors.conditioned import ConditionedDetector
from detectors.finding import Detector, Persisting, Rule

RAISE_ROWS, CLEAR_ROWS = 2, 3
"""Bad rows in a row before there is a finding, and good ones before it has cleared, unless configuration or the method says otherwise."""


def persistence(method: Rule | Detector, section: DetectorSettings) -> tuple[int, int, int | None]:
    """Rows that raise, rows that clear, and rows that raise what is critical: as configured, else as the method is made for."""
    method = method.inner if isinstance(method, ConditionedDetector) else method
    made_for = (method.raise_rows, method.clear_rows) if isinstance(method, Persisting) else (RAISE_ROWS, CLEAR_ROWS)
    return section.raise_rows or made_for[0], section.clear_rows or made_for[1], section.critical_raise_rows


def quiet_hours(method: Detector, section: DetectorSettings) -> float:
    """How long an episode must have been quiet, besides the rows that clear it: not at all where these are configured."""
    method = method.inner if isinstance(method, ConditionedDetector) else method
    return method.quiet_hours if isinstance(method, Persisting) and section.clear_rows is None else 0.0
