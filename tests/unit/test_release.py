"""Export, pruning, quantization, the gate, and what a bundle holds."""

import copy
import io
import json
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from autobird.audio.npy import NpyWriter
from autobird.audio.settings import FeatureSettings
from autobird.drift.monitor import AUDIO_FEATURES, MODEL_FEATURES
from autobird.model.data import Windows
from autobird.model.networks import BasicBlock, CnnTransformer, build
from autobird.model.settings import TrainSettings
from autobird.predict.graph import Graph
from autobird.release.bundle import example_clip
from autobird.release.gate import Candidate, choose
from autobird.release.onnx_files import export, multiply_adds
from autobird.release.prune import fine_tuning, prune
from autobird.release.quantize import quantize
from autobird.release.reference import recording_features, reference
from autobird.release.settings import GateSettings, PruneSettings

ARCHITECTURES = [TrainSettings(width=8), TrainSettings(architecture="cnn_transformer", d_model=16)]


def network(settings: TrainSettings) -> torch.nn.Module:
    torch.manual_seed(0)
    made = build(settings, 5, -8.0, 3.0)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return made.eval()


def windows(tmp_path: Path, n: int = 40, mels: int = 64, frames: int = 157) -> Windows:
    rng = np.random.default_rng(0)
    x = rng.normal(-8, 3, (n * frames, mels)).astype(np.float16)
    with NpyWriter(tmp_path / "s.npy", "<f2", (mels,)) as out:
        out.append(x)
    index = pd.DataFrame(
        {
            "shard": 0,
            "first_frame": np.arange(n) * frames,
            "species": ["a", "b"] * (n // 2),
            "recording": [f"r{i}" for i in range(n)],
        }
    )
    return Windows.of(index, ["a", "b"], [tmp_path / "s.npy"], frames)


def logits(path: Path, w: Windows) -> NDArray[np.float32]:
    """What a graph answers about windows."""
    x, _ = w.take(np.arange(len(w)))
    return Graph(path).logits(x[:, 0].transpose(1, 2).numpy())


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: s.architecture)
def test_the_exported_graph_answers_as_the_network_and_is_the_same_bytes_without_paths(
    settings: TrainSettings, tmp_path: Path
) -> None:
    made = network(settings)
    for name in ("one", "two"):
        export(made, 64, 157, tmp_path / f"{name}.onnx")
    data = (tmp_path / "one.onnx").read_bytes()
    assert data == (tmp_path / "two.onnx").read_bytes()
    assert b"/autobird/" not in data
    assert str(Path.cwd()).encode() not in data
    w = windows(tmp_path, 20)
    with torch.inference_mode():
        expected = made(w.take(np.arange(20))[0]).numpy()
    np.testing.assert_allclose(logits(tmp_path / "one.onnx", w), expected, atol=2e-4)


def test_multiply_adds_are_those_of_the_convolutions_and_products(tmp_path: Path) -> None:
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 4, 3, 2, 1)
            self.linear = torch.nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.conv(x).mean((2, 3)))

    export(Small(), 8, 10, tmp_path / "x.onnx")
    assert multiply_adds(tmp_path / "x.onnx") == 4 * 4 * 5 * 9 + 4 * 5


def pruned_pairs(network: torch.nn.Module) -> list[tuple[torch.nn.Module, torch.nn.BatchNorm2d | None]]:
    """The layers that lose outputs, and the normalisation after each."""
    found: list[tuple[torch.nn.Module, torch.nn.BatchNorm2d | None]] = []
    for module in network.modules():
        if isinstance(module, BasicBlock):
            found.append((module.conv1, module.norm1))
        elif isinstance(module, CnnTransformer):
            found.append((module.cnn[0], module.cnn[1]))
        elif isinstance(module, torch.nn.TransformerEncoderLayer):
            found.append((module.linear1, None))
    return found


def silence_least_important(layer: torch.nn.Module, norm: torch.nn.BatchNorm2d | None, kept: int) -> None:
    """Set to zero what all channels but the `kept` most important ones add to the next layer."""
    importance = layer.weight.detach().abs().flatten(1).sum(1)
    if norm is not None:
        importance = importance * norm.weight.detach().abs() / (norm.running_var + norm.eps).sqrt()
    least = importance.argsort()[: len(importance) - kept]
    with torch.no_grad():
        last = layer if norm is None else norm
        last.weight[least] = 0
        last.bias[least] = 0


