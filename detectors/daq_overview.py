"""Conditions of the DAQ as a whole: rates, filter farm, soft errors, and what is left when nothing explains a stop."""

from __future__ import annotations

import numpy as np

from detectors.daq_advice import NO_RATE_CAUSES
from detectors.daq_conditions import Facts, Verdict
from detectors.daq_view import Bools

MB_PER_GB = 1024


def overview(facts: Facts) -> list[Verdict]:
    """Trigger rates, filter farm and soft errors."""
    view, options, run = facts.view, facts.options, facts.run
    asked_hz = _asked_hz(facts)
    bandwidth_gb_s = view.value("global/bu.fuOutputBandwidthInMB") / MB_PER_GB
    cloud, running, crashed, stale = (
        np.nan_to_num(view.value(f"bu_summary/{name}", f"global/bu.{name}"))
        for name in ("numFUsCloud", "numFUsHLT", "numFUsCrashed", "numFUsStale")
    )
    no_builder = (view.value("bu_summary/n_Enabled") == 0) & ~(view.value("bu_summary/n_Mist") > 0)
    no_requests = view.value("global/fb.sumRequests") == 0
    too_cloudy = cloud > options.cloud_ratio * (cloud + running + crashed + stale)
    rates = {
        "rate_too_high": facts.rate_hz > options.rate_limit_hz,
        "tcds_input_rate_high": asked_hz > options.input_rate_high_hz,
        "tcds_input_rate_very_high": asked_hz > options.input_rate_very_high_hz,
    }
    farm = {
        "hlt_output_bandwidth_high": bandwidth_gb_s > options.hlt_output_high_gb_s,
        "hlt_output_bandwidth_extreme": bandwidth_gb_s > options.hlt_output_extreme_gb_s,
        "hlt_problem": facts.no_rate & no_builder & (crashed > 0) & no_requests,
        "cloud_mode_wrong": run.cloud_forbidden & too_cloudy,
    }
    return [
        *(facts.verdict(name, "TRG", (run.on & ~facts.no_rate & holds)[:, None]) for name, holds in rates.items()),
        *(facts.verdict(name, "HLT", (run.on & holds)[:, None]) for name, holds in farm.items()),
        *(
            Verdict(name, "subsystem", holds, np.ones(len(view), dtype=np.bool_))
            for name, holds in (
                ("soft_error_lengthy", run.lengthy),
                ("soft_error_continuous", run.continuous),
                ("soft_error_stuck", run.stuck),
            )
        ),
    ]


def stop(facts: Facts, causes: list[Verdict]) -> list[Verdict]:
    """That nothing is built, and that no cause is known."""
    explained: Bools = np.zeros(len(facts.view), dtype=np.bool_)
    for verdict in causes:
        if verdict.condition in NO_RATE_CAUSES:
            explained |= verdict.holds.any(axis=1)
    return [
        facts.verdict("no_rate", "DAQ", facts.no_rate[:, None]),
        facts.verdict("unidentified", "DAQ", (facts.no_rate & ~explained)[:, None]),
    ]


def _asked_hz(facts: Facts) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Triggers asked of the detector, less the share that admissible dead time takes anyway; shape (n,)."""
    view = facts.view
    accepted, suppressed = (
        view.value(f"global/triggerRatesInstant.{name}", f"global/tcds.{name}") for name in ("trg_rate_total", "sup_trg_rate_total")
    )
    return (accepted + suppressed) * (1 - facts.options.admissible_dead_time_ratio)
