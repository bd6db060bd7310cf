"""A corpus with reviews: which stages run again when somebody decides about one more window."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autobird.core.files import csv_text
from autobird.sources.review_table import COLUMNS
from autobird.synth.folder import write_folder
from tests.conftest import copy_project
from tests.reviews import review
from tests.workflow.conftest import snakemake
from tests.workflow.test_several_sources import noise

CORPUS = Path("results/features/test/corpus")
TARGETS = [str(CORPUS / "checked.json"), "results/test/dataset/index.parquet"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Recordings of two species, and a survey in which one window was reviewed."""
    project = copy_project(tmp_path / "a project")
    write_folder(project / "songs", species=2, recordings=6, seed=7)
    for number in range(3):
        noise(project / f"survey/lake/2024051{number}_040000.wav", number)
    corpus = {
        "sources": [
            {"name": "songs", "type": "folder", "root": "songs"},
            {"name": "reviews", "type": "reviews", "table": "reviews.csv", "recordings": "survey"},
        ],
        "batches": 3,
    }
    (project / "mine.json").write_text(json.dumps({"corpus": corpus}))
    decide(project, "lake/20240510_040000.wav", "no")
    return project


def decide(project: Path, file: str, decision: str, start: float = 0.0, end: float = 3.0) -> None:
    table = project / "reviews.csv"
    row = review(decision, file=file, species="Fictornis alba", start=start, end=end)  # type: ignore[arg-type]
    text = table.read_text() if table.exists() else csv_text([list(COLUMNS)])
    table.write_text(text + csv_text([row.row()]))


@pytest.mark.long
def test_a_decision_repeats_what_depends_on_it_and_nothing_else(project: Path) -> None:
    def run() -> set[str]:
        result = snakemake(project, *TARGETS, "--configfile", "config/test.yaml", "mine.json")
        assert result.code == 0, result.text
        return result.rules

    run()
    index = pq.read_table(project / TARGETS[1]).to_pandas()
    first = index[index["recording"] == "reviews/lake/20240510_040000.wav"].iloc[0]
    assert list(first["absent"]) == ["Fictornis alba"]
    assert first["default"] == "unknown"
    # The same recording, another species and answer: the labels change, and no audio is decoded again.
    with (project / "reviews.csv").open("a") as file:
        row = review("yes", file="lake/20240510_040000.wav", species="Fictornis boreas", start=0.0, end=3.0)
        file.write(csv_text([row.row()]))
    assert run() == {"manifest", "dataset"}
    # A recording that nobody had reviewed: its batch, and the stages that see all recordings.
    decide(project, "lake/20240511_040000.wav", "no")
    assert {"recordings", "segment", "mel_shards", "dataset"} <= run()
    assert run() == set()
