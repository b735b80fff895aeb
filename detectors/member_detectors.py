"""Detectors that may be members of an ensemble, with the options that they have there; imported only when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from detectors.finding import Detector

Member = Literal["windowed_pca", "robust_z", "isolation_forest", "autoencoder"]

MEMBERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "windowed_pca": ("detectors.windowed_pca", "WindowedPcaDetector", {}),
    "robust_z": ("detectors.robust_z", "RobustZDetector", {"spread": "deviation", "top": 3}),
    "isolation_forest": ("detectors.isolation_forest", "IsolationForestDetector", {"trees": 50}),
    "autoencoder": ("detectors.autoencoder", "AutoencoderDetector", {"epochs": 10}),
}
"""Module, class and options by name; fewer trees and epochs than alone, to keep the ensemble fast. The robust z does not mind
bursts that are usual: in the ensemble it is there for channels far out of range, and the windows are there for the rest."""


def build(name: str, options: Mapping[str, Any]) -> Detector:
    """A member with these options and those in `MEMBERS`. Raises KeyError for a name that is not in `MEMBERS`."""
    module, plugin, own = MEMBERS[name]
    made = getattr(import_module(module), plugin)
    detector: Detector = made(name, made.options_model.model_validate({**own, **options}))
    return detector
