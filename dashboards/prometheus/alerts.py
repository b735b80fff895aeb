"""The alerts of the monitor itself, and the series that they share with dashboards.

shiftwatch says what is wrong with the experiment; these say when shiftwatch cannot. They go another way (Prometheus and
Alertmanager), since a monitor that is down cannot say so.
"""

from __future__ import annotations

from dashboards.prometheus.rules import Alert, Recording, grown

DAEMON, OVERVIEW, COMPUTING = "shiftwatch-daemon", "shiftwatch-overview", "shiftwatch-computing"
STAGES = ("collect", "detect", "correlate", "notify")
"""Stages without which nobody hears of anything."""
CRITICAL, WARNING = "critical", "warning"
WALL = "Wall time."
NOT_A_PROBLEM = 'shiftwatch_labels_total{kind="not_a_problem"}'
TRAINED_NOT = 'shiftwatch_trainings_total{outcome="failed"}'
FAILED, TOLD = 'shiftwatch_deliveries_total{outcome="failed"}', 'shiftwatch_deliveries_total{outcome="told"}'

LAG = Recording(
    "shiftwatch:stage_lag_seconds",
    "sum by (stage) (shiftwatch_stage_lag_records) / clamp_min(sum by (stage) (rate(shiftwatch_stage_records_total[5m])), 0.001)",
    f"{WALL} How long a stage would need for what it has not read yet, at the pace of the last five minutes.",
)
OPENED = Recording(
    "shiftwatch:incidents_opened:day",
    f"sum({grown('shiftwatch_incidents_opened_total', '1d')}) or 0 * max(shiftwatch_budget_per_day)",
    f"{WALL} Incidents opened in the last 24 hours, the true ones with the false.",
)
FALSE_ALARMS = Recording(
    "shiftwatch:false_alarms:week",
    f"sum({grown(NOT_A_PROBLEM, '1w')}) or 0 * max(shiftwatch_budget_per_day)",
    f"{WALL} Incidents of the last 7 days that people called not a problem.",
)
RECORDINGS = (LAG, OPENED, FALSE_ALARMS)

