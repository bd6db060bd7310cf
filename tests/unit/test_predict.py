"""Prediction: windows, detections, output formats, and errors for files and bundles that cannot be used."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import soundfile
import torch

from autobird import cli
from autobird.audio.mel import FrontEnd
from autobird.audio.mpeg import mpeg_frame_length
from autobird.audio.settings import FeatureSettings
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, write_json
from autobird.drift.features import DRIFT_FEATURES
from autobird.model.networks import build_network
from autobird.model.settings import TrainSettings
from autobird.predict import Classifier
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.batch import drift_features_csv
from autobird.predict.bundle import Bundle, bundle_manifest
from autobird.predict.check import expected_prediction
from autobird.predict.files import predict_file
from autobird.predict.formats import CsvFormat, JsonFormat, TableFormat, as_text, clock
from autobird.predict.inputs import find_files
from autobird.release.onnx_files import export


def untrained_network() -> torch.nn.Module:
    """Return the network of all bundles of these tests."""
    torch.manual_seed(0)
    return build_network(TrainSettings(width=8), 2, -8.0, 3.0)


def make_bundle(folder: Path, thresholds: tuple[float, float] = (0.5, 0.5)) -> Path:
    """A bundle of an untrained network with two species."""
    export(untrained_network(), 64, 157, folder / "model.onnx")
    description = {
        "format": 1, "name": "tiny", "variant": "float", "fingerprint": "0123456789abcdef", "labels": ["Parus major", "Corvus corone"],
        "features": FeatureSettings().model_dump(mode="json"), "aggregation": "mean", "temperature": 1.5, "thresholds": list(thresholds),
    }  # fmt: skip
    write_json(folder / "bundle.json", description)
    soundfile.write(folder / "example.flac", 0.1 * np.random.default_rng(1).standard_normal(6 * 16000), 16000)
    write_json(folder / "manifest.json", bundle_manifest(folder))
    write_json(folder / "expected.json", expected_prediction(folder))
    write_json(folder / "manifest.json", bundle_manifest(folder))
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), (0.0, 1.0))


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of 12.3 seconds that is digital silence from 5.2 to 10.1 seconds."""
    file = tmp_path_factory.mktemp("audio") / "a song.flac"
    rng = np.random.default_rng(0)
    x = 0.1 * rng.standard_normal(int(12.3 * 22050))
    x[int(5.2 * 22050) : int(10.1 * 22050)] = 0
    soundfile.write(file, x, 22050)
    return file


def test_windows_have_times_and_calibrated_probabilities_and_quiet_ones_are_marked(
    bundle: Path, tmp_path: Path
) -> None:
    """The third window is constant: its RMS is high enough, but its mel standard deviation is too low."""
    samples = np.random.default_rng(0).normal(0, 3000, int(12.3 * 16000)).astype(np.int16)
    samples[round(4.9 * 16000) : round(10.1 * 16000)] = 3000
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    p = Classifier(bundle).predict(tmp_path / "a.wav")
    assert p.duration == 12.3
    assert p.starts.tolist() == [0, 2.5, 5.0, 7.5]
    np.testing.assert_allclose(p.rms, 3000 / 32768, rtol=0.02)
    assert p.quiet.tolist() == [False, False, True, False]
    assert p.detected.tolist() == [[True, False], [True, False], [False, False], [True, False]]  # thresholds 0 and 1
    # Logits of the bundle's network for frames that are rounded as in the shards, and the bundle's temperature of 1.5.
    frames, firsts = FrontEnd.of(FeatureSettings()).windows(samples)
    x = np.stack([frames[f : f + 157] for f in firsts]).astype(np.float16).astype(np.float32)
    with torch.no_grad():
        logits = untrained_network().eval()(torch.from_numpy(x).transpose(1, 2).unsqueeze(1)).numpy()
    np.testing.assert_allclose(p.probabilities, scipy.special.softmax(logits / 1.5, axis=1), atol=1e-6)
    np.testing.assert_allclose(p.recording, p.probabilities[[0, 1, 3]].mean(axis=0))


