"""One dashboard for each part of the experiment: what is wrong there, how far from normal it is, and how well it is read.

A dashboard is about the sources whose names match its pattern, which can be changed at its head, and about the incidents whose
condition belongs to the domain.
"""

from __future__ import annotations

from dashboards.grafana import shared
from dashboards.grafana.board import Board, Section
from dashboards.grafana.panels import Limits, Query, lines, number
from dashboards.grafana.sdk import timeseries

QUALITY = "dead_region|hot_channel|shape|silent|stuck|channel_vanished|.*_histogram"
VOLTAGE = "hv_.*|bad_state|outlier|group_outlier|drift"
COMPUTE = "disk_.*|node_.*|plan_.*|out_of_limits"
DEAD_TIME = (
    ".*dead_?time.*|.*backpressure.*|fed_.*|fmm_.*|pi_.*|ru_.*|.*hlt_.*|.*rate.*|partition_.*|ferol_.*|link_.*|soft_error.*"
    "|out_of_sequence_data|corrupted_data|unidentified|cloud_mode_wrong"
)


def _board(uid: str, name: str, description: str, conditions: str, sources: str, *, more: Section | None = None) -> Board:
    now = Section(
        "Now",
        [shared.how_many(conditions), shared.active_findings(), shared.newest(), shared.still_learning(), shared.lasting(conditions)],
    )
    trend = Section("How far from normal", [shared.scores(), shared.findings(), _by_condition(conditions)])
    sections = [now, trend, *([] if more is None else [more]), shared.reading(), shared.learning()]
    return Board(uid, f"shiftwatch · {name}", description, sections, sources)


def _by_condition(conditions: str) -> timeseries.Panel:
    return lines(
        "Incidents by condition",
        [Query(f'count by (condition) (max by (incident, condition) (shiftwatch_incident{{condition=~"{conditions}"}}))', "{{condition}}")],
        "Incidents that last.",
    )


def _late() -> timeseries.Panel:
    return lines(
        "Rows that came too late",
        [
            Query(
                f"sum by (source) (increase(shiftwatch_late_rows_total{{{shared.OF_SOURCE}}}[1h])) "
                f"or 0 * max by (source) (shiftwatch_collect_success{{{shared.OF_SOURCE}}})",
                "{{source}}",
            )
        ],
        "In the last hour. Rows older than what was judged already; nobody is told of what they show.",
    )


def _skew() -> timeseries.Panel:
    return lines(
        "Clocks that are off",
        [Query(f"max by (source) (abs(shiftwatch_clock_skew_seconds{{{shared.OF_SOURCE}}}))", "{{source}}")],
        "By how much a source's times cannot be true; 0 where they are believed.",
        unit="s",
        limits=Limits(warning=1),
    )


TIMES = Section("Times", [_late(), _skew()])
OPTIMIZER = Section(
    "Optimizer",
    [
        number(
            "Nodes at risk",
            Query("max(shiftwatch_optimizer_endangered_nodes)", "nodes"),
            "Nodes that an open incident puts at risk.",
            limits=Limits(warning=1),
            width=6,
        ),
        number(
            "Plans",
            Query("sum(max by (kind, state) (shiftwatch_optimizer_plans))", "plans"),
            "Proposals of the optimizer that have not ended; they stand on the page with their simulated gain.",
            limits=Limits(warning=1),
            width=6,
        ),
        number(
            "Out of service",
            Query("max(shiftwatch_optimizer_out_of_service_ratio)", "share"),
            "Share of the processors that is drained or down, by whomever; the optimizer stops draining at its cap.",
            unit="percentunit",
            limits=Limits(warning=0.1),
            width=6,
        ),
        number(
            "Batch system last read",
            Query("time() - max(shiftwatch_optimizer_last_read_timestamp_seconds)", "age"),
            "Time since the queue and the nodes were read.",
            unit="s",
            limits=Limits(warning=120, critical=600),
            width=6,
        ),
        lines(
            "Drained nodes",
            [Query("max by (by) (shiftwatch_optimizer_drained_nodes)", "{{by}}")],
            "Nodes out of service, by who drained them.",
        ),
        lines(
            "Expected gain of the plans",
            [Query("max by (kind, unit) (shiftwatch_optimizer_expected_gain)", "{{kind}} ({{unit}})")],
            "What the plans that have not ended are expected to gain, from simulation.",
        ),
    ],
)

DATA_QUALITY = _board(
    "shiftwatch-data-quality",
    "data quality",
    "Histograms of the data-quality monitoring against their references and their history.",
    QUALITY,
    ".*(dqm|quality|histogram|occupancy).*",
    more=TIMES,
)
HIGH_VOLTAGE = _board(
    "shiftwatch-high-voltage",
    "high voltage",
    "High-voltage channels: trips, currents and voltages that leave what is normal for the beam.",
    VOLTAGE,
    ".*(hv|high_?voltage|caen|power|dcs).*",
    more=TIMES,
)
COMPUTING = _board(
    "shiftwatch-computing",
    "disks and computing",
    "Disks, nodes and the batch system, and what the optimizer proposes and does.",
    COMPUTE,
    ".*(disk|smart|node|computing|storage|grid|batch).*",
    more=OPTIMIZER,
)
DAQ = _board(
    "shiftwatch-dead-time",
    "trigger and dead-time",
    "Data acquisition: dead-time by cause, stuck front ends, back-pressure, trigger rates.",
    DEAD_TIME,
    ".*(daq|trigger|deadtime|dead_time|tcds|rate).*",
    more=TIMES,
)
DOMAINS = (DATA_QUALITY, HIGH_VOLTAGE, COMPUTING, DAQ)