DOWN = Alert(
    "ShiftwatchDown",
    "absent(shiftwatch_build_info)",
    "1m",
    CRITICAL,
    "No shiftwatch is running",
    "Prometheus has had no metrics of any shiftwatch process for a minute. Nobody watches the experiment: shifters must look at the "
    "displays themselves. First: systemctl status shiftwatch; journalctl -u shiftwatch -n 50.",
    "monitor-down",
    DAEMON,
    f"{WALL} Holds too where Prometheus does not reach the daemon.",
)
STAGE_MISSING = Alert(
    "ShiftwatchStageMissing",
    "("
    + " or ".join(f'absent(shiftwatch_stage_progress_timestamp_seconds{{stage="{stage}"}})' for stage in STAGES)
    + ") unless on () absent(shiftwatch_build_info)",
    "2m",
    CRITICAL,
    "No process runs the stage {{ $labels.stage }}",
    "Other stages of shiftwatch run, but none of its processes runs {{ $labels.stage }}: from there on nothing reaches anybody.",
    "stage-missing",
    DAEMON,
    WALL,
)
STAGE_STALLED = Alert(
    "ShiftwatchStageStalled",
    "time() - shiftwatch_stage_progress_timestamp_seconds > 120",
    "1m",
    CRITICAL,
    "The stage {{ $labels.stage }} has not moved for {{ $value | humanizeDuration }}",
    "The stage {{ $labels.stage }} of {{ $labels.instance }} hangs: its process runs, but it has not come round.",
    "stage-stalled",
    DAEMON,
    f"{WALL} The daemon writes the wall time at which a stage came round.",
)
STAGE_LAGGING = Alert(
    "ShiftwatchStageLagging",
    f"{LAG.name} > 300",
    "10m",
    WARNING,
    "The stage {{ $labels.stage }} is {{ $value | humanizeDuration }} behind",
    "The stage {{ $labels.stage }} reads more slowly than data come: what is said of the experiment is that old.",
    "stage-lagging",
    DAEMON,
    WALL,
)
STAGE_FAILING = Alert(
    "ShiftwatchStageFailing",
    f"sum by (stage) ({grown('shiftwatch_stage_errors_total', '15m')}) > 2",
    "",
    WARNING,
    "The stage {{ $labels.stage }} failed {{ $value | humanize }} times in 15 minutes",
    "The stage {{ $labels.stage }} fails and begins anew from what it had saved; its log has the reason.",
    "stage-failing",
    DAEMON,
    WALL,
)
SOURCE_SILENT = Alert(
    "ShiftwatchSourceSilent",
    "(sum by (source) (increase(shiftwatch_collect_seconds_count[30m])) >= 3 "
    "unless sum by (source) (increase(shiftwatch_rows_total[30m])) > 0) "
    "or time() - max by (source) (shiftwatch_last_data_timestamp_seconds) > 6 * 3600",
    "5m",
    WARNING,
    "Source {{ $labels.source }} has brought no data for half an hour or more",
    "Either its collector ran three times or more in 30 minutes and brought no row, or its newest row is older than 6 hours. "
    "The daemon says so sooner by itself; this is for when it does not.",
    "source-silent",
    OVERVIEW,
    "Rows in wall time, for sources that are read every ten minutes or more often; then event time (the newest row's own time), which is "
    "wall time unless old data are replayed.",
)
COLLECTOR_FAILING = Alert(
    "ShiftwatchCollectorFailing",
    "max by (source) (shiftwatch_collect_success) == 0",
    "10m",
    WARNING,
    "Source {{ $labels.source }} cannot be read",
    "Each run of its collector has failed for ten minutes; the daemon's log names the file, address or channel and what is wrong.",
    "collector-failing",
    OVERVIEW,
    WALL,
)
DEAD_LETTERS = Alert(
    "ShiftwatchDeadLetters",
    f"sum by (origin) ({grown('shiftwatch_dead_letters_total', '15m')}) > 10",
    "",
    WARNING,
    "{{ $value | humanize }} inputs of {{ $labels.origin }} could not be used in 15 minutes",
    "They are in the topic of dead letters with the reason for each; what they would have shown is not watched.",
    "dead-letters",
    DAEMON,
    WALL,
)
RECEIVER_FAILING = Alert(
    "ShiftwatchReceiverFailing",
    f"sum by (receiver) ({grown(FAILED, '15m')}) unless sum by (receiver) ({grown(TOLD, '15m')})",
    "5m",
    CRITICAL,
    "{{ $labels.receiver }} is not told of incidents",
    "Each attempt to tell {{ $labels.receiver }} failed for 15 minutes. Nothing is lost, it will be told; look at the page until then.",
    "receiver-failing",
    DAEMON,
    WALL,
)
CLOCK_SKEW = Alert(
    "ShiftwatchClockSkew",
    "max by (source) (abs(shiftwatch_clock_skew_seconds)) > 0",
    "10m",
    WARNING,
    "The clock of source {{ $labels.source }} is off by {{ $value | humanizeDuration }}",
    "Its times cannot be true and are replaced by those of arrival: causes and effects may be told in the wrong order.",
    "clock-off",
    OVERVIEW,
    "Event time against the daemon's clock, taken by the daemon; 0 while it believes the source.",
)
ROWS_TOO_LATE = Alert(
    "ShiftwatchRowsTooLate",
    "sum by (source) (rate(shiftwatch_late_rows_total[15m])) / sum by (source) (rate(shiftwatch_rows_total[15m])) > 0.01",
    "15m",
    WARNING,
    "{{ $value | humanizePercentage }} of the rows of {{ $labels.source }} come too late to be judged",
    "They are older than rows of the same source that were judged already: nobody is told of what they show.",
    "rows-too-late",
    OVERVIEW,
    f"{WALL} The daemon counts what is late in event time.",
)
BUDGET_OVERRUN = Alert(
    "ShiftwatchBudgetOverrun",
    f"{OPENED.name} > 5 + 5 * max(shiftwatch_budget_per_day)",
    "10m",
    WARNING,
    "{{ $value | humanize }} incidents were opened in 24 hours",
    "Far more than the false alarms that were promised. Either much is wrong, or the thresholds do not fit the data any more.",
    "budget-overrun",
    OVERVIEW,
    WALL,
)
FALSE_ALARMS_HIGH = Alert(
    "ShiftwatchFalseAlarms",
    f"{FALSE_ALARMS.name} > 7 * max(shiftwatch_budget_per_day) + 2 * sqrt(7 * max(shiftwatch_budget_per_day))",
    "1h",
    WARNING,
    "People called {{ $value | humanize }} incidents of the last 7 days not a problem",
    "That is more than the promise, by more than chance (two standard deviations of a Poisson count).",
    "budget-overrun",
    OVERVIEW,
    WALL,
)
OPTIMIZER_BLIND = Alert(
    "ShiftwatchOptimizerBlind",
    "time() - (shiftwatch_optimizer_last_read_timestamp_seconds > 0) > 600",
    "5m",
    WARNING,
    "The optimizer has not read the batch system for {{ $value | humanizeDuration }}",
    "It proposes and does nothing until it can; nodes that it drained stay drained.",
    "optimizer-blind",
    COMPUTING,
    WALL,
)
DEAD_MANS_SWITCH = Alert(
    "ShiftwatchDeadMansSwitch",
    "vector(1)",
    "",
    "none",
    "The way from Prometheus to people works",
    "This alert always fires. Route it to something that calls when it stops coming: then Prometheus or Alertmanager is down.",
    "dead-mans-switch",
    DAEMON,
    "No clock: it always holds.",
)
AGENT_CUT_OFF = Alert(
    "ShiftwatchAgentCutOff",
    "min by (instance) (shiftwatch_spool_connected) == 0",
    "10m",
    WARNING,
    "The agent {{ $labels.instance }} does not reach the broker",
    "It keeps on its disk what it collects, judges it there, and sends all of it later; nobody hears of its findings until then.",
    "agent-cut-off",
    DAEMON,
    WALL,
)
AGENT_DROPPED = Alert(
    "ShiftwatchAgentDropped",
    f"sum by (instance, lane, reason) ({grown('shiftwatch_spool_dropped_records_total', '15m')}) > 0",
    "0m",
    WARNING,
    "The agent {{ $labels.instance }} gave up {{ $value | humanize }} records of {{ $labels.lane }} ({{ $labels.reason }})",
    "They do not come back. Of readings a summary of each minute stays as long as it has room; findings are given up last.",
    "agent-cut-off",
    DAEMON,
    WALL,
)
HISTORY_LOST = Alert(
    "ShiftwatchHistoryLost",
    f"sum by (instance) ({grown('shiftwatch_history_lost_rows_total', '15m')}) > 0",
    "0m",
    WARNING,
    "{{ $value | humanize }} rows were not written to the history",
    "The folder of the history cannot be written, and without Kafka what cannot be written is given up. The watch goes on; models and "
    "back-tests will lack these rows.",
    "history-lost",
    DAEMON,
    WALL,
)
TRAINING_FAILED = Alert(
    "ShiftwatchTrainingFailed",
    f"sum by (instance) ({grown(TRAINED_NOT, '1d')}) > 0",
    "0m",
    WARNING,
    "{{ $value | humanize }} trainings of models failed in 24 hours",
    "The models in use go on judging, and grow old; `shiftwatch status` and the log of the stage train have the reason.",
    "training-failed",
    DAEMON,
    WALL,
)
MODEL_REFUSED = Alert(
    "ShiftwatchModelRefused",
    "max by (source, detector) (shiftwatch_model_refused) > 0",
    "1m",
    WARNING,
    "The model of {{ $labels.source }}/{{ $labels.detector }} that should be in use cannot be used",
    "Its file is damaged, gone, or made for other options. The last good one goes on judging; without one the detector learns anew.",
    "model-refused",
    DAEMON,
    WALL,
)
ALERTS = (
    DOWN,
    STAGE_MISSING,
    STAGE_STALLED,
    STAGE_LAGGING,
    STAGE_FAILING,
    SOURCE_SILENT,
    COLLECTOR_FAILING,
    DEAD_LETTERS,
    RECEIVER_FAILING,
    CLOCK_SKEW,
    ROWS_TOO_LATE,
    BUDGET_OVERRUN,
    FALSE_ALARMS_HIGH,
    OPTIMIZER_BLIND,
    AGENT_CUT_OFF,
    AGENT_DROPPED,
    HISTORY_LOST,
    TRAINING_FAILED,
    MODEL_REFUSED,
    DEAD_MANS_SWITCH,
)
GROUPS: tuple[tuple[str, tuple[Recording | Alert, ...]], ...] = (("shiftwatch.series", RECORDINGS), ("shiftwatch.monitor", ALERTS))