def test_consecutive_windows_are_one_detection_that_ends_at_the_end_of_the_recording(bundle: Path, song: Path) -> None:
    classifier = Classifier(bundle)
    p = classifier.predict(song)
    found = classifier.detections(p)
    assert [(d.start, d.end, d.species) for d in found] == [(0.0, 12.3, "Parus major")]
    assert found[0].probability == pytest.approx(p.probabilities[:, 0].max())
    gap = type(p)(**{**vars(p), "detected": p.detected & [[True], [False], [True], [True]]})
    assert [(d.start, d.end) for d in classifier.detections(gap)] == [(0.0, 5.0), (5.0, 12.3)]


def test_a_quiet_recording_has_no_species_and_no_detections(bundle: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "q.wav", np.full(16000 * 6, 1e-4), 16000)
    classifier = Classifier(bundle)
    p = classifier.predict(tmp_path / "q.wav")
    assert p.quiet.all()
    assert classifier.detections(p) == []
    assert not p.detected.any()
    assert not p.recording.any()
    assert predict_file(classifier, tmp_path / "q.wav", "q").species is None


def test_bytes_and_paths_give_the_same_probabilities(bundle: Path, song: Path) -> None:
    classifier = Classifier(str(bundle))
    one, two = classifier.predict(str(song)), classifier.predict(io.BytesIO(song.read_bytes()))
    np.testing.assert_array_equal(one.probabilities, two.probabilities)


def test_csv_json_and_table_have_the_same_detections(bundle: Path, song: Path, tmp_path: Path) -> None:
    classifier = Classifier(bundle)
    (tmp_path / "t.wav").write_text("text")
    results = [predict_file(classifier, f, f.name) for f in (song, tmp_path / "t.wav")]
    rows = list(csv.DictReader(io.StringIO(as_text(CsvFormat(), results))))
    assert [(r["file"], r["start"], r["end"], r["species"]) for r in rows] == [
        ("a song.flac", "0", "12.3", "Parus major")
    ]
    value = json.loads(as_text(JsonFormat(classifier.bundle), results))
    assert value["bundle"]["fingerprint"] == "0123456789abcdef"
    assert value["files"][0]["detections"][0]["end"] == 12.3
    assert value["files"][0]["probabilities"].keys() == set(classifier.labels)
    assert "windows" not in value["files"][0]
    assert value["files"][1] == {"file": "t.wav", "error": "text, not audio"}
    table = as_text(TableFormat(), results)
    assert "0:00.0 - 0:12.3" in table
    assert "skipped: text, not audio" in table
    [features] = csv.DictReader(io.StringIO(drift_features_csv(results)))
    expected = classifier.drift_features(classifier.predict(song))
    assert features.pop("recording") == "a song.flac"
    assert {name: float(text) for name, text in features.items()} == pytest.approx(
        {name: expected[name] for name in DRIFT_FEATURES}, abs=1e-5
    )


def test_windows_are_written_on_request(bundle: Path, song: Path) -> None:
    classifier = Classifier(bundle)
    result = predict_file(classifier, song, "x", by_window=True)
    written = json.loads(as_text(JsonFormat(classifier.bundle), [result]))["files"][0]
    p = classifier.predict(song)
    assert [(w["start"], w["end"], w["quiet"]) for w in written["windows"]] == [
        (0.0, 5.0, False), (2.5, 7.5, False), (5.0, 10.0, False), (7.5, 12.3, False),
    ]  # fmt: skip
    found = [list(w["probabilities"].values()) for w in written["windows"]]
    np.testing.assert_allclose(found, p.probabilities, rtol=1e-5)
    np.testing.assert_allclose(list(written["probabilities"].values()), p.probabilities.mean(axis=0), rtol=1e-5)
    assert [w["detected"] for w in written["windows"]] == [["Parus major"]] * 4


