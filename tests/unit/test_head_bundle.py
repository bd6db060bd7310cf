"""Bundles whose model is a head on a pretrained backbone: prediction, server, errors."""

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import soundfile
from numpy.typing import NDArray

from autobird import cli
from autobird.audio.decode import decode
from autobird.audio.mel import FrontEnd, window_mean_std
from autobird.audio.settings import FeatureSettings
from autobird.audio.windows import is_quiet, window_rms, window_starts
from autobird.backbone import stream as embedding_stream
from autobird.backbone.base import BackboneInfo
from autobird.backbone.known import BIRDNET
from autobird.backbone.load import load_backbone
from autobird.backbone.settings import BackboneSettings
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.core.hashing import file_digest
from autobird.predict import Classifier, batch, stream
from autobird.predict.backbone import check_backbone
from autobird.predict.bundle import Bundle, bundle_manifest
from autobird.predict.files import predict_file, time_per_megabyte
from autobird.predict.formats import JsonFormat, TableFormat, as_text, file_rows
from autobird.predict.journal import Journal
from autobird.serving.app import create_app
from autobird.serving.compute.pool import InlinePool
from autobird.serving.compute.requests import TaskOptions
from autobird.serving.compute.time_limit import time_limit
from autobird.serving.compute.worker import load
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings
from tests.backbones import SETTINGS as SMALL
from tests.backbones import needs_birdnet, needs_litert, write_tflite
from tests.heads import FEATURES, LABELS, RATE, WIDTH, head_weights, make_backbone, make_head_bundle
from tests.unit.test_predict import difficult_recordings, make_bundle
from tests.unit.test_server import start


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BackboneInfo]:
    """The file of a small backbone, and its description."""
    file = tmp_path_factory.mktemp("backbone") / "tiny.onnx"
    return file, make_backbone(file)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, backbone: tuple[Path, BackboneInfo]) -> Path:
    return make_head_bundle(tmp_path_factory.mktemp("bundle"), backbone[1], backbone[0])


@pytest.fixture
def classifier(bundle: Path, backbone: tuple[Path, BackboneInfo]) -> Classifier:
    return Classifier(bundle, backbone=backbone[0])


