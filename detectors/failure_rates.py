"""Annualised failure rates of disks by what their error counters show.

Source of the rates: the drive statistics that Backblaze publishes (https://www.backblaze.com/cloud-storage/resources/hard-drive-test-data),
binned by attribute and raw value as in Scrutiny's table `ata_attribute_metadata`
(https://github.com/AnalogJ/scrutiny). Two things are ours: a higher count never means a lower rate (bins of few disks scatter, so each
bin has at least the rate of the one below), and a rate is at most 1, a failure for each disk and year. The counters of NVMe drives have
no published statistics: theirs are marked as a convention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATE_MOST = 1.0
UNMARKED_RATIO = 0.0252
"""Annualised failure rate of disks whose counters are all zero (attribute 5 at 0)."""
WEARS_OUT_RATIO = 0.25
"""Convention for a drive at the end of its rated life, and for one with media errors: reason to plan its replacement."""
GIVES_UP_RATIO = 0.8
"""Convention for a drive that says itself that it is unreliable or read-only."""
CRITICAL_BITS = ("spare_below_threshold", "reliability_degraded", "read_only", "persistent_memory_unreliable")
"""Bits of NVMe's critical warning that are about the drive; temperature and backup power are about what is around it."""


@dataclass(frozen=True, eq=False)
class FailureRates:
    """Failure rates of one attribute.

    name: as it is shown; highest: the highest value of each bucket, rising, shape (b-1,); the last bucket has no end.
    annual_ratio: shape (b,), rising. measured: whether disks were counted for it or it is a convention.
    """

    name: str
    unit: str
    highest: Array
    annual_ratio: Array
    measured: bool = True

    def of(self, values: Array) -> Array:
        """The rate for each value, NaN where there is no reading; shape as given."""
        bucket = np.searchsorted(self.highest, np.nan_to_num(values), side="left")
        return np.where(np.isnan(values), np.nan, self.annual_ratio[bucket])

    @property
    def edges(self) -> Array:
        """Edges of the buckets between whole numbers, the last is infinite; shape (b+1,)."""
        return np.concatenate([[-0.5], self.highest + 0.5, [np.inf]])


def _measured(name: str, buckets: Mapping[float, float]) -> FailureRates:
    """From the highest value of each bucket and its rate."""
    rates = np.minimum(np.maximum.accumulate(np.array(list(buckets.values()))), RATE_MOST)
    return FailureRates(name, "", np.array(list(buckets))[:-1], rates)


def _convention(name: str, unit: str, highest: float, annual_ratio: float) -> FailureRates:
    return FailureRates(name, unit, np.array([highest]), np.array([UNMARKED_RATIO, annual_ratio]), measured=False)


_END = np.inf

RATES: Mapping[str, FailureRates] = {
    "reallocated_sectors": _measured(
        "5 reallocated sectors",
        {0: 0.0252, 4: 0.0274, 16: 0.0750, 70: 0.2359, 260: 0.3619, 1100: 0.5677, _END: 1.5028},
    ),
    "reported_uncorrectable": _measured(
        "187 reported uncorrectable errors",
        {0: 0.0281, 1: 0.3388, 3: 0.2406, 6: 0.5014, 11: 0.3801, 20: 0.5347, 35: 0.8428, _END: 1.4429},
    ),
    "command_timeouts": _measured("188 command timeouts", {100: 0.0249, _END: 0.1004}),
    "pending_sectors": _measured(
        "197 pending sectors",
        {0: 0.0255, 2: 0.3420, 6: 0.6824, 16: 0.6108, 40: 0.9565, _END: 1.6520},
    ),
    "offline_uncorrectable": _measured("198 offline uncorrectable sectors", {0: 0.0287, 2: 0.8136, _END: 1.1173}),
    "media_errors": _convention("NVMe media errors", "", 0.0, WEARS_OUT_RATIO),
    "percentage_used": _convention("NVMe rated life used", "%", 99.0, WEARS_OUT_RATIO),
    "critical_warning": _convention("NVMe critical warning", "", 0.0, GIVES_UP_RATIO),
}
"""Rates by the quantity of the channel (see `collectors.disks.disk_attributes`); of the critical warning, by the number of
CRITICAL_BITS set."""


def critical_bits(status: Array, names: tuple[str, ...]) -> Array:
    """How many of CRITICAL_BITS a status word shows; names of its bits lowest first. NaN where there is no reading."""
    mask = sum(1 << bit for bit, name in enumerate(names) if name in CRITICAL_BITS)
    words = np.nan_to_num(status).astype(np.int64) & mask
    counts = sum((words >> bit) & 1 for bit in range(len(names))) if names else np.zeros(status.shape)
    return np.where(np.isnan(status), np.nan, counts)
