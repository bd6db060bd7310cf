"""A corpus of several sources and negatives: what is in its tables, and which stages run again after a change."""

import csv
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from autobird.core.hashing import batch_of
from autobird.synth.folder import write_folder
from tests.conftest import copy_project
from tests.standins.xeno_canto import API_KEY, entries_and_files, serve
from tests.workflow.conftest import Result, snakemake

CORPUS = Path("results/features/test/corpus")
TARGETS = [str(CORPUS / name) for name in ("catalogue.parquet", "checked.json")] + [
    "results/test/dataset/index.parquet"
]
BATCH_STAGES = {"recordings", "segment", "mel_shards"}
CORPUS_STAGES = {"landmark_votes", "near_duplicates", "quarantine", "catalogue", "check_corpus", "dataset"}


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.random.default_rng(seed).normal(0, 0.1, 3 * 16000), 16000)


def configure(project: Path, **corpus: Any) -> None:
    (project / "mine.json").write_text(json.dumps({"corpus": corpus | {"batches": 3}}))


def run(project: Path, *arguments: str) -> Result:
    result = snakemake(project, *(arguments or TARGETS), "--configfile", "config/test.yaml", "mine.json")
    assert result.code == 0, result.text
    return result


def two_sources(songs: str = "songs") -> dict[str, Any]:
    return {
        "sources": [
            {"name": "songs", "type": "folder", "root": songs},
            {"name": "field", "type": "annotations", "root": "field", "split": "test"},
        ],
        "negatives": "quiet",
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Recordings of two species, one of them with a background species, an annotated field recording, and two negatives."""
    project = copy_project(tmp_path / "a project")
    write_folder(project / "songs", species=2, recordings=6, seed=7)
    noise(project / "songs/noise/wind.wav", 1)
    noise(project / "field/20240512_040000.wav", 2)
    (project / "field/20240512_040000.csv").write_text(
        "file,start,end,label\n20240512_040000.wav,0.5,1.5,Fictornis alba\n20240512_040000.wav,2,2.5,noise\n"
    )
    for number in range(2):
        noise(project / f"quiet/rain/{number}.wav", 10 + number)
    table = list(csv.DictReader((project / "songs/SOURCES.csv").read_text().splitlines()))
    with (project / "songs/SOURCES.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*table[0], "background_species"])
        writer.writeheader()
        writer.writerows(
            row | {"background_species": "Fictornis boreas" if n == 0 else ""} for n, row in enumerate(table)
        )
    configure(project, **two_sources())
    return project


def rows(project: Path, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader((project / CORPUS / table).read_text().splitlines()))


@pytest.mark.long
def test_the_tables_of_several_sources_and_what_runs_again(project: Path, tmp_path: Path) -> None:
    first = run(project)
    assert (
        "note: 3 recordings are negatives, which hold no species; by corpus.negative_names: 'noise' (1)" in first.text
    )
    catalogue = {row["recording"]: row for row in pq.read_table(project / CORPUS / "catalogue.parquet").to_pylist()}
    assert {row["kind"] for name, row in catalogue.items() if name.startswith(("negatives/", "songs/noise"))} == {
        "negative"
    }
    assert catalogue["field/20240512_040000.wav"]["kind"] == "annotated"
    assert {row["species"] for row in catalogue.values()} == {"", "Fictornis alba", "Fictornis boreas"}
    assert rows(project, "quarantine.csv") == []
    checked = json.loads((project / CORPUS / "checked.json").read_text())
    assert (checked["recordings"], checked["accepted"], checked["negatives"]) == (16, 16, 3)
    uncertain = [row for row in rows(project, "manifest/labels.csv") if row["uncertain"] != "[]"]
    assert [(row["kind"], row["uncertain"]) for row in uncertain] == [("", '["Fictornis boreas"]')]
    index = pq.read_table(project / "results/test/dataset/index.parquet").to_pandas()
    used = index[index["dropped"] == ""].drop_duplicates("recording").set_index("recording")
    assert used.at["field/20240512_040000.wav", "split"] == "test"
    assert used.at["songs/noise/wind.wav", "negative"]
    assert used.at["negatives/rain/0.wav", "negative"]
    assert run(project).jobs == set()

    # A moved folder: nothing.
    (project / "songs").rename(tmp_path / "moved songs")
    configure(project, **two_sources(str(tmp_path / "moved songs")))
    assert run(project).jobs == set()

    # A corrected background species: its tables, the labels of the windows, and the catalogue.
    sources = tmp_path / "moved songs/SOURCES.csv"
    text = sources.read_bytes().decode()
    assert text.count(",Fictornis boreas\r\n") == 1
    sources.write_bytes(text.replace(",Fictornis boreas\r\n", ",Fictornis cantans\r\n").encode())
    corrected = run(project)
    assert corrected.rules == {"manifest", "catalogue", "dataset"}
    assert corrected.batches("manifest") == {"labels", "details"}

    # A negative more: its batch, and the stages that see all recordings.
    noise(project / "quiet/new.wav", 20)
    batch = str(batch_of("negatives/new.wav", 3))
    added = run(project)
    assert all(added.batches(stage) == {batch} for stage in BATCH_STAGES)
    assert added.batches("manifest") == {batch, "labels", "kinds"}
    assert added.rules == {"manifest", *BATCH_STAGES, *CORPUS_STAGES}

    # A negative that is a recording of a species: both are quarantined.
    song = sorted((tmp_path / "moved songs").glob("Fictornis_alba/*"))[0]
    copy = f"negatives/copy{song.suffix}"
    shutil.copy(song, project / f"quiet/copy{song.suffix}")
    assert run(project, str(CORPUS / "quarantine.csv")).batches("recordings") == {str(batch_of(copy, 3))}
    name = f"songs/{song.relative_to(tmp_path / 'moved songs').as_posix()}"
    reasons = {row["recording"]: row["reason"] for row in rows(project, "quarantine.csv")}
    assert set(reasons) == {name, copy}
    assert reasons[name] == f"the same audio as {copy}, which is a negative and holds no species; remove the wrong one"


@pytest.mark.long
def test_downloaded_recordings_beside_a_folder(
    project: Path, real_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XENO_CANTO_KEY", API_KEY)
    with (real_corpus / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        table = sorted(csv.DictReader(file), key=lambda row: float(row["duration_s"]))[:6]
    with serve(*entries_and_files(table, real_corpus)) as server:
        corpus = server.settings()
        xeno_canto = {"name": "xc", **{key: corpus[key] for key in ("type", "xeno_canto")}, "lock": "config/xc.jsonl"}
        settings = two_sources()
        configure(project, sources=[xeno_canto, *settings["sources"]], negatives="quiet", fetch=corpus["fetch"])
        refreshed = run(project, "refresh_sources")
        assert f"[refresh_sources] xc: {len(table)} recordings added" in refreshed.text
        first = run(project)
        assert len(first.batches("download")) == 3
        sent = server.sent.total()
        assert not [row for row in rows(project, "quarantine.csv") if row["recording"].startswith(("xc/", "songs/"))]
        members = []
        for tar in sorted((project / CORPUS / "audio").glob("*.tar")):
            with tarfile.open(tar) as archive:
                members += archive.getnames()
        assert len(members) == len(table)
        assert all(name.startswith("http") for name in members)

        # A negative more reruns the download of its batch, which sends nothing again.
        noise(project / "quiet/new.wav", 20)
        assert run(project).batches("download") == {str(batch_of("negatives/new.wav", 3))}
        assert server.sent.total() == sent
