"""Whole runs on sources other than a folder: the same recordings give the same bytes, also after interruptions."""

import csv
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import copy_project
from tests.standins.xeno_canto import API_KEY, FakeServer, Faults, entries_and_files, serve
from tests.workflow.conftest import Result, command, environment, snakemake
from tests.workflow.delivered import assert_delivered
from tests.workflow.outputs import promised

DATASET = "results/test/dataset/index.parquet"


def configured(project: Path, corpus: dict[str, object], batches: int = 3) -> str:
    (project / "mine.json").write_text(json.dumps({"corpus": corpus | {"batches": batches}}))
    return "mine.json"


def run(project: Path, *arguments: str) -> Result:
    # The second file goes over config/test.yaml, key by key.
    return snakemake(project, *arguments, "--configfile", "config/test.yaml", "mine.json")


@pytest.fixture(scope="module")
def part(real_corpus: Path) -> tuple[list[dict[str, str]], Path]:
    """The real recordings of less than 25 s, which are enough of each species for a split, and their folder."""
    with (real_corpus / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        table = [r for r in csv.DictReader(file) if float(r["duration_s"]) < 25]
    return table, real_corpus


@pytest.fixture
def server(part: tuple[list[dict[str, str]], Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A fake xeno-canto that holds them."""
    monkeypatch.setenv("XENO_CANTO_KEY", API_KEY)
    with serve(*entries_and_files(*part)) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


def segments_and_split(project: Path) -> dict[str, str]:
    """Return the checksums of the segments and of the split, by file."""
    return {
        n: d for n, d in promised(project).items() if "/segments/" in n or "/pcm/" in n or n.endswith("index.parquet")
    }


@pytest.mark.long
def test_a_folder_a_table_and_xeno_canto_give_the_same_segments_and_the_same_split(
    project: Path, part: tuple[list[dict[str, str]], Path], server: FakeServer
) -> None:
    table, root = part
    for row in table:
        path = project / "birds" / row["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(root / row["file"])
    with (project / "birds" / "SOURCES.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    found = {}
    server.faults = Faults(throttle=11, cut=100_000)
    for name, corpus in {
        "folder": {"type": "folder", "root": "birds"},
        "table": {"type": "table", "table": "birds/SOURCES.csv"},
        "xeno_canto": server.settings(),
    }.items():
        configured(project, corpus, batches=1)
        if name == "xeno_canto":
            missing = run(project, DATASET)
            assert missing.code == 1
            assert "config/sources.lock.jsonl does not exist; write it with `snakemake refresh_sources`" in missing.text
            listed = run(project, "refresh_sources")
            assert f"{len(table)} recordings added" in listed.text
            assert API_KEY not in listed.text
        result = run(project, DATASET)
        assert result.code == 0, result.text
        found[name] = segments_and_split(project)
        index = pq.read_table(project / DATASET).to_pandas().drop_duplicates("recording").set_index("recording")
        unknown = {n: list(names) for n, names in index["recording_unknown"].items() if len(names)}
        # The other species in the background of these recordings are not in the corpus.
        assert unknown == {
            "Cyanistes_caeruleus/XC102102.mp3": ["Parus major"],
            "Cyanistes_caeruleus/XC116409.mp3": ["Parus major"],
            "Fringilla_coelebs/XC98345.mp3": ["Cyanistes caeruleus"],
            "Passer_domesticus/XC79055.mp3": ["Fringilla coelebs"],
        }
        subprocess.run(["rm", "-r", str(project / "results")], check=True)
    assert found["folder"] == found["table"] == found["xeno_canto"]
    assert len(found["folder"]) == 1 + 1 + 1


@pytest.mark.long
def test_a_killed_download_and_a_server_that_does_not_respond_end_with_the_same_bytes(
    project: Path, server: FakeServer
) -> None:
    configured(project, server.settings())
    assert run(project, "refresh_sources").code == 0
    tars = [f"results/features/test/corpus/audio/{b}.tar" for b in range(3)]
    server.faults = Faults(cut=30_000)
    arguments = [*command("--cores", "2", *tars), "--configfile", "config/test.yaml", "mine.json"]
    with (project / "killed.txt").open("w") as said:
        running = subprocess.Popen(
            arguments, cwd=project, env=environment(), stdout=said, stderr=said, start_new_session=True
        )
        while sum(server.sent.values()) < 400_000:
            assert running.poll() is None
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    # The server closes all connections for longer than the retry deadline.
    server.faults = Faults(closed=True)
    configured(project, server.settings() | {"fetch": {"interval": 0, "retry_seconds": 1}})
    snakemake(project, "--unlock")
    failed = run(project, *tars)
    assert failed.code == 1
    assert "run again later: the data received so far is kept" in failed.text
    server.faults = Faults()
    configured(project, server.settings())
    again = run(project, *tars)
    assert again.code == 0, again.text
    assert sum(server.sent.values()) < 1.3 * sum(len(server.audio(n)) for n in server.files)
    first = promised(project)
    subprocess.run(["rm", "-r", str(project / "results")], check=True)
    assert run(project, *tars).code == 0
    assert promised(project) == first


@pytest.mark.long
def test_a_withdrawn_recording_is_quarantined_and_only_a_new_one_is_downloaded(
    project: Path, server: FakeServer
) -> None:
    gone = server.entries[0]
    server.faults = Faults(withdrawn={gone["id"]})
    new = server.entries.pop()
    configured(project, server.settings())
    quarantine = "results/features/test/corpus/quarantine.csv"
    run(project, "refresh_sources")
    assert run(project, quarantine).code == 0
    with (project / quarantine).open(newline="") as file:
        reasons = {r["recording"]: r["reason"] for r in csv.DictReader(file)}
    assert [why for name, why in reasons.items() if f"XC{gone['id']}." in name] == [
        f"withdrawn: {server.url.removeprefix('http://')} answers 404"
    ]
    server.entries.append(new)
    server.sent.clear()
    refreshed = run(project, "refresh_sources")
    assert f"1 recordings added: {new['id']}" in refreshed.text
    result = run(project, quarantine)
    assert len(result.batches("download")) == 1
    assert set(server.sent) == {new["id"]}


@pytest.mark.long
def test_a_model_is_trained_on_annotated_recordings(project: Path, finished_folder: Path) -> None:
    with (finished_folder / "my birds" / "SOURCES.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    lines = []
    for row in table:
        path = project / "field" / row["file"].replace("/", "-")
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(finished_folder / "my birds" / row["file"])
        lines += [f"{path.name}\t{view}\t0.0\t3.0\t{row['species']}\n" for view in ("Waveform 1", "Spectrogram 1")]
    # Every third recording holds a second species, later on.
    others = table[::3]
    names = sorted({row["species"] for row in table})
    truth = {row["file"].replace("/", "-"): {row["species"]} for row in table}
    second_species = {}
    for row in others:
        second = names[(names.index(row["species"]) + 1) % len(names)]
        second_species[row["file"].replace("/", "-")] = second
        lines.append(f"{row['file'].replace('/', '-')}\tWaveform 1\t8.0\t9.0\t{second}\n")
    (project / "field" / "boxes.txt").write_text(
        "Begin File\tView\tBegin Time (s)\tEnd Time (s)\tSpecies\n" + "".join(lines)
    )
    configured(project, {"type": "annotations", "root": "field", "annotations": {"table": "boxes.txt"}})
    result = run(project, "results/test/release/bundle/bundle.json")
    assert result.code == 0, result.text
    tables = (project / "results/features/test/corpus/recordings").glob("*.parquet")
    durations = {
        n: d for path in tables for n, d in pq.read_table(path, columns=["recording", "duration"]).to_pandas().values
    }
    # Some recordings end before 8 s, where the second species was marked, or too soon after it to label a window.
    after_end = {n for n in second_species if durations[n] <= 8}
    too_short = {n for n in second_species if 8 < durations[n] < 8.5}
    assert after_end
    assert too_short
    for recording in second_species.keys() - after_end:
        truth[recording].add(second_species[recording])
    assert_delivered(project / "results/test", project / "field", truth)
    assert f"note: {len(table)} of {len(lines)} annotations are not used: duplicate row" in result.text
    index = pq.read_table(project / DATASET).to_pandas()
    assert set(index.loc[index["start"] == 0, "dropped"]) == {""}
    alone = ~index["recording"].isin([row["file"].replace("/", "-") for row in others])
    late = index[alone & (index["start"] > 2 * 40_000)]
    assert late["negative"].all()
    assert set(late["dropped"]) <= {"", "RMS below 0.005"}
    windows_with = index.groupby("recording")["present"].agg(lambda sets: set().union(*sets))
    assert {n for n, species in second_species.items() if species not in windows_with[n]} == after_end | too_short
    of_recording = index.drop_duplicates("recording").set_index("recording")["recording_present"]
    assert {n for n, species in second_species.items() if species not in of_recording[n]} == after_end
    counts = json.loads((project / "results/test/dataset/counts.json").read_text())
    assert counts["boxes"] == {
        "duplicate row": len(table),
        "begins after the end of its recording": len(after_end),
        "overlaps no window enough to label it": len(too_short),
        "used": len(table) + len(others) - len(after_end) - len(too_short),
    }
    # A corrected box decodes nothing.
    boxes = project / "field" / "boxes.txt"
    boxes.write_text(boxes.read_text().replace("\t3.0\t", "\t2.9\t", 2))
    again = run(project, "results/test/release/bundle/bundle.json")
    assert again.batches("manifest") == {"boxes"}
    assert {"dataset"} <= again.rules
    assert not again.rules & {"recordings", "segment", "mel_shards", "quarantine"}
