"""The Application Server Dataset: 12 servers, 19 metrics every five minutes for 45 days; the last third is labelled."""

from __future__ import annotations

from detectors.evaluation.host_suite import HostSuite

SUITE = HostSuite(
    name="asd",
    title="Application Server Dataset",
    citation="Z. Li et al., Multivariate Time Series Anomaly Detection and Interpretation using Hierarchical Inter-Metric and Temporal "
    "Embedding, KDD 2021; data: zhhlee/InterFusion",
    pattern=r"omi-\d+",
    step_s=300.0,
    budget_per_day=0.6,  # real incidents take their part of it: about .25 a day are false
)
