"""What all channels of one quantity do together (currents that follow the luminosity, temperatures that follow the hall)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Channel
from detectors.scaling import Scaling

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CommonMode:
    """The common mode of a quantity is the median of z over its channels; each channel follows it with its own response.

    quantity: shape (channels,), a number for each quantity that has channels enough, -1 elsewhere; response: shape (channels,).
    """

    quantity: NDArray[np.int64]
    response: Array
    channels_least: int

    def removed(self, z: Array, position: NDArray[np.int64]) -> Array:
        """Z without the common mode; z: shape (n, len(position)), of the channels at these positions in the model."""
        quantity = self.quantity[position]
        result = z.copy()
        for number in np.unique(quantity[quantity >= 0]):
            among = np.flatnonzero(quantity == number)
            result[:, among] -= self.response[position[among]] * common(z[:, among], self.channels_least)[:, None]
        return result

    def state(self) -> dict[str, Any]:
        """Plain values and arrays."""
        return {"quantity": self.quantity, "response": self.response, "channels_least": self.channels_least}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> CommonMode:
        """From a `state`."""
        return cls(np.asarray(state["quantity"], dtype=np.int64), np.asarray(state["response"]), int(state["channels_least"]))


def no_common_mode(channels: int) -> CommonMode:
    """Nothing is taken out."""
    return CommonMode(np.full(channels, -1, dtype=np.int64), np.zeros(channels), 1)


def learn_common_mode(channels: Sequence[Channel], z: Array, scaling: Scaling, channels_least: int) -> CommonMode:
    """Response of each channel to the common mode of its quantity, by least squares; z: shape (n, channels).

    What a short history cannot tell apart is drawn together: channels of one sign are taken to change in proportion to their
    value, as currents and rates do, others in proportion to their spread.
    """
    names = [(channel.quantity, channel.unit) for channel in channels]
    quantity = np.full(len(names), -1, dtype=np.int64)
    response = np.zeros(len(names))
    for number, name in enumerate(dict.fromkeys(names)):
        among = np.array([i for i, other in enumerate(names) if other == name], dtype=np.int64)
        if len(among) < channels_least:
            continue
        quantity[among] = number
        mode = common(z[:, among], channels_least)[:, None]
        seen = np.isfinite(z[:, among])
        products = np.where(seen, z[:, among] * mode, 0.0).sum(axis=0)
        squares = np.maximum(np.where(seen, mode**2, 0.0).sum(axis=0), 1e-300)
        one_sign = len(set(np.sign(scaling.centre[among]))) == 1 and scaling.centre[among].all()
        relative = scaling.spread[among] / np.abs(scaling.centre[among]) if one_sign else np.ones(len(among))
        response[among] = _drawn_together(products / squares * relative, relative**2 / squares) / relative
    return CommonMode(quantity, response, channels_least)


def _drawn_together(response: Array, variance: Array) -> Array:
    """Responses drawn towards their mean as far as they differ by chance (W. James and C. Stein, 4th Berkeley Symposium, 1961)."""
    mean = float(response.mean())
    between = float(response.var(ddof=1))
    kept = max(0.0, 1.0 - float(variance.mean()) / between) if between > 0 else 0.0
    return np.asarray(mean + kept * (response - mean))


def common(z: Array, channels_least: int) -> Array:
    """Median of each row, 0 where too few channels have a reading; shape (n,)."""
    counts = np.isfinite(z).sum(axis=1)
    rising = np.sort(z, axis=1)  # NaN last
    middle = [np.take_along_axis(rising, (np.maximum(counts - 1 + odd, 0) // 2)[:, None], axis=1)[:, 0] for odd in (0, 1)]
    result: Array = np.where(counts >= channels_least, (middle[0] + middle[1]) / 2, 0.0)
    return result
