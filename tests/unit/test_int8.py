"""int8 models give the same logits with and without VNNI: weights are limited, so that no product saturates."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime import GraphOptimizationLevel as Level

from autobird.audio.npy import NpyWriter
from autobird.model.data import WindowDataset
from autobird.model.settings import TrainSettings
from autobird.release import quantize as stage
from autobird.release.onnx_files import INPUT, export
from autobird.release.prune import prune
from autobird.release.quantize import quantize
from tests.label_sets import label_columns
from tests.unit.test_release import network

RESNET, TRANSFORMER = TrainSettings(width=8), TrainSettings(architecture="cnn_transformer", d_model=16)
ODD_RESNET, ODD_TRANSFORMER = TrainSettings(width=9), TrainSettings(architecture="cnn_transformer", d_model=22)

NETWORKS = [(RESNET, 0.0), (ODD_RESNET, 0.5), (TRANSFORMER, 0.0), (ODD_TRANSFORMER, 0.5)]
"""Settings of networks and the share of channels that is pruned; some widths are not multiples of 8."""

LARGEST_WEIGHT = 32767 // (2 * 255)
"""Largest weight for which the sum of two products with unsigned 8-bit activations fits into 16 bits: 64."""

MAX_DIFFERENCE = 0.12
"""Largest RMS difference between the logits with int8 and with float32 arithmetic, as a share of the logits' spread.

Measured: up to 0.02 (resnet) and 0.06 (cnn_transformer, whose softmax is rounded, too); 0.26 and more if weights of up to 127
saturate.
"""


def name_of(value: object) -> str:
    return f"{value.architecture}-{value.width}-{value.d_model}" if isinstance(value, TrainSettings) else str(value)


def windows(folder: Path, n: int = 24, frames: int = 157) -> WindowDataset:
    """Windows of noise at different levels, so that their logits differ."""
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(0, 4, n), frames)[:, None]
    with NpyWriter(folder / "s.npy", "<f2", (64,)) as out:
        out.append((rng.normal(-8, 3, (n * frames, 64)) + level).astype(np.float16))
    rows = {
        "shard": 0,
        "first_frame": np.arange(n) * frames,
        "recording": [f"r{i}" for i in range(n)],
        **label_columns(["a"] * n),
    }
    return WindowDataset.from_index(pd.DataFrame(rows), ["a"], [folder / "s.npy"], frames)


def int8_file(folder: Path, settings: TrainSettings, share: float) -> Path:
    """Export, prune and quantize a network, and return the int8 file."""
    export(prune(network(settings), share), 64, 157, folder / "float.onnx")
    quantize(folder / "float.onnx", folder / "int8.onnx", windows(folder), 24)
    return folder / "int8.onnx"


def products(path: Path) -> Iterator[tuple[str, list[NDArray[Any] | str]]]:
    """The operator of each product, and its two factors: the values of int8 weights, or the type of a quantized activation."""
    graph = onnx.load(path).graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            sides: list[NDArray[Any] | str] = []
            for name in node.input[:2]:
                source = maker[name]
                assert source.op_type == "DequantizeLinear", f"{node.name}: {name} is not quantized"
                zero = constants[source.input[2]]
                if source.input[0] in constants:
                    assert not zero.any(), f"{node.name}: weights are not symmetric"
                    sides.append(constants[source.input[0]])
                else:
                    sides.append(str(zero.dtype))
            yield node.op_type, sides


def test_the_limit_of_the_weights_is_the_largest_that_fits() -> None:
    assert 2 * 255 * LARGEST_WEIGHT <= 32767 < 2 * 255 * (LARGEST_WEIGHT + 1)


@pytest.mark.parametrize(("settings", "share"), NETWORKS, ids=name_of)
def test_no_product_can_saturate_without_vnni(settings: TrainSettings, share: float, tmp_path: Path) -> None:
    found = list(products(int8_file(tmp_path, settings, share)))
    assert len(found) == (14 if settings.architecture == "resnet" else 9)
    kinds: Counter[str] = Counter()
    for operator, sides in found:
        weights = [s for s in sides if not isinstance(s, str)]
        kinds[operator] += 1
        kinds["of two activations"] += not weights
        # Activations are unsigned: one factor of most products, both factors of a product of two activations.
        assert [s for s in sides if isinstance(s, str)] == ["uint8"] * (2 - len(weights))
        for w in weights:
            assert w.dtype == np.int8
            assert np.abs(w.astype(int)).max() == LARGEST_WEIGHT
    # Attention has two products of two activations in each layer.
    assert kinds["of two activations"] == (2 if settings.architecture == "cnn_transformer" else 0)
    assert kinds["Conv"]
    assert kinds["Gemm"]
    assert kinds["MatMul"]


def test_weights_reach_127_without_the_reduced_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = stage.quantize_static
    monkeypatch.setattr(stage, "quantize_static", lambda *a, **k: real(*a, **{**k, "reduce_range": False}))
    weights = [s for _, sides in products(int8_file(tmp_path, RESNET, 0)) for s in sides if not isinstance(s, str)]
    assert max(np.abs(w.astype(int)).max() for w in weights) == 127


def logits_and_operators(
    path: Path, level: Level, x: NDArray[np.float32], optimised: Path
) -> tuple[NDArray[np.float32], set[str]]:
    """The logits of an ONNX file at an optimisation level, and the operators that ONNX Runtime ran for them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.graph_optimization_level = 1, level
    options.optimized_model_filepath, options.log_severity_level = str(optimised), 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: x})[0], {n.op_type for n in onnx.load(optimised).graph.node}