def expected_logits(samples: NDArray[np.int16], windows: int, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits of windows of two seconds that start every second: the mean of the embeddings of both seconds, as float16.

    A second after the end of the recording is left out.
    """
    x = np.pad(samples.astype(np.float64) / 32768, (0, (windows + 1) * RATE))
    second = np.tanh([x[n * RATE : (n + 1) * RATE] @ weights for n in range(windows + 1)])
    means = (second[:-1] + second[1:]) / 2 if len(samples) > RATE else second[:1]
    embeddings = means.astype(np.float16).astype(np.float64)
    head, bias = head_weights(WIDTH, len(LABELS))
    return embeddings @ head + bias


def projections() -> NDArray[np.float64]:
    """The weights of the backbone."""
    return np.random.default_rng(0).normal(0, 0.1, (RATE, WIDTH)).astype(np.float32).astype(np.float64)


def noise(file: Path, seconds: float, rate: int, channels: int = 1, silence: tuple[float, float] = (0, 0)) -> Path:
    x = 0.1 * np.random.default_rng(0).standard_normal((int(seconds * rate), channels))
    x[int(silence[0] * rate) : int(silence[1] * rate)] = 0
    soundfile.write(file, x, rate)
    return file


@pytest.mark.parametrize("seconds", [0.6, 1.9, 2.0, 7.3])
@pytest.mark.parametrize("rate", [22050, 32000, 44100])
def test_probabilities_are_those_of_the_head_on_the_embeddings_of_the_windows(
    classifier: Classifier, tmp_path: Path, seconds: float, rate: int
) -> None:
    """Also of recordings that are shorter than a window, or than a window of the backbone: they are padded with zeros."""
    file = noise(tmp_path / "a.wav", seconds, rate)
    p = classifier.predict(file)
    assert p.duration == pytest.approx(seconds, abs=1e-4)
    assert p.starts.tolist() == list(range(max(1, math.ceil(seconds - 1))))
    logits = expected_logits(decode(file, RATE), len(p.starts), projections())
    np.testing.assert_allclose(p.probabilities, scipy.special.softmax(logits / 1.5, axis=1), atol=2e-3)
    assert not p.quiet.any()


def test_levels_quiet_windows_and_frames_are_those_of_the_features(classifier: Classifier, tmp_path: Path) -> None:
    file = noise(tmp_path / "a.wav", 9.2, 44100, silence=(3.0, 6.5))
    p, samples = classifier.predict(file), decode(file, 16000)
    front_end = FrontEnd.of(FEATURES)
    frames, firsts = front_end.windows(samples)
    starts = window_starts(len(samples), FEATURES.window_samples, FEATURES.hop_samples)
    rms = window_rms(samples, starts, FEATURES.window_samples)
    _, std = window_mean_std(frames.astype(np.float16), firsts, front_end.frames_per_window)
    np.testing.assert_array_equal(p.rms, rms)
    np.testing.assert_array_equal(p.quiet, is_quiet(rms, std, FEATURES))
    assert p.quiet.tolist() == [s in (3, 4) for s in range(9)][: len(p.quiet)]
    np.testing.assert_array_equal(p.frames, frames)
    np.testing.assert_allclose(p.recording, p.probabilities[~p.quiet].mean(axis=0))


@pytest.mark.parametrize("held_seconds", [0.0, 7.0, 600.0])
@pytest.mark.parametrize("window", [0.5, 1.0, 2.0, 2.3])
def test_a_long_recording_in_blocks_has_the_values_of_the_whole_recording(
    tmp_path: Path,
    backbone: tuple[Path, BackboneInfo],
    monkeypatch: pytest.MonkeyPatch,
    held_seconds: float,
    window: float,
) -> None:
    """To the bit, whenever the first samples are classified."""
    features = FeatureSettings(window=window, hop=0.5)
    classifier = Classifier(make_head_bundle(tmp_path / "b", backbone[1], backbone[0], features), backbone=backbone[0])
    file = noise(tmp_path / "a.flac", 33.7, 44100)
    whole = classifier.predict(file)
    for module in (stream, embedding_stream):
        monkeypatch.setattr(module, "_HELD_SECONDS", held_seconds)
    streamed = classifier.predict(file, keep_frames=False)
    assert len(whole.probabilities) == 1 + math.ceil((33.7 - window) / 0.5)
    assert len(streamed.frames) == 0 < len(whole.frames)
    assert streamed.drift_features == whole.drift_features
    for name in ("starts", "probabilities", "detected", "recording", "quiet", "rms"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name), err_msg=name)


def test_the_same_channels_are_used_for_the_features_and_the_backbone(classifier: Classifier, tmp_path: Path) -> None:
    """One of two channels is silent, which is known only at the end of the file: it is decoded again."""
    x = 0.1 * np.random.default_rng(0).standard_normal(5 * 44100)
    soundfile.write(tmp_path / "mono.wav", x, 44100)
    soundfile.write(tmp_path / "silent.wav", np.stack([np.zeros_like(x), x], 1), 44100)
    soundfile.write(tmp_path / "cancelling.wav", np.stack([x, -0.8 * x], 1), 44100)
    mono = classifier.predict(tmp_path / "mono.wav")
    for name, note in (("silent", "channel 1 of 2 is silent and left out"), ("cancelling", "only channel 1 is used")):
        found = classifier.predict(tmp_path / f"{name}.wav")
        assert note in found.note
        np.testing.assert_array_equal(found.probabilities, mono.probabilities, err_msg=name)
        np.testing.assert_array_equal(found.rms, mono.rms, err_msg=name)


def test_a_quiet_recording_has_no_species(classifier: Classifier, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "q.wav", np.zeros(6 * 48000), 48000)
    result = predict_file(classifier, tmp_path / "q.wav", "q")
    assert (result.error, result.species, result.detections) == ("", None, [])
    assert np.isfinite(list(result.drift_features.values())).all()


def test_a_recording_without_the_upper_band_has_a_note_in_all_outputs(
    classifier: Classifier, bundle: Path, tmp_path: Path
) -> None:
    low, high = noise(tmp_path / "low.wav", 3, 8000), noise(tmp_path / "high.wav", 3, 22050)
    results = [predict_file(classifier, file, file.name) for file in (low, high)]
    note = (
        "its sampling rate is 8000 Hz, so it has no sound above 4 kHz, but the backbone tiny-backbone expects sound up to 16 kHz, so "
        "species may be missed or confused"
    )
    assert [r.note for r in results] == [note, ""]
    assert as_text(TableFormat(), results).count("note: its sampling rate is 8000 Hz") == 1
    assert [f.get("note") for f in json.loads(as_text(JsonFormat(classifier.bundle), results))["files"]] == [note, None]
    header, *rows = file_rows(results)
    assert [row[header.index("note")] for row in rows] == [note, ""]


def test_each_file_on_the_terminal_has_all_its_notes_and_the_end_counts_each_note(
    bundle: Path, backbone: tuple[Path, BackboneInfo], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(2):
        noise(tmp_path / f"{n}.wav", 3, 8000)
    for n, rate in enumerate((8000, 44100), 2):  # cut: the headers declare 3 s and 4 s
        whole = noise(tmp_path / f"{n}.wav", 1 + n, rate).read_bytes()
        (tmp_path / f"{n}.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SystemExit):
        cli.main(["predict", str(bundle), str(tmp_path), "--backbone", str(backbone[0])])
    out, err = capsys.readouterr()
    notes: dict[str, list[str]] = {}
    name = ""
    for line in out.splitlines():
        if line.startswith("    note: "):
            notes[name].append(line.removeprefix("    note: ").split(" is ")[0].split(" declares ")[0])
        elif not line.startswith(" "):
            name = Path(line.rsplit("  (", 1)[0]).name
            notes[name] = []
    band, cut = "its sampling rate", "the header"
    assert notes == {"0.wav": [band], "1.wav": [band], "2.wav": [cut, band], "3.wav": [cut]}
    at_end = [line for line in err.splitlines() if line.startswith("note: ")]
    assert len(at_end) == 2
    assert re.match(
        r"note: 3 files were classified with a note like that of .*0\.wav: its sampling rate is 8000 Hz", at_end[0]
    )
    assert re.match(
        r"note: 2 files were classified with a note like that of .*2\.wav: the header declares 3\.0 s", at_end[1]
    )


def test_the_command_predicts_with_several_processes_and_keeps_notes_when_it_continues(
    bundle: Path,
    backbone: tuple[Path, BackboneInfo],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for n in range(3):
        noise(tmp_path / f"{n}.wav", 3 + n, 8000 if n == 1 else 44100)
    (tmp_path / "broken.wav").write_text("no sound")
    output = tmp_path / "d.csv"
    command = ["predict", str(bundle), str(tmp_path), "--backbone", str(backbone[0]), "--jobs", "2", "--csv"]
    monkeypatch.setattr(Journal, "remove", Journal.close)  # as if the command were ended before it removes its journal
    tables = []
    for message in ("4 files, ", "results of 4 files are taken over"):
        with pytest.raises(SystemExit) as end:
            cli.main([*command, "--output", str(output)])
        assert end.value.code == 1
        err = capsys.readouterr().err
        assert message in err
        assert "1.wav was classified with a note: its sampling rate is 8000 Hz" in err
        tables.append(output.with_name("d.files.csv").read_text())
    assert tables[0] == tables[1]
    rows = {Path(row["file"]).name: row for row in csv.DictReader(io.StringIO(tables[0]))}
    assert {n: (r["status"] == "skipped", bool(r["reason"]), bool(r["note"])) for n, r in rows.items()} == {
        "0.wav": (False, False, False), "1.wav": (False, False, True), "2.wav": (False, False, False),
        "broken.wav": (True, True, False),
    }  # fmt: skip


def test_difficult_recordings_are_classified_or_skipped_with_a_reason(
    bundle: Path, backbone: tuple[Path, BackboneInfo], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = difficult_recordings(tmp_path)
    options = ["--max-seconds", "7200", "--backbone", str(backbone[0]), "--json"]
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(bundle), str(tmp_path), *options])
    assert end.value.code == 1
    files = {Path(f["file"]).name: f for f in json.loads(capsys.readouterr().out)["files"]}
    assert {name: bool(f.get("error")) for name, f in files.items()} == {n: bool(m) for n, (_, m) in recordings.items()}
    for name, (_, message) in recordings.items():
        assert message in files[name].get("error", ""), name


def test_the_stage_of_a_batch_classifies_with_the_backbone(
    bundle: Path, backbone: tuple[Path, BackboneInfo], tmp_path: Path
) -> None:
    noise(tmp_path / "a.wav", 4, 44100)
    (tmp_path / "manifest.csv").write_text("recording,sha256\na.wav,x\n")
    outputs = [f"--{name}={tmp_path / name}.csv" for name in ("detections", "files", "skipped", "features")]
    arguments = [
        "--bundle",
        str(bundle),
        "--manifest",
        str(tmp_path / "manifest.csv"),
        "--root",
        str(tmp_path),
        *outputs,
    ]
    batch.main([*arguments, "--backbone", str(backbone[0])])
    expected = predict_file(Classifier(bundle, backbone=backbone[0]), tmp_path / "a.wav", "a.wav")
    with (tmp_path / "detections.csv").open(newline="") as file:
        assert [(r["species"], r["probability"]) for r in csv.DictReader(file)] == [
            (d.species, f"{d.probability:.4f}") for d in expected.detections
        ]
    with pytest.raises(AutobirdError, match="needs the backbone tiny-backbone"):
        batch.main(arguments)


@pytest.mark.parametrize("command", [["predict"], ["bundle", "check"], ["serve"]])
def test_a_backbone_that_is_missing_or_another_one_is_a_one_line_error_of_all_commands(
    bundle: Path,
    backbone: tuple[Path, BackboneInfo],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    _, info = backbone
    make_backbone(tmp_path / "other.onnx", seed=5)
    noise(tmp_path / "a.wav", 3, 44100)
    paths = [str(bundle), *([str(tmp_path / "a.wav")] if command == ["predict"] else [])]
    options = ["--port", "0"] if command == ["serve"] else []
    for given, message in (
        (
            [],
            f"{bundle} needs the backbone tiny-backbone (a test), which it does not contain; give the path of its file, whose sha256 is",
        ),
        (
            ["--backbone", str(tmp_path / "no.onnx")],
            f"{tmp_path / 'no.onnx'} is not there or cannot be read; correct the path",
        ),
        (
            ["--backbone", str(tmp_path / "other.onnx")],
            f"was made with {info.sha256}; give the right file (--backbone FILE",
        ),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main([*command, *paths, *options, *given])
        assert end.value.code == (1 if command == ["bundle", "check"] else 2)
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


def test_a_backbone_for_a_bundle_that_needs_none_is_an_error(
    tmp_path: Path, backbone: tuple[Path, BackboneInfo]
) -> None:
    with pytest.raises(AutobirdError, match=r"needs no backbone, but .* is given; leave out the backbone"):
        Classifier(make_bundle(tmp_path / "b"), backbone=backbone[0])


def test_the_environment_variable_names_the_file_of_the_backbone(
    bundle: Path,
    backbone: tuple[Path, BackboneInfo],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AUTOBIRD_BACKBONE", str(backbone[0]))
    with pytest.raises(SystemExit) as end:
        cli.main(["bundle", "check", str(bundle)])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert f"backbone:   tiny-backbone (CC BY-NC-SA 4.0), sha256 {backbone[1].sha256}" in out
    assert "difference: at most 0.0" in out


def test_birdnet_that_is_not_installed_is_named_with_the_command_that_installs_it(
    tmp_path: Path, backbone: tuple[Path, BackboneInfo], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autobird.backbone.birdnet_files.find_spec", lambda _: None)
    monkeypatch.setenv("BIRDNET_APP_DATA", str(tmp_path))
    with_other_backbone(bundle, tmp_path / "b", name=BIRDNET)
    with pytest.raises(
        AutobirdError, match=r"needs the backbone birdnet-2\.4, which is not installed; install it: .*pip install"
    ) as error:
        Classifier(tmp_path / "b")
    assert "\n" not in str(error.value)
    assert error.value.__cause__ is None  # Python would print a second traceback
    assert error.value.__suppress_context__


def test_a_path_of_another_file_for_birdnet_is_named_with_the_remedy(
    tmp_path: Path, backbone: tuple[Path, BackboneInfo], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BirdNET is found without a path, so a wrong path is usually one for another bundle."""
    head = Bundle.load(with_other_backbone(bundle, tmp_path / "b", name=BIRDNET, sha256="0" * 64))
    monkeypatch.setenv("AUTOBIRD_BACKBONE", str(backbone[0]))
    for given in (None, backbone[0]):
        with pytest.raises(
            AutobirdError, match=r"was made with 0{64}; do not give its path \(--backbone FILE, .*, or install it"
        ):
            check_backbone(head, given)


def test_a_tflite_backbone_without_its_package_is_a_one_line_error(
    tmp_path: Path, backbone: tuple[Path, BackboneInfo], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check does not load the network: the file may be anything with the recorded checksum."""
    file = tmp_path / "network.tflite"
    file.write_bytes(b"x")
    with_other_backbone(bundle, tmp_path / "b", sha256=file_digest(file))
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        AutobirdError, match=r"need the package ai-edge-litert, which (cannot be imported|is not published)"
    ) as error:
        check_backbone(Bundle.load(tmp_path / "b"), file)
    assert "\n" not in str(error.value)


@needs_litert
def test_worker_processes_predict_with_a_tflite_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its interpreter is created in each process."""
    file = write_tflite(tmp_path / "small.tflite")
    info = load_backbone(BackboneSettings.model_validate(SMALL | {"file": str(file)})).info
    head = make_head_bundle(tmp_path / "b", info, file, FeatureSettings(window=1.0, hop=0.5))
    songs = [noise(tmp_path / f"{n}.wav", 2 + n, 22050) for n in range(4)]
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(head), *map(str, songs), "--backbone", str(file), "--jobs", "2", "--json"])
    assert end.value.code == 0
    found = [list(f["probabilities"].values()) for f in json.loads(capsys.readouterr().out)["files"]]
    classifier = Classifier(head, backbone=file)
    np.testing.assert_array_equal(found, [classifier.predict(song).recording for song in songs])


