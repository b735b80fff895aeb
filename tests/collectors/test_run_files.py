"""Names of files with runs, versions and lumisections, as experiments give them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dqm.run_files import DEFAULT_RUN_PATTERN, WHOLE_RUN, of_past_runs, series_of

PATTERN = re.compile(DEFAULT_RUN_PATTERN)


@pytest.mark.parametrize(
    ("name", "run", "version", "lumisection"),
    [
        ("DQM_V0001_R000382711__Muon__Run2024E-PromptReco-v1__DQMIO.root", 382711, 1, WHOLE_RUN),
        ("DQM_V0003_EcalBarrel_R000297056.root", 297056, 3, WHOLE_RUN),
        ("DQM_V0001_R000297056__L1T__Express.root", 297056, 1, WHOLE_RUN),
        ("DQM_V0001_Ecal_R000382711.root.ls00000042_hostdqm-a-1_pid00012345", 382711, 1, 42),
        ("DQM_V0001_Ecal_R000382711_L000042.root", 382711, 1, 42),
        ("DQM_V0001_R000382711__Muon__DQMIO_ls0042.root", 382711, 1, 42),
        ("run382711_ls0042_streamDQMHistograms_fu.root", 382711, 0, 42),
        ("tracker_run7.json.gz", 7, 0, WHOLE_RUN),
        ("dqm_Run0012.root", 12, 0, WHOLE_RUN),
        ("run_0123.root", 123, 0, WHOLE_RUN),
        ("Run0123.root", 123, 0, WHOLE_RUN),
        ("histos_run-12.root", 12, 0, WHOLE_RUN),
        ("RUN_12_ls0003.root", 12, 0, 3),
        ("occupancy.root", -1, 0, WHOLE_RUN),
        ("rerun_3.root", -1, 0, WHOLE_RUN),
        ("prune12.root", -1, 0, WHOLE_RUN),
    ],
)
def test_run_version_and_lumisection_are_read_from_names(name: str, run: int, version: int, lumisection: int) -> None:
    (((file,)),) = series_of([(f"/data/dqm/{name}", 1)], PATTERN).values()
    assert (file.run, file.version, file.lumisection) == (run, version, lumisection)


def series(*paths: str) -> dict[str, list[str]]:
    return {name: [file.path for file in files] for name, files in series_of([(path, 1) for path in paths], PATTERN).items()}


def test_files_of_all_runs_and_their_snapshots_are_one_series_in_order() -> None:
    snapshots = [f"/d/DQM_V0001_Ecal_R000382711.root.ls{ls:08}_hosta_pid{pid:08}" for ls, pid in ((2, 17), (10, 18))]
    whole = ["/d/DQM_V0001_Ecal_R000382711.root", "/d/DQM_V0002_Ecal_R000382711.root", "/d/DQM_V0001_Ecal_R000382712.root"]
    (files,) = series(*whole, *reversed(snapshots)).values()
    assert files == [*snapshots, *whole]


def test_folders_of_runs_do_not_divide_a_series() -> None:
    assert len(series("/d/0003827xx/DQM_V0001_R000382711__A.root", "/d/0003828xx/DQM_V0001_R000382811__A.root")) == 1
    assert len(series("/d/run382711/run382711_ls0001_s.root", "/d/run382712/run382712_ls0001_s.root")) == 1
    assert len(series("/d/R382711/dqm_R382711.root", "/d/R382712/dqm_R382712.root")) == 1
    assert len(series("/d/2/dqm_run1.root", "/d/2/dqm_run2.root")) == 1


def test_different_systems_and_folders_are_series_of_their_own() -> None:
    assert len(series("/d/DQM_V0001_Ecal_R000000001.root", "/d/DQM_V0001_Hcal_R000000001.root", "/e/DQM_V0001_Ecal_R000000001.root")) == 3


def test_past_runs_are_whole_runs_in_their_newest_version() -> None:
    paths = [f"/d/DQM_V000{version}_R00000000{run}_L00000{ls}.root" for run in (1, 2, 3) for ls in (1, 2) for version in (1, 2)]
    ((files),) = series_of([(path, 1) for path in paths], PATTERN).values()
    assert [(f.run, f.lumisection, f.version) for f in of_past_runs(files, 0)] == [(3, 2, 2)]
    assert [(f.run, f.lumisection, f.version) for f in of_past_runs(files, 1)] == [(2, 1, 2), (2, 2, 2), (3, 1, 2), (3, 2, 2)]


@given(st.lists(st.text("/_.DQMVRrunlsLSx0123456789", max_size=40), max_size=4))
def test_no_path_is_lost(paths: list[str]) -> None:
    found = series_of([(path, i) for i, path in enumerate(paths)], PATTERN)
    assert sorted(file.path for files in found.values() for file in files) == sorted(paths)
