"""Models as files: versions, which is in use, and what is damaged or of another version is refused by name."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.frame import Channel, Layout
from detectors import model_store
from detectors.finding import Scores, Severity, Unit
from detectors.model_manifest import Ledger, decode_ledger, decode_manifest
from detectors.model_store import Manifest, Model, ModelError, ModelName, ModelStore
from detectors.robust_z import RobustZDetector
from detectors.robust_z import RobustZOptions as Options
from tests.detectors.sample_frames import gauges

LAYOUT = Layout("hv", (Channel("a", "voltage", "V"), Channel("b", "voltage", "V")))
NAME = ModelName("hv", "robust_z")
MANIFEST = Manifest(
    stream="hv", detector="robust_z", method="robust_z", options_digest="0" * 16, keys=LAYOUT.keys, trained_from_ns=1, trained_to_ns=9,
    rows=60, held_back_rows=40, data_digest="d", created_ns=5, figures={"separation": 0.75}, weights={"pca": 1.0},
    report=("little at night",),
)  # fmt: skip


def model(value: float = 1.0, manifest: Manifest = MANIFEST) -> Model:
    units = (Unit("k", "a", "LAB/a", "outlier", Severity.WARNING),)
    held_back = Scores(units, np.array([[0.5], [np.nan], [value]]))
    return Model(manifest, {"version": 1, "centre": np.full(3, value), "names": ["x", "é"]}, held_back, np.array([1, 2, 3]))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_what_is_kept_is_loaded(store: ModelStore) -> None:
    manifest = store.put(model(4.0))
    assert manifest.version == 1
    loaded = store.load(NAME, 1)
    assert loaded.manifest == manifest
    np.testing.assert_array_equal(loaded.state["centre"], [4.0] * 3)
    np.testing.assert_array_equal(loaded.held_back.values, model(4.0).held_back.values)
    assert loaded.held_back.units == model().held_back.units
    assert loaded.time_ns.tolist() == [1, 2, 3]
    assert store.names() == [NAME]


def test_a_new_version_is_not_in_use_until_it_is_said(store: ModelStore) -> None:
    store.put(model())
    assert store.ledger(NAME) == Ledger()
    store.use(NAME, 1, 7, "the first model")
    assert store.ledger(NAME).current == 1
    assert store.ledger(NAME).log[-1] == (7, "version 1 in use: the first model")


def test_rolling_back_and_forth(store: ModelStore) -> None:
    for version in (1, 2, 3):
        store.put(model(version))
        store.use(NAME, version, 0, "better")
    assert store.roll_back(NAME, 1).current == 2
    assert store.roll_back(NAME, 1).current == 1
    assert store.roll_back(NAME, 1).current == 0, "what is learned while watching"
    with pytest.raises(ModelError, match="no version was in use before"):
        store.roll_back(NAME, 1)
    assert store.roll_back(NAME, 2, to=3).current == 3


def test_a_model_in_shadow_comes_into_use(store: ModelStore) -> None:
    for version in (1, 2):
        store.put(model(version))
    store.use(NAME, 1, 0, "first")
    assert store.shadow(NAME, 2, 99, 0, "better").shadow == 2
    ledger = store.use(NAME, 2, 0, "promoted")
    assert (ledger.current, ledger.shadow, ledger.previous) == (2, 0, (0, 1))


def test_old_versions_go_and_those_in_use_stay(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, keep=2)
    store.put(model())
    store.use(NAME, 1, 0, "first")
    for _ in range(5):
        store.put(model())
    assert store.versions(NAME) == [1, 5, 6]


def test_nothing_changes_where_the_version_is_not_there(store: ModelStore) -> None:
    store.put(model())
    store.use(NAME, 1, 0, "first")
    with pytest.raises(ModelError, match="no version 9; there are 1"):
        store.use(NAME, 9, 0, "promoted")
    assert store.ledger(NAME).current == 1


@pytest.mark.parametrize("file", ["model.npz", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
def test_a_damaged_version_is_named_and_cannot_come_into_use(store: ModelStore, tmp_path: Path, file: str, damage: str) -> None:
    for version in (1, 2):
        store.put(model(version))
    store.use(NAME, 1, 0, "first")
    path = tmp_path / "models/hv/robust_z/000002" / file
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if damage == "cut" else pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match=r"000002" if (file, damage) != ("manifest.json", "gone") else "no version 2"):
        store.use(NAME, 2, 0, "promoted")
    assert store.ledger(NAME).current == 1
    assert store.load(NAME, 1).state["version"] == 1


def test_a_file_that_was_swapped_for_another_ones_is_noticed(store: ModelStore, tmp_path: Path) -> None:
    for version in (1, 2):
        store.put(model(version))
    folder = tmp_path / "models/hv/robust_z"
    (folder / "000002/model.npz").write_bytes((folder / "000001/model.npz").read_bytes())
    with pytest.raises(ModelError, match="damaged"):
        store.load(NAME, 2)


def test_a_file_of_another_format_is_refused(store: ModelStore, tmp_path: Path) -> None:
    store.put(model())
    path = tmp_path / "models/hv/robust_z/000001/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ModelError, match=r"manifest\.json: format 99, this version of shiftwatch reads 1"):
        store.load(NAME, 1)


def test_a_model_of_other_options_or_another_method_is_refused_with_the_reason() -> None:
    assert MANIFEST.refusal("robust_z", "0" * 16) == ""
    assert "other options of robust_z" in MANIFEST.refusal("robust_z", "1" * 16)
    assert "the method robust_z, the configuration says vae" in MANIFEST.refusal("vae", "0" * 16)
    digest = replace(MANIFEST).refusal_for("robust_z", Options())
    assert digest, "the digest of the options decides"


def test_columns_that_a_model_does_not_know_are_named_by_key() -> None:
    wider = Layout("hv", (*LAYOUT.columns, Channel("c", "voltage", "V")))
    assert MANIFEST.unknown(wider.keys) == (wider.key("c"),)


@pytest.mark.parametrize("stream", ["../../escape", "a/b", "hv#p/art", "", ".", "x" * 400, "\n\0"])
def test_names_never_leave_the_folder(tmp_path: Path, stream: str) -> None:
    store = ModelStore(tmp_path / "in" / "models")
    store.put(model(manifest=replace(MANIFEST, stream=stream)))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["models"]
    assert store.load(ModelName(stream, "robust_z"), 1).manifest.stream == stream


def test_the_stamp_changes_with_the_ledger(store: ModelStore) -> None:
    assert store.stamp(NAME) == (0, 0)
    store.put(model())
    before = store.stamp(NAME)
    store.use(NAME, 1, 0, "first")
    assert store.stamp(NAME) != before


def _put(root: str) -> None:
    for _ in range(5):
        ModelStore(Path(root), keep=100).put(model())


def test_processes_that_write_at_once_get_versions_of_their_own(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put, args=(str(tmp_path),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert ModelStore(tmp_path).versions(NAME) == list(range(1, 11))


WHOLE = st.integers(-(2**63), 2**63)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Manifest, stream=st.text(), detector=st.text(), method=st.text(), options_digest=st.text(), keys=st.tuples(st.text(), st.text()),
        trained_from_ns=WHOLE, trained_to_ns=WHOLE, rows=WHOLE, held_back_rows=WHOLE, data_digest=st.text(), created_ns=WHOLE,
        figures=st.dictionaries(st.text(), FINITE), weights=st.dictionaries(st.text(), FINITE), report=st.tuples(st.text()),
        verdict=st.text(), state_version=WHOLE, version=WHOLE, file_digest=st.text(),
    )
)  # fmt: skip
@settings(deadline=None)
def test_manifests_are_read_as_written(manifest: Manifest) -> None:
    assert decode_manifest(manifest.encode()) == manifest


@given(st.builds(Ledger, WHOLE, st.lists(WHOLE).map(tuple), WHOLE, WHOLE, st.booleans(), st.lists(st.tuples(WHOLE, st.text())).map(tuple)))
@settings(deadline=None)
def test_ledgers_are_read_as_written(ledger: Ledger) -> None:
    assert decode_ledger(ledger.encode()) == ledger


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@settings(deadline=None)
def test_rubbish_is_refused_and_nothing_worse(data: bytes) -> None:
    for decode in (decode_manifest, decode_ledger):
        with pytest.raises(ModelError):
            decode(data)


@given(st.sampled_from(sorted(json.loads(MANIFEST.encode()))), JSON)
@settings(deadline=None)
def test_a_manifest_with_one_wrong_field_is_read_or_refused(field: str, value: object) -> None:
    text = json.dumps({**json.loads(MANIFEST.encode()), field: value}).encode()
    with contextlib.suppress(ModelError):
        assert isinstance(decode_manifest(text), Manifest)


def test_a_detector_goes_on_with_what_was_kept(store: ModelStore) -> None:
    history = gauges(np.random.default_rng(1).normal(size=(500, 3)))
    fitted = RobustZDetector("robust_z", Options()).fit(history)
    scores = fitted.score(history)
    store.put(Model(MANIFEST, fitted.state(), scores, history.time_ns))
    again = RobustZDetector("robust_z", Options())
    again.restore(store.load(NAME, 1).state)
    np.testing.assert_array_equal(again.score(history).values, scores.values)


def test_what_is_being_written_is_no_version(store: ModelStore, tmp_path: Path) -> None:
    store.put(model())
    folder = tmp_path / "models" / "hv" / "robust_z"
    (folder / "000001").rename(folder / ".abc.partial")
    assert store.names() == []
    assert store.versions(NAME) == []


def test_a_disk_that_is_full_leaves_nothing_behind(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("detectors.model_store.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.put(model())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"] == []
    assert store.put(model()).version == 1


def test_what_a_crash_left_behind_goes_once_it_is_nobodys(store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "hv" / "robust_z"
    for name in (".old.partial", ".new.partial"):
        (folder / name).mkdir(parents=True)
    os.utime(folder / ".old.partial", (0, 0))
    store.put(model())
    assert [path.name for path in folder.glob(".*.partial")] == [".new.partial"]


def test_a_number_is_never_given_twice(store: ModelStore, tmp_path: Path) -> None:
    """A daemon that holds version 2 must not take another version 2 for the same."""
    for version in (1, 2):
        store.put(model(version))
        store.use(NAME, version, 0, "better")
    shutil.rmtree(tmp_path / "models" / "hv" / "robust_z" / "000002")
    assert store.put(model(3.0)).version == 3


def test_the_lock_is_not_held_while_a_model_is_written(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon changes the ledger between two blocks; a training with low priority may take minutes to write."""
    store.put(model())
    changed = []
    write = model_store._write

    def slowly(path: Path, data: bytes) -> None:
        if path.name == "model.npz":
            changed.append(ModelStore(store._root).use(NAME, 1, 0, "meanwhile").current)
        write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(model_store, "_write", slowly)
        store.put(model(2.0))
    assert changed == [1]