def test_logits_that_are_not_finite_are_an_error_of_the_file(
    bundle: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = Classifier(bundle)
    monkeypatch.setattr(classifier._graph, "logits", lambda windows: np.full((len(windows), 2), np.nan, np.float32))
    result = predict_file(classifier, song, "x")
    assert result.error.startswith("the model's output is NaN or infinite")
    assert result.detections == []


def test_the_option_windows_needs_json(bundle: Path, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(bundle), str(song), "--windows"])
    assert end.value.code == 2
    assert "--windows needs --json" in capsys.readouterr().err


def test_times_have_hours_only_from_one_hour_on() -> None:
    assert [clock(s) for s in (0, 59.96, 75.5, 3723.4)] == ["0:00.0", "1:00.0", "1:15.5", "1:02:03.4"]


def test_the_command_continues_after_a_file_that_cannot_be_read(
    bundle: Path, song: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.flac").write_bytes(song.read_bytes())
    (tmp_path / "deep" / "broken.mp3").write_text("not audio")
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(bundle), str(tmp_path / "deep"), str(song), "--json", "--jobs", "2"])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    files = json.loads(out)["files"]
    assert [Path(f["file"]).name for f in files] == ["broken.mp3", "a.flac", "a song.flac"]
    assert "error" in files[0]
    assert files[1]["detections"] == files[2]["detections"]
    assert "broken.mp3: skipped: text, not audio" in err
    assert "times real time); 1 skipped" in err


def test_the_command_writes_csv_to_a_file(bundle: Path, song: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(bundle), str(song), "--csv", "--output", str(tmp_path / "d.csv")])
    assert end.value.code == 0
    assert (
        (tmp_path / "d.csv")
        .read_text()
        .startswith("file,start,end,species,probability,site,recorder,recorded_at,date,time,unknown_score\n")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nowhere", "x.wav"], "x.wav is not there"),
        (["predict", "nowhere", __file__], "nowhere is not a bundle"),
        (["scores", "nowhere"], "finish the run with snakemake"),
    ],
)
def test_wrong_arguments_give_a_one_line_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AutobirdError, match="no recording"):
        find_files([tmp_path])


