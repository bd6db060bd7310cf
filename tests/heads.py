"""A small backbone and bundles of heads on it, made by tests."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soundfile
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import BackboneInfo
from autobird.core.files import write_json
from autobird.core.hashing import file_digest
from autobird.predict.bundle import bundle_manifest
from autobird.predict.check import expected_prediction

RATE, WINDOW, WIDTH = 32000, 1.0, 8
LABELS = ["Parus major", "Corvus corone"]
FEATURES = FeatureSettings(window=2.0, hop=1.0)
"""A window is the mean of two windows of the backbone, and shares one with the next."""


def _model(
    nodes: list[Any], constants: dict[str, NDArray[np.float32]], input: tuple[str, list[Any]], output: str, width: int
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(input[0], TensorProto.FLOAT, input[1])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [input[1][0], width])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def make_backbone(file: Path, seed: int = 0, rate: int = RATE, window: float = WINDOW) -> BackboneInfo:
    """Write an ONNX file that maps samples to an embedding of `WIDTH` values: tanh of random projections."""
    size = round(rate * window)
    weights = np.random.default_rng(seed).normal(0, 0.1, (size, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["samples", "weights"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["features"]),
    ]
    file.write_bytes(_model(nodes, {"weights": weights}, ("samples", [1, size]), "features", WIDTH))
    return BackboneInfo(
        name="tiny-backbone", sha256=file_digest(file) or "", sample_rate=rate, window=window, width=WIDTH, licence="CC BY-NC-SA 4.0",
        source="a test", input="samples", output="features",
    )  # fmt: skip


def head_weights(width: int, species: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (width, species) and bias (species,) of the head in the bundles."""
    rng = np.random.default_rng(1)
    return rng.normal(0, 1, (width, species)).astype(np.float32), np.array([0.1] * species, np.float32)


def write_head(file: Path, width: int, species: int) -> None:
    """Write the ONNX file of a linear head."""
    weights, bias = head_weights(width, species)
    nodes = [helper.make_node("Gemm", ["embedding", "weights", "bias"], ["logits"])]
    file.write_bytes(
        _model(nodes, {"weights": weights, "bias": bias}, ("embedding", ["windows", width]), "logits", species)
    )
    onnx.checker.check_model(onnx.load(file))


def make_head_bundle(
    folder: Path,
    info: BackboneInfo,
    backbone: Path | None,
    features: FeatureSettings = FEATURES,
    labels: list[str] = LABELS,
    thresholds: float = 0.5,
) -> Path:
    """Write a bundle whose model is a linear head on a backbone."""
    folder.mkdir(parents=True, exist_ok=True)
    write_head(folder / "model.onnx", info.width, len(labels))
    description = {
        "format": 2, "name": "tiny head", "variant": "float", "fingerprint": "0123456789abcdef", "labels": labels,
        "features": features.model_dump(mode="json"), "aggregation": "mean", "temperature": 1.5, "thresholds": [thresholds] * len(labels),
        "backbone": info.model_dump(mode="json"),
    }  # fmt: skip
    write_json(folder / "bundle.json", description)
    soundfile.write(folder / "example.flac", 0.1 * np.random.default_rng(1).standard_normal(6 * 16000), 16000)
    write_json(folder / "manifest.json", bundle_manifest(folder))
    write_json(folder / "expected.json", expected_prediction(folder, backbone))
    write_json(folder / "manifest.json", bundle_manifest(folder))
    return folder