def with_extreme_weights(made: torch.nn.Module) -> torch.nn.Module:
    """Make all weights of an output channel equal, so that quantization maps each to the largest integer."""
    for module in made.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            sign = torch.ones(len(module.weight)).index_fill(0, torch.arange(0, len(module.weight), 2), -1)
            size = sign * module.weight.data.abs().flatten(1).mean(1)
            module.weight.data = size.reshape(-1, *[1] * (module.weight.dim() - 1)).expand_as(module.weight).clone()
    return made


@pytest.mark.parametrize(
    ("settings", "share", "largest"),
    [(RESNET, 0.0, False), (RESNET, 0.0, True), (ODD_RESNET, 0.5, True), (TRANSFORMER, 0.0, False), (ODD_TRANSFORMER, 0.5, False)],
    ids=name_of,
)  # fmt: skip
def test_int8_arithmetic_gives_the_logits_of_the_same_graph_in_float32(
    settings: TrainSettings, share: float, largest: bool, tmp_path: Path
) -> None:
    made = prune(network(settings), share)
    export(with_extreme_weights(made) if largest else made, 64, 157, tmp_path / "float.onnx")
    w = windows(tmp_path)
    quantize(tmp_path / "float.onnx", tmp_path / "int8.onnx", w, 24)
    x = w.take(np.arange(24)).numpy()
    on, fused = logits_and_operators(tmp_path / "int8.onnx", Level.ORT_ENABLE_ALL, x, tmp_path / "on.onnx")
    off, plain = logits_and_operators(tmp_path / "int8.onnx", Level.ORT_DISABLE_ALL, x, tmp_path / "off.onnx")
    # With optimisations all products are int8. Without, ONNX Runtime dequantizes, multiplies in float32 and quantizes again.
    assert {"QLinearConv", "QGemm", "QLinearMatMul"} <= fused
    assert fused.isdisjoint({"Conv", "Gemm", "MatMul"})
    assert {"Conv", "Gemm", "MatMul"} <= plain
    assert not [name for name in plain if name.startswith("Q") and name != "QuantizeLinear"]
    spread = off.std(axis=0).mean()
    assert spread > 0
    assert np.sqrt(np.mean((on - off) ** 2)) < MAX_DIFFERENCE * spread
