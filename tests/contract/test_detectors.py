"""The contract of rules and detectors (detectors/finding.py), for each one that is installed."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest

from collectors.collector import Options
from collectors.frame import Frame, Layout, Quality
from daemon.store.packing import pack, unpack
from detectors.calibration import Calibration
from detectors.finding import Detector, Evidence, Rule, Unit
from tests.detectors import sample_frames as sample

HISTORY_ROWS, LATER_ROWS, FAULT_ROW = 300, 80, 60
HISTORY = sample.experiment(HISTORY_ROWS)
LATER = sample.experiment(LATER_ROWS, first_row=HISTORY_ROWS)
SILENT = "silent"
"""The one condition that is about readings that are not there."""


@dataclass(frozen=True)
class Fault:
    """A fault put into LATER from FAULT_ROW on: what must rank first, in which condition."""

    condition: str
    first: str
    inject: Callable[[np.ndarray[Any, np.dtype[np.float64]]], None]


def current_doubles(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:IMon")] *= 2.0


def voltage_too_high(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:VMon")] = 410.0


def channel_trips(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    values[FAULT_ROW:, LATER.layout.position("crate:ch03:Status")] = sample.TRIPPED


def module_becomes_hot(values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    values[FAULT_ROW:, LATER.layout.position("TRACKER/occupancy") + 1 + 7] *= 6.0


FAULTS = {
    "autoencoder": Fault("group_outlier", "IMon of ch03", current_doubles),
    "channel_health": Fault("hot_channel", "module 7", module_becomes_hot),
    "isolation_forest": Fault("group_outlier", "IMon of ch03", current_doubles),
    "limits": Fault("out_of_limits", "VMon of ch03", voltage_too_high),
    "reference": Fault("shape", "module 7", module_becomes_hot),
    "robust_z": Fault("group_outlier", "IMon of ch03", current_doubles),
    "states": Fault("hv_trip", "Status of ch03", channel_trips),
}
ELSEWHERE = {"daq", "ewma"}
