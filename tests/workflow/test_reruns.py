"""Only the stages that depend on a change run again. Tests each row of the table in README.md by a real run, many of them with `-m long`."""

import csv
import json
import os
import re
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from autobird.core.hashing import batch_of
from autobird.synth.plan import plan_negatives
from autobird.synth.settings import DemoSettings
from tests.backbones import write_onnx
from tests.conftest import copy_project
from tests.workflow.conftest import FOLDER, Result, snakemake

AFTER_BUNDLE = {"drift_current", "drift"}
# The bundle contains the attribution, and the figures of confusions name recordists and licences.
AFTER_CATALOGUE = {"corpus_figures", "confusions", "weaknesses", "bundle", *AFTER_BUNDLE}
DETAILS = {"ranking_curves", "confusions", "weaknesses"}
AFTER_COMPARE = {"comparison_figure", "evaluate", *DETAILS, "bundle", *AFTER_BUNDLE}
AFTER_TRAIN = {"curves", "export", "prune", "quantize", "score", "compare", "latency", *AFTER_COMPARE}
AFTER_DATASET = {"data_figures", "train", *AFTER_TRAIN}
AFTER_QUARANTINE = {"catalogue", "corpus_figures", "check_corpus", "dataset", *AFTER_DATASET}
AFTER_RECORDINGS = {"landmark_votes", "near_duplicates", "quarantine", *AFTER_QUARANTINE}
BATCH = ("recordings", "segment", "mel_shards")


def run(project: Path, *config: str, options: tuple[str, ...] = ()) -> Result:
    result = snakemake(project, *options, "--config", FOLDER, *config)
    assert result.code == 0, result.text
    return result


def edit(file: Path, pattern: str, replacement: str) -> None:
    text = file.read_text(encoding="utf-8")
    new, count = re.subn(pattern, replacement, text, count=1)
    assert count == 1, f"{pattern} does not occur in {file}"
    file.write_text(new, encoding="utf-8")


def batch(recording: str) -> str:
    return str(batch_of(recording, 3))


def a_recording(project: Path) -> Path:
    return sorted((project / "my birds").rglob("*.wav"))[0]


def assert_only_this_batch_ran(result: Result, name: str) -> None:
    assert result.batches("manifest") >= {batch(name)}
    assert result.batches("manifest") <= {batch(name), "grouping", "details", "exclusions", "labels", "kinds"}
    for rule in BATCH:
        assert result.batches(rule) == {batch(name)}, rule
    assert result.rules == {"manifest", *BATCH, *AFTER_RECORDINGS}


def test_without_a_change_nothing_runs(demo: Path) -> None:
    result = snakemake(demo)
    assert result.code == 0
    assert "Nothing to be done" in result.text
    assert result.jobs == set()


def test_touched_files_rerun_nothing(folder: Path) -> None:
    files = [
        p
        for top in ("results", "my birds", "scripts", "workflow", "config")
        for p in (folder / top).rglob("*")
        if p.is_file()
    ]
    assert max(p.stat().st_size for p in files if "pcm" in p.parts) > 1 << 20
    later = time.time() + 60
    for number, file in enumerate(files):
        # Make some inputs newer than the outputs that depend on them.
        os.utime(file, (later + number % 7, later + number % 7))
    result = run(folder)
    assert result.jobs == set(), result.text


def test_the_number_of_folds_trains_nothing_again_without_a_fold(folder: Path) -> None:
    # The bundle records the whole configuration.
    assert run(folder, "dataset={folds: 3}", options=("--dry-run",)).rules == {"bundle", *AFTER_BUNDLE}


def test_comments_docstrings_and_formatting_rerun_nothing(folder: Path) -> None:
    for file in (folder / "scripts" / "autobird").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        text = re.sub(r'^"""', '"""Rewritten: ', text, count=1)
        file.write_text(f"# a comment\n{text}\n\n# another\n", encoding="utf-8")
    edit(
        folder / "scripts/autobird/audio/mel.py",
        r"        begin = first \* s\.hop_length - s\.n_fft // 2 - offset\n",
        "        begin = (\n            first*s.hop_length -s.n_fft  // 2   - offset )  # odd\n",
    )
    assert run(folder).jobs == set()


