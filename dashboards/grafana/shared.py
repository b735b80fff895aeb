"""Panels that stand on more than one dashboard: the health and the scores of the sources that the variable `source` names."""

from __future__ import annotations

from dashboards.grafana.board import Section
from dashboards.grafana.panels import Limits, Query, lines, listing, number
from dashboards.grafana.sdk import stat, table, timeseries

COLUMNS = ("severity", "condition", "place", "incident")
OF_SOURCE = 'source=~"$source"'


def lasting(conditions: str | None = None) -> table.Panel:
    """Incidents that last, of all conditions or of those that match."""
    matcher = "" if conditions is None else f'{{condition=~"{conditions}"}}'
    return listing(
        "What is wrong now",
        Query(f"max by (severity, condition, place, incident) (shiftwatch_incident{matcher})", ""),
        "Incidents that are not resolved. Sentence, evidence and what to do are on the page of shiftwatch.",
        columns=COLUMNS,
    )


def how_many(conditions: str) -> stat.Panel:
    """The number of incidents that last of some conditions."""
    return number(
        "Incidents now",
        Query(
            f'count(max by (incident) (shiftwatch_incident{{condition=~"{conditions}"}})) or 0 * max(shiftwatch_build_info)', "incidents"
        ),
        "Incidents of this domain that are not resolved.",
        limits=Limits(critical=1),
        width=6,
    )


def active_findings() -> stat.Panel:
    """Findings that last."""
    return number(
        "Findings now",
        Query(f"sum(shiftwatch_active_findings{{{OF_SOURCE}}})", "findings"),
        "Single channels, bins or attributes that are anomalous now; several of them make one incident.",
        limits=Limits(warning=1),
        width=6,
    )


def newest() -> stat.Panel:
    """Age of the newest row."""
    return number(
        "Oldest of the newest data",
        Query(f"max(time() - max by (source) (shiftwatch_last_data_timestamp_seconds{{{OF_SOURCE}}}))", "age"),
        "Age of the newest row of the source that is furthest behind, by the row's own time. Of replayed data it is their real age.",
        unit="s",
        limits=Limits(warning=900, critical=6 * 3600),
        width=6,
    )


def still_learning() -> stat.Panel:
    """Detectors that do not judge yet."""
    return number(
        "Detectors still learning",
        Query(
            f"count(max by (source, detector) (shiftwatch_learning_rows_needed{{{OF_SOURCE}}}) > 0) or 0 * max(shiftwatch_build_info)", "n"
        ),
        "They judge nothing until they have seen enough normal data; the page says how much is missing.",
        limits=Limits(warning=1),
        width=6,
    )


def scores(width: int = 24) -> timeseries.Panel:
    """The worst scores."""
    return lines(
        "Worst score",
        [Query(f"max by (source, detector) (shiftwatch_score{{{OF_SOURCE}}})", "{{source}} · {{detector}}")],
        "Highest score in the newest row of each source: 1 is the threshold of a finding, and follows from the budget of false alarms.",
        limits=Limits(critical=1),
        width=width,
    )


def findings(width: int = 12) -> timeseries.Panel:
    """Findings over time."""
    return lines(
        "Active findings",
        [Query(f"sum by (source) (shiftwatch_active_findings{{{OF_SOURCE}}})", "{{source}}")],
        "Single channels, bins or attributes that are anomalous.",
        width=width,
    )


def rows(width: int = 12) -> timeseries.Panel:
    """Rows over time."""
    return lines(
        "Rows per second",
        [Query(f"sum by (source) (rate(shiftwatch_rows_total{{{OF_SOURCE}}}[$__rate_interval]))", "{{source}}")],
        "How much each source brings, by wall time; 0 is silence.",
        unit="rowsps",
        width=width,
    )


def reading() -> Section:
    """How the sources are read."""
    return Section(
        "How the sources are read",
        [
            rows(),
            lines(
                "Age of the newest data",
                [Query(f"time() - max by (source) (shiftwatch_last_data_timestamp_seconds{{{OF_SOURCE}}})", "{{source}}")],
                "By the newest row's own time. Of replayed data it is their real age.",
                unit="s",
            ),
            lines(
                "Duration of a reading, 95th percentile",
                [
                    Query(
                        "histogram_quantile(0.95, sum by (source, le) "
                        f"(rate(shiftwatch_collect_seconds_bucket{{{OF_SOURCE}}}[$__rate_interval])))",
                        "{{source}}",
                    )
                ],
                "How long a collector takes to read its source once.",
                unit="s",
            ),
            lines(
                "Readings that succeed",
                [Query(f"min by (source) (shiftwatch_collect_success{{{OF_SOURCE}}})", "{{source}}")],
                "1 where the last reading succeeded, 0 where it failed; the daemon's log has the reason.",
                unit="percentunit",
            ),
        ],
    )


def learning() -> Section:
    """What the detectors rest on."""
    return Section(
        "What the detectors rest on",
        [
            lines(
                "Normal rows still needed",
                [Query(f"max by (source, detector) (shiftwatch_learning_rows_needed{{{OF_SOURCE}}})", "{{source}} · {{detector}}")],
                "A detector judges once this is 0.",
            ),
            lines(
                "Age of the models",
                [
                    Query(
                        f"time() - max by (source, detector) (shiftwatch_model_fitted_timestamp_seconds{{{OF_SOURCE}}} > 0)",
                        "{{source}} · {{detector}}",
                    )
                ],
                "Age of the newest row that a model was fitted on, by the row's own time.",
                unit="s",
            ),
            lines(
                "Alarms a day, measured",
                [
                    Query(f"max by (source, detector) (shiftwatch_alarms_measured_per_day{{{OF_SOURCE}}})", "{{source}} · {{detector}}"),
                    Query(
                        f"max by (source, detector) (shiftwatch_alarms_promised_per_day{{{OF_SOURCE}}})",
                        "{{source}} · {{detector}} promised",
                    ),
                ],
                "What each detector raised a day over the last 28 days judged, true alarms with the false, beside its share of the budget.",
            ),
            lines(
                "Alarms a day, lower end over the promise",
                [
                    Query(
                        f"max by (source, detector) (shiftwatch_alarms_measured_low_per_day{{{OF_SOURCE}}}) "
                        f"/ max by (source, detector) (shiftwatch_alarms_promised_per_day{{{OF_SOURCE}}})",
                        "{{source}} · {{detector}}",
                    )
                ],
                "Lower end of the 90 % interval over the promise: above 1 it is more than chance. Then much is wrong, or the threshold is.",
                limits=Limits(warning=1),
            ),
            lines(
                "Version of the model",
                [Query(f"max by (source, detector) (shiftwatch_model_version{{{OF_SOURCE}}})", "{{source}} · {{detector}}")],
                "0 is one that was learned while watching, without a file. `shiftwatch models list` has all versions.",
            ),
            lines(
                "Questions that stand",
                [Query(f"sum by (source, detector) (shiftwatch_questions{{{OF_SOURCE}}})", "{{source}} · {{detector}}")],
                "Findings that ask whether a new level is normal: somebody should answer them on the page.",
            ),
        ],
    )
