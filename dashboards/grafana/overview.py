"""The dashboard that hangs on the wall: what is wrong, whether anybody is on it, and whether the monitor can be trusted."""

from __future__ import annotations

from dashboards.grafana.board import Board, Section
from dashboards.grafana.panels import Limits, Query, lines, number
from dashboards.grafana.shared import findings, lasting, newest, reading, scores, still_learning
from dashboards.prometheus.alerts import FALSE_ALARMS, OPENED

NOW = Section(
    "Now",
    [
        number(
            "Open",
            Query('sum(max by (severity) (shiftwatch_incidents{state="open"}))', "incidents"),
            "Incidents that last and that nobody has taken.",
            limits=Limits(critical=1),
        ),
        number(
            "Somebody is on it",
            Query('sum(max by (severity) (shiftwatch_incidents{state="acknowledged"}))', "incidents"),
            "Incidents that last and have an owner.",
        ),
        number(
            "Critical",
            Query('sum(max by (state) (shiftwatch_incidents{severity="critical"}))', "incidents"),
            "Incidents that last and cost data now.",
            limits=Limits(critical=1),
        ),
        number(
            "Opened in 24 h",
            Query(OPENED.name, "incidents"),
            "Incidents opened in the last 24 hours of wall time, the true ones with the false.",
        ),
        number(
            "Called not a problem, 7 days",
            Query(FALSE_ALARMS.name, "incidents"),
            "What people called a false alarm in the last 7 days; the promise for 7 days stands beside it.",
        ),
        number(
            "Promised false alarms, 7 days",
            Query("7 * max(shiftwatch_budget_per_day)", "incidents"),
            "Seven times false_alarms_per_day of the configuration.",
        ),
        lasting(),
    ],
)
TREND = Section(
    "How it came about",
    [
        scores(12),
        findings(),
        lines(
            "Incidents by severity",
            [Query("sum by (severity) (max by (severity, state) (shiftwatch_incidents))", "{{severity}}")],
            "Incidents that are not resolved.",
        ),
        lines(
            "Incidents opened per hour",
            [Query("sum by (severity) (increase(shiftwatch_incidents_opened_total[1h]))", "{{severity}}")],
            "Over the last hour, by wall time.",
        ),
    ],
)
MONITOR = Section(
    "Can it be trusted",
    [
        newest(),
        still_learning(),
        number(
            "Sources that fail",
            Query("count(max by (source) (shiftwatch_collect_success) == 0) or 0 * max(shiftwatch_build_info)", "sources"),
            "Sources whose last reading failed.",
            limits=Limits(warning=1),
            width=6,
        ),
        number(
            "Slowest stage",
            Query("max(time() - shiftwatch_stage_progress_timestamp_seconds)", "age"),
            "Time since the stage that is furthest behind came round.",
            unit="s",
            limits=Limits(warning=30, critical=120),
            width=6,
        ),
    ],
)
OVERVIEW = Board(
    "shiftwatch-overview",
    "shiftwatch · overview",
    "What is wrong with the experiment and its computing now, and whether the monitor can be trusted.",
    [NOW, TREND, MONITOR, reading()],
)