@pytest.mark.parametrize("options", [("--dry-run",), pytest.param((), marks=pytest.mark.long)])
def test_a_new_learning_rate_or_augmentation_reruns_training_and_later_stages(
    folder: Path, options: tuple[str, ...]
) -> None:
    changed = run(folder, "train={learning_rate: 0.002, crop_seconds: 1}", options=options)
    assert changed.rules == {"train", *AFTER_TRAIN}


def test_an_added_recording_reruns_its_batch_in_the_same_call(folder: Path) -> None:
    source = a_recording(folder)
    data = bytearray(source.read_bytes())
    data[1000:1010] = bytes(10)
    new = source.with_name("added.wav")
    new.write_bytes(data)
    name = new.relative_to(folder / "my birds").as_posix()
    assert_only_this_batch_ran(run(folder, options=("--dry-run",)), name)
    catalogue, dataset = "results/features/test/corpus/catalogue.parquet", "results/test/dataset/index.parquet"
    assert run(folder, options=(catalogue, dataset)).batches("segment") == {batch(name)}
    assert run(folder, options=(catalogue, dataset)).jobs == set()
    assert name in pq.read_table(folder / catalogue)["recording"].to_pylist()


@pytest.mark.long
def test_a_removed_recording_reruns_its_batch(folder: Path) -> None:
    gone = a_recording(folder)
    name = gone.relative_to(folder / "my birds").as_posix()
    gone.unlink()
    assert_only_this_batch_ran(run(folder), name)
    assert name not in pq.read_table(folder / "results/features/test/corpus/catalogue.parquet")["recording"].to_pylist()


@pytest.mark.long
def test_a_recording_replaced_under_the_same_name_size_and_time_reruns_its_batch(folder: Path) -> None:
    file = a_recording(folder)
    before = file.stat()
    data = bytearray(file.read_bytes())
    data[2000:6000] = bytes(4000)
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert_only_this_batch_ran(run(folder), file.relative_to(folder / "my birds").as_posix())


def change_metadata(project: Path, column: str, value: str) -> str:
    """Change a value of the first recording in SOURCES.csv; return the name of the recording."""
    table = project / "my birds" / "SOURCES.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0][column] != value
    rows[0][column] = value
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows[0]["file"]


def test_a_corrected_licence_reruns_only_the_catalogue_and_the_bundle(folder: Path) -> None:
    name = change_metadata(folder, "licence", "CC0")
    result = run(folder)
    assert result.batches("manifest") == {"details"}
    assert result.rules == {"manifest", "catalogue", *AFTER_CATALOGUE}
    text = (folder / "results/features/test/corpus/ATTRIBUTION.csv").read_text(encoding="utf-8")
    assert "CC0" in next(line for line in text.splitlines() if line.startswith(name))


@pytest.mark.long
def test_a_policy_that_excludes_a_licence_quarantines_its_recordings_and_decodes_nothing(folder: Path) -> None:
    policy = "licences: {train: [CC0, BY, BY-NC-SA]}"
    result = run(folder, f"corpus={{type: folder, root: my birds, {policy}}}")
    assert result.batches("manifest") == {"exclusions"}
    assert result.rules == {"manifest", "quarantine", *AFTER_QUARANTINE}
    corpus = folder / "results/features/test/corpus"
    refused = [r for r in csv.DictReader((corpus / "quarantine.csv").open()) if "licence" in r["reason"]]
    assert refused
    licences = json.loads((corpus / "licences.json").read_text())
    assert licences["licences"]["BY-NC-ND"] == {
        "recordings": len(refused), "used": 0, "hours_used": 0.0, "may_train": False, "may_redistribute": False,
    }  # fmt: skip
    # Correcting a licence to another excluded licence does not rerun the training.
    table = folder / "my birds" / "SOURCES.csv"
    table.write_text(table.read_text().replace("by-nc-nd/4.0", "by-nc-nd/3.0"))
    again = run(folder, f"corpus={{type: folder, root: my birds, {policy}}}")
    assert again.batches("manifest") == {"details"}
    assert again.rules == {"manifest", "catalogue", *AFTER_CATALOGUE}


