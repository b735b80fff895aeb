"""The Server Machine Dataset: 28 hosts of a large company, 38 metrics a minute for five weeks; half of it is labelled."""

from __future__ import annotations

from detectors.evaluation.host_suite import HostSuite
from detectors.evaluation.suite import Published

_TSB = "TSB-AD 2024, SMD files cut and joined there"

SUITE = HostSuite(
    name="smd",
    title="Server Machine Dataset",
    citation="Y. Su et al., Robust Anomaly Detection for Multivariate Time Series through Stochastic Recurrent Neural Network, KDD 2019; "
    "data: NetManAIOps/OmniAnomaly",
    pattern=r"machine-\d+-\d+",
    step_s=60.0,
    budget_per_day=1.2,  # real incidents take their part of it: about .45 a day are false
    published=(
        Published("PCA", "vus_pr", 0.364, _TSB),
        Published("KMeansAD", "vus_pr", 0.358, _TSB),
        Published("CNN", "vus_pr", 0.353, _TSB),
        Published("autoencoder", "vus_pr", 0.301, _TSB),
    ),
)
