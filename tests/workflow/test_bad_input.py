"""Bad input is quarantined, or stops the run with one line that names the remedy."""

import csv
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import copy_project
from tests.workflow.conftest import snakemake
from tests.workflow.outputs import promised


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("bad input") / "project")


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("train={learning_rat: 1}", "error: train.learning_rat: there is no such key; did you mean learning_rate?"),
        (
            "features={fmax: 9000}",
            "error: features: fmax 9000 Hz is above the Nyquist frequency of sample_rate 16000 Hz",
        ),
        ("corpus={type: folder, root: nowhere}", "error: corpus.root: nowhere is not a folder"),
        (
            "train={architecture: head} & backbone={file: gone.tflite}",
            "error: backbone birdnet-2.4: gone.tflite is not there or cannot be read; correct or remove backbone.file;",
        ),
    ],
)
def test_an_error_in_the_configuration_stops_the_run_before_any_job(project: Path, config: str, line: str) -> None:
    result = snakemake(project, "--config", *config.split(" & "))
    assert result.code == 1
    errors = [text for text in result.text.splitlines() if text.startswith("error:")]
    assert len(errors) == 1
    assert errors[0].startswith(line)
    assert "Traceback" not in result.text
    assert not (project / "results").exists()


def test_an_empty_folder_or_a_single_species_stops_the_run_before_any_job(project: Path) -> None:
    (project / "empty").mkdir()
    (project / "one" / "Parus_major").mkdir(parents=True)
    (project / "one" / "Parus_major" / "a.wav").write_bytes(b"x")
    for root, words in (
        ("empty", "empty holds no recordings"),
        ("one", "one holds fewer than two species (Parus major)"),
    ):
        result = snakemake(project, "--config", f"corpus={{type: folder, root: {root}}}")
        assert result.code == 1
        assert words in result.text


@pytest.mark.long
def test_a_folder_of_text_files_is_quarantined_and_the_error_names_the_table_of_reasons(project: Path) -> None:
    for name in ("A/a.mp3", "A/b.wav", "B/c.flac"):
        file = project / "texts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"no sound, but words about {name}\n")
    result = snakemake(project, "--config", "corpus={type: folder, root: texts}", "features={name: texts}")
    assert result.code == 1
    assert "3 of 3 recordings (100%) are quarantined, more than corpus.max_quarantined_share 0.2" in result.text
    assert "quarantine.csv" in result.text
    with (project / "results/features/texts/corpus/quarantine.csv").open(newline="") as file:
        assert [(r["recording"], r["reason"]) for r in csv.DictReader(file)] == [
            ("A/a.mp3", "text, not audio"), ("A/b.wav", "text, not audio"), ("B/c.flac", "text, not audio"),
        ]  # fmt: skip


def test_every_odd_file_is_used_or_quarantined_with_a_reason(project: Path, odd_files: Path) -> None:
    (project / "odd").symlink_to(odd_files)
    corpus = "results/features/odd/corpus"
    config = ["corpus={type: folder, root: odd, max_quarantined_share: 1}", "features={name: odd}", "run={name: odd}"]
    wanted = [f"{corpus}/overview.png", f"{corpus}/checked.json"]
    wanted += [f"results/features/odd/mels/{b}.parquet" for b in range(3)]
    result = snakemake(project, *wanted, "--config", *config)
    assert result.code == 0, result.text
    catalogue = pq.read_table(project / corpus / "catalogue.parquet").to_pylist()
    files = {p.relative_to(odd_files).as_posix() for p in odd_files.rglob("*") if p.is_file()} - {"SOURCES.csv"}
    assert {r["recording"] for r in catalogue} == files
    with (project / corpus / "quarantine.csv").open(newline="") as file:
        reasons = {r["recording"]: r["reason"] for r in csv.DictReader(file)}
    assert {r["recording"]: r["quarantined"] for r in catalogue if r["quarantined"]} == reasons
    constructed = "constructed_from_corpusA"
    assert {name: why for name, why in reasons.items() if not name.startswith("git_lfs")} == {
        "broken/XC674818_Raage_clip28.mp3": "0.09 s is shorter than corpus.min_duration, 0.5 s",
        f"{constructed}/empty.mp3": "empty file (0 bytes)",
        f"{constructed}/text_named.wav": "text, not audio",
        "encodings/1up.wav": "0.42 s is shorter than corpus.min_duration, 0.5 s",
        "encodings/M1F1-float64-AFsp.wav": "the same audio as encodings/M1F1-float32-AFsp.wav, which is used",
        "encodings/gameover.wav": "the same audio as encodings/gameover-rifx.wav, which is used",
        "identical_copies/Andean_Guan29.mp3": "the same audio as identical_copies/Andean_Guan28.mp3, which is used",
    }
    pointers = [why for name, why in reasons.items() if name.startswith("git_lfs")]
    assert len(pointers) == 4
    assert all("git-lfs pointer" in why for why in pointers)
    notes = {r["recording"].removeprefix(f"{constructed}/"): r["note"] for r in catalogue if r["note"]}
    assert "before the first MPEG frame were skipped" in notes["head_garbage.mp3"]
    assert "decoding stopped after 11.9 s" in notes["middle_zeroed.mp3"]
    assert "decoding stopped after 4.5 s" in notes["truncated.flac"]
    assert "the header was never finished" in notes["wav_short_of_its_header.wav"]
    # What is one sound is known as one, whatever its format.
    with (project / corpus / "near_duplicates.csv").open(newline="") as file:
        pairs = {(r["recording"], r["other"]) for r in csv.DictReader(file)}
    formats = sorted(n for n in files if n.startswith("same_audio_five_formats"))
    assert {(a, b) for a in formats for b in formats if a < b} <= pairs
    assert all(a.split("/")[0] == b.split("/")[0] for a, b in pairs)


def test_the_report_is_written_offline_with_all_categories(finished_demo: Path, tmp_path: Path) -> None:
    before = promised(finished_demo)
    result = snakemake(finished_demo, "--report", str(tmp_path / "report.html"))
    assert result.code == 0, result.text
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in (
        "Data",
        "Model",
        "Evaluation",
        "Release",
        "Drift",
        "model card",
        "confusion matrix",
        "learning curves",
        "quarantine",
    ):
        assert words in page
    # Browsers show no embedded page of more than 2 MB.
    assert max((len(found) for found in re.findall(r"data:text/html[^\"]*", page)), default=0) < 2_000_000
    assert promised(finished_demo) == before
