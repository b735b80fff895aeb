"""Autoencoder: readings that a network cannot reproduce from what the channels of a group have in common.

A narrow network learns to give back its input; it must use how channels go together, so a channel that leaves the others stands
out even within its usual range. Beside the network runs a linear path through as narrow a waist (the principal components), so
that it need not learn what is linear, and does not level off where readings are extreme. The score is the mean of the highest
few residuals: the mean over all channels would do worse than chance on a single bad one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from collectors.collector import Options
from collectors.frame import Frame
from detectors.finding import Evidence
from detectors.picturing import BAND_SPREADS
from detectors.ranking import mean_of_highest, shares
from detectors.row_models import RowModelDetector
from detectors.scaling import spread_of
from detectors.selection import SelectionOptions
from detectors.wording import amount, listed

torch.set_num_threads(1)  # more threads make such small networks slower, and everything else beside them

Array = NDArray[np.float64]

RESIDUAL_LEAST = 0.05
"""Residuals are not taken to be usually smaller than this, in spreads of the channel."""
BATCH_ROWS = 128
STEPS_MOST = 8000
"""Steps of training, whatever the length of the history: a long one needs fewer passes."""
HIDDEN_MOST, UPDATES_MOST = 256, 4e8
"""Numbers of a layer between the readings and the waist; and changes of single weights in all of the training, so that a network of
thousands of channels trains for a minute and not for an hour."""
RANKED_MOST = 10


class AutoencoderOptions(SelectionOptions):
    """Options of the detector `autoencoder`."""

    group_depth: int = Field(default=0, ge=0)
    """Channels whose places agree in so many steps share a network; 0: all channels of the source."""
    bottleneck: int = Field(default=0, ge=0)
    """Numbers that the network must describe a row with; 0: the square root of the number of channels."""
    top: int = Field(default=5, ge=1)
    """Number of channels with the highest residuals that make the score."""
    epochs: int = Field(default=150, ge=1)
    """Passes through the history at most; a long history gets fewer."""
    learning_rate: float = Field(default=0.01, gt=0)
    seed: int = Field(default=1, ge=0, lt=2**32)


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network.

    components: of the linear path, shape (channels, bottleneck), orthonormal; weights (in, out) and biases of the layers, tanh
    between them; residual_spread: the usual residual of each channel.
    """

    components: NDArray[np.float32]
    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    residual_spread: Array

    def reconstruct(self, z: Array) -> Array:
        """What the network gives back for scaled readings; shape (n, channels)."""
        signal = z.astype(np.float32)
        linear = signal @ self.components @ self.components.T
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            signal = signal @ weight + bias
            if i < len(self.weights) - 1:
                signal = np.tanh(signal)
        return (linear + signal).astype(np.float64)

    def residuals(self, z: Array, there: NDArray[np.bool_]) -> Array:
        """Unsigned residuals in parts of the usual ones, NaN where there is no reading; shape (n, channels)."""
        return np.where(there, np.abs(z - self.reconstruct(z)) / self.residual_spread, np.nan)

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        layers = {"weights": list(self.weights), "biases": list(self.biases)}
        return {"components": self.components, **layers, "residual_spread": self.residual_spread}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Network:
        """From a `state`."""
        weights, biases = (tuple(np.asarray(array, dtype=np.float32) for array in state[name]) for name in ("weights", "biases"))
        return cls(np.asarray(state["components"], dtype=np.float32), weights, biases, np.asarray(state["residual_spread"]))


