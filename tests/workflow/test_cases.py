"""Small inputs of ../shared/cases, which went wrong once, through the workflow up to the data set."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT, copy_project
from tests.workflow.conftest import Result, snakemake

CASES = ROOT.parent / "shared" / "cases"
DATASET = "results/test/dataset/index.parquet"
RATE, WINDOW = 16000, 5 * 16000
PITCH = {"A": 3000, "B": 1000}
"""Frequency of the tone of each species in the cases, Hz."""


def run_case(tmp_path: Path, case: str, *config: str) -> tuple[Path, Result]:
    """Generate a case and run the workflow on it; return the folder of the project and the result."""
    if not CASES.is_dir():
        pytest.skip(f"the project's shared cases are not at {CASES}")
    project = copy_project(tmp_path / "project")
    (project / "case").mkdir()
    subprocess.run([sys.executable, CASES / f"{case}.py", project / "case"], cwd=CASES, check=True)
    corpus = "corpus={root: case, batches: 1, near_duplicates: false}"
    return project, snakemake(
        project, DATASET, "results/features/test/corpus/checked.json", "--config", corpus, *config
    )


def labelled_windows(project: Path) -> pd.DataFrame:
    """Return the windows of one species each, with the frequency at which they have most power, Hz."""
    features = project / "results/features/test"
    index = pd.read_parquet(project / DATASET)
    recordings = pd.read_parquet(features / "corpus/recordings/0.parquet")
    offsets = dict(zip(recordings["recording"], recordings["samples"].cumsum() - recordings["samples"], strict=True))
    pcm = np.load(features / "pcm/0.npy", mmap_mode="r")
    windows = index[index["present"].str.len() == 1].copy()
    windows["label"] = windows["present"].str[0]
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    windows["pitch"] = [
        frequencies[np.abs(np.fft.rfft(pcm[offsets[w.recording] + w.start :][:WINDOW])).argmax()]
        for w in windows.itertuples()
    ]
    return windows


def assert_labels_agree_with_pitch(project: Path) -> pd.DataFrame:
    windows = labelled_windows(project)
    assert set(windows["label"]) == set(PITCH)
    np.testing.assert_allclose(windows["pitch"], windows["label"].map(PITCH), atol=50)
    return windows


def test_times_of_a_table_over_a_sequence_of_files_count_from_the_start_of_each_file(tmp_path: Path) -> None:
    """f01: boxes of 10 s, by turns of two species, over files of 10, 40, 120 and 360 s."""
    annotations = "corpus={type: annotations, annotations: {table: all.txt}}"
    project, result = run_case(tmp_path, "f01_file_offset", annotations)
    assert result.code == 0, result.text
    windows = assert_labels_agree_with_pitch(project)
    assert windows.groupby("recording").size().to_dict() == {
        "rec0.wav": 3,
        "rec1.wav": 12,
        "rec2.wav": 36,
        "rec3.wav": 108,
    }


@pytest.mark.long
@pytest.mark.parametrize("table", ["raven.txt", "boxes.csv"])
def test_rows_are_assigned_by_path_where_three_sites_name_their_files_alike(tmp_path: Path, table: str) -> None:
    """f06."""
    annotations = f"corpus={{type: annotations, annotations: {{table: {table}}}}}"
    project, result = run_case(tmp_path, "f06_same_names", annotations)
    assert result.code == 0, result.text
    windows = assert_labels_agree_with_pitch(project)
    assert windows["recording"].nunique() == 6


@pytest.mark.long
def test_a_quotation_mark_in_a_raven_table_loses_no_rows(tmp_path: Path) -> None:
    """f11."""
    project, result = run_case(tmp_path, "f11_quote", "corpus={type: annotations}")
    assert result.code == 0, result.text
    assert_labels_agree_with_pitch(project)
    boxes = pd.read_csv(project / "results/features/test/corpus/manifest/boxes.csv", keep_default_na=False)
    assert (boxes["problem"] == "").sum() == len(boxes) == 18


@pytest.mark.long
def test_boxes_of_a_table_without_labels_are_unlabelled_or_of_the_species_that_the_setting_names(
    tmp_path: Path,
) -> None:
    """f14."""
    project, result = run_case(tmp_path, "f14_unnamed", "corpus={type: annotations}")
    assert result.code == 0, result.text
    assert "1 of 6 annotation tables have no column of the label" in result.text
    assert assert_labels_agree_with_pitch(project)["recording"].nunique() == 5