@pytest.mark.parametrize(
    ("settings", "widths"), [(ARCHITECTURES[0], [8, 8, 16, 32]), (ARCHITECTURES[1], [16, 32])], ids=["resnet", "cnn"]
)
def test_a_pruned_network_gives_the_logits_of_the_whole_one_without_its_least_important_channels(
    settings: TrainSettings, widths: list[int], tmp_path: Path
) -> None:
    made = network(settings)
    for module in made.modules():  # every channel its own bias, so that a mix-up of channels shows
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.normal_(0, 0.5)
    x = windows(tmp_path, 4).take(np.arange(4))[0]
    silenced = copy.deepcopy(made)
    for (layer, norm), kept in zip(pruned_pairs(silenced), widths, strict=True):
        silence_least_important(layer, norm, kept)
    before = multiply_adds_of(made, tmp_path / "before.onnx")
    with torch.no_grad():
        whole, expected = made(x), silenced(x)
        small = prune(made, 0.5)
        found = small(x)
    assert [len(layer.weight) for layer, _ in pruned_pairs(small)] == widths
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (whole - expected).abs().max() > 0.01  # the removed channels did something
    assert multiply_adds_of(small, tmp_path / "after.onnx") < 0.8 * before


def multiply_adds_of(network: torch.nn.Module, path: Path) -> int:
    """The multiply-adds of the exported network."""
    export(network, 64, 157, path)
    return multiply_adds(path)


def test_removing_channels_that_do_nothing_changes_nothing() -> None:
    torch.manual_seed(1)
    block = BasicBlock(16, 16, 1).eval()
    dead = [0, 3, 4, 7, 9, 11, 12, 15]
    with torch.no_grad():
        block.conv1.weight[dead] = 0
        block.norm1.weight[dead] = 0
        block.norm1.bias[dead] = 0
    x = torch.randn(2, 16, 8, 8)
    with torch.inference_mode():
        expected = block(x)
        found = prune(torch.nn.Sequential(block), 0.5)(x)
    assert block.conv1.out_channels == 8
    torch.testing.assert_close(found, expected)


def test_pruning_nothing_changes_nothing() -> None:
    made = network(ARCHITECTURES[0])
    before = {k: v.clone() for k, v in made.state_dict().items()}
    prune(made, 0.0)
    assert all(torch.equal(before[k], v) for k, v in made.state_dict().items())


def test_the_fine_tuning_is_short_and_gentle() -> None:
    recipe = fine_tuning(TrainSettings(), PruneSettings(prune_epochs=3))
    assert (recipe.epochs, recipe.schedule, recipe.select) == (3, "one_cycle", "last")
    assert recipe.learning_rate == PruneSettings().prune_learning_rate < TrainSettings().learning_rate
    assert fine_tuning(TrainSettings(learning_rate=1e-6), PruneSettings()).learning_rate == 1e-6


def test_int8_is_small_agrees_with_float_and_is_the_same_bytes(tmp_path: Path) -> None:
    made = network(TrainSettings(width=16))
    export(made, 64, 157, tmp_path / "float.onnx")
    w = windows(tmp_path)
    for name in ("a", "b"):
        quantize(tmp_path / "float.onnx", tmp_path / f"{name}.onnx", w, 32)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.onnx").stat().st_size * 3 < (tmp_path / "float.onnx").stat().st_size
    assert multiply_adds(tmp_path / "a.onnx") == multiply_adds(tmp_path / "float.onnx")
    one, two = logits(tmp_path / "float.onnx", w), logits(tmp_path / "a.onnx", w)
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.98
    types = {n.op_type for n in onnx.load(tmp_path / "a.onnx").graph.node}
    assert "QuantizeLinear" in types


def candidate(
    name: str,
    loss: tuple[float, float, float] | None = (0.0, -0.01, 0.01),
    agreement: float = 1.0,
    macs: int = 100,
    bits: int = 32,
    size: int = 1000,
) -> Candidate:
    """A variant with its loss of macro-F1 and the interval of that; None where it is not known."""
    return Candidate(name, *(loss or (0.0, None, None)), agreement, macs, bits, size)