class AutoencoderDetector(RowModelDetector[Network]):
    """An autoencoder for each group of gauges, trained with torch on one thread and evaluated with NumPy.

    Cost: seconds to train on a thousand rows, a minute for thousands of channels; O(rows x channels x width) to score. A row is
    judged where half of the channels have a reading; for those that have none, the usual value is put in and their residual does
    not count.

    Example::

        [detector.autoencoder]
        include = ["*:IMon", "*:VMon"]
        bottleneck = 3
        epochs = 150
    """

    options_model: ClassVar[type[Options]] = AutoencoderOptions
    rows_needed: ClassVar[int] = 200
    version: ClassVar[int] = 2
    limit: ClassVar[float] = 10.0
    """One wild reading must not throw off the reconstruction of all others."""

    def __init__(self, name: str, options: AutoencoderOptions) -> None:
        super().__init__(name, options, options.group_depth)
        self._options = options

    def scores(self, model: Network, z: Array, there: NDArray[np.bool_]) -> Array:
        """Mean of the highest residuals, in parts of the usual ones."""
        return mean_of_highest(model.residuals(z, there), self._options.top)

    def explain(self, frame: Frame, row: int, unit: int) -> Evidence:
        """Channels by their residual, with what the network expects of them."""
        view = self.groups.views.of(frame.layout)[unit]
        network = self.models[view.number]
        z, there = self.groups.matrix(frame.rows(slice(row, row + 1)), view, self.limit)
        residual = np.nan_to_num(network.residuals(z, there)[0])[view.present]
        expected, share = network.reconstruct(z)[0][view.present], shares(residual, self._options.top)
        order = np.argsort(-residual, kind="stable")[:RANKED_MOST]
        ranked = tuple(self.contribution(frame, view, row, int(i), float(expected[i]), float(share[i])) for i in order)
        first = ranked[0]
        others = [c.name for c in ranked[1:] if c.share > 0.1]
        summary = f"{first.name} is {amount(first.observed, first.unit)}, {amount(first.expected, first.unit)} would fit the others"
        return Evidence(f"{summary}; also {listed(others)}" if others else summary, ranked)

    def title(self, group: str) -> str:
        """What a picture of a group shows."""
        return f"Channels of {group} that do not fit the others"

    def band(self, model: Network, z: Array, feature: int) -> tuple[Array, float]:
        """About what the others let expect at that time."""
        return model.reconstruct(z)[:, feature], BAND_SPREADS * float(model.residual_spread[feature])

    def model_of(self, state: Mapping[str, Any]) -> Network:
        """A network from its `state`."""
        return Network.of(state)

    def learn(self, z: Array, there: NDArray[np.bool_]) -> Network:
        """Trains a network."""
        options, width = self._options, z.shape[1]
        bottleneck = min(options.bottleneck or max(2, round(width**0.5)), width - 1)
        _, directions = np.linalg.eigh(z.T @ z)
        components = directions[:, ::-1][:, :bottleneck].astype(np.float32)
        inputs = torch.tensor(z, dtype=torch.float32)
        rest = inputs - inputs @ torch.tensor(components) @ torch.tensor(components.T)
        hidden = min((width + bottleneck) // 2 + 1, HIDDEN_MOST)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            layers = _trained(inputs, rest, (width, hidden, bottleneck, hidden, width), options.epochs, options.learning_rate)
        weights = tuple(layer.weight.detach().numpy().T.copy() for layer in layers)
        biases = tuple(layer.bias.detach().numpy().copy() for layer in layers)
        residuals = Network(components, weights, biases, np.ones(width)).residuals(z, there)
        return Network(components, weights, biases, np.maximum(spread_of(residuals), RESIDUAL_LEAST))


def _trained(inputs: torch.Tensor, targets: torch.Tensor, sizes: tuple[int, ...], epochs: int, rate: float) -> list[torch.nn.Linear]:
    """Layers of these sizes trained to give the targets; the loss is Huber's, which a few bad rows do not rule."""
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts: list[torch.nn.Module] = [module for layer in layers for module in (layer, torch.nn.Tanh())]
    network = torch.nn.Sequential(*parts[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    weights = sum(a * b for a, b in pairwise(sizes))
    steps_most = min(STEPS_MOST, UPDATES_MOST / weights)
    epochs = max(1, min(epochs, int(steps_most * BATCH_ROWS / len(inputs))))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(inputs)), BATCH_ROWS):
            optimizer.zero_grad()
            torch.autograd.backward(torch.nn.functional.huber_loss(network(inputs[batch]), targets[batch]))
            optimizer.step()
        schedule.step()
    return layers
