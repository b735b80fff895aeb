"""The detect stage and the store of models: newer ones are taken, damaged ones are not, and what is in shadow stays silent."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from collectors.conditions import ConditionHistory
from collectors.frame import Channel, Frame, Layout
from collectors.wire import Block, Identity
from daemon import metrics
from daemon.detect import modelled
from daemon.detect.watch import StreamWatch
from daemon.messages import FindingReport
from daemon.records import ShadowFinding
from daemon.store.packing import pack, unpack
from detectors.finding import Detector
from detectors.model_manifest import options_digest
from detectors.model_store import Manifest, Model, ModelName, ModelStore
from detectors.robust_z import RobustZDetector, RobustZOptions
from detectors.training import train
from tests.daemon.modelling import Site

S = 1_000_000_000
START_NS = 1_790_000_000 * S
LAYOUT = Layout("table", tuple(Channel(f"ch{i}", "voltage", "V", place=f"LAB/hv/ch{i}") for i in range(3)))
NAME = ModelName("table", "robust_z")
OPTIONS = RobustZOptions()


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelled, "LOOK_EVERY_S", 0.0)


def robust_z() -> Detector:
    return RobustZDetector("robust_z", OPTIONS)


def rows(count: int, first: int = 0, shift: float = 0.0, level: float = 10.0) -> Frame:
    values = level + np.random.default_rng(first).normal(size=(count, 3))
    values[:, 1] += shift
    return Frame(LAYOUT, START_NS + (first + np.arange(count)) * 10 * S, values)


def put(store: ModelStore, level: float = 10.0, **changes: object) -> Manifest:
    """A model that was trained on rows of this level."""
    trained = train(robust_z(), rows(1500, level=level), 0.4)
    scores, time_ns = trained.kept_scores()
    manifest = Manifest(
        stream="table", detector="robust_z", method="robust_z", options_digest=options_digest("robust_z", OPTIONS), keys=LAYOUT.keys,
        trained_from_ns=0, trained_to_ns=1, rows=900, held_back_rows=600, data_digest="", created_ns=0,
    )  # fmt: skip
    return store.put(Model(replace(manifest, **changes), trained.detector.state(), scores, time_ns))  # type: ignore[arg-type]


class Watched:
    """A watch over the source; remembers what was said aloud and silently."""

    def __init__(self, site: Site, state: bytes | None = None) -> None:
        self.watch = StreamWatch("table", site.settings)
        if state is not None:
            self.watch.restore(unpack(state))
        self.sequence = 0 if state is None else 1000
        self.said: list[FindingReport] = []
        self.silent: list[ShadowFinding] = []

    def feed(self, frame: Frame) -> None:
        for row in range(0, len(frame), 20):
            part = frame.rows(slice(row, row + 20))
            block = Block(Identity("table", 1, self.sequence), part, int(part.time_ns[-1]))
            self.said += self.watch.judge(block, ConditionHistory())
            self.sequence += 1
        self.silent += self.watch.take_silent()

    def version(self) -> object:
        return self.model["version"]

    @property
    def model(self) -> dict[str, object]:
        (only,) = self.watch.status()["models"]
        return dict(only)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_a_model_of_the_store_judges_at_once(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(40))
    assert watched.watch.status()["state"] == "watching", "there is nothing to learn first"
    watched.feed(rows(40, first=40, shift=50.0))
    assert watched.said
    assert watched.version() == 1


def test_without_a_model_it_learns_while_it_watches(tmp_path: Path) -> None:
    watched = Watched(Site(tmp_path))
    watched.feed(rows(100))
    assert "robust_z learning, 100 of 200 rows" in watched.watch.status()["state"]


def test_a_newer_model_is_taken_while_it_runs_and_given_up_again(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(40))
    put(store, level=90.0)
    store.use(NAME, 2, 0, "better")
    watched.feed(rows(100, first=40, level=90.0))
    assert watched.version() == 2
    assert watched.said == [], "the new level is normal to it"
    store.roll_back(NAME, 0)
    watched.feed(rows(40, first=140, level=90.0))
    assert watched.version() == 1
    assert watched.said, "it is not to the one before"
    store.roll_back(NAME, 0)
    watched.feed(rows(20, first=180, level=90.0))
    assert watched.version() == 0
    assert "learning" in watched.watch.status()["state"]


@pytest.mark.parametrize("damage", ["file", "options", "state"])
def test_the_last_good_model_stays_where_the_new_one_does_not_fit(
    tmp_path: Path, store: ModelStore, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(40))
    if damage == "state":
        model = store.load(NAME, 1)
        store.put(replace(model, state={**model.state, "version": 999}))
    else:
        put(store, options_digest="f" * 16 if damage == "options" else options_digest("robust_z", OPTIONS))
    store.use(NAME, 2, 0, "better")
    if damage == "file":
        (tmp_path / "models/table/robust_z/000002/model.npz").write_bytes(b"rubbish")
    watched.feed(rows(40, first=40))
    assert watched.version() == 1
    assert "model refused" in caplog.text
    assert {"file": "000002/model.npz", "options": "other options", "state": "version 999"}[damage] in caplog.text
    watched.feed(rows(40, first=80, shift=50.0))
    assert watched.said, "it still judges"


def test_columns_that_the_model_does_not_know_are_named_and_the_others_judged(
    tmp_path: Path, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    watched = Watched(Site(tmp_path))
    wider = Layout("table", (*LAYOUT.columns, Channel("brand_new", "voltage", "V", place="LAB/hv/new")))
    for first, shift in ((0, 0.0), (40, 50.0)):
        known = rows(40, first=first, shift=shift)
        values = np.column_stack([known.values, np.ones(40)])
        watched.feed(Frame(wider, known.time_ns, values))
    assert caplog.text.count("model does not know columns model=table/robust_z version=1 columns='brand_new'") == 1
    assert "LAB/hv/ch1" in {report.finding.unit.place for report in watched.said}


def test_a_detector_in_shadow_says_nothing_and_is_recorded(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    site = Site(tmp_path, extra="[detector.robust_z]\nshadow = true\n")
    watched = Watched(site)
    watched.feed(rows(40))
    watched.feed(rows(40, first=40, shift=50.0))
    watched.feed(rows(100, first=80))
    assert watched.said == []
    begun = [finding for finding in watched.silent if finding.cleared_ns is None]
    ended = [finding for finding in watched.silent if finding.cleared_ns is not None]
    assert begun
    assert {f.key for f in begun} == {f.key for f in ended}, "each is ended too"
    assert begun[0].since_ns >= START_NS + 400 * S
    assert "LAB/hv/ch1" in {finding.place for finding in begun}
    assert watched.model["silent"] is True


def test_promoting_a_detector_lets_it_speak(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    site = Site(tmp_path, extra="[detector.robust_z]\nshadow = true\n")
    watched = Watched(site)
    watched.feed(rows(40))
    watched.feed(rows(40, first=40, shift=50.0))
    assert site.run("models", "promote", "robust_z").exit_code == 0
    watched.feed(rows(40, first=80, shift=50.0))
    assert watched.said, "what lasts is said now"
    assert watched.model["silent"] is False
    assert not [f.key for f in watched.silent if f.cleared_ns is None and f.key not in {e.key for e in watched.silent if e.cleared_ns}]


def test_a_detector_is_promoted_for_all_streams_of_its_source(tmp_path: Path, store: ModelStore) -> None:
    put(store, stream="table#p1")
    store.use(ModelName("table#p1", "robust_z"), 1, 0, "first")
    site = Site(tmp_path, extra="[detector.robust_z]\nshadow = true\n")
    watched = Watched(site)
    watched.watch = StreamWatch("table#p1", site.settings)
    watched.feed(rows(40))
    assert watched.model["silent"] is True
    assert site.run("models", "promote", "table/robust_z").exit_code == 0
    watched.feed(rows(40, first=40, shift=50.0))
    assert watched.said


def test_a_new_model_runs_silently_beside_the_old_one(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    put(store, level=90.0)
    store.use(NAME, 1, 0, "first")
    store.shadow(NAME, 2, 0, 0, "better")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(60))
    assert watched.said == [], "to the one in use this is normal"
    assert {finding.version for finding in watched.silent} == {2}, "and not to the one in shadow"
    assert watched.model == {
        "detector": "robust_z",
        "version": 1,
        "silent": False,
        "beside": 2,
        "found": len({finding.key for finding in watched.silent}),
        "refused": "",
    }


def test_what_is_said_does_not_depend_on_what_is_in_shadow(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    said = []
    for version in (0, 2):
        if version:
            put(store, level=90.0)
            store.shadow(NAME, version, 0, 0, "better")
        watched = Watched(Site(tmp_path))
        watched.feed(rows(60))
        watched.feed(rows(60, first=60, shift=50.0))
        said.append([asdict(report.finding) for report in watched.said])
    assert said[0] == said[1] != []


def test_a_model_in_shadow_takes_over_when_its_time_has_come(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    put(store)
    store.use(NAME, 1, 0, "first")
    store.shadow(NAME, 2, START_NS + 400 * S, 0, "better")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(20))
    assert (watched.model["version"], watched.model["beside"]) == (1, 2)
    watched.feed(rows(60, first=20))
    assert (watched.model["version"], watched.model["beside"]) == (2, 0)
    assert store.ledger(NAME).log[-1][1] == "version 2 in use: its time in shadow is over"


def test_goes_on_after_a_restart(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    put(store, level=90.0)
    store.use(NAME, 1, 0, "first")
    store.shadow(NAME, 2, 0, 0, "better")
    site = Site(tmp_path)
    watched = Watched(site)
    watched.feed(rows(40))
    again = Watched(site, pack(watched.watch.state()))
    again.feed(rows(40, first=40))
    assert again.model["version"] == 1
    assert again.model["beside"] == 2
    assert [f for f in again.silent if f.cleared_ns is None] == [], "what lasts silently is not found a second time"


def test_goes_on_from_a_state_of_before_there_were_models(tmp_path: Path) -> None:
    site = Site(tmp_path)
    watched = Watched(site)
    watched.feed(rows(300))
    state = watched.watch.state()
    state["judges"]["robust_z"] = state["judges"]["robust_z"]["live"]
    again = Watched(site, pack(state))
    assert again.watch.status()["state"] == "watching"


def refused() -> float | None:
    return REGISTRY.get_sample_value("shiftwatch_model_refused", {"source": "table", "detector": "robust_z"})


def test_a_model_that_is_refused_is_in_the_metrics_and_the_status_until_it_is_put_right(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(20))
    put(store)
    store.use(NAME, 2, 0, "better")
    (tmp_path / "models/table/robust_z/000002/model.npz").write_bytes(b"rubbish")
    watched.feed(rows(20, first=20))
    assert "damaged" in str(watched.model["refused"])
    assert refused() == 1
    store.roll_back(NAME, 0)
    watched.feed(rows(20, first=40))
    assert (watched.model["version"], watched.model["refused"], refused()) == (1, "", 0)


def test_a_volume_that_is_not_mounted_takes_no_model_away(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    store.use(NAME, 1, 0, "first")
    watched = Watched(Site(tmp_path))
    watched.feed(rows(20))
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    watched.feed(rows(20, first=20))
    assert (watched.version(), watched.watch.status()["state"]) == (1, "watching")
    assert watched.model["refused"] == "the folder of models is gone; what was in use stays so"
    again = Watched(Site(tmp_path), pack(watched.watch.state()))
    again.feed(rows(20, first=40))
    assert (again.version(), again.model["refused"]) == (1, "the folder of models is gone; what was in use stays so")
    (tmp_path / "elsewhere").rename(tmp_path / "models")
    watched.feed(rows(20, first=40))
    assert (watched.version(), watched.model["refused"]) == (1, "")


def test_a_detector_that_was_promoted_stays_so_without_the_volume(tmp_path: Path, store: ModelStore) -> None:
    put(store)
    site = Site(tmp_path, extra="[detector.robust_z]\nshadow = true\n")
    assert site.run("models", "promote", "table/robust_z").exit_code == 0
    watched = Watched(site)
    watched.feed(rows(20))
    assert watched.model["silent"] is False
    (tmp_path / "models").rename(tmp_path / "elsewhere")
    watched.feed(rows(20, first=20))
    assert watched.model["silent"] is False, "else an incident would end unseen"


def test_a_model_of_long_ago_runs_silently_for_its_time_all_the_same(tmp_path: Path, store: ModelStore) -> None:
    """Its rows ended so long ago that its time in shadow would be over before it began."""
    put(store)
    put(store)
    store.use(NAME, 1, 0, "first")
    store.shadow(NAME, 2, START_NS - 30 * 86_400 * S, 0, "better")
    site = Site(tmp_path, learning="shadow_h = 0.1")
    watched = Watched(site)
    watched.feed(rows(30))
    assert (watched.model["version"], watched.model["beside"]) == (1, 2)
    again = Watched(site, pack(watched.watch.state()))
    again.feed(rows(1, first=30))
    assert (again.model["version"], again.model["beside"]) == (1, 2), "a restart does not begin it anew, nor end it"
    again.feed(rows(30, first=31))
    assert (again.model["version"], again.model["beside"]) == (2, 0)


def test_after_a_restart_the_version_is_in_the_metrics_and_unknown_columns_are_named(
    tmp_path: Path, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    put(store, keys=LAYOUT.keys[:2])
    store.use(NAME, 1, 0, "first")
    site = Site(tmp_path)
    watched = Watched(site)
    watched.feed(rows(20))
    state = pack(watched.watch.state())
    metrics.MODEL_VERSION.clear()
    caplog.clear()
    Watched(site, state).feed(rows(20, first=20))
    assert REGISTRY.get_sample_value("shiftwatch_model_version", {"source": "table", "detector": "robust_z"}) == 1
    assert "model does not know columns model=table/robust_z version=1 columns='ch2'" in caplog.text
