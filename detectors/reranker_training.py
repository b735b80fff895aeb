"""Training of a re-ranker from labels, and the proof that it is worth using.

It learns from the earlier labels and must beat the order of the tail probabilities on the later ones. Where recent findings are no
longer like all those labelled, only the latest labels that are like them are learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from detectors.feature_shift import shifted
from detectors.reranking import (
    FEATURES,
    RATED,
    Array,
    Case,
    Labelled,
    Rates,
    Reranker,
    for_likeness,
    plain_features,
    rate,
    surprise,
    unused,
)

HELD_BACK = 0.4
"""The later part of the labels, which the re-ranker must prove itself on."""
LABELS_LEAST = 30
EACH_LEAST = 5
"""Of either kind, among those learned from and among those held back."""
BOUND = 0.05
"""The gain must lie above 0 but for this probability."""
RESAMPLED = 2000
KEPT_ROWS = 500
"""The latest of the cases learned from: what later ones are compared with."""
Flags = NDArray[np.bool_]


def train(labelled: Sequence[Labelled], recent: Sequence[Case] = (), seed: int = 0) -> Reranker:
    """Learns from the earlier labels, is proved on the later ones, and then learns from all where it won.

    recent: the latest cases, labelled or not; labels of a time that was not like it are left out where enough others remain.
    """
    every = sorted(labelled, key=lambda one: (one.labelled_ns, one.case.key))
    kept = like_recent(every, recent, seed)
    left_out = f"; of {len(every)} labels only the last {len(kept)} count, those before are not like recent incidents"
    learned = _proved(kept, seed)
    why = learned.why if len(kept) == len(every) else learned.why + left_out
    return replace(learned, why=why, labels=len(every))


def like_recent(labelled: Sequence[Labelled], recent: Sequence[Case], seed: int) -> Sequence[Labelled]:
    """The latest labels, as many as are like recent cases (all, a half, a quarter, …); all of them where no part is."""
    count = len(labelled)
    while count >= LABELS_LEAST:
        part = labelled[-count:]
        rates = _rates(part)
        if shifted(_seen(part, rates), for_likeness(recent, rates), FEATURES, seed) is None:
            return part
        count //= 2
    return labelled


def paired_gain(real: Flags, plain: Array, better: Array, seed: int) -> tuple[float, float, float, float]:
    """Lower bound of the gain in area under the ROC curve, the gain, and both areas; the same cases resampled for both."""
    rng = np.random.default_rng(seed)
    yes, no = np.flatnonzero(real), np.flatnonzero(~real)
    wins = [(score[yes][:, None] > score[no]) + 0.5 * (score[yes][:, None] == score[no]) for score in (plain, better)]
    drawn = [rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLED) / n for n in (len(yes), len(no))]  # how often, of all draws
    gains = np.einsum("ij,ij->i", drawn[0] @ (wins[1] - wins[0]), drawn[1])
    before, after = float(wins[0].mean()), float(wins[1].mean())
    return float(np.quantile(gains, BOUND)), after - before, before, after


def _proved(labelled: Sequence[Labelled], seed: int) -> Reranker:
    real = np.array([one.is_real for one in labelled], dtype=np.bool_)
    first = len(labelled) - int(len(labelled) * HELD_BACK)
    parts = real[:first], real[first:]
    if len(labelled) < LABELS_LEAST or any(min(part.sum(), (~part).sum()) < EACH_LEAST for part in parts):
        count = f"{len(labelled)} label{'' if len(labelled) == 1 else 's'}, {int(real.sum())} of them real,"
        return unused(f"not used: {count} are too few to prove it on")
    matrix = _as_known_then(labelled)
    odds = _fitted(matrix[:first], real[:first]).log_odds(matrix[first:])
    low, gain, before, after = paired_gain(parts[1], surprise([one.case for one in labelled[first:]]), odds, seed)
    count = f"{len(parts[1])} later labels"
    said = f"real ones before others in {100 * after:.0f} % of pairs, by tail probability in {100 * before:.0f} %, on {count}"
    if low <= 0:
        bound = f"gain {100 * gain:+.0f} %, surely more than {100 * low:+.0f} %"
        return unused(f"not used, no better than the tail probability: {said} ({bound})")
    rates = _rates(labelled)
    return replace(_fitted(matrix, real), why=f"used: {said}", rates=rates, seen=_seen(labelled, rates))


def _fitted(matrix: Array, real: Flags) -> Reranker:
    centre, spread = matrix.mean(axis=0), matrix.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(max_iter=1000).fit((matrix - centre) / spread, real)
    return Reranker(True, "", centre, spread, model.coef_[0], float(model.intercept_[0]), {}, np.empty((0, len(FEATURES))))


def _as_known_then(labelled: Sequence[Labelled]) -> Array:
    """All features; the rates are those of the labels before each one, for its own label must not tell of itself."""
    real = pd.Series([float(one.is_real) for one in labelled])
    columns = [plain_features([one.case for one in labelled])]
    for name in RATED:
        group = real.groupby(pd.Series([getattr(one.case, name) for one in labelled]))
        before = (group.cumsum() - real, group.cumcount())
        columns.append(rate(*(np.asarray(counts, dtype=np.float64) for counts in before))[:, None])
    return np.hstack(columns)


def _seen(labelled: Sequence[Labelled], rates: Rates) -> Array:
    return for_likeness([one.case for one in labelled[-KEPT_ROWS:]], rates)


def _rates(labelled: Sequence[Labelled]) -> Rates:
    return {name: _counts(labelled, name) for name in RATED}


def _counts(labelled: Sequence[Labelled], name: str) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for one in labelled:
        key = getattr(one.case, name)
        before = counts.get(key, (0, 0))
        counts[key] = before[0] + one.is_real, before[1] + 1
    return counts
