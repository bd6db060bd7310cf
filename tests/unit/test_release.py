"""Export, pruning, quantization, the release gate, and parts of a bundle."""

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
from autobird.drift.features import AUDIO_FEATURES, MODEL_FEATURES
from autobird.model.data import WindowDataset
from autobird.model.networks import BasicBlock, CnnTransformer, build_network
from autobird.model.settings import TrainSettings
from autobird.predict.classification import Calibration
from autobird.predict.graph import Graph
from autobird.release.bundle import example_clip
from autobird.release.drift_reference import drift_reference, drift_table
from autobird.release.gate import Bounds, Candidate, select_variant
from autobird.release.onnx_files import export, multiply_adds
from autobird.release.prune import fine_tuning, prune
from autobird.release.quantize import calibration_rows, quantize
from autobird.release.settings import GateSettings, PruneSettings
from tests.label_sets import label_columns

ARCHITECTURES = [TrainSettings(width=8), TrainSettings(architecture="cnn_transformer", d_model=16)]


def network(settings: TrainSettings) -> torch.nn.Module:
    """An untrained network whose batch normalisation has random statistics, like that of a trained one."""
    torch.manual_seed(0)
    made = build_network(settings, 5, -8.0, 3.0)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return made.eval()


def windows(tmp_path: Path, n: int = 40, mels: int = 64, frames: int = 157) -> WindowDataset:
    """Windows of noise, one per recording."""
    rng = np.random.default_rng(0)
    x = rng.normal(-8, 3, (n * frames, mels)).astype(np.float16)
    with NpyWriter(tmp_path / "s.npy", "<f2", (mels,)) as out:
        out.append(x)
    index = pd.DataFrame(
        {
            "shard": 0,
            "first_frame": np.arange(n) * frames,
            "recording": [f"r{i}" for i in range(n)],
            **label_columns(["a", "b"] * (n // 2)),
        }
    )
    return WindowDataset.from_index(index, ["a", "b"], [tmp_path / "s.npy"], frames)


def test_the_ranges_of_int8_are_measured_on_windows_with_species_and_some_negatives(tmp_path: Path) -> None:
    few, many = windows(tmp_path, 40), windows(tmp_path, 40)
    few.labels.present[[3, 5]] = many.labels.present[np.arange(40) % 8 > 0] = False
    assert calibration_rows(windows(tmp_path, 40), 20).tolist() == np.linspace(0, 39, 20).round().tolist()
    assert calibration_rows(few, 1000).tolist() == list(range(40))
    assert np.isin([3, 5], calibration_rows(few, 8)).all()
    rows = calibration_rows(many, 8)
    assert (rows % 8 == 0).sum() == 5  # all windows with species
    assert len(rows) == 8


def logits(path: Path, w: WindowDataset) -> NDArray[np.float32]:
    """The logits of an ONNX file for windows."""
    x = w.take(np.arange(len(w)))
    return Graph(path).logits(x[:, 0].transpose(1, 2).numpy())


@pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda s: s.architecture)
def test_the_exported_file_is_reproducible_holds_no_paths_and_gives_the_logits_of_the_network(
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
        expected = made(w.take(np.arange(20))).numpy()
    np.testing.assert_allclose(logits(tmp_path / "one.onnx", w), expected, atol=2e-4)


def test_multiply_adds_count_convolutions_and_matrix_products(tmp_path: Path) -> None:
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 4, 3, 2, 1)
            self.linear = torch.nn.Linear(4, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.conv(x).mean((2, 3)))

    export(Small(), 8, 10, tmp_path / "x.onnx")
    assert multiply_adds(tmp_path / "x.onnx") == 4 * 4 * 5 * 9 + 4 * 5


def pruned_layers(network: torch.nn.Module) -> list[tuple[torch.nn.Module, torch.nn.BatchNorm2d | None]]:
    """Return the layers whose output channels are pruned, each with the normalisation after it."""
    found: list[tuple[torch.nn.Module, torch.nn.BatchNorm2d | None]] = []
    for module in network.modules():
        if isinstance(module, BasicBlock):
            found.append((module.conv1, module.norm1))
        elif isinstance(module, CnnTransformer):
            found.append((module.cnn[0], module.cnn[1]))
        elif isinstance(module, torch.nn.TransformerEncoderLayer):
            found.append((module.linear1, None))
    return found


def zero_least_important(layer: torch.nn.Module, norm: torch.nn.BatchNorm2d | None, kept: int) -> None:
    """Set the output of all channels except the `kept` most important ones to zero."""
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
def test_a_pruned_network_gives_the_logits_of_the_original_one_with_its_least_important_channels_set_to_zero(
    settings: TrainSettings, widths: list[int], tmp_path: Path
) -> None:
    made = network(settings)
    for module in made.modules():  # a different bias in each channel, to detect exchanged channels
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.normal_(0, 0.5)
    x = windows(tmp_path, 4).take(np.arange(4))
    zeroed = copy.deepcopy(made)
    for (layer, norm), kept in zip(pruned_layers(zeroed), widths, strict=True):
        zero_least_important(layer, norm, kept)
    before = multiply_adds_of(made, tmp_path / "before.onnx")
    with torch.no_grad():
        original, expected = made(x), zeroed(x)
        small = prune(made, 0.5)
        found = small(x)
    assert [len(layer.weight) for layer, _ in pruned_layers(small)] == widths
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (original - expected).abs().max() > 0.01  # the removed channels have an effect
    assert multiply_adds_of(small, tmp_path / "after.onnx") < 0.8 * before


def multiply_adds_of(network: torch.nn.Module, path: Path) -> int:
    """Return the multiply-adds of the exported network."""
    export(network, 64, 157, path)
    return multiply_adds(path)


def test_removing_channels_that_are_always_zero_does_not_change_the_output() -> None:
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
        pruned = prune(torch.nn.Sequential(block), 0.5)(x)
    assert block.conv1.out_channels == 8
    torch.testing.assert_close(pruned, expected)


def test_pruning_a_share_of_zero_does_not_change_the_weights() -> None:
    made = network(ARCHITECTURES[0])
    before = {k: v.clone() for k, v in made.state_dict().items()}
    prune(made, 0.0)
    assert all(torch.equal(before[k], v) for k, v in made.state_dict().items())


@pytest.mark.parametrize(("training_rate", "pruning_rate", "expected"), [(0.01, 0.001, 0.001), (0.0005, 0.001, 0.0005)])
def test_fine_tuning_has_fewer_epochs_and_the_lower_of_both_learning_rates(
    training_rate: float, pruning_rate: float, expected: float
) -> None:
    recipe = fine_tuning(
        TrainSettings(learning_rate=training_rate), PruneSettings(prune_epochs=3, prune_learning_rate=pruning_rate)
    )
    assert (recipe.epochs, recipe.schedule, recipe.select) == (3, "one_cycle", "last")
    assert recipe.learning_rate == expected


def test_the_int8_file_is_small_reproducible_and_gives_logits_like_the_float32_file(tmp_path: Path) -> None:
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


SMALL = Bounds(0.0, -0.01, 0.01)


def candidate(
    name: str,
    loss: tuple[float, float, float] | None = SMALL,
    agreement: float = 1.0,
    macs: int = 100,
    bits: int = 32,
    size: int = 1000,
    recall: tuple[float, float, float] = SMALL,
    alarms: tuple[float, float, float] | None = None,
) -> Candidate:
    """A variant; `loss` is its loss of macro-F1 and the ends of the interval, or None if the interval is unknown."""
    bounds = [None if b is None else Bounds(*b) for b in (loss, recall, alarms)]
    return Candidate(name, *bounds, agreement, macs, bits, size)


FLOAT = candidate("float", (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("others", "released", "underpowered"),
    [
        # The upper end of the interval decides, not the point estimate.
        ([candidate("int8", (0.005, -0.01, 0.02), bits=8), candidate("pruned", macs=50)], "int8", []),
        ([candidate("int8", (0.005, -0.021, 0.031), bits=8), candidate("pruned", macs=50)], "pruned", []),
        ([candidate("int8", (-0.02, -0.04, 0.0), 0.5, bits=8)], "int8", []),
        # Half the width of the interval exceeds the largest acceptable loss: agreement decides.
        ([candidate("int8", (-0.02, -0.06, 0.02), 0.97, bits=8)], "float", ["int8"]),
        ([candidate("int8", (0.02, -0.02, 0.06), 0.99, bits=8)], "int8", ["int8"]),
        ([candidate("int8", None, 0.99, bits=8)], "int8", ["int8"]),
        ([candidate("int8", (0.0, -0.1, 0.1), 0.9, bits=8), candidate("pruned", macs=50)], "pruned", ["int8"]),
        ([candidate("a", bits=8, size=20), candidate("b", bits=8, size=10)], "b", []),
        # A clear loss fails whatever the agreement.
        ([candidate("int8", (0.15, 0.08, 0.22), 0.99, bits=8)], "float", ["int8"]),
    ],
)
def test_the_gate_selects_the_cheapest_variant_that_passes(
    others: list[Candidate], released: str, underpowered: list[str]
) -> None:
    decision = select_variant([FLOAT, *others], 125, 76, GateSettings())
    assert decision.released == released
    assert decision.reason.startswith(f"{released}: the cheapest variant that passes the release gate")
    assert decision.underpowered == underpowered
    too_small = (
        "validation is too small (125 recordings of one species in 76 groups) to measure the loss of macro-F1 of int8"
    )
    assert (too_small in decision.reason) == bool(underpowered)


def test_the_gate_gives_the_reason_for_each_variant_that_failed() -> None:
    wide, lossy = candidate("pruned", (0, -0.2, 0.2), 0.9), candidate("int8", (0.02, 0.0, 0.04), bits=8)
    decision = select_variant([FLOAT, wide, lossy], 125, 76, GateSettings())
    assert decision.released == "float"
    assert decision.failed == {
        "pruned": "detects the same species as the float32 model in 0.9000 of the validation windows (at least 0.98 required)",
        "int8": "may lose up to 0.0400 of macro-F1 on validation (at most 0.03 allowed)",
    }
    for name, reason in decision.failed.items():
        assert f"; {name} {reason}" in decision.reason


@pytest.mark.parametrize(
    ("variant", "failure", "unclear"),
    [
        (candidate("int8", bits=8, recall=(0.01, -0.01, 0.03), alarms=(1.2, 1.0, 1.44)), "", ""),
        (candidate("int8", bits=8, recall=(0.02, 0.0, 0.04)), "may lose up to 0.0400 of recall of the detections", ""),
        (candidate("int8", bits=8, recall=(0.2, 0.1, 0.3)), "loses at least 0.1000 of recall", "loss of recall of int8"),
        (candidate("int8", bits=8, alarms=(1.3, 1.0, 1.69)), "may give up to 1.69 times as many false alarms", ""),
        (candidate("int8", bits=8, alarms=(3.0, 2.0, 4.5)), "gives at least 2.00 times as many false alarms", ""),
        (candidate("int8", bits=8, alarms=(2.0, 0.5, 8.0)), "", "ratio of false alarms of int8"),
        (
            candidate("int8", agreement=0.9, bits=8, alarms=(2.0, 0.5, 8.0)),
            "detects the same species as the float32 model in 0.9000", "ratio of false alarms of int8",
        ),
    ],
)  # fmt: skip
def test_the_gate_limits_the_loss_of_recall_and_the_false_alarms(
    variant: Candidate, failure: str, unclear: str
) -> None:
    decision = select_variant([FLOAT, variant], 125, 76, GateSettings())
    assert decision.released == ("float" if failure else "int8")
    assert failure in decision.failed.get("int8", "")
    assert bool(decision.underpowered) == bool(unclear)
    if unclear:
        assert f"to measure the {unclear}: agreement with the float32 model decided" in decision.reason


def test_the_gate_says_what_was_measured_of_the_variant_that_passes() -> None:
    int8 = candidate("int8", bits=8, alarms=(1.2, 1.0, 1.44))
    assert "; ".join(select_variant([FLOAT, int8], 125, 76, GateSettings()).reason.split("; ")[1:]) == (
        "compared with the float32 model, it has a loss of 0.0000 [-0.0100, 0.0100] of macro-F1 (upper end: at most 0.03 allowed), "
        "a loss of 0.0000 [-0.0100, 0.0100] of recall of the detections (upper end: at most 0.03 allowed), "
        "1.20 [1.00, 1.44] times as many false alarms (upper end: at most 1.5 allowed) on 125 validation recordings of one species in "
        "76 groups"
    )


def test_the_example_clip_is_synthesised_and_reproducible() -> None:
    data = example_clip()
    assert data == example_clip()
    samples, rate = soundfile.read(io.BytesIO(data))
    assert 6 < len(samples) / rate < 9


def frames(rng: np.random.Generator, n: int) -> NDArray[np.float16]:
    return rng.normal(-9, 1, (n, 64)).astype(np.float16)


def test_the_drift_reference_has_audio_features_of_training_and_model_features_of_validation() -> None:
    rng = np.random.default_rng(0)
    index = pd.DataFrame(
        {
            "recording": ["a", "a", "b", "c"], "group": ["g", "g", "h", "i"], "split": ["train", "train", "train", "validation"],
            "shard": 0, "first_frame": np.arange(4) * 157, "rms": 0.1,
        }
    )  # fmt: skip
    predictions = pd.DataFrame(
        {
            "recording": ["c", "c"], "split": ["validation", "validation_quiet"],
            "logits": [np.array([4.0, 0.0]), np.array([])],  # the network does not see quiet windows
        }
    )  # fmt: skip
    shard = frames(rng, 4 * 157)
    shard += np.arange(4, dtype=np.float16).repeat(157)[:, None]  # each window has its own level
    table = drift_table(index, predictions, [shard], FeatureSettings(), Calibration.softmax(2.0, np.ones(2), "mean"))
    reference = drift_reference(table)
    assert reference["audio"]["features"] == list(AUDIO_FEATURES)
    assert reference["audio"]["groups"] == [0, 1]
    values = np.array(reference["audio"]["values"])
    assert values.shape == (2, 6)
    parts = shard[: 2 * 157].astype(float), shard[2 * 157 : 3 * 157].astype(float)
    np.testing.assert_allclose(values[:, :2], [(x.mean(), x.std()) for x in parts], atol=1e-4)
    np.testing.assert_allclose(values[:, 4], -20)
    assert reference["model"]["features"] == list(MODEL_FEATURES)
    p = 1 / (1 + np.exp(-2))
    expected = [p, -p * np.log(p) - (1 - p) * np.log(1 - p)]
    np.testing.assert_allclose(reference["model"]["values"], [expected], atol=1e-4)
    json.dumps(reference, allow_nan=False)