@pytest.mark.long
def test_recordings_that_are_taken_down_disappear_from_every_output_in_the_next_run(folder: Path) -> None:
    with (folder / "my birds" / "SOURCES.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    name, recordist = table[0]["file"], table[1]["recordist"]
    gone = {r["file"] for r in table if r["file"] == name or r["recordist"] == recordist}
    (folder / "down.csv").write_text(f"kind,value\nid,{name}\nrecordist,{recordist}\n")
    config = "corpus={type: folder, root: my birds, take_down: down.csv}"
    assert run(folder, config).batches("segment") == {batch(n) for n in gone}
    results = folder / "results"
    quarantined = {r["recording"]: r for r in csv.DictReader((results / "features/test/corpus/quarantine.csv").open())}
    assert gone <= set(quarantined)
    assert all(quarantined[n]["reason"].startswith("taken down") for n in gone)
    for path in results.rglob("*"):
        if path.suffix == ".parquet":
            text = json.dumps(pq.read_table(path).to_pylist(), default=str)
        elif path.suffix in (".csv", ".json", ".md", ".tsv"):
            text = path.read_text(encoding="utf-8")
        else:
            continue
        if not {"logs", "benchmarks"} & set(path.parts):
            assert recordist not in text, path
            may_name = path.name in ("quarantine.csv", "catalogue.parquet") or {"manifest", "recordings"} & set(
                path.parts
            )
            assert may_name or not any(n in text for n in gone), path


@pytest.mark.long
def test_a_corrected_recordist_date_and_place_decode_nothing(folder: Path) -> None:
    for column, value in (("recordist", "Somebody Else"), ("date", "1999-12-31"), ("location", "Nowhere")):
        change_metadata(folder, column, value)
    result = run(folder)
    # The catalogue and its attribution contain the recordist.
    expected = {"manifest", "catalogue", "dataset"}
    assert result.rules >= expected
    assert result.rules <= expected | AFTER_DATASET | AFTER_CATALOGUE
    assert result.batches("manifest") == {"grouping"}


@pytest.mark.long
def test_a_new_minimum_of_matches_computes_the_deleted_votes_again_and_decodes_nothing(folder: Path) -> None:
    votes = folder / "results/features/test/corpus/landmark_votes"
    assert not list(votes.glob("*.npy"))
    more = FOLDER.replace("}", ", near_duplicate_votes: 7}")
    assert run(folder, more).rules == AFTER_RECORDINGS
    assert not list(votes.glob("*.npy"))
    assert run(folder, more).jobs == set()


@pytest.mark.long
def test_a_new_number_of_mel_bands_decodes_nothing(folder: Path) -> None:
    assert run(folder, "features={mels: 48}").rules == {"mel_shards", "dataset", *AFTER_DATASET}


@pytest.mark.long
def test_a_new_rms_filter_reruns_the_dataset_and_later_stages(folder: Path) -> None:
    assert run(folder, "features={min_rms: 0.02}").rules == {"dataset", *AFTER_DATASET}


@pytest.mark.long
def test_changed_code_and_libraries_are_planned_again_although_fingerprints_are_stored(folder: Path) -> None:
    def planned() -> set[str]:
        result = snakemake(folder, "-n", "--config", FOLDER)
        assert result.code == 0, result.text
        return result.rules

    assert planned() == set()
    stored, mel, lock = (
        folder / ".autobird/code_fingerprints.json", folder / "scripts/autobird/audio/mel.py", folder / "envs/requirements.lock",
    )  # fmt: skip
    before = stored.read_text(encoding="utf-8")
    code = mel.read_text(encoding="utf-8")
    edit(mel, r"out\[:\] = scale\(mel\)", "out[:] = scale(1.5 * mel)")
    rules = planned()
    assert "mel_shards" in rules
    assert "train" in rules
    assert "segment" not in rules
    assert stored.read_text(encoding="utf-8") != before
    mel.write_text(code, encoding="utf-8")
    assert planned() == set()
    edit(lock, r"(?m)^soxr==.*$", "soxr==99.0")
    assert {*BATCH, "train"} <= planned()


@pytest.mark.long
def test_another_function_in_the_mel_module_reruns_the_stages_that_reach_it(folder: Path) -> None:
    edit(folder / "scripts/autobird/audio/mel.py", r"out\[:\] = scale\(mel\)", "out[:] = scale(1.5 * mel)")
    result = run(folder)
    assert result.batches("mel_shards") == {"0", "1", "2"}
    assert result.rules == {"mel_shards", "dataset", *AFTER_DATASET}


@pytest.mark.long
def test_changed_code_of_a_property_of_settings_reruns_the_stages_that_use_it(folder: Path) -> None:
    edit(
        folder / "scripts/autobird/audio/settings.py",
        r"return round\(self\.window \* self\.sample_rate\)",
        "return int(round(self.window * self.sample_rate))",
    )
    result = run(folder)
    assert result.batches("segment") == {"0", "1", "2"}
    assert result.rules >= {*BATCH, *AFTER_RECORDINGS} - {"manifest"}


def test_a_new_description_or_bound_of_a_setting_reruns_nothing(folder: Path) -> None:
    settings = folder / "scripts/autobird/audio/settings.py"
    edit(settings, r"Length of the windows", "Duration of the windows")
    edit(settings, r"Field\(5\.0, gt=0, le=60", "Field(5.0, gt=0, le=90")
    assert run(folder).jobs == set()


@pytest.mark.long
def test_a_new_default_of_the_evaluation_reruns_the_evaluation(folder: Path) -> None:
    edit(folder / "scripts/autobird/evaluation/settings.py", r"Field\(0\.95, gt=0\.5", "Field(0.90, gt=0.5")
    # The comparison of the variants computes its intervals with the same settings.
    assert run(folder).rules == {"compare", *AFTER_COMPARE}
    metrics = json.loads((folder / "results/test/evaluation/metrics.json").read_text(encoding="utf-8"))
    assert metrics["confidence"] == 0.9


@pytest.mark.long
def test_a_new_version_of_a_library_reruns_the_stages_that_import_it(folder: Path) -> None:
    edit(folder / "envs/requirements.lock", r"(?m)^soxr==.*$", "soxr==99.0")
    result = run(folder)
    # Decoding imports soxr. Its outputs are written again, so all later stages run too.
    assert result.batches("recordings") == {"0", "1", "2"}
    assert result.rules == {*BATCH, *AFTER_RECORDINGS}


@pytest.mark.long
def test_switching_profile_and_tracking_on_runs_their_rules_alone(folder: Path) -> None:
    assert run(folder, "train={profile: true}").rules == {"profile"}
    assert run(folder, "train={profile: true}", "run={tracking: offline}").rules == {"track"}


@pytest.mark.long
def test_a_setting_of_the_release_does_not_rerun_the_training(folder: Path) -> None:
    assert run(folder, "release={max_f1_loss: 0.5}").rules == {"compare", *AFTER_COMPARE}
    again = run(folder, "release={max_f1_loss: 0.5, prune: 0.25}")
    assert again.rules == {"prune", "quantize", "score", "compare", "latency", *AFTER_COMPARE}
    assert sum("rule quantize" in line for line in again.text.splitlines()) == 1


def test_code_of_the_server_reruns_nothing(folder: Path) -> None:
    for name in ("serving/app.py", "serving/compute/response.py", "cli.py", "commands/predict.py"):
        file = folder / "scripts/autobird" / name
        file.write_text(file.read_text(encoding="utf-8") + "\n\nCHANGED = True\n", encoding="utf-8")
    assert run(folder).jobs == set()


def test_a_new_version_of_a_library_that_no_stage_imports_reruns_nothing(folder: Path) -> None:
    edit(folder / "envs/requirements.lock", r"(?m)^ruff==.*$", "ruff==99.0")
    assert run(folder).jobs == set()


@pytest.mark.long
def test_a_corrupt_file_is_quarantined_and_the_run_continues(folder: Path) -> None:
    new = a_recording(folder).with_name("corrupt.mp3")
    new.write_bytes(b"ID3\x03" + bytes(range(256)) * 20)
    name = new.relative_to(folder / "my birds").as_posix()
    assert_only_this_batch_ran(run(folder), name)
    with (folder / "results/features/test/corpus/quarantine.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["recording"] for r in rows] == [name]
    assert rows[0]["reason"]
    counts = json.loads((folder / "results/test/dataset/counts.json").read_text(encoding="utf-8"))
    parts = ("recordings_used", "recordings_filtered", "recordings_quarantined")
    assert counts["recordings"] == sum(counts[p] for p in parts) == 28


SMALL_BACKBONE = "name: small, sample_rate: 8000, window: 0.5, licence: CC0"


def embeddings(project: Path, *config: str, backbone: str = f"{SMALL_BACKBONE}, file: small.onnx") -> Result:
    """Compute the embeddings of the folder with a small network."""
    result = snakemake(project, "embeddings", "--config", FOLDER, f"backbone={{{backbone}}}", *config)
    assert result.code == 0, result.text
    return result


def test_changes_that_do_not_concern_the_windows_embed_nothing(folder: Path) -> None:
    write_onnx(folder / "small.onnx")
    assert embeddings(folder).jobs == {"embed:0", "embed:1", "embed:2", "embeddings"}
    # None of these changes computes an embedding, so one run tests all.
    (folder / "small.onnx").rename(folder / "moved.onnx")
    change_metadata(folder, "recordist", "Somebody Else")
    changes = ("train={learning_rate: 0.002}", "dataset={min_windows: 3}", "features={mels: 48}", "run={name: other}")
    backbone = SMALL_BACKBONE.replace("CC0", "CC BY 4.0") + ", file: moved.onnx"
    assert embeddings(folder, *changes, backbone=backbone).jobs == set()


@pytest.mark.long
def test_an_added_recording_embeds_its_batch(folder: Path) -> None:
    write_onnx(folder / "small.onnx")
    embeddings(folder)
    source = a_recording(folder)
    new = source.with_name("added.wav")
    data = bytearray(source.read_bytes())
    data[1000:1010] = bytes(10)
    new.write_bytes(data)
    own = batch(new.relative_to(folder / "my birds").as_posix())
    result = embeddings(folder)
    assert result.rules == {"manifest", "recordings", "segment", "embed", "embeddings"}
    assert result.batches("embed") == {own}


@pytest.mark.long
def test_another_backbone_or_window_embeds_all_batches(folder: Path) -> None:
    write_onnx(folder / "small.onnx")
    embeddings(folder)
    write_onnx(folder / "small.onnx", scale=2.0)
    other_window = SMALL_BACKBONE.replace("8000, window: 0.5", "16000, window: 0.25") + ", file: small.onnx"
    for result in (
        embeddings(folder),
        embeddings(folder, "features={hop: 2.0}"),
        embeddings(folder, backbone=other_window),
    ):
        assert result.batches("embed") == {"0", "1", "2"}


def test_a_moved_folder_is_not_decoded_again(folder: Path) -> None:
    (folder / "my birds").rename(folder / "birds")
    result = snakemake(folder, "--config", "corpus={type: folder, root: birds}")
    assert result.code == 0, result.text
    assert result.jobs == set()


@pytest.mark.long
def test_a_larger_demo_synthesises_only_batches_with_new_recordings(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "p")
    first = snakemake(project, "--until", "download")
    assert first.code == 0, first.text
    assert first.batches("download") == {"0", "1", "2"}
    new = batch(plan_negatives(DemoSettings().seed, 7)[-1].id)
    larger = snakemake(
        project, "--until", "download", "--config", "corpus={demo: {species: 3, recordings: 9, negatives: 7}}"
    )
    assert larger.code == 0, larger.text
    assert larger.batches("download") == {new}
    other = snakemake(
        project,
        "-n",
        "--until",
        "download",
        "--config",
        "corpus={demo: {species: 3, recordings: 9, negatives: 7, seed: 8}}",
    )
    assert other.batches("download") == {"0", "1", "2"}
