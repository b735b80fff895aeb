"""Scores of AutoDQM on trigger histograms of 2022, taken over as verdicts: 308 runs, 62 histograms, chi2 and pull of each."""

from __future__ import annotations

import json
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from collectors.collector import Origin, Rejected
from collectors.frame import Channel, Frame, Kind, concatenate
from collectors.verdicts import VerdictsCollector, VerdictsOptions
from detectors.verdict_history import worth_most
from detectors.verdicts import BAD, VerdictsRule, VerdictsRuleOptions

pytestmark = pytest.mark.data
RUN_S = 8 * 3600
START_S = 1_650_000_000
MISSING = -99.0


def scores_of(data: Path) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Scores by run and check in rising order of run, NaN where there is none, and the label of each run (1 bad, 0 good)."""
    table = pd.read_csv(data / "dqm/autodqm_scores_2022/HLTPhysics_8_REF.csv", index_col=0).sort_values("run_number")
    checks = [name for name in table.columns if name.endswith(("_chi2_score_beta", "_pull_score_beta"))]
    return table[checks].set_index(table["run_number"]), table.set_index("run_number")["label"]


def write_documents(scores: pd.DataFrame, thresholds: pd.Series[Any], folder: Path) -> None:
    """One JSON document a run, with its thresholds."""
    for number, (run, row) in enumerate(scores.iterrows()):
        checks = [{"histogram": name, "score": value, "limit": limit} for (name, value), limit in zip(row.items(), thresholds, strict=True)]
        (folder / f"run{run}.json").write_text(json.dumps({"run": run, "time": START_S + number * RUN_S, "checks": checks}))


def taken_over(folder: Path) -> Frame:
    """All documents as one frame, a row a run."""
    options = VerdictsOptions(
        files=f"{folder}/run*.json",
        rows="checks",
        name="{histogram}",
        score="score",
        threshold="limit",
        missing=(MISSING,),
        document_time="time",
        places={"L1T/Run summary/*/*": "{1}"},
    )
    collector = VerdictsCollector(Origin("autodqm", "CMS/L1T", time.time_ns), options)
    items = list(collector.collect())
    assert not [item for item in items if isinstance(item, Rejected)]
    return concatenate([item for item in items if isinstance(item, Frame)])


def verdicts_of(frame: Frame, checks: list[str]) -> np.ndarray[Any, Any]:
    return frame.values[:, [frame.layout.position(check) for check in checks]]


def test_scores_with_their_thresholds_become_the_verdicts_that_pandas_counts(data: Path, tmp_path: Path) -> None:
    scores, label = scores_of(data)
    known = scores.where(scores != MISSING)
    thresholds = known[label == 0].quantile(0.99)
    write_documents(scores, thresholds, tmp_path)
    frame = taken_over(tmp_path)
    assert len(frame) == 308
    states = [c for c in frame.layout.columns if isinstance(c, Channel) and c.kind is Kind.STATE]
    assert len(states) == 124
    assert "CMS/L1T/L1TStage2CaloLayer1" in {channel.place for channel in states}
    verdicts = verdicts_of(frame, list(scores.columns))
    np.testing.assert_array_equal(verdicts == BAD, (known > thresholds).to_numpy())
    np.testing.assert_array_equal(np.isnan(verdicts), known.isna().to_numpy())
    flags = (verdicts == BAD).sum(axis=1)
    good, bad = (flags[(label == value).to_numpy()].mean() for value in (0, 1))
    assert (round(good, 2), round(bad, 2)) == (1.70, 6.84)  # a bad run has four times as many flags

    rule = VerdictsRule("verdicts", VerdictsRuleOptions())
    breaches = rule.judge(frame)
    worth = (breaches.holds & breaches.judged)[:, 0::3]
    kept = worth.sum(axis=1)
    good_kept, bad_kept = (kept[(label == value).to_numpy()].mean() for value in (0, 1))
    assert bad_kept / good_kept >= bad / good * 0.9  # what is left out is not what tells bad runs from good ones
    raised = np.unravel_index(int(np.argmax(worth)), worth.shape)
    evidence = rule.explain(frame, int(raised[0]), int(raised[1]) * 3)
    assert "is bad by autodqm (score " in evidence.summary


def test_thresholds_that_flag_every_third_run_raise_few(data: Path, tmp_path: Path) -> None:
    scores, _ = scores_of(data)
    known = scores.where(scores != MISSING)
    write_documents(scores, known.quantile(0.7), tmp_path)
    frame = taken_over(tmp_path)
    flagged = verdicts_of(frame, list(scores.columns)) == BAD
    rule = VerdictsRule("verdicts", VerdictsRuleOptions())
    breaches = rule.judge(frame)
    worth = (breaches.holds & breaches.judged)[:, 0::3]
    flag_episodes, raised_episodes = (sum(_episodes(column) for column in cells.T) for cells in (flagged, worth))
    assert flag_episodes > 5000
    assert raised_episodes < flag_episodes / 3
    assert max(_episodes(column) for column in worth.T) <= 8 * worth_most(len(frame) * RUN_S, 0.25)


def _episodes(holds: np.ndarray[Any, Any]) -> int:
    return sum(1 for value, _ in groupby(holds.tolist()) if value)
