"""What was found before the optimizer listened: switched on in a running control room, it hears nothing of what lasts already."""

from __future__ import annotations

from daemon import messages
from daemon.messages import FindingReport
from daemon.store.packing import unpack
from daemon.store.store import Store
from detectors.finding import Finding

CORRELATE = "correlate"
"""The stage that knows all findings of the incidents: their state is what it saved last."""


def lasting_findings(store: Store) -> list[Finding]:
    """The findings of known incidents that have not cleared. Raises MessageError for a state of another version."""
    saved = store.load_state(CORRELATE)
    if saved is None:
        return []
    texts = (text for _, findings in unpack(saved.state)["known"].values() for text in findings)
    reports = (messages.decode(text.encode()) for text in texts)
    return [report.finding for report in reports if isinstance(report, FindingReport) and report.finding.cleared_ns is None]