@needs_birdnet
def test_birdnet_is_found_where_it_is_installed_and_gives_the_same_answers_in_worker_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load_backbone(BackboneSettings())
    features = FeatureSettings(window=3.0, hop=1.5)
    head = make_head_bundle(tmp_path / "b", network.info, None, features)
    songs = [noise(tmp_path / f"{n}.flac", 4 + n, 44100) for n in range(2)]
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(head), *map(str, songs), "--jobs", "2", "--json", "--windows"])
    assert end.value.code == 0
    weights, bias = head_weights(network.info.width, len(LABELS))
    for song, found in zip(songs, json.loads(capsys.readouterr().out)["files"], strict=True):
        samples = decode(song, 48000)
        starts = [round(w["start"] * 48000) for w in found["windows"]]
        padded = np.pad(samples, (0, 3 * 48000)) / np.float32(32768)
        embeddings = network.embed(np.stack([padded[at : at + 3 * 48000] for at in starts]).astype(np.float32))
        logits = embeddings.astype(np.float16).astype(np.float64) @ weights + bias
        expected = scipy.special.softmax(logits / 1.5, axis=1)
        np.testing.assert_allclose([list(w["probabilities"].values()) for w in found["windows"]], expected, atol=1e-3)


def with_other_backbone(bundle: Path, copy: Path, **changes: Any) -> Path:
    """Copy a bundle, and change what it says about its backbone."""
    copy.mkdir()
    for file in bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    text = json.loads((bundle / "bundle.json").read_text())
    text["backbone"] |= changes
    write_json(copy / "bundle.json", text)
    write_json(copy / "manifest.json", bundle_manifest(copy))
    return copy