def test_a_version_that_is_chosen_ends_what_is_in_shadow(store: ModelStore) -> None:
    """Else the one in shadow would take over later from the one that somebody chose at night."""
    for version in (1, 2, 3):
        store.put(model(version))
    store.use(NAME, 1, 0, "first")
    store.use(NAME, 2, 0, "better")
    store.shadow(NAME, 3, 100, 0, "better")
    ledger = store.roll_back(NAME, 0)
    assert (ledger.current, ledger.shadow, ledger.shadow_until_ns) == (1, 0, 0)
    assert ledger.log[-1][1] == "rolled back from version 2 to 1; version 3 is in shadow no longer"
    store.shadow(NAME, 3, 100, 0, "better")
    assert store.use(NAME, 2, 0, "promoted").shadow == 0


def test_rolling_back_passes_over_versions_that_were_removed(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", keep=2)
    for version in range(1, 6):
        store.put(model(version))
        store.use(NAME, version, 0, "better")
    assert store.versions(NAME) == [4, 5]
    assert store.roll_back(NAME, 0).current == 4
    assert store.roll_back(NAME, 0).current == 0, "versions 1 to 3 are not there any more"
    with pytest.raises(ModelError, match="no version is in use"):
        store.roll_back(NAME, 0, to=0)


def test_a_damaged_ledger_is_named_with_what_to_do(store: ModelStore, tmp_path: Path) -> None:
    store.put(model())
    store.use(NAME, 1, 0, "first")
    (tmp_path / "models" / "hv" / "robust_z" / "ledger.json").write_text("{")
    for ask in (lambda: store.ledger(NAME), lambda: store.put(model()), lambda: store.roll_back(NAME, 0)):
        with pytest.raises(ModelError, match=r"ledger\.json: not JSON.*without this file no version is in use, and one can be chosen anew"):
            ask()
