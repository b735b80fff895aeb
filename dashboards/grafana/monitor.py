"""The dashboard of the daemon itself: stages, what was lost or refused, who was told, what it costs."""

from __future__ import annotations

from dashboards.grafana.board import Board, Section
from dashboards.grafana.panels import Limits, Query, lines, listing, number
from dashboards.grafana.shared import OF_SOURCE, learning, reading
from dashboards.prometheus.alerts import LAG

NONE_YET = "or 0 * max(shiftwatch_build_info)"
"""A counter with labels is not there before its first event."""

NOW = Section(
    "Now",
    [
        number(
            "Processes",
            Query("count(shiftwatch_build_info)", "processes"),
            "Processes of shiftwatch that Prometheus reaches.",
        ),
        number(
            "Running for",
            Query("min(time() - process_start_time_seconds and on (job, instance) shiftwatch_build_info)", "age"),
            "Since the process started that started last.",
            unit="s",
        ),
        number(
            "Slowest stage",
            Query("max(time() - shiftwatch_stage_progress_timestamp_seconds)", "age"),
            "Time since the stage that is furthest behind came round.",
            unit="s",
            limits=Limits(warning=30, critical=120),
        ),
        number(
            "Longest lag",
            Query(f"max({LAG.name})", "lag"),
            "How long the slowest stage needs for what it has not read yet.",
            unit="s",
            limits=Limits(warning=60, critical=300),
        ),
        number(
            "Dead letters, 1 h",
            Query(f"sum(increase(shiftwatch_dead_letters_total[1h])) {NONE_YET}", "inputs"),
            "Inputs that could not be used in the last hour; the reasons are in the topic of dead letters.",
            limits=Limits(warning=1),
        ),
        number(
            "Failures of stages, 1 h",
            Query(f"sum(increase(shiftwatch_stage_errors_total[1h])) {NONE_YET}", "failures"),
            "Each time a stage failed and began anew.",
            limits=Limits(warning=1),
        ),
        listing(
            "Alerts of the monitor",
            Query('ALERTS{alertname=~"Shiftwatch.+", alertstate="firing"}', ""),
            "From the rules of shiftwatch. The dead man's switch always stands here; if it does not, the rules are missing.",
            columns=("severity", "alertname", "stage", "source", "receiver", "origin"),
        ),
    ],
)
STAGES = Section(
    "Stages",
    [
        lines(
            "Time since a stage came round",
            [Query("max by (stage) (time() - shiftwatch_stage_progress_timestamp_seconds)", "{{stage}}")],
            "Wall time; the service is restarted where it stays high.",
            unit="s",
            limits=Limits(critical=120),
        ),
        lines(
            "Records not read yet",
            [Query("sum by (stage) (shiftwatch_stage_lag_records)", "{{stage}}")],
            "Lag on the bus.",
        ),
        lines(
            "Records read per second",
            [Query("sum by (stage) (rate(shiftwatch_stage_records_total[$__rate_interval]))", "{{stage}}")],
            "A record is a block of rows, a finding or an incident.",
            unit="recps",
        ),
        lines(
            "Duration of a step, 99th percentile",
            [
                Query(
                    "histogram_quantile(0.99, sum by (stage, le) (rate(shiftwatch_stage_step_seconds_bucket[$__rate_interval])))",
                    "{{stage}}",
                )
            ],
            "Steps that had something to do.",
            unit="s",
        ),
    ],
)
LOSSES = Section(
    "Lost, refused, told",
    [
        lines(
            "Told and failed, 1 h",
            [Query(f"sum by (receiver, outcome) (increase(shiftwatch_deliveries_total[1h])) {NONE_YET}", "{{receiver}} {{outcome}}")],
            "Attempts to tell a receiver of an incident. What failed is tried again.",
        ),
        lines(
            "Blocks seen before, 1 h",
            [
                Query(
                    f"sum by (source) (increase(shiftwatch_repeated_blocks_total{{{OF_SOURCE}}}[1h])) "
                    f"or 0 * max by (source) (shiftwatch_collect_success{{{OF_SOURCE}}})",
                    "{{source}}",
                )
            ],
            "Read twice after a restart or a rebalance, and recognised; nothing is judged twice.",
        ),
        lines(
            "Dead letters by origin, 1 h",
            [Query(f"sum by (origin) (increase(shiftwatch_dead_letters_total[1h])) {NONE_YET}", "{{origin}}")],
            "Inputs that could not be used.",
        ),
        lines(
            "Readings left out, 1 h",
            [
                Query(
                    f"sum by (source) (increase(shiftwatch_collect_missed_total{{{OF_SOURCE}}}[1h])) "
                    f"or 0 * max by (source) (shiftwatch_collect_success{{{OF_SOURCE}}})",
                    "{{source}}",
                )
            ],
            "Because the one before had not ended: the source is slower than its period.",
        ),
    ],
)
MODELS = Section(
    "History and models",
    [
        lines(
            "Rows written to the history per second",
            [Query("sum(rate(shiftwatch_history_rows_total[$__rate_interval]))", "rows")],
            "0 while data come: the folder cannot be written.",
            unit="rowsps",
        ),
        lines(
            "Rows lost to the history, 1 h",
            [Query("sum(increase(shiftwatch_history_lost_rows_total[1h]))", "rows")],
            "They could not be written and were given up, so that the watch goes on.",
            limits=Limits(warning=1),
        ),
        lines(
            "Trainings, 24 h",
            [Query(f"sum by (outcome) (increase(shiftwatch_trainings_total[1d])) {NONE_YET}", "{{outcome}}")],
            "Of models, by schedule: in use, in shadow, kept out because the one before is as good, failed.",
        ),
        lines(
            "Models refused",
            [
                Query(
                    f"max by (source, detector) (shiftwatch_model_refused{{{OF_SOURCE}}}) {NONE_YET}",
                    "{{source}} · {{detector}}",
                )
            ],
            "1 while the version that should be in use cannot be: its file is damaged, gone, or made for other options.",
            limits=Limits(warning=1),
        ),
    ],
)
COST = Section(
    "What it costs",
    [
        lines(
            "Processor",
            [Query("rate(process_cpu_seconds_total[$__rate_interval]) and on (job, instance) shiftwatch_build_info", "{{instance}}")],
            "Cores in use by each process.",
        ),
        lines(
            "Memory",
            [Query("process_resident_memory_bytes and on (job, instance) shiftwatch_build_info", "{{instance}}")],
            "Resident memory of each process.",
            unit="bytes",
        ),
    ],
)
MONITOR = Board(
    "shiftwatch-daemon",
    "shiftwatch · the daemon itself",
    "Whether the stages keep up, what was lost or refused, who was told, and what it costs.",
    [NOW, STAGES, LOSSES, reading(), learning(), MODELS, COST],
)