def test_bundles_of_the_former_format_have_no_backbone(tmp_path: Path, bundle: Path) -> None:
    assert Bundle.load(make_bundle(tmp_path / "b")).backbone is None
    loaded = Bundle.load(bundle)
    assert loaded.backbone is not None
    assert loaded.backbone.width == WIDTH
    text = json.loads((tmp_path / "b/bundle.json").read_text()) | {"format": 2}
    write_json(tmp_path / "b/bundle.json", text)
    write_json(tmp_path / "b/manifest.json", bundle_manifest(tmp_path / "b"))
    with pytest.raises(AutobirdError, match="is damaged"):
        Bundle.load(tmp_path / "b")  # format 2 must say whether there is a backbone
    write_json(tmp_path / "b/bundle.json", text | {"backbone": None})
    write_json(tmp_path / "b/manifest.json", bundle_manifest(tmp_path / "b"))
    assert Bundle.load(tmp_path / "b").backbone is None


def test_time_limits_allow_for_the_backbone(bundle: Path, backbone: tuple[Path, BackboneInfo], tmp_path: Path) -> None:
    """Two windows of the backbone for each second of audio."""
    head, plain = Bundle.load(bundle), Bundle.load(make_bundle(tmp_path / "b"))
    assert head.backbone_windows_per_second == 2
    served = [load(plain.folder)[1], load(bundle, str(backbone[0]))[1]]
    long, unlimited, endless = (TaskOptions(max_seconds=seconds) for seconds in (600, None, 1e9))
    assert [time_limit(b, long) for b in served] == [120 + 12, 120 + 12 + 360]
    assert time_limit(served[0], unlimited) == time_limit(served[1], endless) == 86_400
    assert (time_per_megabyte(plain), time_per_megabyte(head)) == (5, 5 + 300)