def test_a_damaged_bundle_and_one_of_another_format_are_rejected(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    for text, message in (('{"format": 1}', "is damaged"), ('{"format": 9}', "has format 9")):
        (folder / "bundle.json").write_text(text)
        write_json(folder / "manifest.json", bundle_manifest(folder))
        with pytest.raises(AutobirdError, match=message):
            Bundle.load(folder)


def test_a_bundle_with_independent_outputs_has_a_probability_of_each_species_by_itself(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b")
    softmax, song = Classifier(folder), tmp_path / "song.wav"
    soundfile.write(song, 0.1 * np.random.default_rng(2).standard_normal(9 * 16000), 16000)
    logits = np.log(softmax.predict(song).probabilities) * 1.5  # of the network, minus a constant per window
    description = read_json(folder / "bundle.json") | {
        "format": 3, "backbone": None, "outputs": "independent", "scale": [1.5, 0.5], "offset": [-1.0, 2.0], "thresholds": [0.2, 1.0],
    }  # fmt: skip
    del description["temperature"]
    description["unknown_score"] = {"measure": "largest_logit", "quantiles": [-0.5, 0.0, 0.5]}
    write_json(folder / "bundle.json", description)
    write_json(folder / "manifest.json", bundle_manifest(folder))
    found = Classifier(folder).predict(song)
    z = (scipy.special.logit(found.probabilities) - [-1.0, 2.0]) / [1.5, 0.5]
    assert found.unknown is not None
    np.testing.assert_allclose(found.unknown, np.clip(0.5 - z.max(axis=1), 0, 1), atol=1e-6)
    assert found.recording_unknown == found.unknown.min()
    (detection,) = Classifier(folder).detections(found)
    assert (detection.start, detection.end, detection.unknown_score) == (0, 9, found.unknown.min())
    assert softmax.predict(song).unknown is softmax.predict(song).recording_unknown is None
    np.testing.assert_allclose(z[:, 0] - z[:, 1], logits[:, 0] - logits[:, 1], atol=1e-6)
    np.testing.assert_allclose(found.recording, found.probabilities.mean(axis=0))
    p = found.probabilities
    assert found.detected.tolist() == (p >= [0.2, 1.0]).tolist()
    binary = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert found.drift_features["entropy"] == pytest.approx(binary)
    assert found.drift_features["confidence"] == pytest.approx(p.max(axis=1).mean())
    write_json(folder / "bundle.json", description | {"smoothing": 0.25})
    write_json(folder / "manifest.json", bundle_manifest(folder))
    averaged = Classifier(folder).predict(song)
    assert len(p) == 3
    expected = [p[:2].T @ [2 / 3, 1 / 3], p.T @ [0.25, 0.5, 0.25], p[1:].T @ [1 / 3, 2 / 3]]
    np.testing.assert_allclose(averaged.probabilities, expected)
    assert averaged.detected.tolist() == (np.array(expected) >= [0.2, 1.0]).tolist()
    # The drift test compares the network's own answers, and the score of unknown species is of single windows.
    assert averaged.drift_features == found.drift_features
    np.testing.assert_array_equal(averaged.unknown, found.unknown)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": "sigmoid"}, "outputs is 'sigmoid'"),
        ({"scale": [1.0]}, "different lengths"),
        ({"offset": None}, "is damaged"),
        ({"smoothing": 0.5}, "smoothing is 0.5"),
    ],
)
def test_a_calibration_that_does_not_fit_the_labels_is_rejected(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = make_bundle(tmp_path / "b")
    description = read_json(folder / "bundle.json") | {
        "format": 3,
        "backbone": None,
        "outputs": "independent",
        "scale": [1.5, 0.5],
        "offset": [-1.0, 2.0],
    }
    write_json(folder / "bundle.json", description | change)
    write_json(folder / "manifest.json", bundle_manifest(folder))
    with pytest.raises(AutobirdError, match=message):
        Bundle.load(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: (b / "model.onnx").unlink(), "model.onnx is missing; copy the bundle again or recreate it"),
        (lambda b: (b / "model.onnx").write_bytes(b"x"), "model.onnx was changed after the bundle was made"),
        (lambda b: (b / "bundle.json").write_text("{}"), "bundle.json was changed after the bundle was made"),
        (lambda b: (b / "notes.txt").write_text("x"), "notes.txt is not part of the bundle; move it elsewhere"),
        (lambda b: (b / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda b: (b / "manifest.json").unlink(), "is not a bundle"),
    ],
)
def test_an_incomplete_or_changed_bundle_is_rejected_by_all_commands(
    tmp_path: Path, damage: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_bundle(tmp_path / "b")
    damage(folder)
    commands = (
        (["predict", str(folder), str(folder)], 2),
        (["serve", str(folder), "--port", "0"], 2),
        (["bundle", "check", str(folder)], 1),
    )
    for command, code in commands:
        with pytest.raises(SystemExit) as end:
            cli.main(command)
        assert end.value.code == code
        assert message in capsys.readouterr().err


def difficult_recordings(folder: Path) -> dict[str, tuple[Path, str]]:
    """Write difficult recordings; return the path of each and a part of its error message ("" if it can be classified)."""
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal(8 * 16000)
    bad = noise.astype(np.float32)
    bad[100] = np.nan
    recordings: dict[str, tuple[np.ndarray, int, str | None, str]] = {
        "short.wav": (noise[:3200], 16000, None, "0.20 s of audio is too short to classify; give at least 0.5 s"),
        "silent.wav": (np.zeros(6 * 16000), 16000, None, ""),
        "telephone.wav": (noise[: 6 * 8000], 8000, None, ""),
        "nan.wav": (bad, 16000, "FLOAT", "samples that are not finite"),
        "hours.flac": (np.full(3 * 3600 * 8000, 0.01), 8000, None, "of decoded audio"),
    }
    out = {}
    for name, (samples, rate, subtype, message) in recordings.items():
        soundfile.write(folder / name, samples, rate, subtype=subtype)
        out[name] = (folder / name, message)
    # A small mp3 file of twenty hours: the frames of one minute, repeated.
    minute = io.BytesIO()
    soundfile.write(minute, np.zeros(8000 * 60), 8000, format="MP3", subtype="MPEG_LAYER_III")
    frames = minute.getvalue()
    frames = frames[mpeg_frame_length(frames[:4]) :]  # without the first frame, which declares the length of the file
    (folder / "bomb.mp3").write_bytes(frames * 1200)
    for name, data, message in (("text.wav", b"words", "text, not audio"), ("empty.wav", b"", "empty file")):
        (folder / name).write_bytes(data)
        out[name] = (folder / name, message)
    out["bomb.mp3"] = (
        folder / "bomb.mp3",
        "longer than 7200 s of decoded audio; cut the recording, or raise --max-seconds",
    )
    return out


def test_difficult_recordings_are_classified_or_skipped_with_a_reason(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = difficult_recordings(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(bundle), str(tmp_path), "--max-seconds", "7200"])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    errors = {line.partition(": skipped: ")[0]: line.partition(": skipped: ")[2] for line in err.splitlines()}
    lines = out.splitlines()
    for name, (path, message) in recordings.items():
        assert (str(path) in errors) == bool(message), name
        assert message in errors.get(str(path), ""), name
        [at] = [number for number, line in enumerate(lines) if line.startswith(str(path))]
        assert ("skipped: " in lines[at + 1]) == bool(message), name
        assert ("the recording has no signal" in lines[at + 1]) == (name == "silent.wav"), name


def test_prediction_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from autobird.predict import Classifier; import autobird.cli, autobird.serving.app; "
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'evidently', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_demo_command_writes_recordings_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(
        ["demo", str(tmp_path / "d"), "--species", "2", "--recordings", "3", "--negatives", "4", "--other-birds", "1"]
    )
    assert "11 recordings of 2 species and of sound without them" in capsys.readouterr().out
    files = [p for p in (tmp_path / "d").rglob("*") if p.is_file()]
    assert len(files) == 12
    assert sum(p.parent.name == "noise" for p in files) == 4
    assert sum(p.parent.name == "other" for p in files) == 1


def test_telemetry_of_the_libraries_is_switched_off(tmp_path: Path, bundle: Path) -> None:
    names = ("ORT_DISABLE_TELEMETRY", "DO_NOT_TRACK", "WANDB_ERROR_REPORTING")
    code = (
        f"from autobird.predict import Classifier; Classifier({str(bundle)!r}); "
        f"import os; print(*(os.environ[n] for n in {names}))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in (*names, "CI")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment | {"TMPDIR": str(tmp_path)},
    )
    assert done.stdout.split() == ["1", "1", "false"]
    # ONNX Runtime's telemetry would write a file to the temporary folder.
    assert not list(tmp_path.iterdir())


def test_a_classifier_with_another_hop_smooths_over_the_same_time(tmp_path: Path) -> None:
    classifier = Classifier(make_bundle(tmp_path / "bundle"))
    calibration = replace(classifier.bundle.calibration, smoothing=0.25)
    classifier.bundle = replace(classifier.bundle, calibration=calibration)
    hop = classifier.bundle.features.hop
    changed = [classifier.with_options(AnswerOptions(overlay=False), factor * hop) for factor in (2, 0.5)]
    assert [(c.bundle.calibration.smoothing, c.bundle.calibration.distance) for c in changed] == [(0, 1), (0.25, 2)]
