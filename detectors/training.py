"""Training a model, and whether it is better than the one in use: told from rows held back, without labels.

Both are calibrated on the earlier part of the rows held back and measured on the later one: whether rows are as rarely rare as
they should be (realised over promised), and how well rows with faults put into them are told from the same rows without (area
under the ROC curve). A new model wins when it is worse in nothing and better in something.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from collectors.frame import Frame
from detectors.calibration import Calibration
from detectors.finding import Detector, Scores
from detectors.synthetic_faults import injected

Array = NDArray[np.float64]

PROMISED = 0.02
"""Share of normal rows that may have a tail probability below that which so few rows should have."""
CALIBRATION_NOISE = 1.5
"""Realised over promised may be so many times off 1 whatever the number of rows: no difference is seen within it."""
SEPARATION_NOISE = 0.01
"""Areas under the ROC curve that differ by less are the same."""
JUDGED_NOISE = 0.02
"""Part of the units that one judges more by chance."""
COMPARED_ROWS = 6_000
"""Rows held back that models are compared on, the newest ones."""
KEPT_SCORES = 2_000_000
"""Scores held back that are kept with a model, of its newest rows."""


class TrainingError(Exception):
    """Nothing could be learned; says why."""


@runtime_checkable
class Weighted(Protocol):
    """A detector made of several members."""

    @property
    def weights(self) -> Mapping[str, float]:
        """What each counts, by name; together 1."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted detector with its scores on the rows held back. time_ns: shape (n,), of these rows."""

    detector: Detector
    fitted_rows: int
    held_back: Frame
    scores: Scores

    @property
    def weights(self) -> dict[str, float]:
        """Of the members, where it has any."""
        return {str(name): float(w) for name, w in self.detector.weights.items()} if isinstance(self.detector, Weighted) else {}

    def kept_scores(self) -> tuple[Scores, NDArray[np.int64]]:
        """The newest scores held back, as many as a model's file keeps, and their times."""
        rows = max(1, KEPT_SCORES // max(1, len(self.scores.units)))
        return Scores(self.scores.units, self.scores.values[-rows:].copy()), self.held_back.time_ns[-rows:].copy()


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model is worth on rows held back.

    realised: rows whose tail probability is so low, as a multiple of the promise, 1 is right; separation: area under the ROC
    curve of rows with faults put in, over all kinds, .5 is chance; judged: units that get a score in a row, on average; labelled:
    area under the ROC curve of rows that people called real, NaN without any; noise: `realised` may be so many times off 1 by chance.
    """

    realised: float
    separation: float
    judged: float
    labelled: float = float("nan")
    noise: float = CALIBRATION_NOISE

    def as_dict(self) -> dict[str, float]:
        """By name, without those that are not known."""
        found = {name: float(getattr(self, name)) for name in ("realised", "separation", "judged", "labelled")}
        return {name: value for name, value in found.items() if np.isfinite(value)}


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows of the time held back, with those of incidents. real: shape (n,), rows of incidents that people called real."""

    frame: Frame
    real: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new model takes over, and why, in a sentence."""

    wins: bool
    why: str


def train(detector: Detector, rows: Frame, hold_out_ratio: float) -> Trained:
    """Fits a detector on the earlier rows and scores the later ones. Raises TrainingError."""
    if not detector.applies(rows.layout):
        raise TrainingError(f"{detector.name} finds nothing in {rows.layout.stream} that it could judge")
    if len(rows) < detector.rows_needed:
        raise TrainingError(f"{len(rows)} normal rows, {detector.name} needs {detector.rows_needed}")
    held = max(1, int(len(rows) * hold_out_ratio))
    detector.fit(rows.rows(slice(0, -held)))
    later = rows.rows(slice(-held, None))
    return Trained(detector, len(rows) - held, later, detector.score(later))


def figures(build: Callable[[], Detector], state: Mapping[str, Any], held_back: Frame, labelled: Labelled | None = None) -> Figures:
    """Measures a model. build: the detector, not fitted.

    Rows are scored by fresh copies of the model, so that what one scoring remembers does not reach the next one.
    """
    rows = held_back.rows(slice(-COMPARED_ROWS, None))
    half = len(rows) // 2

    def scored(frame: Frame) -> Scores:
        detector = build()
        detector.restore(state)
        return detector.score(frame)

    scores = scored(rows)
    calibration = Calibration().fit(Scores(scores.units, scores.values[:half]), rows.time_ns[:half])
    earlier, clean = np.split(_surprise(calibration, scores), [half])
    areas = [
        _ranked(_surprise(calibration, scored(_later(rows, half, fault.frame)))[half:][fault.faulty], clean)
        for fault in injected(rows.rows(slice(half, None)))
    ]
    return Figures(
        realised=_realised(earlier, clean),
        noise=max(CALIBRATION_NOISE, float(np.exp(2.0 / np.sqrt(max(1.0, _share(earlier) * np.isfinite(clean).sum()))))),
        separation=float(np.mean([area for area in areas if np.isfinite(area)])) if np.isfinite(areas).any() else 0.5,
        judged=float(np.isfinite(scores.values[half:]).sum(axis=1).mean()),
        labelled=float("nan") if labelled is None else _labelled_area(scored(labelled.frame), labelled),
    )


def judge(new: Figures, old: Figures) -> Verdict:
    """Whether a new model takes the place of the old one."""
    worse: list[str] = []
    better: list[str] = []
    noise = float(np.log(max(new.noise, old.noise)))
    off_new, off_old = (max(abs(float(np.log(max(f.realised, 1e-3)))), noise) for f in (new, old))
    compared = [
        ("calibration", off_old - off_new, 0.1, f"realised/promised {new.realised:.2f}, before {old.realised:.2f}"),
        ("separation", new.separation - old.separation, SEPARATION_NOISE, f"separation {new.separation:.3f}, before {old.separation:.3f}"),
        ("units", new.judged / max(old.judged, 1e-9) - 1.0, JUDGED_NOISE, f"{new.judged:.1f} units judged, before {old.judged:.1f}"),
    ]
    if np.isfinite([new.labelled, old.labelled]).all():
        compared.append(
            ("labels", new.labelled - old.labelled, SEPARATION_NOISE, f"labelled {new.labelled:.3f}, before {old.labelled:.3f}")
        )
    for _, gain, noise, words in compared:
        (better if gain > noise else worse if gain < -noise else []).append(words)
    if worse:
        return Verdict(False, "worse: " + "; ".join(worse))
    return Verdict(True, "better: " + "; ".join(better)) if better else Verdict(False, "no better than the one in use")


def data_digest(frame: Frame) -> str:
    """Names exactly these rows: the same for the same times, values and layout."""
    digest = hashlib.sha256(frame.layout.digest.encode())
    digest.update(np.ascontiguousarray(frame.time_ns).tobytes())
    digest.update(np.ascontiguousarray(frame.values).tobytes())
    return digest.hexdigest()[:16]


def _surprise(calibration: Calibration, scores: Scores) -> Array:
    """How rare the rarest unit of each row is, in decades; NaN where none was judged. Shape (n,)."""
    tail = calibration.tail_probabilities(scores)
    return -np.log10(np.fmin.reduce(tail, axis=1, initial=np.nan)) if tail.size else np.full(len(tail), np.nan)


def _realised(earlier: Array, later: Array) -> float:
    """How many times as often as promised rows are beyond what PROMISED of the earlier ones were beyond; NaN without rows."""
    earlier, later = earlier[np.isfinite(earlier)], later[np.isfinite(later)]
    if not len(earlier) or not len(later):
        return float("nan")
    share = _share(earlier)
    return float((later > np.quantile(earlier, 1.0 - share, method="higher")).mean()) / share


def _share(earlier: Array) -> float:
    """The promised share: of few rows a larger one, which at least some of them reach."""
    return max(PROMISED, 5.0 / max(5, int(np.isfinite(earlier).sum())))


def _later(rows: Frame, half: int, faulty: Frame) -> Frame:
    """All rows, those from `half` on replaced: what a method remembers of the rows before is the same."""
    values = np.concatenate([rows.values[:half], faulty.values])
    return Frame(rows.layout, rows.time_ns, values, rows.quality)


def _labelled_area(scores: Scores, labelled: Labelled) -> float:
    """How well rows that people called real are told from all others."""
    normal = ~labelled.real
    calibration = Calibration().fit(Scores(scores.units, scores.values[normal]), labelled.frame.time_ns[normal])
    surprise = _surprise(calibration, scores)
    return _ranked(surprise[labelled.real], surprise[normal])


def _ranked(high: Array, low: Array) -> float:
    """Chance that one of `high` is above one of `low`, ties counting half (Mann and Whitney); NaN where one is empty."""
    high, low = high[np.isfinite(high)], np.sort(low[np.isfinite(low)])
    if not len(high) or not len(low):
        return float("nan")
    below, not_above = np.searchsorted(low, high, side="left"), np.searchsorted(low, high, side="right")
    return float((below + not_above).mean() / 2 / len(low))