def test_the_server_classifies_with_the_backbone(
    bundle: Path, backbone: tuple[Path, BackboneInfo], classifier: Classifier, tmp_path: Path
) -> None:
    client = create_app(Services(InlinePool(bundle, str(backbone[0])), ServeSettings())).test_client()
    data = noise(tmp_path / "a.flac", 4, 8000).read_bytes()
    answer: dict[str, Any] = client.post("/v1/predict?spectrogram=1", data=data).get_json()
    expected = classifier.predict(io.BytesIO(data))
    assert answer["species"][0]["probability"] == pytest.approx(expected.recording.max(), abs=1e-4)
    assert answer["note"] == expected.note
    assert answer["spectrogram"]["bands"] == 64
    model = client.get("/v1/model").get_json()
    assert (model["backbone"]["name"], model["backbone"]["licence"]) == ("tiny-backbone", "CC BY-NC-SA 4.0")


def test_worker_processes_share_a_backbone_and_answer_as_the_command_line(
    bundle: Path, backbone: tuple[Path, BackboneInfo], classifier: Classifier, tmp_path: Path
) -> None:
    data = noise(tmp_path / "a.flac", 4, 44100).read_bytes()
    expected = classifier.predict(io.BytesIO(data))
    server = start(bundle, tmp_path / "log.sqlite", "--workers", "2", "--backbone", str(backbone[0]))
    try:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: server.ask("/v1/predict", data), range(12)))
    finally:
        server.process.terminate()
        server.process.wait(30)
    assert [status for status, _, _ in answers] == [200] * 12
    for _, answer, _ in answers:
        assert answer["species"][0]["probability"] == round(float(expected.recording.max()), 4)


@pytest.fixture
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AUTOBIRD_BACKBONE", raising=False)
    return


pytestmark = pytest.mark.usefixtures("_no_variable")
