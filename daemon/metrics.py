"""The daemon's own metrics, in one place so that names and labels agree. Prefix `shiftwatch_`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("shiftwatch_rows", "Rows collected", ["source"])
SOURCE = Gauge("shiftwatch_source_info", "1 for each configured source", ["source", "collector", "place"])
SILENT_AFTER = Gauge("shiftwatch_source_silent_after_seconds", "How long a source may be silent before it is a finding", ["source"])
LAST_DATA = Gauge("shiftwatch_last_data_timestamp_seconds", "Event time of the newest row", ["source"])
COLLECT_SECONDS = Histogram(
    "shiftwatch_collect_seconds", "Duration of a collector's run", ["source"], buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
)
COLLECT_SUCCESS = Gauge("shiftwatch_collect_success", "1 where the last run of a collector succeeded", ["source"])
COLLECT_FAILURES = Counter("shiftwatch_collect_failures", "Runs of a collector that failed", ["source"])
COLLECT_MISSED = Counter("shiftwatch_collect_missed", "Runs left out because the one before had not ended", ["source"])
CLOCK_SKEW = Gauge("shiftwatch_clock_skew_seconds", "How far a source's clock was off when last corrected", ["source"])
DEAD_LETTERS = Counter("shiftwatch_dead_letters", "Inputs that could not be used", ["origin"])
LATE_ROWS = Counter("shiftwatch_late_rows", "Rows that came too late to be judged", ["source"])
REPEATED_BLOCKS = Counter("shiftwatch_repeated_blocks", "Blocks that had been seen before", ["source"])
SCORE = Gauge("shiftwatch_score", "Highest score of a source in its last row: 1 is the threshold of a finding", ["source", "detector"])
LEARNING = Gauge("shiftwatch_learning_rows_needed", "Normal rows that a detector still needs before it judges", ["source", "detector"])
MODEL_AGE = Gauge(
    "shiftwatch_model_fitted_timestamp_seconds", "Event time of the newest row that a model was fitted on", ["source", "detector"]
)
ALARMS_PROMISED = Gauge("shiftwatch_alarms_promised_per_day", "Share of the false-alarm budget that a detector has", ["source", "detector"])
ALARMS_MEASURED = Gauge(
    "shiftwatch_alarms_measured_per_day", "Alarms a day that a detector raised over the last 28 days judged", ["source", "detector"]
)
ALARMS_LOW = Gauge("shiftwatch_alarms_measured_low_per_day", "Lower end of the 90 % interval of that rate", ["source", "detector"])
ALARMS_HIGH = Gauge("shiftwatch_alarms_measured_high_per_day", "Upper end of the 90 % interval of that rate", ["source", "detector"])
QUESTIONS = Gauge("shiftwatch_questions", "Findings that ask whether a new level is normal", ["source", "detector"])
ACTIVE_FINDINGS = Gauge("shiftwatch_active_findings", "Findings that last", ["source"])
INCIDENTS = Gauge("shiftwatch_incidents", "Incidents that are not resolved", ["severity", "state"])
INCIDENTS_OPENED = Counter("shiftwatch_incidents_opened", "Incidents opened", ["severity"])
LABELS = Counter("shiftwatch_labels", "What people said of incidents", ["kind"])
BUDGET = Gauge("shiftwatch_budget_per_day", "False alarms a day that the operator accepts")
INCIDENT = Gauge("shiftwatch_incident", "1 for each incident that is not resolved", ["incident", "severity", "condition", "place"])
STAGE_SECONDS = Histogram(
    "shiftwatch_stage_step_seconds", "Duration of a stage's step that had work", ["stage"], buckets=(0.001, 0.01, 0.1, 1, 10)
)
STAGE_RECORDS = Counter("shiftwatch_stage_records", "Records that a stage has read", ["stage"])
STAGE_ERRORS = Counter("shiftwatch_stage_errors", "Failures of a stage", ["stage"])
STAGE_LAG = Gauge("shiftwatch_stage_lag_records", "Records that a stage has not read yet", ["stage"])
STAGE_PROGRESS = Gauge("shiftwatch_stage_progress_timestamp_seconds", "Wall time at which a stage last came round", ["stage"])
DELIVERIES = Counter("shiftwatch_deliveries", "Incidents told to a receiver", ["receiver", "outcome"])
SPOOL_BYTES = Gauge("shiftwatch_spool_bytes", "Bytes on disk that an agent holds for the broker", ["lane"])
SPOOL_RECORDS = Gauge("shiftwatch_spool_records", "Records that an agent holds for the broker", ["lane"])
SPOOL_OLDEST = Gauge("shiftwatch_spool_oldest_timestamp_seconds", "When the oldest held record was published, 0 without any", ["lane"])
SPOOL_DROPPED = Counter("shiftwatch_spool_dropped_records", "Records that an agent gave up: full, damaged, refused", ["lane", "reason"])
SPOOL_CONNECTED = Gauge("shiftwatch_spool_connected", "1 while the broker takes what an agent sends")
HISTORY_ROWS = Counter("shiftwatch_history_rows", "Rows written to the history")
HISTORY_LOST_ROWS = Counter("shiftwatch_history_lost_rows", "Rows that could not be written to the history")
MODEL_VERSION = Gauge("shiftwatch_model_version", "Version of the model in use, 0 for one learned while watching", ["source", "detector"])
MODEL_REFUSED = Gauge(
    "shiftwatch_model_refused", "1 while the version that should judge or run in shadow cannot be used", ["source", "detector"]
)
TRAININGS = Counter("shiftwatch_trainings", "Trainings of a model by schedule", ["outcome"])
BUILD = Gauge("shiftwatch_build_info", "1", ["version"])
