"""A variational autoencoder of windows: see `detectors.vae`. Weights are plain arrays; torch computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from detectors.windowed.model import usual_energy, windows_of

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

LEARNED_MOST: Final = 12_000
"""Windows that it is trained on, evenly spread over the history."""
BATCH: Final = 128
WIDTH: Final = 32
LEARNING_RATE: Final = 2e-3
HELD_BACK: Final = 0.2
"""The later part of the windows, which its error bars are calibrated on."""
TWO_SIGMA: Final = 0.9545
SIGMA_LEAST: Final = 0.02
"""Scaled readings are never taken to be more exact than this."""
DILATIONS: Final = (1, 2, 4)
DRAWS, SPREAD_WINDOWS = 16, 64
TAIL, EXCESS_LEAST = 0.9, 1e-3
"""The tail of the scores begins at this quantile; its mean excess is at least this part of where it begins."""


class Network(nn.Module):
    """Encoder of causal convolutions and decoder of a window; log_variance: of each channel's readings about what is decoded."""

    def __init__(self, channels: int, window: int, latent: int) -> None:
        super().__init__()
        self.window, self.channels = window, channels
        sizes = (channels, *(WIDTH for _ in DILATIONS))
        self.convolutions = nn.ModuleList(nn.Conv1d(sizes[i], WIDTH, 2, dilation=dilation) for i, dilation in enumerate(DILATIONS))
        self.encoded = nn.Linear(WIDTH, 2 * latent)
        self.hidden = nn.Linear(latent, 2 * WIDTH)
        self.decoded = nn.Linear(2 * WIDTH, window * channels)
        self.log_variance = nn.Parameter(torch.zeros(channels))

    def encode(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and logarithm of the variance of what describes each window; windows: shape (b, window, channels)."""
        signal = windows.transpose(1, 2)
        for convolution, dilation in zip(self.convolutions, DILATIONS, strict=True):
            signal = torch.relu(convolution(nn.functional.pad(signal, (dilation, 0))))
        mean, log_variance = self.encoded(signal[:, :, -1]).chunk(2, dim=1)
        return mean, log_variance.clamp(-10.0, 4.0)

    def decode(self, described: torch.Tensor) -> torch.Tensor:
        """Windows; shape (b, window, channels)."""
        decoded: torch.Tensor = self.decoded(torch.tanh(self.hidden(described)))
        return decoded.reshape(-1, self.window, self.channels)


@dataclass(frozen=True, eq=False)
class GenerativeWindows:
    """See `WindowModel`. sigma: error bar of each channel in scaled readings, shape (d,), calibrated; usual: energy in those, (d,).

    decade: by how much the score rises where normal windows become ten times rarer; usual_spread: of the score of a normal window over
    what the encoder holds possible.
    """

    network: Network
    latent: int
    sigma: Floats
    usual: Floats
    decade: float
    usual_spread: float

    @property
    def window(self) -> int:
        """Rows of a window."""
        return self.network.window

    def parts(self, values: Floats, there: Bools | None) -> Floats:
        """The root of the energy of the distance from what is decoded, in error bars and parts of the usual one."""
        d = values.shape[1]
        result = np.empty((max(0, len(values) - self.window + 1), d), dtype=np.float32)
        seen = [part for _, part in windows_of(there.astype(np.float32), self.window)] if there is not None else []
        for number, (rows, windows) in enumerate(windows_of(values, self.window)):
            residual = (windows - self._decoded(windows)) / self.sigma
            counted = residual * seen[number] if seen else residual
            result[rows] = np.sqrt(np.square(counted).sum(axis=1) / self.usual)
        return result

    def expected(self, values: Floats) -> Floats:
        """What is decoded of the last row."""
        last: Floats = self._decoded(values[None])[0, -1]
        return last

    def doubt(self, values: Floats, there: Bools) -> float:
        """Standard deviation of the common logarithm of the tail probability of one window, over what the encoder holds possible.

        Beyond that of normal windows, which their scores show already. values, there: shape (window, d). The tail of the scores is
        taken to be exponential.
        """
        beyond = self.spread(values, there) ** 2 - self.usual_spread**2
        return float(np.sqrt(max(0.0, beyond)) / self.decade)

    def spread(self, values: Floats, there: Bools) -> float:
        """Standard deviation of the score of one window over what the encoder holds possible."""
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            mean, log_variance = self.network.encode(torch.tensor(values[None]))
            drawn = mean + torch.exp(0.5 * log_variance) * torch.randn(DRAWS, self.latent)
            decoded = self.network.decode(drawn).numpy()
        energy = np.square(np.where(there, values - decoded, 0.0) / self.sigma).sum(axis=1) / self.usual
        return float(np.sqrt(energy).mean(axis=1).std())

    def draw(self, rows: int, seed: int) -> NDArray[np.float64]:
        """Last rows of windows drawn from the model, shape (rows, d), scaled."""
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoded = self.network.decode(torch.randn(rows, self.latent))[:, -1].numpy().astype(np.float64)
        noise = np.random.default_rng(seed).standard_normal(decoded.shape)
        result: NDArray[np.float64] = decoded + noise * self.sigma
        return result

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        weights = {name: tensor.numpy().copy() for name, tensor in self.network.state_dict().items()}
        sizes = {"window": self.window, "channels": self.network.channels, "latent": self.latent}
        return {
            **sizes,
            "weights": weights,
            "sigma": self.sigma,
            "usual": self.usual,
            "decade": self.decade,
            "usual_spread": self.usual_spread,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> GenerativeWindows:
        """From a `state`."""
        network = Network(int(state["channels"]), int(state["window"]), int(state["latent"]))
        network.load_state_dict({name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in state["weights"].items()})
        network.eval()
        sigma, usual = (np.asarray(state[name], np.float32) for name in ("sigma", "usual"))
        return cls(network, int(state["latent"]), sigma, usual, float(state["decade"]), float(state["usual_spread"]))

    def _decoded(self, windows: Floats) -> Floats:
        with torch.no_grad():
            mean, _ = self.network.encode(torch.tensor(windows))
            decoded: Floats = self.network.decode(mean).numpy()
        return decoded


def learn_generative(values: Floats, chosen: NDArray[np.int64], window: int, latent: int, steps: int, seed: int) -> GenerativeWindows:
    """Trains on the earlier windows. values: scaled rows, shape (n, d); chosen: first rows of windows, rising."""
    d = values.shape[1]
    windows = np.stack([values[start : start + window] for start in chosen]) if len(chosen) else np.zeros((1, window, d), np.float32)
    held = max(1, int(len(windows) * HELD_BACK))
    earlier, later = (windows[:-held], windows[-held:]) if len(windows) > held else (windows, windows)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _trained(torch.from_numpy(earlier), latent, steps)
    raw = np.exp(0.5 * network.log_variance.detach().numpy()).astype(np.float32)
    plain = GenerativeWindows(network, latent, np.maximum(raw, SIGMA_LEAST), np.ones(d, dtype=np.float32), 1.0, 0.0)
    distance = np.abs(later - plain._decoded(later)).reshape(-1, d)
    sigma = np.maximum(np.quantile(distance, TWO_SIGMA, axis=0) / 2.0, SIGMA_LEAST).astype(np.float32)
    tempered = replace(plain, sigma=sigma)
    energy = np.square(tempered.parts(values, None)[chosen]).mean(axis=0, dtype=np.float64) if len(chosen) else np.zeros(d)
    learned = replace(tempered, usual=usual_energy(energy))
    some, everywhere = later[:: max(1, len(later) // SPREAD_WINDOWS)], np.ones((window, d), dtype=np.bool_)
    usual_spread = float(np.sqrt(np.mean([learned.spread(one, everywhere) ** 2 for one in some])))
    scores = learned.parts(values, None)[chosen[-held:]].mean(axis=1, dtype=np.float64)
    return replace(learned, decade=_decade(scores), usual_spread=usual_spread)


def _decade(scores: NDArray[np.float64]) -> float:
    """By how much the scores rise where they become ten times rarer, from the mean excess of the highest tenth of them."""
    high = np.quantile(scores, TAIL) if len(scores) else 1.0
    excess = scores[scores > high] - high
    return float(np.log(10) * max(float(excess.mean()) if len(excess) else 0.0, EXCESS_LEAST * high))


def _trained(windows: torch.Tensor, latent: int, steps: int) -> Network:
    """A network with the highest bound on the likelihood of these windows."""
    network = Network(windows.shape[2], windows.shape[1], latent)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = windows[torch.randint(len(windows), (BATCH,))]
        mean, log_variance = network.encode(batch)
        described = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        variance = network.log_variance.clamp(-8.0, 8.0)
        misfit = 0.5 * (torch.square(batch - network.decode(described)) * torch.exp(-variance) + variance).sum(dim=(1, 2))
        divergence = 0.5 * (torch.square(mean) + torch.exp(log_variance) - log_variance - 1.0).sum(dim=1)
        optimizer.zero_grad()
        torch.autograd.backward((misfit + divergence).mean())
        nn.utils.clip_grad_norm_(network.parameters(), 100.0)
        optimizer.step()
        schedule.step()
    return network.eval()