FLOAT = candidate("float", (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("others", "released", "underpowered"),
    [
        # The upper end of the interval decides, not the point estimate.
        ([candidate("int8", (0.005, -0.01, 0.02), bits=8), candidate("pruned", macs=50)], "int8", []),
        ([candidate("int8", (0.005, -0.021, 0.031), bits=8), candidate("pruned", macs=50)], "pruned", []),
        ([candidate("int8", (-0.02, -0.04, 0.0), 0.5, bits=8)], "int8", []),
        # Half the interval is wider than the largest loss: agreement decides.
        ([candidate("int8", (-0.02, -0.06, 0.02), 0.97, bits=8)], "float", ["int8"]),
        ([candidate("int8", (0.02, -0.02, 0.06), 0.99, bits=8)], "int8", ["int8"]),
        ([candidate("int8", None, 0.99, bits=8)], "int8", ["int8"]),
        ([candidate("int8", (0.0, -0.1, 0.1), 0.9, bits=8), candidate("pruned", macs=50)], "pruned", ["int8"]),
        ([candidate("a", bits=8, size=20), candidate("b", bits=8, size=10)], "b", []),
        # A clear loss is no matter of agreement.
        ([candidate("int8", (0.15, 0.08, 0.22), 0.99, bits=8)], "float", ["int8"]),
    ],
)
def test_the_gate_releases_the_cheapest_that_passes(
    others: list[Candidate], released: str, underpowered: list[str]
) -> None:
    choice = choose([FLOAT, *others], 125, 76, GateSettings())
    assert choice.released == released
    assert choice.reason.startswith(f"{released}: the cheapest of those that pass")
    assert choice.underpowered == underpowered
    assert ("the gate was underpowered for int8" in choice.reason) == bool(underpowered)


def test_the_gate_says_why_each_variant_failed() -> None:
    wide, lossy = candidate("pruned", (0, -0.2, 0.2), 0.9), candidate("int8", (0.02, 0.0, 0.04), bits=8)
    choice = choose([FLOAT, wide, lossy], 125, 76, GateSettings())
    assert choice.released == "float"
    assert choice.failed == {
        "pruned": "agrees with float in 0.9000 of the validation windows, less than 0.98",
        "int8": "may lose up to 0.0400 of macro-F1 on validation, more than 0.03",
    }


def test_the_clip_is_synthesised_and_the_same_bytes() -> None:
    data = example_clip()
    assert data == example_clip()
    samples, rate = soundfile.read(io.BytesIO(data))
    assert 6 < len(samples) / rate < 9


def frames(rng: np.random.Generator, n: int) -> NDArray[np.float16]:
    return rng.normal(-9, 1, (n, 64)).astype(np.float16)


def test_the_reference_takes_audio_from_training_and_answers_from_validation() -> None:
    rng = np.random.default_rng(0)
    index = pd.DataFrame(
        {
            "recording": ["a", "a", "b", "c"], "group": ["g", "g", "h", "i"], "split": ["train", "train", "train", "validation"],
            "shard": 0, "first_frame": np.arange(4) * 157, "rms": 0.1,
        }
    )  # fmt: skip
    predictions = pd.DataFrame({"recording": ["c"], "logits": [np.array([4.0, 0.0])]})
    shard = frames(rng, 4 * 157)
    shard += np.arange(4, dtype=np.float16).repeat(157)[:, None]  # the level tells the windows apart
    table = recording_features(index, predictions, [shard], FeatureSettings(), 2.0)
    made = reference(table)
    assert made["audio"]["features"] == list(AUDIO_FEATURES)
    assert made["audio"]["groups"] == [0, 1]
    values = np.array(made["audio"]["values"])
    assert values.shape == (2, 6)
    parts = shard[: 2 * 157].astype(float), shard[2 * 157 : 3 * 157].astype(float)
    np.testing.assert_allclose(values[:, :2], [(x.mean(), x.std()) for x in parts], atol=1e-4)
    np.testing.assert_allclose(values[:, 4], -20)
    assert made["model"]["features"] == list(MODEL_FEATURES)
    sure = 1 / (1 + np.exp(-2))
    expected = [sure, -sure * np.log(sure) - (1 - sure) * np.log(1 - sure)]
    np.testing.assert_allclose(made["model"]["values"], [expected], atol=1e-4)
    json.dumps(made, allow_nan=False)
